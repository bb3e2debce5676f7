"""Retrieve by attention and entropy over several layers. Ours, after the idea of ATLAS (arXiv 2504.01281).

Its exact formulas were not at hand, so this claims no fidelity to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.models.attention import ReadingModel
from rag.text.markers import unmarked
from rag.trigger.base import Decision, Moment, MomentName, Written
from rag.trigger.content_words import averaged, best_words, received, rows_of, words_of


class AttentionScore:
    """In doubt if a content word's mean over layers of attention received, times its entropy, exceeds `threshold`.

    The query is the question's and draft's content words with the largest such scores, in the order of the text, those
    in doubt left out. Unlike DRAGIN's value it does not depend on the number of words, so a threshold can be taken
    from earlier answers: a quantile of ``largest`` in their traces.

    Args:
        layers: which to look at; negative ones count from the last.
    """

    moments: frozenset[MomentName] = frozenset({"written"})
    reads_tokens = False

    def __init__(
        self, model: ReadingModel, *, threshold: float, layers: Sequence[int] = (-4, -3, -2, -1), words: int = 15
    ) -> None:
        self.model = model
        self.threshold = threshold
        self.layers = tuple(layers)
        self.words = words

    def decide(self, moment: Moment) -> Decision:
        assert isinstance(moment, Written)
        before = f"{moment.query.text}\n{unmarked(moment.draft)}"
        text = before + unmarked(moment.sentence)
        words = words_of(text)
        reading = self.model.read(text, layers=self.layers)
        attention = np.mean([received(layer) for layer in reading.attention], axis=0)
        rows = rows_of(words, reading.offsets)
        scores = averaged(np.asarray(attention * reading.entropies, np.float32), rows)
        content = [at for at, word in enumerate(words) if word.content]
        written = [at for at in content if words[at].start >= len(before)]
        if not written:
            return Decision(retrieve=False, why="no content words")
        largest = max(float(scores[at]) for at in written)
        hits = {at for at in written if scores[at] > self.threshold}
        numbers = {"largest": largest, "threshold": self.threshold}
        if not hits:
            return Decision(retrieve=False, why="no word is in doubt", numbers=numbers)
        query = best_words(words, scores, [at for at in content if at not in hits], most=self.words)
        doubts = tuple((words[at].start - len(before), words[at].end - len(before)) for at in sorted(hits))
        return Decision(
            retrieve=True, why="words in doubt", numbers=numbers, doubts=doubts, queries=(query,) if query else ()
        )
