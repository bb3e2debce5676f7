"""Groups of chunks with nearly the same text, for `rag doctor`: by the signatures an ingest left, or made now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag.index.codec import decode
from rag.index.records import Problem
from rag.index.signatures import held_signatures
from rag.text.minhash import NOTHING, Signature, resemblance, sharing, shingles, signature

if TYPE_CHECKING:
    from rag.index.reader import Reader

LEAST = 0.8  # shared shingles over all shingles of both texts
EXAMPLES = 20  # groups named
NAMES = 3  # documents named of a group


def near_duplicates(reader: Reader) -> Iterator[Problem]:
    """Groups by falling size, the first named, the others counted; chunks of the very same text count as one."""
    ids: list[int] = []
    signatures: list[Signature] = []
    texts: set[bytes] = set()
    held = held_signatures(reader)
    for id_, stored in reader.connection.execute("SELECT id, text FROM chunks ORDER BY id"):
        if stored in texts:
            continue
        texts.add(stored)
        one = held[id_] if id_ in held else signature(shingles(decode(stored)))
        if (one != NOTHING).any():
            ids.append(id_)
            signatures.append(one)
    groups = _groups(reader, ids, signatures)
    for group in groups[:EXAMPLES]:
        names = list(dict.fromkeys(_place(reader, id_) for id_ in group))
        where = ", ".join(names[:NAMES]) + (f" and {len(names) - NAMES} more" if len(names) > NAMES else "")
        start = _text(reader, group[0])[:60]
        yield Problem("near-duplicate-chunk", where, f"{len(group)} chunks have nearly the same text, as {start!r}")
    if len(groups) > EXAMPLES:
        chunks = sum(map(len, groups[EXAMPLES:]))
        yield Problem(
            "near-duplicate-chunk", str(reader.path), f"{len(groups) - EXAMPLES} further groups, {chunks} chunks"
        )


def _groups(reader: Reader, ids: list[int], signatures: list[Signature]) -> list[list[int]]:
    """Chunk ids that resemble each other, directly or through others; largest group first."""
    leader = list(range(len(ids)))

    def lead(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    for one, other in sharing(signatures):
        some, more = lead(one), lead(other)
        if some != more:
            pair = (shingles(_text(reader, ids[at])) for at in (one, other))
            if resemblance(*pair) >= LEAST:
                leader[max(some, more)] = min(some, more)
    groups: dict[int, list[int]] = {}
    for at, id_ in enumerate(ids):
        groups.setdefault(lead(at), []).append(id_)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda group: (-len(group), group))


def _text(reader: Reader, id_: int) -> str:
    return decode(reader.connection.execute("SELECT text FROM chunks WHERE id = ?", (id_,)).fetchone()[0])


def _place(reader: Reader, id_: int) -> str:
    query = "SELECT d.key FROM chunks c JOIN documents d ON d.id = c.document WHERE c.id = ?"
    return decode(reader.connection.execute(query, (id_,)).fetchone()[0])
