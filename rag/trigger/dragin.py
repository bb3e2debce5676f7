"""DRAGIN: retrieve where an uncertain word matters to what follows it (Su et al., arXiv 2403.10081)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag.models.attention import Reading, ReadingModel
from rag.text.markers import unmarked
from rag.trigger.base import Decision, Moment, MomentName, Written
from rag.trigger.content_words import Word, averaged, best_words, received, rows_of, summed, words_of


class Dragin:
    """RIND: a content word of the sentence whose attention x entropy x number of words exceeds `threshold`.

    QFS: the query is the content words that those before the doubtful words attend to most, in their order. Both are of
    the last layer. The published code filters content words after the threshold and then may have none left; here they
    are filtered first. The sentence is read on its own, so attention is that of its own later words. Entropies are the
    generator's where it gives them, else those of the model reading the sentence without its prompt.

    Args:
        threshold: depends on the model and, through the number of words, on how long its sentences are; published for
            Llama-2-7B: 1.0 (2WikiMultihopQA), 0.8 (HotpotQA), 0.6 (IIRC), 0.75 (StrategyQA).
        words: how many words a query has.
    """

    moments: frozenset[MomentName] = frozenset({"written"})
    reads_tokens = True

    def __init__(self, model: ReadingModel, *, threshold: float = 1.0, words: int = 25) -> None:
        self.model = model
        self.threshold = threshold
        self.words = words

    def decide(self, moment: Moment) -> Decision:
        assert isinstance(moment, Written)
        words = words_of(moment.sentence)
        if not any(word.content for word in words):
            return Decision(retrieve=False, why="no content words")
        reading = self.model.read(moment.sentence)
        entropies = of_tokens(moment) if _all_known(moment) else _of_reading(reading, words)
        attention = summed(received(reading.attention[-1]), rows_of(words, reading.offsets))
        values = rind(attention, entropies)
        hits = [at for at, word in enumerate(words) if word.content and values[at] > self.threshold]
        largest = max(float(values[at]) for at, word in enumerate(words) if word.content)
        numbers = {"largest": largest, "threshold": self.threshold}
        if not hits:
            return Decision(retrieve=False, why="no word is in doubt", numbers=numbers)
        doubts = tuple((words[at].start, words[at].end) for at in hits)
        query = self._query(moment, doubts)
        return Decision(
            retrieve=True, why="words in doubt", numbers=numbers, doubts=doubts, queries=(query,) if query else ()
        )

    def _query(self, moment: Written, doubts: Sequence[tuple[int, int]]) -> str:
        before = f"{moment.query.text}\n{unmarked(moment.draft)}"
        text = before + unmarked(moment.sentence)
        places = [(len(before) + start, len(before) + end) for start, end in doubts]
        reading = self.model.read(text)
        return query_of(reading, words_of(text), places, most=self.words)


def rind(attention: NDArray[np.float64], entropies: NDArray[np.float64]) -> NDArray[np.float64]:
    """(words,) attention, normalised to sum 1, times entropy times the number of words.

    >>> rind(np.array([0.2, 0.6, 0.2]), np.array([0.1, 1.5, 0.3])).round(2).tolist()
    [0.06, 2.7, 0.18]
    """
    total = attention.sum()
    normalised = attention / total if total > 0 else attention
    return np.asarray(normalised * entropies * len(attention), np.float64)


def query_of(reading: Reading, words: Sequence[Word], places: Sequence[tuple[int, int]], *, most: int) -> str:
    """The `most` content words that the tokens before the words at `places` attend to, in the order of the text.

    The words at `places` are left out. The row of each is that of the token before it, over all earlier tokens,
    normalised and summed by words; rows are averaged.
    """
    rows = rows_of(words, reading.offsets)
    attention = reading.attention[-1].mean(axis=0)  # (n, n)
    hits = [at for at, word in enumerate(words) if any(word.start < end and start < word.end for start, end in places)]
    weights = np.zeros(len(words))
    for at in hits:
        asking = int(rows[at][0]) - 1 if len(rows[at]) else -1
        if asking < 1:
            continue  # nothing stands before it
        row = attention[asking].copy()
        row[asking:] = 0.0
        if (total := row.sum()) > 0:
            weights += summed(row / total, rows) / len(hits)
    asked = [at for at, word in enumerate(words) if word.content and at not in hits and weights[at] > 0]
    return best_words(words, weights, asked, most=most)


def _all_known(moment: Written) -> bool:
    return all(token.entropy is not None for token in moment.tokens)


def of_tokens(moment: Written) -> NDArray[np.float64]:
    """(words,) the mean entropy of each word's tokens, as the generator gave it."""
    offsets, at = [], 0
    for token in moment.tokens:
        offsets.append((at, at + len(token.text)))
        at += len(token.text)
    entropies = np.array([np.nan if token.entropy is None else token.entropy for token in moment.tokens], np.float32)
    return averaged(entropies, rows_of(words_of(moment.sentence), offsets))


def _of_reading(reading: Reading, words: Sequence[Word]) -> NDArray[np.float64]:
    return averaged(reading.entropies, rows_of(words, reading.offsets))
