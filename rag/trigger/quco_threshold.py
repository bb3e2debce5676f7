"""From which count on something counts as known: a number, or a quantile of the corpus' own counts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import numpy as np

from rag.index.counts import CorpusCounts
from rag.index.directory import IndexDirectory
from rag.index.reader import Reader
from rag.text.entities import named

logger = logging.getLogger(__name__)

DOCUMENTS = 300  # looked through for entities, evenly among all
CHARACTERS = 5000  # of each document


class Threshold(Protocol):
    def value(self) -> float:
        """The count below which something is rare."""
        ...


@dataclass(frozen=True, slots=True)
class Absolute:
    """The same for every corpus, as in the paper: 1,000 for 2WikiMultihopQA and 100,000 for HotpotQA, of 4 trillion."""

    tau: float

    def value(self) -> float:
        return self.tau


@dataclass(slots=True)
class Quantile:
    """A quantile of how often entities of the corpus occur in it (ours: no absolute count fits corpora of all sizes).

    Entities are those of a sample of documents, each counted once; linear interpolation. Made at first use and again
    for a new generation. An empty corpus has the threshold 0: nothing is rare in it.
    """

    share: float
    counts: CorpusCounts
    index: IndexDirectory
    _made: tuple[int, float] | None = field(default=None, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def value(self) -> float:
        reader = self.index.reader()
        with self._lock:
            if self._made is None or self._made[0] != reader.generation:
                self._made = reader.generation, self._quantile(reader)
                logger.info("the entity count at quantile %g is %g", self.share, self._made[1])
            return self._made[1]

    def _quantile(self, reader: Reader) -> float:
        entities = dict.fromkeys(entity for text in _sampled(reader) for entity in named(text))
        found = [self.counts.count(entity).value for entity in entities]
        return float(np.quantile(found, self.share)) if found else 0.0


def _sampled(reader: Reader) -> Iterator[str]:
    ids = [summary.id for summary in reader.documents()]
    step = max(1, -(-len(ids) // DOCUMENTS))
    for id_ in ids[::step]:
        yield reader.document(id_).text[:CHARACTERS]
