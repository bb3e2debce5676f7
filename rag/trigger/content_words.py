"""From what a model does token by token to words, and which of them carry content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.text.analyze import STOPWORDS
from rag.text.markers import unmarked

_WORD = re.compile(r"\S+")
_LETTERS = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_MORE = (
    "he she we you i him her his hers our ours your yours my mine done may might must shall into onto so too very also "
    "just only about after before between during over under again here each both some any all more most other own same "
    "until because through up down out off"
)
_FUNCTION_WORDS = STOPWORDS | set(_MORE.split())


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text between white space; `content` if it is neither a function word nor a citation marker."""

    start: int
    end: int
    text: str
    content: bool


def words_of(text: str) -> list[Word]:
    """The words of a text, markers left out. Which carry content is told by a list, where the papers have a tagger."""
    return [_word(match) for match in _WORD.finditer(unmarked(text))]


def _word(match: re.Match[str]) -> Word:
    letters = _LETTERS.search(match[0])
    lower = letters[0].lower() if letters else ""
    content = bool(lower) and lower not in _FUNCTION_WORDS
    return Word(match.start(), match.end(), letters[0] if letters else match[0], content)


def rows_of(words: Sequence[Word], offsets: Sequence[tuple[int, int]]) -> list[NDArray[np.int64]]:
    """For each word the tokens that have a part of it."""
    starts = np.array([start for start, _ in offsets], np.int64)
    ends = np.array([end for _, end in offsets], np.int64)
    return [np.flatnonzero((starts < word.end) & (ends > word.start)) for word in words]


def summed(values: NDArray[np.float32], rows: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """(words,) the sum over each word's tokens."""
    return np.array([values[row].sum() for row in rows], np.float64)


def averaged(values: NDArray[np.float32], rows: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """(words,) the mean over each word's tokens that have a value; 0 where none has."""
    found = [values[row][~np.isnan(values[row])] for row in rows]
    return np.array([float(each.mean()) if len(each) else 0.0 for each in found], np.float64)


def received(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) the most attention each token gets from any later one, mean over heads; 0 for the last.

    Args:
        attention: (heads, n, n), rows attend.
    """
    later = np.tril(attention, k=-1)
    return np.asarray(later.max(axis=1).mean(axis=0), np.float32)


def best_words(words: Sequence[Word], scores: NDArray[np.float64], places: Sequence[int], *, most: int) -> str:
    """The `most` different words of `places` with the highest scores, in the order of the text."""
    best: dict[str, int] = {}
    for at in sorted(places, key=lambda at: (-scores[at], at)):
        best.setdefault(words[at].text, at)
    return " ".join(words[at].text for at in sorted([*best.values()][:most]))
