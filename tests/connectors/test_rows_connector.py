from __future__ import annotations

import json
from pathlib import Path

import pytest
from rag.connectors.rows import RowsConnector, RowsSpec

from rag.errors import SourceError
from rag.load.base import Source
from rag.types import Document


def rows(path: Path, **options: object) -> list[Source]:
    return list(RowsConnector(RowsSpec.model_validate({"path": str(path), **options})).load())


def document(source: Source) -> Document:
    read = source.read()
    assert isinstance(read, Document)
    return read


def error(source: Source) -> str:
    with pytest.raises(SourceError) as raised:
        source.read()
    return str(raised.value)


def test_a_beir_corpus_needs_only_its_path(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"_id": "d7", "title": "Dogs", "text": "They bark."}) + "\n")
    (source,) = rows(path)
    read = document(source)
    assert (source.id, read.id, read.text) == ("d7", "d7", "Dogs\nThey bark.")
    assert dict(read.meta) == {"title": "Dogs"}
    assert [(part.kind, part.name, part.end) for part in read.layout.parts] == [("heading", "Dogs", 4)]
    assert read.source == f"{path.as_posix()}:1"


def test_bad_rows_are_errors_of_their_lines_and_the_others_load(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "one"}\n{broken\n\n[1]\n{"text": "\xff"}\n{"words": "x"}\n{"text": ""}\n{"text": "two"}\n'
    )
    sources = rows(path)
    assert [source.id for source in sources] == [f"a.jsonl:{n}" for n in (1, 2, 4, 5, 6, 7, 8)]
    assert [document(source).text for source in (sources[0], sources[-1])] == ["one", "two"]
    assert f"{path}:2: it is not valid JSON" in error(sources[1])
    assert "expected a JSON object, got list" in error(sources[2])
    assert f"{path}:5: it is not valid JSON" in error(sources[3])
    assert "no field 'text'; the row has words" in error(sources[4])
    assert "there is no text in the row" in error(sources[5])


def test_a_row_that_never_ends_is_an_error_and_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "' + "x" * 5000 + '"}\n{"text": "two"}\n')
    long, fine = rows(path, max_megabytes_per_row=0.001)
    assert "a.jsonl:1: the row is longer than 0.001 MB" in error(long)
    assert document(fine).text == "two"


def test_csv_fields_are_chosen_joined_and_typed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "key,name,question,answer,year,open,readers\n"
        'k1,Tea,How hot?,"Hot,\nvery",2020,yes,"staff, board"\nk2,,Why?,Because,,no,\n'
    )
    options = {
        "id": "key",
        "title": "name",
        "text": ["question", "answer"],
        "meta": {"year": "int", "open": "bool"},
        "access": "readers",
    }
    first, second = rows(path, **options)
    assert document(first).text == "Tea\nHow hot?\nHot,\nvery"
    assert dict(document(first).meta) == {"title": "Tea", "year": 2020, "open": True}
    assert document(first).access == first.access == ("staff", "board")
    assert first.uri.endswith(":2")
    assert second.uri.endswith(":4")
    assert dict(document(second).meta) == {"year": None, "open": False}
    assert document(second).access == ()  # an empty list lets nobody in


def test_a_value_of_another_type_is_an_error_of_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,year\none,MCM\ntwo,1900\n")
    bad, good = rows(path, meta={"year": "int"})
    assert "a.csv:2: year: expected int, got 'MCM'" in error(bad)
    assert document(good).meta["year"] == 1900


def test_a_row_without_its_access_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "secret"}\n')
    (source,) = rows(path, access="readers")
    assert source.access == ()
    assert "readers: expected a list of principals" in error(source)


def test_a_csv_row_of_another_length_or_encoding_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext,b\none,1\ntwo\nthree,1,2\n\xff,1\nfour,1\n")
    sources = rows(path)
    assert [document(source).text for source in (sources[0], sources[4])] == ["one", "four"]
    assert "a.csv:3: expected 2 fields" in error(sources[1])
    assert "a.csv:4: expected 2 fields" in error(sources[2])
    assert "not text in the file's encoding" in error(sources[3])


def test_the_stamp_is_the_rows_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    before = [source.stamp for source in rows(path)]
    path.write_text('{"text": "one"}\n{"text": "changed"}\n')
    after = [source.stamp for source in rows(path)]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_a_missing_file_or_another_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        rows(tmp_path / "none.jsonl")
    with pytest.raises(SourceError, match=r"expected a \.jsonl"):
        rows(tmp_path / "a.txt")
