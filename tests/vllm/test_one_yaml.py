"""One pipeline file, four ways to run its language model: only the preset changes."""

from __future__ import annotations

import json
from pathlib import Path

from rag import Pipeline
from rag.testing.openai_stub import OpenAIStub
from rag.testing.sample import QUESTIONS, TEXTS
from rag.testing.vllm_server import VllmServer
from rag.types import Answer

YAML = """
version: 1
extends: sparse
presets: [{preset}]
ingest:
  load: [{{use: rows, path: {rows}}}]
  index: {{path: {index}}}
ask:
  generate: {{use: llm, max_tokens: 24}}
"""

MACHINE = {
    "llm-transformers": ("llm.context_tokens=2048",),
    "llm-vllm": ("llm.context_tokens=2048", "llm.cache_gib=0.125", "llm.block_tokens=32", "llm.eager=true"),
    "llm-vllm-server": ("llm.context_tokens=2048",),
    "llm-openai": (),
}
"""What each needs to know of the machine and of a model so small; not what it is to do."""


def test_the_same_file_runs_on_all_four_and_those_with_the_same_model_answer_the_same(
    tmp_path: Path, tiny: Path, server: VllmServer
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in TEXTS.items()))
    answers: dict[str, list[Answer]] = {}
    with OpenAIStub() as stub:
        local = {"LLM_MODEL": str(tiny), "LLM_DTYPE": "float32"}
        environ = {
            "llm-transformers": local,
            "llm-vllm": local,
            "llm-vllm-server": {"LLM_MODEL": server.name, "LLM_URL": server.base_url},
            "llm-openai": {"OPENAI_BASE_URL": stub.base_url, "OPENAI_MODEL": "stub"},
        }
        for preset in environ:
            file = tmp_path / f"{preset}.yaml"
            file.write_text(YAML.format(preset=preset, rows=rows, index=tmp_path / "index"))
            with Pipeline.from_yaml(file, environ=environ[preset], overrides=MACHINE[preset]) as pipeline:
                pipeline.ingest()
                answers[preset] = [pipeline.ask(question) for question in QUESTIONS]
    first = answers["llm-transformers"]
    assert all(answer.mode == "generated" and answer.text for answer in first)
    for preset in ("llm-vllm", "llm-vllm-server"):
        assert [whole(answer) for answer in answers[preset]] == [whole(answer) for answer in first], preset
        given = [answer.usage.prompt_tokens for answer in answers[preset]]
        assert given == [answer.usage.prompt_tokens for answer in first], preset
    for preset, found in answers.items():
        assert [answer.evidence for answer in found] == [answer.evidence for answer in first], preset
    assert answers["llm-openai"][0].citations  # the stub quotes its first source, with its number


def whole(answer: Answer) -> str:
    """The text without a last character that the length cut in half, which each engine shows in its own way."""
    return answer.text.rstrip("\ufffd")
