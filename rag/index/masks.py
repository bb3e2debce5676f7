"""Which rows a query may see: metadata conditions and access lists, evaluated in SQLite to a mask over the rows."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from rag.index.base import Mask
from rag.index.codec import Stored, encode, encode_scalar
from rag.index.database import explained
from rag.types import Condition, Scalar

MASKS = 64  # kept for conditions asked again
PRINCIPALS = 400  # looked up in one statement
SEPARATOR = b"; "  # between the items of a list that is stored as one text

Comparison = tuple[str, list[Stored]]  # an SQL condition on (kind, value), and its parameters


class Masks:
    """Masks of one generation, remembered by condition and principals.

    A chunk's own metadata hides its document's of the same field.

    Args:
        chunks: (rows,) the chunk id of each row.
        documents: (rows,) the document id of each row, 0 where it was deleted.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        lock: RLock,
        *,
        chunks: NDArray[np.int64],
        documents: NDArray[np.int64],
    ) -> None:
        self.path = path
        self.chunks = chunks
        self.documents = documents
        self._connection = connection
        self._lock = lock
        # By the condition as written: to Python `x = 1` and `x = true` are equal, to us they are not.
        self._kept: OrderedDict[tuple[str, frozenset[str] | None], Mask] = OrderedDict()

    def allowed(self, condition: Condition | None, principals: frozenset[str] | None) -> Mask | None:
        """The live rows that satisfy both; ``None`` when nothing was asked."""
        if condition is None and principals is None:
            return None
        key = (repr(condition), principals)
        with self._lock, explained(self.path):
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            mask: Mask = self.documents != 0
            if principals is not None:
                mask &= self._rows_of_documents(self._accessible(principals))
            if condition is not None:
                mask &= self._matching(condition)
            mask.setflags(write=False)
            self._kept[key] = mask
            if len(self._kept) > MASKS:
                self._kept.popitem(last=False)
            return mask

    def _accessible(self, principals: frozenset[str]) -> list[int]:
        names, found = [encode(principal) for principal in sorted(principals)], list[int]()
        for start in range(0, len(names), PRINCIPALS):
            some = names[start : start + PRINCIPALS]
            marks = ",".join("?" * len(some))
            found += self._ids(f"SELECT document FROM access WHERE principal IN ({marks})", some)
        return found

    def _matching(self, condition: Condition) -> Mask:
        match condition.op:
            case "and":
                return self._combined(np.logical_and, condition.parts, empty=True)
            case "or":
                return self._combined(np.logical_or, condition.parts, empty=False)
            case "not":
                return ~self._combined(np.logical_and, condition.parts, empty=True)
            case _:
                return self._comparing(condition)

    def _combined(self, combine: Callable[..., Mask], parts: Sequence[Condition], *, empty: bool) -> Mask:
        mask: Mask = np.full(len(self.documents), empty)
        for part in parts:
            combine(mask, self._matching(part), out=mask)
        return mask

    def _comparing(self, condition: Condition) -> Mask:
        field, (test, values) = encode(condition.field), comparison(condition)
        documents = self._ids(f"SELECT document FROM document_meta WHERE field = ? AND {test}", [field, *values])
        own = self._ids("SELECT chunk FROM chunk_meta WHERE field = ?", [field])
        mask = self._rows_of_documents(documents)
        if own:
            matching = self._ids(f"SELECT chunk FROM chunk_meta WHERE field = ? AND {test}", [field, *values])
            mask &= ~np.isin(self.chunks, own)
            mask |= np.isin(self.chunks, matching)
        return mask

    def _rows_of_documents(self, documents: Iterable[int]) -> Mask:
        """One look-up a row in a table by document id, which is far faster than a join over the chunks."""
        table = np.zeros(int(self.documents.max(initial=0)) + 1, np.bool_)
        ids = np.fromiter(documents, np.int64)
        table[ids[ids < len(table)]] = True
        table[0] = False
        return table[self.documents]

    def _ids(self, query: str, values: Sequence[Stored]) -> list[int]:
        return [row[0] for row in self._connection.execute(query, values)]


def comparison(condition: Condition) -> Comparison:
    """A leaf condition in SQL; no value at all satisfies an impossible one.

    Raises:
        ValueError: the operator takes another number of values.
    """
    match condition.op, condition.values:
        case "exists", ():
            return "kind <> 'null'", []
        case "eq", (value,):
            return _equal(value)
        case "contains", (str(item),):
            return _containing(item)
        case "in", values:
            tests = [_equal(value) for value in values]
            return _any([test for test, _ in tests]), [value for _, some in tests for value in some]
        case "range", (low, high):
            return _between(low, high)
    raise ValueError(f"`{condition.op}` does not take the values {condition.values!r}")


def _any(tests: Sequence[str]) -> str:
    return f"({' OR '.join(tests)})" if tests else "0"


def _equal(value: Scalar) -> Comparison:
    kind, stored = encode_scalar(value)
    return ("kind = 'null'", []) if stored is None else (f"(kind = '{kind}' AND value = ?)", [stored])


def _containing(item: str) -> Comparison:
    """An item of a text that lists several; compared as bytes, in which texts are stored."""
    listed = f"CAST(x'{SEPARATOR.hex()}' || value || x'{SEPARATOR.hex()}' AS BLOB)"
    return f"(kind = 'text' AND instr({listed}, ?) > 0)", [SEPARATOR + encode(item) + SEPARATOR]


def _between(low: Scalar, high: Scalar) -> Comparison:
    ends = [(">=", encode_scalar(low)), ("<=", encode_scalar(high))]
    given = [(sign, kind, value) for sign, (kind, value) in ends if kind != "null"]
    kinds = {kind for _, kind, _ in given}
    if len(kinds) != 1:
        return ("kind <> 'null'", []) if not kinds else ("0", [])
    tests = " AND ".join(f"value {sign} ?" for sign, _, _ in given)
    return f"(kind = '{kinds.pop()}' AND {tests})", [value for _, _, value in given]
