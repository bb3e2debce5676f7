from __future__ import annotations

from pathlib import Path

import pytest

from rag import Pipeline
from rag.cli.render import trace
from rag.errors import ConfigError
from rag.events import Answered, Compressed
from rag.types import Answer

TEXT = "Dogs bark at night. Cats meow at dawn. Owls hoot after dark. Cows sleep."


@pytest.fixture
def stream(tmp_path: Path) -> tuple[Compressed, Answer]:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "animals.md").write_text(TEXT, encoding="utf-8")
    overrides = [
        f"ingest.load=[{{use: files, root: '{folder.as_posix()}'}}]",
        f"ingest.index.path='{(tmp_path / 'index').as_posix()}'",
        "ingest.embed={use: hash}",
        "ask.compress={use: hybrid, tokens: 4}",
    ]
    with Pipeline.from_yaml("hybrid", overrides=overrides, environ={}) as pipeline:
        pipeline.ingest()
        events = list(pipeline.stream(["Do dogs bark at night?"]))
    compressed = next(event for event in events if isinstance(event, Compressed))
    answered = next(event for event in events if isinstance(event, Answered))
    return compressed, answered.answer


def test_the_event_has_what_was_dropped_and_the_trace_counts_it(stream: tuple[Compressed, Answer]) -> None:
    compressed, answer = stream
    assert [part.text for part in compressed.evidence] == ["Dogs bark at night."]
    assert [TEXT[each.span.start : each.span.end] for each in compressed.dropped] == [
        "Cats meow at dawn.",
        "Owls hoot after dark.",
        "Cows sleep.",
    ]
    [record] = [record for record in answer.trace.stages if record.stage == "compress"]
    assert record.notes == {
        "characters_in": len(TEXT),
        "characters_out": len("Dogs bark at night."),
        "sentences_in": 4,
        "sentences_out": 1,
    }
    assert f"{len(TEXT)} -> 19 characters, 4 -> 1 sentences" in trace(answer.trace)


def test_an_answer_from_compressed_evidence_is_cited_at_its_place(stream: tuple[Compressed, Answer]) -> None:
    _, answer = stream
    [citation] = answer.citations
    assert [TEXT[span.start : span.end] for span in citation.spans] == ["Dogs bark at night."]


@pytest.mark.parametrize(
    ("compress", "problem"),
    [
        ("{use: exit}", "ask.compress.use: 'exit' asks a language model, the pipeline names none"),
        ("{use: infiniretri}", "ask.compress.use: 'infiniretri' "),
        ("{use: recomp, model: ./nowhere}", "ask.compress.use: there is no folder './nowhere'"),
        ("{use: cross-encoder, model: ./nowhere}", "ask.compress.use: there is no folder './nowhere'"),
        ("{use: hybrid, tokens: null}", "ask.compress: give tokens or ratio"),
    ],
)
def test_what_cannot_run_is_refused_when_the_file_is_read(compress: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Pipeline.from_yaml("hybrid", overrides=[f"ask.compress={compress}"], environ={})
    assert problem in str(refused.value)


def test_infiniretri_is_refused_with_a_server_that_gives_text() -> None:
    overrides = [
        "llm={use: openai, base_url: 'http://localhost:1/v1', model: m}",
        "ask.compress={use: infiniretri}",
    ]
    with pytest.raises(ConfigError, match="reads a model's attention"):
        Pipeline.from_yaml("hybrid", overrides=overrides, environ={})
