"""FLARE through a server that gives log-probabilities, as an example pipeline says it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rag import Pipeline
from rag.cli import app
from rag.errors import BackendError
from rag.events import Retracted
from rag.testing.openai_stub import OpenAIStub, Reply

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTION = "When does a claim have to be sent in?"
FIRST = "Claims are paid monthly. [1] They have to be sent in within two years. So it is."
SECOND = "They have to be sent in within 30 days. [2]"


def places(text: str, doubtful: str) -> list[dict[str, float]]:
    """Every word is probable but one."""
    return [{f"{word} ": 0.2, "other": 0.5} if word == doubtful else {f"{word} ": 0.95} for word in text.split()]


def replies() -> list[Reply]:
    return [Reply(text=FIRST, places=places(FIRST, "two")), Reply(text=SECOND, places=places(SECOND, "30"))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("dynamic.yaml", "handbook.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path / name)
    (tmp_path / "handbook").mkdir()
    shutil.copy(EXAMPLES / "handbook" / "expenses.md", tmp_path / "handbook" / "expenses.md")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIStub]:
    with OpenAIStub(replies()) as stub:
        monkeypatch.setenv("LLM_URL", stub.base_url)
        yield stub


ONE_CHUNK = ["ingest.embed={use: hash, dimension: 64}", "ask.compress.keep=1", "ask.rerank=[]"]


def test_a_sentence_with_an_improbable_word_is_looked_up_without_it_and_written_anew(served: OpenAIStub) -> None:
    with Pipeline.from_yaml("./dynamic.yaml", overrides=ONE_CHUNK) as pipeline:
        pipeline.ingest()
        events = list(pipeline.stream([QUESTION]))
    answer = events[-1].answer  # type: ignore[union-attr]  # the last is Answered
    assert answer.text == "Claims are paid monthly. [1] They have to be sent in within 30 days. [2]"
    assert [event.keep for event in events if isinstance(event, Retracted)] == [len("Claims are paid monthly. [1]")]
    first, second = served.requests
    assert first.body["logprobs"] is True
    assert "Claims are paid monthly. [1]" in second.body["messages"][-1]["content"]
    asked = [record for record in answer.trace.stages if record.stage == "trigger"]
    doubt = next(record for record in asked if record.notes["retrieve"])
    assert doubt.notes["query"] == "They have to be sent in within years."
    assert doubt.notes["least"] == pytest.approx(0.2)
    assert doubt.notes["why"] == "flare: an improbable token"
    # Something was looked up on the way, so there is one more retrieval for Iter-RetGen's two only if none was.
    assert asked[-1].notes["why"] == "iter-retgen: all rounds done"


def test_the_command_line_never_prints_what_is_taken_back(served: OpenAIStub) -> None:
    pipeline = ["-p", "./dynamic.yaml", *(part for each in ONE_CHUNK for part in ("--set", each))]
    assert CliRunner().invoke(app, ["ingest", "-q", *pipeline]).exit_code == 0
    done = CliRunner().invoke(app, ["ask", QUESTION, "--stream", *pipeline])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "Claims are paid monthly. [1] They have to be sent in within 30 days. [2]"
    assert "two years" not in done.stdout


def test_a_server_that_lists_no_probabilities_is_a_failure_that_is_seen(served: OpenAIStub, folder: Path) -> None:
    with (
        OpenAIStub([Reply(text=FIRST, lists=False)]) as silent,
        Pipeline.from_yaml("./dynamic.yaml", overrides=[*ONE_CHUNK, f"llm.base_url='{silent.base_url}'"]) as pipeline,
    ):
        pipeline.ingest()
        with pytest.raises(BackendError, match="probabilit"):
            pipeline.ask(QUESTION)
