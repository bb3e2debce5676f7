"""Work on a whole index: merging its segments, making its terms or vectors anew. Readers see all of it or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.embed.base import EmbedderIdentity, Vectors
from rag.index import compaction, database, tables
from rag.index.segments import Segment
from rag.index.store import Store

if TYPE_CHECKING:
    from rag.index.specs import NgramsSpec

logger = logging.getLogger(__name__)

TEXTS = 512  # embedded at a time


def compact(store: Store) -> None:
    """Merge small segments and drop deleted rows, where that is due; each merge is a commit.

    Raises:
        StoreError: the disk is full; what was merged before stays merged.
    """
    while chosen := compaction.to_merge(store.segments):
        with database.open_snapshot(store.path) as (snapshot, _), store.transaction() as change:
            snapshot.execute("PRAGMA cache_size = -1024")  # read once, from first to last
            new = compaction.merge(store, snapshot, chosen)
            change.segments = [segment for segment in store.segments if segment not in chosen]
            change.segments += [new] if new is not None else []
        logger.info("%s: merged %d segments, %d remain", store.path, len(chosen), len(store.segments))


def count_ngrams(path: Path, spec: NgramsSpec) -> None:
    """Bring the n-gram index up to date with what is committed."""
    from rag.index.ngrams.stored import count_new

    with database.open_snapshot(path) as (snapshot, manifest):
        count_new(path, spec, snapshot, manifest)


def rebuild_terms(store: Store) -> None:
    """Make the terms of every chunk anew from its stored text.

    Raises:
        ValueError: the spec has no sparse index.
    """
    if store.analyzer is None:
        raise ValueError("the pipeline has no sparse index")
    with store.transaction() as change:
        for at, segment in enumerate(store.segments):
            lengths, postings = store.terms(store.texts(segment))
            tables.delete_postings(store.connection, segment.id)
            tables.insert_postings(store.connection, segment.id, postings)
            change.segments[at] = replace(segment, lengths=lengths)
            tables.update_segment(store.connection, change.segments[at])
        change.manifest = replace(change.manifest, analyzer=store.analyzer.name)


def reembed(store: Store, identity: EmbedderIdentity, embed: Callable[[Sequence[str]], Vectors]) -> None:
    """Make every vector anew from the stored texts, with another model or the same.

    Raises:
        ValueError: `embed` gave vectors of another shape or not finite.
    """
    with store.transaction() as change:
        for at, segment in enumerate(store.segments):
            file, size, checksum = store.write_vectors(_embedded(store, segment, identity, embed))
            change.segments[at] = replace(segment, file=file, bytes=size, checksum=checksum)
            tables.update_segment(store.connection, change.segments[at])
        change.manifest = replace(change.manifest, dense=identity.as_dict())


def _embedded(
    store: Store, segment: Segment, identity: EmbedderIdentity, embed: Callable[[Sequence[str]], Vectors]
) -> Iterator[Vectors]:
    """Vectors of a segment's rows in blocks; zeros for deleted rows."""
    texts = store.texts(segment)
    for start in range(0, segment.rows, TEXTS):
        live = segment.documents[start : start + TEXTS] != 0
        some = [text for (text, _), alive in zip(islice(texts, len(live)), live, strict=True) if alive]
        vectors = np.zeros((len(live), identity.dimension), np.float32)
        if some:
            made = embed(some)
            require_vectors(made, (len(some), identity.dimension))
            vectors[live] = made
        yield vectors


def require_vectors(vectors: Vectors, shape: tuple[int, int]) -> None:
    """Raise `ValueError` unless vectors are float32, finite and of that shape."""
    if vectors.shape != shape or vectors.dtype != np.float32:
        raise ValueError(f"expected float32 vectors of shape {shape}, got {vectors.dtype} of {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("the embedder gave vectors that are not finite")
