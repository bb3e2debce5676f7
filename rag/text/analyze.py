"""Makes index terms of text: the same ones for a document and for a question about it.

Words are case-folded and stemmed by the language their script suggests. Compounds (``x-ray``, ``C++``, ``U.S.``) give
the whole and its useful parts. Scripts written without spaces give characters and character n-grams: no dictionary to
ship, and for BM25 about as good as a segmenter (Nie et al., 2000, for Chinese).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, cached_property
from operator import add
from typing import TYPE_CHECKING, NamedTuple, Protocol
from unicodedata import combining, is_normalized, normalize

from rag.errors import ConfigError
from rag.types import Meta

if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = 1  # raised when the same text gives other terms
EXPANSIONS = ("questions",)  # fields that enrichment writes for this side of retrieval alone
CACHED_WORDS = 1 << 17  # distinct words whose terms are remembered; about 25 MiB

# The 33 words that Lucene leaves out, then auxiliaries and question words: a question is full of them, and they say
# what kind of answer is wanted, not where it stands.
_FUNCTION_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there these they this to was
will with

am been being can could did do does doing had has have having how its should than those were what when where which while
who whom whose why would from about don't doesn't didn't isn't aren't wasn't weren't
"""
STOPWORDS = frozenset(_FUNCTION_WORDS.split())
"""The English words left out by default."""

HAN = "々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17d3"  # Thai, Lao, Burmese, Khmer
# Vowel signs and other marks stand inside words, and are no word characters to `re`.
MARKS = "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
LETTER = rf"[^\W_{HAN}{KANA}{HANGUL}{UNSPACED}]"
LETTERS = rf"{LETTER}(?:{LETTER}|[{MARKS}])*"
THOUSANDS = r"\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?"

ASCII_TOKEN = re.compile(rf"{THOUSANDS}|[a-z0-9]+(?:[-.'&@_][a-z0-9]+)*(?:\+\+|\#)?", re.ASCII)
JOINT = re.compile(r"[-.'&@_+#]+")


class Patterns(NamedTuple):
    """What text beyond ASCII needs."""

    token: re.Pattern[str]
    han_or_kana: re.Pattern[str]
    kana: re.Pattern[str]
    hangul: re.Pattern[str]
    unspaced: re.Pattern[str]


@cache
def patterns() -> Patterns:
    """Compiled at first use: that takes as long as opening a small index."""
    words = rf"{LETTERS}(?:[-.'’&@_]{LETTERS})*(?:\+\+|\#)?"
    return Patterns(
        token=re.compile(rf"{THOUSANDS}|{words}|[{HAN}{KANA}]+|[{HANGUL}]+|[{UNSPACED}]+"),
        han_or_kana=re.compile(f"[{HAN}{KANA}]"),
        kana=re.compile(f"[{KANA}]"),
        hangul=re.compile(f"[{HANGUL}]"),
        unspaced=re.compile(f"[{UNSPACED}]"),
    )


STEMMERS = (  # the first letter of a word that is not Latin decides
    ("\u0400", "\u052f", "russian"),
    ("\u0370", "\u03ff", "greek"),
    ("\u1f00", "\u1fff", "greek"),
    ("\u0600", "\u06ff", "arabic"),
    ("\u0900", "\u097f", "hindi"),
    ("\u0b80", "\u0bff", "tamil"),
    ("\u0530", "\u058f", "armenian"),
)


class WordStemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802, PyStemmer's name


class Analyzer:
    """Cuts text into terms. Terms of one analyzer mean nothing to another: its `name` goes into the manifest.

    `language` is what stems words in Latin script, a Snowball algorithm by its English name; ``auto`` is English.
    `fields` are the metadata fields of a chunk whose text is indexed with the chunk's own.
    """

    def __init__(
        self,
        language: str = "auto",
        *,
        stem: bool = True,
        stopwords: bool = True,
        fields: tuple[str, ...] = EXPANSIONS,
    ) -> None:
        self.language = language
        self.fields = fields
        self.stem = stem
        self.stopwords = stopwords
        self._terms = _Remembered(self._expand)

    @cached_property
    def name(self) -> str:
        """What the terms depend on: this file's version, language, stemmer and its version, stop words, fields."""
        stemmer = f"snowball-{_stemmer_version()}" if self.stem else "unstemmed"
        fields = f"/{'+'.join(self.fields) or 'text'}" if self.fields != EXPANSIONS else ""
        return f"terms-{FORMAT}/{self.language}/{stemmer}/{'stopwords' if self.stopwords else 'all-words'}{fields}"

    def text_of(self, indexed_text: str, meta: Meta) -> str:
        """What the terms of a chunk are made of: its text, and what its metadata says in `fields`.

        >>> Analyzer(fields=("questions",)).text_of("Dogs bark.", {"questions": "Do dogs bark?", "page": 3})
        'Dogs bark.\\nDo dogs bark?'
        """
        more = [value for field in self.fields if isinstance(value := meta.get(field), str)]
        return "\n".join([indexed_text, *more])

    def terms(self, text: str) -> list[str]:
        """The terms in the order of the text, repeated as often as they occur.

        >>> Analyzer().terms("The dogs’ X-ray cost $3.14 in the U.S.")
        ['dog', 'x-ray', 'ray', 'cost', '3.14', 'u.s', 'us']
        """
        if text.isascii():
            tokens = ASCII_TOKEN.findall(text.lower())
        else:
            folded = (text if is_normalized("NFKC", text) else normalize("NFKC", text)).casefold()
            tokens = patterns().token.findall(folded)
        known = self._terms
        return [term for token in tokens for term in known[token]]

    def _expand(self, token: str) -> tuple[str, ...]:
        if token[0] >= UNSPACED[0]:
            if patterns().han_or_kana.match(token):
                return tuple(_characters_and_bigrams(token))
            if patterns().hangul.match(token):
                return tuple(_ngrams(token, 2))
            if patterns().unspaced.match(token):
                return tuple(_ngrams(token, 3))
        return tuple(self._words(token))

    def _words(self, token: str) -> Iterator[str]:
        """A word's term; of a compound, the parts, and the whole where the parts alone would say too little."""
        token = token.replace("’", "'").removesuffix("'s").replace(",", "")
        parts = [part for part in JOINT.split(token) if part]
        if parts == [token]:
            yield from self._word(token)
        elif len(parts) > 1 and all(len(part) == 1 for part in parts):  # U.S., e.g.
            yield from (token, "".join(parts))
        elif len(parts) == 2 and "." in token and token.replace(".", "").isdigit():  # 3.14
            yield token
        elif not (self._drops and token in STOPWORDS):
            if len(parts) == 1 or any(len(part) == 1 or not part.isalpha() for part in parts):  # C++, x-ray, covid-19
                yield _folded(token)
            for part in parts:
                if len(part) > 1 or part.isdigit():
                    yield from self._word(part)

    def _word(self, word: str) -> Iterator[str]:
        if self._drops and word in STOPWORDS:
            return
        language = self._language_of(word[0])
        if language in ("english", "russian"):  # stemmers that know no diacritics, elsewhere they tell words apart
            word = _folded(word)
        if self.stem and language is not None:
            word = self._stemmers[language].stemWord(word) or word
        yield _folded(word)

    @cached_property
    def _drops(self) -> bool:
        return self.stopwords and self.language in ("auto", "english")

    def _language_of(self, letter: str) -> str | None:
        """The stemmer for a word that begins with `letter`; ``None``: words of its script stay as they are."""
        if letter < "\u0250" or "\u1e00" <= letter <= "\u1eff":
            return "english" if self.language == "auto" else self.language
        return next((language for first, last, language in STEMMERS if first <= letter <= last), None)

    @cached_property
    def _stemmers(self) -> dict[str, WordStemmer]:
        return _Stemmers()


class _Remembered(dict[str, tuple[str, ...]]):
    """Tokens and their terms; forgets all when full, so that a stream of new words cannot fill the memory."""

    def __init__(self, expand: Callable[[str], tuple[str, ...]]) -> None:
        super().__init__()
        self.expand = expand

    def __missing__(self, token: str) -> tuple[str, ...]:
        terms = self.expand(token)
        if token[0] < UNSPACED[0]:  # beyond, tokens are runs of whole clauses, hardly ever the same
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[token] = terms
        return terms


class _Stemmers(dict[str, WordStemmer]):
    """Stemmers by language, made at first use."""

    def __missing__(self, language: str) -> WordStemmer:
        import Stemmer

        if language not in Stemmer.algorithms():
            known = ", ".join(Stemmer.algorithms())
            raise ConfigError(f"no stemmer for the language {language!r} (known: auto, {known})")
        stemmer: WordStemmer = Stemmer.Stemmer(language, 0)  # 0: its own cache off, ours is over it
        self[language] = stemmer
        return stemmer


def _stemmer_version() -> str:
    import Stemmer

    return ".".join(Stemmer.version().split(".")[:2])


def _characters_and_bigrams(run: str) -> list[str]:
    """Every Han character and every pair of neighbours; kana in pairs only, single ones carry no meaning."""
    if len(run) == 1:
        return [run]
    grams = [gram for pair in zip(run, map(add, run, run[1:]), strict=False) for gram in pair]
    grams.append(run[-1])
    kana = patterns().kana
    if not kana.search(run):
        return grams
    return [gram for gram in grams if len(gram) == 2 or not kana.match(gram)]


def _ngrams(run: str, size: int) -> Iterator[str]:
    for at in range(max(1, len(run) - size + 1)):
        yield run[at : at + size]


def _folded(word: str) -> str:
    """Without diacritics in Latin and Greek script, where people leave them out; ``ё`` is ``е``."""
    if word.isascii():
        return word
    if "\u0400" <= word[0] <= "\u052f":
        return word.replace("ё", "е")
    if word[0] < "\u0400" or "\u1e00" <= word[0] <= "\u1fff":
        return "".join(mark for mark in normalize("NFD", word) if not combining(mark))
    return word
