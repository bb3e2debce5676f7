"""What stays of the answer's prompt is in the trace, and is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.cli import explained, render
from rag.evaluate import explain
from rag.pipeline.pipeline import Pipeline
from rag.testing.tiny_llama import make_tiny_llama


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    model = make_tiny_llama(tmp_path / "model", vocabulary=600)
    folder = tmp_path / "docs"
    folder.mkdir()
    for animal in ("dogs", "cats", "owls"):
        (folder / f"{animal}.md").write_text(f"The {animal} of the north sleep when it rains.")
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        f"""
version: 1
llm:
  use: transformers
  model: {model}
  device: cpu
  compress_cache: {{use: snapkv, keep: 0.5, minimum: 0}}
ingest:
  load: [{{use: files, root: {folder}}}]
  embed: {{use: hash, dimension: 64}}
  index: {{path: {tmp_path / "index"}}}
ask:
  generate: {{use: llm, max_tokens: 8}}
"""
    )
    return Pipeline.from_yaml(file)


def test_the_trace_and_the_explanation_say_how_much_of_the_cache_was_kept(pipeline: Pipeline) -> None:
    with pipeline:
        pipeline.ingest()
        answer = pipeline.ask("Where do the owls sleep?")
        [record] = [record for record in answer.trace.stages if record.stage == "generate"]
        found = explain(pipeline, "Where do the owls sleep?", answers=True)
    assert record.notes["cache_method"] == "snapkv"
    whole, kept = int(str(record.notes["cache_entries"])), int(str(record.notes["kept_entries"]))
    assert whole % int(str(record.notes["prompt_tokens"])) == 0
    assert 0.45 * whole < kept <= 0.5 * whole
    assert int(str(record.notes["kept_bytes"])) * whole == int(str(record.notes["cache_bytes"])) * kept
    assert "of the keys and values kept by snapkv" in render.trace(answer.trace)
    assert "% of the cache kept" in explained.text(found)
