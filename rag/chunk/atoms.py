"""The pieces of a text between which a chunker may cut, with their sizes in the encoder's tokens.

Words stand in for tokens: nearly every tokenizer cuts at white space first, so the tokens of a text are those of its
words, and a word is counted once however often it occurs. That makes chunking several times faster than tokenizing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Tokenizer
from rag.text.graphemes import boundary_at_or_before, is_boundary

Ints: TypeAlias = NDArray[np.int64]

# How strong the border before an atom is. WRAP is a line break inside a sentence, INSIDE is inside a word; GLUED is cut
# only where nothing else is left.
PARAGRAPH, LINE, SENTENCE, WRAP, WORD, INSIDE, GLUED = range(7)

_LONG_WORD = 24  # code points; longer ones (a URL, a line of Chinese) are several atoms
_PIECE = 64  # code points of a long word that are tokenized together; some tokenizers give up at 100
_BLOCK = 1 << 20  # code points handled at once
REMEMBERED_WORDS = 1 << 17  # some 16 MiB
_LEVEL_OF_GAP = np.array([WORD, LINE, PARAGRAPH])  # by the line breaks in it
# What white space there is: 1, and one more for each line that the character ends; a page and a paragraph end two.
_SPACE = bytes({0x0A: 2, 0x0B: 2, 0x0C: 3, 0x0D: 2, 0x85: 2}.get(code, chr(code).isspace()) for code in range(256))
# White space beyond Latin-1, there is none beyond U+3000, and what is the same to us within it.
_WIDE_SPACE = {chr(code): " " for code in range(0x100, 0x3001) if chr(code).isspace()} | {
    "\u2028": "\x85",
    "\u2029": "\x0c",
}
_GAP = re.compile(r"\s")
_PROBE = tuple(
    re.findall(r"\S+", "The naïve co-operation's 3.14% of WORDS, (unbelievable) über-tokenization: café/x_y!")
)


@dataclass(frozen=True, slots=True)
class Atoms:
    """All atoms of a text, in order. They cover every character that is not white space.

    `starts` and `ends` are code-point offsets, `tokens` counts each atom by itself, `levels` is the border before it.
    """

    starts: Ints
    ends: Ints
    tokens: Ints
    levels: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def part(self, first: int, last: int) -> Atoms:
        kept = slice(first, last)
        return Atoms(self.starts[kept], self.ends[kept], self.tokens[kept], self.levels[kept])


class AtomCounter:
    """Cuts texts into atoms and counts them; remembers words. May be used from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, int] = {}

    @cached_property
    def additive(self) -> bool:
        """Whether the tokens of a text are those of its words, shown on a probe.

        Where they are not (byte-level vocabularies count the space with the word), the counts are estimates, and every
        chunk is counted again as a whole.
        """
        joined = [separator.join(_PROBE) for separator in (" ", "\n", "\t \r\n")]
        apart = sum(self.tokenizer.count(_PROBE))
        return all(count == apart for count in self.tokenizer.count(joined))

    def atoms(self, text: str, *, longest: int, most_tokens: int) -> Atoms:
        """Cut `text`; no atom has more than `longest` code points.

        None has more than `most_tokens` tokens either, but for single code points.
        """
        piece = min(longest, _PIECE)
        blocks: list[Atoms] = []
        at, line_breaks = 0, 2
        while at < len(text):
            gap = _GAP.search(text, at + _BLOCK)
            end = gap.start() if gap else len(text)
            block, line_breaks = self._block(text[at:end], at, line_breaks)
            blocks.append(self._cut_long_words(text, block, piece=piece, most_tokens=most_tokens))
            at = end
        return _joined(blocks)

    def _block(self, block: str, at: int, line_breaks: int) -> tuple[Atoms, int]:
        """The words of a block that begins at offset `at`, `line_breaks` after the last word; and how many follow."""
        narrow = block
        if not block.isascii():
            for space, same in _WIDE_SPACE.items():
                narrow = narrow.replace(space, same)
        codes = narrow.encode("latin-1", "replace")  # one byte a code point
        spaces = np.frombuffer(codes.translate(_SPACE), np.int8)
        inside = np.zeros(len(spaces) + 2, np.bool_)
        np.equal(spaces, 0, out=inside[1:-1])
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = edges[::2], edges[1::2]
        places = np.flatnonzero(spaces > 1)  # of line breaks
        ended = spaces[places].astype(np.int64) - 1
        ended[np.array([codes[at : at + 2] == b"\r\n" for at in places.tolist()], np.bool_)] = 0  # CR LF is one
        # How many lines end before each word, and after the last.
        gaps = np.zeros(len(starts) + 1, np.int64)
        np.add.at(gaps, np.searchsorted(starts, places), ended)
        gaps[0] += line_breaks
        levels = _LEVEL_OF_GAP[np.minimum(gaps[:-1], 2)]
        words = block.split()
        for word in np.flatnonzero(ends - starts > _LONG_WORD).tolist():
            words[word] = ""  # its parts will be counted, and a long line is not to be remembered
        return Atoms(starts + at, ends + at, self._count(words), levels), int(gaps[-1])

    def _count(self, words: list[str]) -> Ints:
        known = self._known
        counts = np.fromiter(map(known.get, words, repeat(-1)), np.int64, len(words))
        if len(missing := np.flatnonzero(counts < 0)):
            unknown = [words[at] for at in missing.tolist()]
            new = list(dict.fromkeys(unknown))
            found = dict(zip(new, self.tokenizer.count(new), strict=True))
            counts[missing] = [found[word] for word in unknown]
            if len(known) + len(found) > REMEMBERED_WORDS:
                self._known = found
            else:
                known.update(found)
        return counts

    def _cut_long_words(self, text: str, words: Atoms, *, piece: int, most_tokens: int) -> Atoms:
        long = (words.ends - words.starts > min(piece, _LONG_WORD)) | (words.tokens > most_tokens)
        if not long.any():
            return words
        parts: list[Atoms] = []
        done = 0
        for word in np.flatnonzero(long).tolist():
            parts.append(words.part(done, word))
            start, end = int(words.starts[word]), int(words.ends[word])
            cuts, tokens = self._inside(text[start:end], piece=piece, most_tokens=most_tokens)
            levels = np.full(len(cuts), INSIDE, np.int64)
            levels[0] = words.levels[word]
            starts = np.array(cuts, np.int64) + start
            parts.append(Atoms(starts, np.append(starts[1:], end), np.array(tokens, np.int64), levels))
            done = word + 1
        parts.append(words.part(done, len(words)))
        return _joined(parts)

    def _inside(self, word: str, *, piece: int, most_tokens: int) -> tuple[list[int], list[int]]:
        """Where the atoms of a long word begin, and their tokens: at its tokens, but never inside a grapheme."""
        cuts: list[int] = []
        tokens: list[int] = []
        at = 0
        while at < len(word):
            end = boundary_at_or_before(word, min(at + piece, len(word)), after=at)
            borders = [at]
            counts = [0]
            for start, _ in self.tokenizer.offsets(word[at:end]):
                if at + start > borders[-1] and is_boundary(word, at + start):
                    borders.append(at + start)
                    counts.append(0)
                counts[-1] += 1
            for border, next_border, count in zip(borders, [*borders[1:], end], counts, strict=True):
                # By itself the end of a word can have more tokens than it has in the word.
                if next_border - border > 1 and self._alone(word[border:next_border]) > most_tokens:
                    cuts.extend(range(border, next_border))
                    tokens.extend(map(self._alone, word[border:next_border]))
                else:
                    cuts.append(border)
                    tokens.append(count)
            at = end
        return cuts, tokens

    def _alone(self, piece: str) -> int:
        known = self._known.get(piece)
        return int(self._count([piece])[0]) if known is None else known


def _joined(parts: list[Atoms]) -> Atoms:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Atoms(*(np.zeros(0, np.int64) for _ in range(4)))
    columns = [(part.starts, part.ends, part.tokens, part.levels) for part in parts]
    return Atoms(*(np.concatenate(column) for column in zip(*columns, strict=True)))
