"""What the connectors find, and what tells whether a source has to be indexed again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

from rag.enrich.base import BatchEnricher
from rag.enrich.specs import RepresentSpec
from rag.errors import SourceError
from rag.load.base import Countable, Selective
from rag.pipeline.report import Failure

if TYPE_CHECKING:
    from rag.load.base import Source
    from rag.pipeline.build import Built

FORMAT = 1  # raised when the code cuts or enriches differently for the same options


def sources(built: Built, failed: list[Failure]) -> Iterator[Source]:
    """Every connector's sources; a connector that cannot list is a failure, and the others go on."""
    for connector in built.ingest.connectors:
        try:
            yield from connector.load()
        except SourceError as error:
            failed.append(Failure.of(error.source, error))


def count(built: Built) -> int | None:
    """How many sources there are, ``None`` where a connector cannot say without reading."""
    total = 0
    for connector in built.ingest.connectors:
        if not isinstance(connector, Countable):
            return None
        total += connector.count()
    return total


def skipped(built: Built) -> Mapping[str, int]:
    """What the connectors left out when they last listed, by reason, the most first."""
    total: Counter[str] = Counter()
    for connector in built.ingest.connectors:
        if isinstance(connector, Selective):
            total.update(connector.skipped)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def indexing_options(built: Built) -> str:
    """What, besides a source itself, decides how it is indexed."""
    spec, components = built.spec.ingest, built.components
    parts = [spec.chunk.model_dump(mode="json"), [part.model_dump(mode="json") for part in spec.enrich], FORMAT]
    given = [type(part).__qualname__ for part in (components.chunker, *(components.enrichers or ())) if part]
    rest: list[object] = [part.identity for part in built.ingest.enrichers if isinstance(part, BatchEnricher)]
    # Left out where nothing was chosen: indexes made before there was a choice stay as they are.
    if spec.represent != RepresentSpec():
        rest.append(spec.represent.model_dump(mode="json"))
    if spec.parse.ocr != "off":
        rest.append({"ocr": spec.parse.ocr})
    return json.dumps([parts, given, *rest], sort_keys=True)


def fingerprint_of(options: str, source: Source) -> str:
    parts = json.dumps([options, dict(source.meta), source.access], sort_keys=True)
    return blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
