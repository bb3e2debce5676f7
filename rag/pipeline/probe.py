"""Holds an embedder whose queries come from another encoder against the vectors of an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rag.embed.base import PROBED, Embedder, Probed

if TYPE_CHECKING:
    from rag.index.reader import Reader

SEED = 20_240_607


def probe(embedder: Embedder, reader: Reader) -> None:
    """Let the embedder look at some chunks of the index, a fixed random choice, and their vectors.

    Raises:
        ModelError: its queries would not be near what they ask for; gives the figure.
    """
    if not isinstance(embedder, Probed) or reader.segmented is None or not reader.size:
        return
    live = np.flatnonzero(reader.live)
    rows = np.sort(np.random.default_rng(SEED).choice(live, min(PROBED, len(live)), replace=False))
    texts = [chunk.indexed_text for chunk in reader.chunks(rows.tolist())]
    embedder.require_alignment(texts, reader.vectors(rows))
