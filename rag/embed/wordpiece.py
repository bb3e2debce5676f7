"""Counting the tokens of tokenizers like BERT's, without making them.

The `tokenizers` library takes some ten microseconds a word, most of it for what a count does not need. The rules of
BERT's normaliser and pre-tokeniser for printable ASCII are one line of Python each, and what they leave is counted by
the library's own WordPiece model (arXiv 1609.08144), once for each word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tokenizers

_PIECE = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")  # what the pre-tokeniser leaves of ASCII: punctuation stands alone
_PLAIN_WORD = re.compile(r"[!-~]+")
_CONTROL = re.compile(r"[^\t\n\r -~]")
_GAP = re.compile(r"[\t\n\r ]+")  # ends a word whatever stands around it; other white space may be removed as a control
REMEMBERED = 1 << 16  # pieces


class WordPieceCounter:
    """Counts as `tokenizer` does, to the token; of texts beyond ASCII it is given the words that are."""

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._lower = bool(tokenizer.normalizer.lowercase)
        self._added = [token.lower() for token in _added(tokenizer)]
        self._openers = {token[0] for token in self._added}
        self._sizes = _Sizes(tokenizer.model)

    @staticmethod
    def fits(tokenizer: tokenizers.Tokenizer) -> bool:
        """Whether a tokenizer is made of BERT's parts, and what was added to its vocabulary is plain, without space."""
        from tokenizers import models, normalizers, pre_tokenizers

        return (
            isinstance(tokenizer.model, models.WordPiece)
            and isinstance(tokenizer.normalizer, normalizers.BertNormalizer)
            and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
            and all(_PLAIN_WORD.fullmatch(token) for token in _added(tokenizer))
        )

    def count(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without special tokens. No text may have lone surrogates."""
        counts = [0] * len(texts)
        others: list[tuple[int, str]] = []
        for at, text in enumerate(texts):
            tokens = self._plain(text)
            if tokens is not None:
                counts[at] = tokens
                continue
            strange = []
            for word in _GAP.split(text):
                tokens = self._plain(word)
                if tokens is None:
                    strange.append(word)
                else:
                    counts[at] += tokens
            others.append((at, " ".join(strange)))
        encodings = self.tokenizer.encode_batch_fast([words for _, words in others], add_special_tokens=False)
        for (at, _), encoding in zip(others, encodings, strict=True):
            counts[at] += len(encoding)
        return counts

    def _plain(self, text: str) -> int | None:
        """The tokens of a text, ``None`` if it is not plain or may hold an added token, which is found before all."""
        if not text.isascii() or not (text.isprintable() or _CONTROL.search(text) is None):
            return None
        lowered = text.lower()
        for opener in self._openers:
            if opener in lowered and any(token in lowered for token in self._added):
                return None
        cased = lowered if self._lower else text
        return self._sizes[cased] if cased.isalnum() else sum(map(self._sizes.__getitem__, _PIECE.findall(cased)))


def _added(tokenizer: tokenizers.Tokenizer) -> list[str]:
    return [token.content for token in tokenizer.get_added_tokens_decoder().values()]


class _Sizes(dict[str, int]):
    """The tokens of each piece, counted when it is first asked for."""

    def __init__(self, model: tokenizers.models.Model) -> None:
        self._tokenize = model.tokenize

    def __missing__(self, piece: str) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        self[piece] = size = len(self._tokenize(piece))
        return size
