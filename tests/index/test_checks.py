from __future__ import annotations

import sqlite3

import pytest

from rag.types import Document


def change(index, *statements: str) -> None:
    """Write into the database behind the index's back."""
    index.directory.close()
    connection = sqlite3.connect(index.path / "index.sqlite")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def kinds(index, *, deep: bool = False) -> list[str]:
    return [problem.kind for problem in index.directory.reader().check(deep=deep)]


@pytest.fixture
def sound(index):
    index.put(Document(id="a", text="one\ntwo"), Document(id="b", text="three"))
    index.put(Document(id="c", text="four"), remove=["b"])
    assert kinds(index, deep=True) == []
    return index


def test_a_vector_changed_on_disk_is_found_by_its_checksum(sound) -> None:
    sound.directory.close()
    path = min((sound.path / "vectors").iterdir())
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    assert kinds(sound) == []
    (problem,) = sound.directory.reader().check(deep=True)
    assert (problem.kind, problem.where) == ("damaged-segment", str(path))
    assert "--embed-only" in problem.hint


def test_a_file_that_no_segment_names_is_reported_and_swept_by_the_next_writer(sound) -> None:
    stray = sound.path / "vectors" / "000099.f32"
    stray.write_bytes(b"half a segment")
    (problem,) = sound.directory.reader().check()
    assert (problem.kind, problem.where) == ("orphan-file", str(stray))
    sound.put()
    assert not stray.exists()
    assert kinds(sound) == []


def test_chunks_without_a_row_and_rows_without_a_chunk_are_reported(sound) -> None:
    change(sound, "PRAGMA foreign_keys = OFF", "DELETE FROM chunks WHERE text = CAST('one' AS BLOB)")
    assert kinds(sound) == ["orphan-vectors"]
    change(sound, "INSERT INTO chunks SELECT 777, document, 90, 93, NULL, X'', CAST('six' AS BLOB) FROM chunks LIMIT 1")
    assert kinds(sound) == ["orphan-vectors", "orphan-vectors"]


def test_a_chunk_that_is_not_the_text_at_its_span_is_reported(sound) -> None:
    change(sound, "UPDATE chunks SET text = CAST('tvo' AS BLOB) WHERE text = CAST('two' AS BLOB)")
    (problem,) = sound.directory.reader().check(deep=True)
    assert (problem.kind, problem.where) == ("wrong-span", "a")
    assert "[4, 7)" in problem.message


def test_blank_and_repeated_chunks_are_reported(index, identity, embed) -> None:
    from rag.types import Chunk, Span

    index.put(Document(id="a", text="same\nsame\nother"), Document(id="b", text="same"))
    document = Document(id="blank", text="  \n x")
    with index.directory.writer(identity) as writer:
        chunks = [Chunk(span=Span("blank", 0, 3), text="  \n")]
        writer.add(document, chunks, embed(["  \n"]), stamp="", fingerprint="")
        writer.commit()
    index.directory.refresh()
    problems = {problem.kind: problem for problem in index.directory.reader().check()}
    assert set(problems) == {"empty-chunk", "duplicate-chunk"}
    assert problems["empty-chunk"].where == "blank"
    assert problems["duplicate-chunk"].message.startswith("3 chunks have the same text")


def test_vectors_that_are_not_of_unit_length_are_reported(index, identity, embed, lines) -> None:
    document = Document(id="a", text="one")
    with index.directory.writer(identity) as writer:
        writer.add(document, lines(document), 2 * embed(["one"]), stamp="", fingerprint="")
        writer.commit()
    assert kinds(index, deep=True) == ["unusable-vector"]
