"""Chunks by row: read once while they are kept, and no more kept than said."""

from __future__ import annotations

import numpy as np
import pytest

from rag.index import chunks as module
from rag.index.reader import Reader
from rag.types import Chunk, Document, Span

LINES = [f"line {number}" for number in range(12)]


@pytest.fixture
def reader(index) -> Reader:
    index.put(Document(id="one", text="\n".join(LINES[:5])), Document(id="two", text="\n".join(LINES[5:])))
    return index.directory.reader()


def statements_of(reader: Reader) -> list[str]:
    """Grows with each statement that the reader runs from now on."""
    statements: list[str] = []
    reader.connection.set_trace_callback(statements.append)
    return statements


def test_chunks_come_in_the_order_asked_also_twice_and_when_few_are_kept(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    everything = reader.chunks(range(12))
    assert [chunk.text for chunk in everything] == LINES
    for rows in ([11, 0, 11], [4, 9, 2, 7, 4], []):
        assert reader.chunks(rows) == [everything[row] for row in rows]
        assert reader.rows_of(reader.chunks(rows)).tolist() == rows
    assert reader.rows_of(everything).tolist() == list(range(12))
    assert len(reader._chunks._kept) == len(reader._chunks._rows) == 3


def test_a_warm_reader_asks_the_database_for_no_chunk(reader: Reader) -> None:
    reader.warm_up()
    statements = statements_of(reader)
    chunks = reader.chunks([3, 1, 8])
    assert [chunk.text for chunk in chunks] == ["line 3", "line 1", "line 8"]
    assert reader.rows_of(chunks).tolist() == [3, 1, 8]
    assert statements == []


def test_warming_up_reads_nothing_of_an_index_with_more_chunks_than_are_kept(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 11)
    reader.warm_up()
    statements = statements_of(reader)
    assert [chunk.text for chunk in reader.chunks([3])] == ["line 3"]
    assert len(statements) == 1


def test_a_chunk_is_found_by_its_span_alone_and_a_strange_one_has_no_row(reader: Reader) -> None:
    same = Chunk(span=reader.chunks([6])[0].span, text="another text")
    strange = Chunk(span=Span("two", 1, 2), text="i")
    reader.warm_up()
    assert reader.rows_of([strange, same]).tolist() == [-1, 6]


def test_rows_that_hold_no_chunk_are_refused_warm_and_cold(index) -> None:
    index.put(Document(id="a", text="one\ntwo"), Document(id="b", text="three"))
    index.put(remove=["b"])
    for warm in (False, True):
        reader = index.directory.reader()
        if warm:
            reader.warm_up()
        (dead,) = np.flatnonzero(~reader.live)
        for row in (int(dead), 99, -1):
            with pytest.raises(LookupError):
                reader.chunks([row])
