from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_without_a_document_the_documents_are_listed(indexed: Path, run: Callable[..., Any]) -> None:
    lines = run("inspect").out.splitlines()
    assert [line.split()[-1] for line in lines[:2]] == ["dogs.md", "owls.md"]
    assert lines[-1] == "2 documents, 2 chunks, generation 1"
    (first, _) = run("inspect", "--json").json
    assert set(first) == {"id", "source", "chunks", "characters", "content_hash", "access"}


def test_a_document_is_shown_with_its_chunks_and_their_offsets(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("inspect", "dogs.md")
    assert done.out.startswith("dogs.md  (docs/dogs.md)  55 characters, 1 chunk\n")
    assert "[0, 54)  lines 1-3  dogs.md#0-54-" in done.out
    record = run("inspect", "dogs.md", "--json").json
    text = (indexed / "docs" / "dogs.md").read_text(encoding="utf-8")
    assert [text[chunk["start"] : chunk["end"]] for chunk in record["chunks"]] == [
        chunk["text"] for chunk in record["chunks"]
    ]


def test_text_prints_what_offsets_count_in(indexed: Path, run: Callable[..., Any]) -> None:
    text = (indexed / "docs" / "dogs.md").read_text(encoding="utf-8")
    assert run("inspect", "dogs.md", "--text").out.rstrip("\n") == text.rstrip("\n")


def test_the_end_of_an_id_is_enough_where_only_one_document_has_it(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("inspect", "gs.md").out.startswith("dogs.md ")
    several = run("inspect", "s.md")
    assert several.code == 1
    assert "is the end of 2 documents: dogs.md, owls.md" in several.err


def test_a_document_that_is_not_there_offers_a_near_one(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("inspect", "dosg.md")
    assert done.code == 1
    assert "no document 'dosg.md' in the index; did you mean 'dogs.md'?" in done.err
