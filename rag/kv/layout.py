"""Where each segment of a prompt stands, and what a chunk's cache is called in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from rag.kv.types import ModelIdentity, Segment, TokenRange, as_ids

NOTHING = b""
"""The context of a chunk that was read right behind the prefix."""


@dataclass(frozen=True, slots=True)
class Place:
    """A chunk in a prompt: rows [start, end).

    `ids` and `ranges` are what its cache holds and which of its tokens are put in. `chunk` is the content's key in the
    store, `context` a digest of all tokens between the prefix and the chunk, `before` the keys of the chunks in front.
    """

    start: int
    end: int
    ids: tuple[int, ...]
    ranges: tuple[TokenRange, ...]
    chunk: bytes
    context: bytes
    before: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole prompt: its ids, how many of them are the prefix, and its chunks in order."""

    ids: tuple[int, ...]
    prefix: int
    chunks: tuple[Place, ...]

    @staticmethod
    def of(
        prefix: Sequence[int],
        segments: Sequence[Segment],
        *,
        identity: ModelIdentity,
        alone: bool,
        in_context: bool,
        exact: bool = True,
    ) -> Layout:
        """Place segments one after the other behind the prefix.

        Args:
            alone: chunks are encoded without the prefix, so their keys do not depend on it.
            in_context: a chunk is known by the tokens that stay in the prompt, not by its whole text: what is kept of
                it is what later reuse must match. It has read the chunks in front, so it is for those alone who may see
                these too.
            exact: chunks are read behind others as a plain prefill has them, not behind reused ones: contexts of either
                kind are never taken for the other's.
        """
        ids = list(as_ids(prefix))
        head = tuple(ids)
        chunks: list[Place] = []
        lists: set[str] = set()
        between = blake2b(digest_size=16, person=b"" if exact else b"reused")
        for segment in segments:
            kept = segment.kept
            start = len(ids)
            ids += kept
            if segment.cached and kept:
                content = kept if in_context else segment.ids
                lists.add(segment.access)
                access = "\n".join(sorted(lists - {""})) if in_context else segment.access
                chunks.append(
                    Place(
                        start,
                        len(ids),
                        content,
                        ((0, len(kept)),) if in_context else segment.ranges,
                        chunk_key(identity, () if alone else head, content, access),
                        between.digest() if start > len(head) else NOTHING,
                        tuple(place.chunk for place in chunks),
                    )
                )
            between.update(packed(kept))
        return Layout(tuple(ids), len(head), tuple(chunks))


def chunk_key(identity: ModelIdentity, prefix: Sequence[int], ids: Sequence[int], access: str) -> bytes:
    """The key of a chunk in the store, 16 bytes: of the model, the prefix, the access list and the tokens."""
    digest = blake2b(identity.digest(), digest_size=16)
    for part in (packed(prefix), access.encode(), packed(ids)):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


def packed(ids: Sequence[int]) -> bytes:
    return np.asarray(ids, dtype="<i8").tobytes()
