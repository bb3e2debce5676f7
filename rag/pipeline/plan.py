"""What an ingest would do, and what enriching would cost, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rag.enrich.base import Cut, PricedEnricher
from rag.enrich.tally import Cost
from rag.errors import ModelError, SourceError
from rag.pipeline.ingest import EMBED_CHUNKS
from rag.pipeline.report import Failure, IngestPlan
from rag.pipeline.sources import fingerprint_of, indexing_options, sources

if TYPE_CHECKING:
    from rag.index.directory import IndexDirectory
    from rag.index.records import Known
    from rag.load.base import Source
    from rag.pipeline.build import Built


def plan(built: Built, *, force: bool = False) -> IngestPlan:
    """Compare the connectors' lists with the index, by stamp and options alone.

    Where an enricher asks a language model, what would be indexed is also read and cut, to count what that would cost.
    """
    added: list[Source] = []
    changed: list[Source] = []
    failed: list[Failure] = []
    unchanged, seen = 0, set[str]()
    index: IndexDirectory = built.resources.index
    known = index.reader().known() if index.exists() else {}
    options = indexing_options(built)
    for source in sources(built, failed):
        if source.id in seen:
            continue
        seen.add(source.id)
        before = known.get(source.id)
        if before is None:
            added.append(source)
        elif (
            not force
            and source.stamp
            and (before.stamp, before.fingerprint) == (source.stamp, fingerprint_of(options, source))
        ):
            unchanged += 1
        else:
            changed.append(source)
    enrichers = [enricher for enricher in built.ingest.enrichers if isinstance(enricher, PricedEnricher)]
    cost = None
    if enrichers:
        cost = _cost(built, enrichers, [*added, *changed], {} if force else known, failed)
    return IngestPlan(
        added=tuple(source.id for source in added),
        changed=tuple(source.id for source in changed),
        unchanged=unchanged,
        vanished=tuple(document_id for document_id in known if document_id not in seen),
        failed=tuple(failed),
        enrichment=cost,
    )


def _cost(
    built: Built,
    enrichers: Sequence[PricedEnricher],
    to_read: Sequence[Source],
    known: Mapping[str, Known],
    failed: list[Failure],
) -> Cost:
    """What the enrichers would ask about the documents that are not in the index as they are."""
    from rag.load.worker import ParserPool

    options = indexing_options(built)
    cost, batch = Cost(), list[Cut]()
    with ParserPool(built.spec.ingest.parse) as parsers:
        for source, document in parsers.parse_all(iter(to_read)):
            try:
                if isinstance(document, SourceError):
                    raise document
                before = known.get(source.id)
                same = (document.content_hash, fingerprint_of(options, source))
                if before is None or (before.content_hash, before.fingerprint) != same:
                    batch.append(Cut(document, built.ingest.chunker.chunk(document)))
            except (SourceError, ModelError) as error:
                failed.append(Failure.of(source.uri, error))
            if sum(len(cut.chunks) for cut in batch) >= EMBED_CHUNKS:
                cost = sum((enricher.cost(batch) for enricher in enrichers), cost)
                batch = []
    return sum((enricher.cost(batch) for enricher in enrichers), cost)
