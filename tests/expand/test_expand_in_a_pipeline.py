"""The expand stage in its place: after the rerankers, before the compressor, in the trace, under access rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rag import Components, Expanded, Pipeline, Query, Ranking
from rag.cli.graph import as_mermaid
from rag.cli.render import trace
from rag.pipeline.spec import load_spec

ROWS = [
    {"id": "open", "text": "Bats sleep. Dogs bark loudly. Eels slip.\n\nFoxes run. Goats jump.", "access": ["all"]},
    {"id": "closed", "text": "Dogs bark in secret. Nobody may know.", "access": ["boss"]},
]


@pytest.fixture
def overrides(tmp_path: Path) -> list[str]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(file))}, id: id, text: [text], access: access}}]",
        f"ingest.index.path={json.dumps(str(tmp_path / 'index'))}",
        "ingest.embed={use: hash, dimension: 64}",
    ]


@pytest.fixture
def pipeline(overrides: list[str]) -> Iterator[Pipeline]:
    narrow = ["ask.expand.0.reach=1", "ask.fuse.keep=2"]
    with Pipeline.from_yaml("sentence-window", overrides=[*overrides, *narrow]) as made:
        made.ingest()
        yield made


def test_a_sentence_is_found_and_its_neighbours_are_read(pipeline: Pipeline) -> None:
    found = pipeline.search("Do dogs bark loudly?")
    assert found.ranking[0].chunk.text == "Bats sleep. Dogs bark loudly. Eels slip."
    record = found.trace.stages[-1]
    assert (record.stage, record.use) == ("expand", "window")
    before = found.trace.stages[-2].rankings[-1]
    assert record.taken == len(before)
    assert record.given == len(found.ranking)
    assert record.notes["characters_in"] == sum(len(hit.chunk.text) for hit in before)
    assert record.notes["characters_out"] == sum(len(hit.chunk.text) for hit in found.ranking)
    assert f"{record.notes['characters_in']} -> {record.notes['characters_out']} characters" in trace(found.trace)


def test_the_answer_cites_what_stands_in_the_document(pipeline: Pipeline) -> None:
    answer = pipeline.ask("Do dogs bark loudly?")
    assert "Dogs bark loudly." in answer.text
    assert answer.evidence[0].text == "Bats sleep. Dogs bark loudly. Eels slip."
    reader = pipeline.index.reader()
    for part in answer.evidence:
        assert reader.document(part.span.document_id).text[part.span.start : part.span.end] == part.text


def test_what_one_may_not_see_is_not_reached_by_widening(pipeline: Pipeline) -> None:
    found = pipeline.search("Do dogs bark?", principals=frozenset({"all"}))
    assert {hit.chunk.document_id for hit in found.ranking} == {"open"}
    assert {hit.chunk.document_id for hit in pipeline.search("Do dogs bark?").ranking} == {"open", "closed"}


def test_the_stream_says_when_a_ranking_was_widened(pipeline: Pipeline) -> None:
    kinds = [type(event).__name__ for event in pipeline.stream(["Do dogs bark?"])]
    assert kinds[:3] == ["Retrieved", "Expanded", "Compressed"]
    widened = next(event for event in pipeline.stream(["Do dogs bark?"]) if isinstance(event, Expanded))
    assert widened.ranking == pipeline.search("Do dogs bark?").ranking


def test_sentences_are_kept_of_what_was_widened(overrides: list[str]) -> None:
    changed = ["ask.expand.0.reach=1", "ask.fuse.keep=2", "ask.compress={use: sentences, tokens: 4}"]
    with Pipeline.from_yaml("sentence-window", overrides=[*overrides, *changed]) as made:
        made.ingest()
        assert [part.text for part in made.ask("Do dogs bark loudly?").evidence] == ["Dogs bark loudly."]


def test_an_object_may_be_the_expander(overrides: list[str]) -> None:
    class First:
        def expand(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
            return [replace(ranking, hits=ranking.hits[:1]) for ranking in rankings]

    with Pipeline.from_yaml("hybrid", overrides=overrides, components=Components(expanders=[First()])) as made:
        made.ingest()
        result = made.search("Do dogs bark?")
    assert len(result.ranking) == 1
    assert result.trace.stages[-1].use == "First"


def test_the_graph_shows_the_stage() -> None:
    assert "window (reach=3)" in as_mermaid(load_spec("sentence-window", environ={}))
    assert "expand" not in as_mermaid(load_spec("hybrid", environ={}))
