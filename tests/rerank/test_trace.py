from __future__ import annotations

from pathlib import Path

from rag import Pipeline
from rag.cli.render import trace
from rag.pipeline.build import Components
from rag.rerank.cross_encoder import CrossEncoderReranker

from .conftest import WordScorer


def test_what_a_reranker_notes_stands_in_the_trace_and_in_the_explanation(own_directory: Path) -> None:
    (own_directory / "one.md").write_text("Dogs bark at night.")
    (own_directory / "two.md").write_text("Cats meow at night.")
    reranker = CrossEncoderReranker(WordScorer({"Cats": 1.0}), keep=5)
    overrides = ["ingest.load=[{use: files, root: .}]", "ingest.embed={use: hash}"]
    with Pipeline.from_yaml("hybrid", overrides=overrides, components=Components(rerankers=[reranker])) as pipeline:
        pipeline.ingest()
        result = pipeline.search("Who is loud at night?")
    [record] = [record for record in result.trace.stages if record.stage == "rerank"]
    assert record.notes == {"scored": 2, "windows": 2}
    assert result.ranking[0].chunk.document_id == "two.md"
    [line] = [line for line in trace(result.trace).splitlines() if line.startswith("rerank")]
    assert "scored 2, windows 2" in line
