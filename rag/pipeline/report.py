"""What an ingest says about itself: before it runs, while it runs, and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from rag.enrich.tally import Cost, EnrichmentReport, EnrichmentTally
from rag.errors import RagError


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be read, and why."""

    source: str
    reason: str

    @staticmethod
    def of(source: str, error: RagError) -> Failure:
        """What is wrong, and what to do about it where that is known."""
        return Failure(source, f"{error.message}; {error.hint}" if error.hint else error.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What a run did. Counts are documents unless they say otherwise.

    `embedded` and `cached` count chunks whose vector was computed or found in the embedding cache. `truncated` counts
    chunks that lost text to the encoder's window: a chunk that does not fit is refused or its context is shortened
    (`shortened`), so it stays 0. `skipped` counts what connectors left out, by reason. `enrichment` is what enrichers
    asked of a language model.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: tuple[Failure, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    chunks: int = 0
    characters: int = 0
    embedded: int = 0
    cached: int = 0
    shortened: int = 0
    truncated: int = 0
    enrichment: EnrichmentReport = field(default_factory=EnrichmentReport)
    seconds: float = 0.0
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestProgress:
    """How far a run is. `total` is ``None`` where a connector cannot count without reading.

    `done` counts documents that were read, or found `unchanged`, or `failed`; `chunks` those that have their vectors,
    `waiting` those cut and not there yet. `enriched` counts chunks that a language model was asked about, those from
    the cache included.
    """

    done: int
    total: int | None
    failed: int
    chunks: int
    source: str
    enriched: int = 0
    waiting: int = 0
    unchanged: int = 0

    def seconds_left(self, seconds: float) -> float | None:
        """About how long it takes from here after `seconds`; ``None`` as long as nothing can be said.

        As if each document to come had to be read, and had as many chunks as those read so far.
        """
        read = self.done - self.unchanged
        if self.total is None or not self.chunks or read <= 0 or seconds <= 0:
            return None
        cut = self.chunks + self.waiting
        coming = self.waiting + cut * max(0, self.total - self.done) / read
        return coming * seconds / self.chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlan:
    """What a run would do, by document id. `changed` holds also those that must be read to know.

    `enrichment` is what the added and changed documents would cost where enrichers ask a language model, else ``None``.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: int = 0
    vanished: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    enrichment: Cost | None = None


@dataclass(slots=True)
class Tally:
    """The report while it grows."""

    started: float = field(default_factory=perf_counter)
    total: int | None = None
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: list[Failure] = field(default_factory=list)
    skipped: Mapping[str, int] = field(default_factory=dict)
    chunks: int = 0
    characters: int = 0
    embedded: int = 0
    cached: int = 0
    shortened: int = 0
    enrichment: EnrichmentTally = field(default_factory=EnrichmentTally)
    listed_all: bool = True

    @property
    def done(self) -> int:
        return self.added + self.updated + self.unchanged + len(self.failed)

    def report(self, generation: int) -> IngestReport:
        return IngestReport(
            added=self.added,
            updated=self.updated,
            unchanged=self.unchanged,
            removed=self.removed,
            failed=tuple(self.failed),
            skipped=self.skipped,
            chunks=self.chunks,
            characters=self.characters,
            embedded=self.embedded,
            cached=self.cached,
            shortened=self.shortened,
            enrichment=self.enrichment.report(),
            seconds=perf_counter() - self.started,
            generation=generation,
        )
