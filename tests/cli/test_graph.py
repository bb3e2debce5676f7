from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from rag.cli import app

PIPELINE = """\
extends: hybrid
ingest:
  load: [{use: files, root: docs}, {use: rows, path: a.jsonl}]
  enrich: []
llm: {use: openai, base_url: 'http://me:pw@x/v1', model: '"<m>"'}
ask:
  rerank: [{use: mmr, keep: 5}, {use: listwise}]
  generate: {use: llm}
"""


def rag(*arguments: str) -> str:
    Path("p.yaml").write_text(PIPELINE)
    result = CliRunner().invoke(app, ["graph", "p.yaml", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_text_shows_each_stage_what_it_uses_and_what_was_written_about_it() -> None:
    lines = rag().splitlines()
    assert lines[:6] == [
        'llm  openai (base_url=http://me:***@x/v1, model="<m>")',
        "",
        "ingest",
        "  load      files (root=docs) + rows (path=a.jsonl)",
        "      | files, pages, rows",
        "  parse     timeout_seconds=10.0, memory_mib=512",
    ]
    assert "  retrieve  dense (k=50) + sparse (k=50)" in lines
    assert "  rerank    mmr (keep=5), then listwise" in lines
    assert not any(line.startswith("  enrich") for line in lines)
    assert lines[-1] == "  answer"


def test_the_mermaid_chart_joins_the_stages_in_order() -> None:
    lines = [line.strip() for line in rag("--format", "mermaid").splitlines()]
    assert lines[0] == "flowchart LR"
    for edge in (
        "load -->|files, pages, rows| parse",
        "load1 -->|files, pages, rows| parse",
        "chunk -->|chunks| embed",
        "index -.-> retrieve",
        "index -.-> retrieve1",
        "retrieve1 -->|a ranking from each| fuse",
        "fuse -->|one ranking| rerank",
        "cite -->|cited answer| answer",
        "llm -.-> rerank1",
        "llm -.-> generate",
    ):
        assert edge in lines


def test_text_of_the_file_cannot_leave_its_box_and_logins_are_hidden() -> None:
    output = rag("--format", "mermaid")
    assert 'llm["llm<br>openai (base_url=http://me:***@x/v1, model=&quot;&lt;m&gt;&quot;)"]' in output
    assert "pw@" not in output + rag()


def test_signals_that_withhold_an_answer_are_shown() -> None:
    lines = rag("--set", "ask.abstain={bounds: {logprob: -1, support: 0.5}}").splitlines()
    assert lines[-3:] == ["  abstain   logprob + support", "      | the answer, unless it is in doubt", "  answer"]


def test_a_pipeline_without_vectors_shows_no_embedding() -> None:
    result = CliRunner().invoke(app, ["graph", "sparse"])
    assert "embed" not in result.output
    assert ".ragloom/sparse: sparse bm25" in result.output
