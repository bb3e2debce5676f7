"""Ingest: sources in, one committed generation after another out.

Streaming from end to end, so that memory does not grow with the corpus: sources are listed lazily, parsed a few ahead,
chunked one document at a time, enriched and embedded in batches over many documents, and committed every few thousand
chunks. What was committed stays when the run is killed; the next run skips it and goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from time import perf_counter
from typing import TYPE_CHECKING

from rag.embed.base import InDocument
from rag.enrich.base import BatchEnricher, Cut
from rag.enrich.represent import MetadataTerms, prefixed
from rag.errors import ConfigError, ModelError, SourceError
from rag.pipeline.prepare import prepare
from rag.pipeline.report import Failure, IngestProgress, IngestReport, Tally
from rag.pipeline.seen import SeenIds
from rag.pipeline.sources import count, fingerprint_of, indexing_options, skipped, sources
from rag.pipeline.vectors import InItsDocument, seen_of, vectors_of
from rag.types import Chunk, Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.embed.base import Embedder, Vectors
    from rag.index.writer import Writer
    from rag.load.base import Source
    from rag.pipeline.build import Built

EMBED_CHUNKS = 256  # embedded together: enough that batches sorted by length hardly pad
COMMIT_CHUNKS = 4096  # 6 MiB of 384-dimensional vectors; a document with nothing new but its stamp counts as one
COMMIT_SECONDS = 10.0  # about what a kill can cost


def ingest(
    built: Built,
    *,
    prune: bool = False,
    strict: bool = False,
    force: bool = False,
    progress: Callable[[IngestProgress], None] | None = None,
) -> IngestReport:
    """Bring the index up to date with what the connectors find.

    Args:
        prune: remove documents that no connector names any more; left out when a connector could not list all.
        strict: stop at the first source that cannot be indexed, and keep what was committed before.
        force: read and index every source again, changed or not.
        progress: called after each source, each batch of vectors, and each reply of a language model that enriches.

    Raises:
        SourceError: with `strict`.
        BackendError: a language model that enriches fails again and again.
        IndexLockedError: another process writes.
        IndexMismatchError: the index holds vectors of another model.
    """
    tally = Tally()
    if progress is not None:
        tally.total = count(built)
    resources = built.resources
    dense = built.spec.ingest.index.dense is not None
    embedder = resources.embedder if dense else None
    with resources.index.writer(embedder.identity if embedder else None) as writer, SeenIds() as seen:
        run = Run(built, writer, embedder, tally, seen, strict=strict, force=force, progress=progress)
        run.documents()
        if prune and tally.listed_all:
            for document_id in writer.document_ids():
                if document_id not in seen:
                    writer.remove(document_id)
                    tally.removed += 1
        generation = writer.commit()
        writer.compact()
        prepare(built)
    return tally.report(generation)


def reembed(built: Built) -> IngestReport:
    """Compute every vector again from the texts the index holds.

    Raises:
        ConfigError: vectors are made of more than the texts.
    """
    if built.spec.ingest.represent.by == "tfidf-weighted":
        raise ConfigError(
            "ingest.represent: `tfidf-weighted` makes vectors of more than the texts the index holds",
            hint="`rag ingest --force`; with another model, into a new folder: ingest.index.path",
        )
    started = perf_counter()
    embedder = built.resources.embedder
    if isinstance(embedder, InDocument):
        raise ConfigError(
            "ingest.embed: `late` makes vectors of whole documents, not of the texts of chunks",
            hint="ingest into a new folder: ingest.index.path",
        )
    generation = built.resources.index.reembed(embedder.identity, embedder.embed_documents)
    prepare(built)
    reader = built.resources.index.reader()
    return IngestReport(
        chunks=reader.size, embedded=reader.size, seconds=perf_counter() - started, generation=generation
    )


@dataclass(slots=True)
class Pending:
    """A document that is cut but not yet embedded."""

    document: Document
    chunks: Sequence[Chunk]
    source: Source
    fingerprint: str
    known: bool


class Run:
    """One ingest: what is pending, and what was seen."""

    def __init__(
        self,
        built: Built,
        writer: Writer,
        embedder: Embedder | None,
        tally: Tally,
        seen: SeenIds,
        *,
        strict: bool,
        force: bool,
        progress: Callable[[IngestProgress], None] | None,
    ) -> None:
        self.built = built
        self.writer = writer
        self.embedder = embedder
        self.tally = tally
        self.seen = seen
        self.strict = strict
        self.force = force
        self.progress = progress
        self.source_id = ""
        self.pending: list[Pending] = []
        self.embedded = 0  # chunks of `pending` that have their vectors
        self.uncommitted = 0
        self.committed = perf_counter()
        self.options = indexing_options(built)
        tally.enrichment.watch = self._show
        represent = built.spec.ingest.represent
        self.metadata = MetadataTerms(represent) if represent.by == "tfidf-weighted" else None
        if self.metadata is not None and built.resources.index.exists():
            self.metadata.count_indexed(built.resources.index.reader())

    def documents(self) -> None:
        """Read, cut, enrich and index every source that changed."""
        from rag.load.worker import ParserPool

        stages = self.built.ingest
        with ParserPool(self.built.spec.ingest.parse) as parsers:
            for source, document in parsers.parse_all(self._changed()):
                try:
                    if isinstance(document, SourceError):
                        raise document
                    self._take(source, document, stages.chunker.chunk(document))
                except (SourceError, ModelError) as error:
                    if self.strict:
                        raise
                    self.tally.failed.append(Failure.of(source.uri, error))
                self.source_id = source.id
                self._show()
                if sum(len(pending.chunks) for pending in self.pending) >= EMBED_CHUNKS:
                    self.flush()
        self.flush()

    def _show(self) -> None:
        if self.progress is None:
            return
        tally = self.tally
        self.progress(
            IngestProgress(
                done=tally.done + len(self.pending),
                total=tally.total,
                failed=len(tally.failed),
                chunks=tally.chunks + self.embedded,
                source=self.source_id,
                enriched=tally.enrichment.done,
                waiting=sum(len(pending.chunks) for pending in self.pending) - self.embedded,
                unchanged=tally.unchanged,
            )
        )

    def _changed(self) -> Iterator[Source]:
        """The sources that have to be read."""
        failed: list[Failure] = []
        for source in sources(self.built, failed):
            if not self.seen.add(source.id):
                self.tally.failed.append(Failure(source.uri, f"another source has the same id {source.id!r}"))
                continue
            known = self.writer.known(source.id)
            if (
                known is not None
                and not self.force
                and source.stamp
                and known.stamp == source.stamp
                and known.fingerprint == fingerprint_of(self.options, source)
            ):
                self.tally.unchanged += 1
                continue
            yield source
        self.tally.failed += failed
        self.tally.skipped = skipped(self.built)
        self.tally.listed_all = not failed
        if failed and self.strict:
            raise SourceError(failed[0].reason, source=failed[0].source)

    def _take(self, source: Source, document: Document, chunks: Sequence[Chunk]) -> None:
        known = self.writer.known(source.id)
        fingerprint = fingerprint_of(self.options, source)
        same = known is not None and (known.content_hash, known.fingerprint) == (document.content_hash, fingerprint)
        if same and not self.force:
            self.writer.touch(document.id, stamp=source.stamp)
            self.tally.unchanged += 1
            self.uncommitted += 1
            self._commit_if_due()
            return
        if not chunks:
            raise SourceError("there is no text in it", source=source.uri)
        self.pending.append(Pending(document, chunks, source, fingerprint, known is not None))

    def _enriched(self, cut: Sequence[Pending]) -> list[Pending]:
        """The documents with enriched chunks that fit the encoder's window; those that fail are noted and left out.

        A document with a chunk whose model server failed gets another fingerprint, so that the next run takes it up
        again and asks for what is missing.
        """
        tally = self.tally.enrichment
        before = len(tally.failed)
        ready = list(cut)
        for enricher in self.built.ingest.enrichers:
            if isinstance(enricher, BatchEnricher):
                batch = [Cut(pending.document, pending.chunks) for pending in ready]
                enriched = enricher.enrich_batch(batch, tally)
                ready = [replace(old, chunks=new) for old, new in zip(ready, enriched, strict=True)]
            else:
                ready = self._each(ready, enricher.enrich)
        represent = self.built.spec.ingest.represent
        if represent.by == "prefix":
            tokenizer = self.embedder.tokenizer if self.embedder is not None else None
            ready = self._each(ready, partial(prefixed, fields=represent.fields, tokenizer=tokenizer))
        if self.embedder is not None and not isinstance(self.embedder, InDocument):  # that embeds no context
            ready = self._each(ready, partial(self._fitted, embedder=self.embedder))
        again = {failure.document_id for failure in tally.failed[before:] if failure.passing}
        return [
            replace(pending, fingerprint=f"{pending.fingerprint} incomplete")
            if pending.document.id in again
            else pending
            for pending in ready
        ]

    def _each(
        self, several: Sequence[Pending], work: Callable[[Sequence[Chunk], Document], Sequence[Chunk]]
    ) -> list[Pending]:
        done = []
        for pending in several:
            try:
                done.append(replace(pending, chunks=work(pending.chunks, pending.document)))
            except (SourceError, ModelError) as error:
                if self.strict:
                    raise
                self.tally.failed.append(Failure.of(pending.source.uri, error))
        return done

    def _fitted(self, chunks: Sequence[Chunk], document: Document, *, embedder: Embedder) -> list[Chunk]:
        """Shorten contexts from the left until context and text fit the encoder's window; refuse texts that do not."""
        window = embedder.tokenizer.max_tokens
        fitted = []
        for chunk, tokens in zip(chunks, embedder.tokenizer.count([c.indexed_text for c in chunks]), strict=True):
            if tokens <= window:
                fitted.append(chunk)
                continue
            text_tokens = embedder.tokenizer.count([chunk.text])[0]
            if text_tokens > window:
                raise SourceError(
                    f"the chunk at [{chunk.span.start}, {chunk.span.end}) has {text_tokens} tokens, "
                    f"the encoder's window is {window}",
                    source=document.source,
                    hint="choose smaller chunks: ingest.chunk",
                )
            ranges = embedder.tokenizer.offsets(chunk.context)
            room = window - text_tokens
            context = chunk.context[ranges[-room][0] :] if 0 < room <= len(ranges) else ""
            while context and embedder.tokenizer.count([f"{context}\n{chunk.text}"])[0] > window:
                context = context[len(context) // 8 + 1 :]
            fitted.append(replace(chunk, context=context))
            self.tally.shortened += 1
        return fitted

    def flush(self) -> None:
        """Enrich and embed what is pending, hand it to the writer, commit when enough has come together."""
        self.pending = self._enriched(self.pending)
        vectors = self._vectors(self.pending)
        at = 0
        for pending in self.pending:
            mine = None if vectors is None else vectors[at : at + len(pending.chunks)]
            at += len(pending.chunks)
            self.writer.add(
                pending.document,
                pending.chunks,
                mine,
                stamp=pending.source.stamp,
                fingerprint=pending.fingerprint,
            )
            self.tally.updated += pending.known
            self.tally.added += not pending.known
            self.tally.chunks += len(pending.chunks)
            self.tally.characters += len(pending.document.text)
        self.pending = []
        self.embedded = 0
        self.uncommitted += at
        self._commit_if_due()

    def _commit_if_due(self) -> None:
        if self.uncommitted >= COMMIT_CHUNKS or perf_counter() - self.committed > COMMIT_SECONDS:
            self.writer.commit()
            self.uncommitted = 0
            self.committed = perf_counter()

    def _vectors(self, ready: Sequence[Pending]) -> Vectors | None:
        if self.embedder is None:
            return None
        embedder = self.embedder
        chunks = [(chunk, pending.document) for pending in ready for chunk in pending.chunks]
        vectors, missing = self._embedded(
            seen_of(embedder, chunks), lambda rows: self._of_chunks([chunks[row] for row in rows], embedder), embedder
        )
        self.tally.embedded += missing
        self.tally.cached += len(chunks) - missing
        if self.metadata is None:
            return vectors
        self.metadata.count(Cut(pending.document, pending.chunks) for pending in ready if not pending.known)
        weighted = [self.metadata.of(chunk, pending.document) for pending in ready for chunk in pending.chunks]
        words = list({word: None for terms in weighted for word, _ in terms})
        of_words, _ = self._embedded(
            words, lambda rows: embedder.embed_documents([words[row] for row in rows]), embedder
        )
        return self.metadata.blended(vectors, weighted, words, of_words)

    def _of_chunks(self, chunks: Sequence[InItsDocument], embedder: Embedder) -> Vectors:
        """Their vectors, made some at a time, so that progress shows also within a long document."""
        import numpy as np

        # An embedder that reads documents is given the chunks of one together.
        step = len(chunks) if isinstance(embedder, InDocument) else EMBED_CHUNKS
        made = []
        for first in range(0, len(chunks), step):
            made.append(vectors_of(embedder, chunks[first : first + step]))
            self.embedded += len(made[-1])
            self._show()
        return np.concatenate(made)

    def _embedded(
        self, seen: Sequence[str], embed: Callable[[Sequence[int]], Vectors], embedder: Embedder
    ) -> tuple[Vectors, int]:
        """The vectors of all that is seen, and how many were not in the cache; `embed` makes those of given rows."""
        import numpy as np

        identity = json.dumps(embedder.identity.as_dict(), sort_keys=True)
        keys = [_key(f"{identity}\0{text}") for text in seen]
        found: dict[str, NDArray[np.float32]] = {
            key: vector
            for key, vector in zip(keys, self.writer.cached_vectors(keys), strict=True)
            if vector is not None
        }
        missing: dict[str, int] = {}
        for row, key in enumerate(keys):
            if key not in found:
                missing.setdefault(key, row)
        if missing:
            made = embed(list(missing.values()))
            self.writer.cache_vectors(list(missing), made)
            found.update(zip(missing, made, strict=True))
        if not seen:
            return np.empty((0, embedder.identity.dimension), np.float32), 0
        return np.stack([found[key] for key in keys]), len(missing)


def _key(text: str) -> str:
    """A digest of text that may hold lone surrogates: the name of a file is not always text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
