from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_best_chunks_are_listed_with_each_retrievers_rank_and_score(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("search", "Do dogs bark?")
    first, quoted = done.out.splitlines()[:2]
    assert first.startswith("1. ")
    assert "docs/dogs.md, lines 1-3" in first
    assert "dense #1 " in first
    assert "sparse #1 " in first
    assert quoted == '    "# Dogs Dogs bark at night. They sleep during the day."'
    assert done.code == 0


def test_k_is_how_many_are_shown(indexed: Path, run: Callable[..., Any]) -> None:
    assert len(run("search", "night", "-k", "1", "--json").json["hits"]) == 1
    assert len(run("search", "night", "--json").json["hits"]) == 2
    assert run("search", "night", "-k", "0").code == 2
    assert run("search", " ").code == 2


def test_json_offsets_lead_to_the_text_in_the_file(indexed: Path, run: Callable[..., Any]) -> None:
    record = run("search", "Do dogs bark?", "--json", "--explain").json
    assert set(record) == {"version", "query", "hits", "trace"}
    assert [hit["rank"] for hit in record["hits"]] == [1, 2]
    for hit in record["hits"]:
        text = (indexed / "docs" / hit["document_id"]).read_text(encoding="utf-8")
        assert text[hit["start"] : hit["end"]] == hit["text"]
    scores = [hit["score"] for hit in record["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_a_search_that_finds_nothing_says_so_and_is_no_failure(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("search", "dogs", "--filter", 'path = "cats.md"')
    assert (done.code, done.out) == (0, "nothing found\n")


def test_a_filter_on_metadata_that_no_document_has_is_named_with_the_nearest(
    indexed: Path, run: Callable[..., Any]
) -> None:
    for command in ("search", "ask"):
        done = run(command, "dogs", "--filter", 'not exists(path) and pat = "dogs.md"')
        assert "--filter: no document has 'pat'; did you mean 'path'?\n" in done.err
        assert "'path';" not in done.err
