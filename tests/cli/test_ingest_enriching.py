"""`rag ingest` with an enricher that asks a model server: what it costs, what it says, what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from rag.testing.openai_stub import OpenAIStub, Reply

DOCUMENTS = 6


@pytest.fixture
def enriching(folder: Path) -> Callable[[OpenAIStub], None]:
    """Let the pipeline of `folder` ask that server for the context of every chunk, of six documents."""

    def write(stub: OpenAIStub) -> None:
        for at in range(DOCUMENTS - 2):
            (folder / "docs" / f"more-{at}.md").write_text(f"Fact number {at}.\n", encoding="utf-8")
        with (folder / "pipeline.yaml").open("a", encoding="utf-8") as file:
            file.write("  enrich: [{use: contextual, concurrency: 1, prices: {prompt: 1, completion: 4}}]\n")
            file.write(f"llm: {{use: openai, base_url: '{stub.base_url}', model: stub, retries: 0}}\n")

    return write


def test_a_plan_says_what_enriching_would_cost_and_asks_nothing(enriching, run: Callable[..., Any]) -> None:
    with OpenAIStub() as stub:
        enriching(stub)
        done = run("ingest", "--plan")
        assert stub.requests == []
    line = done.out.splitlines()[-1]
    assert line.startswith("to enrich: 6 chunks, 6 requests (0 replies in the cache), about ")
    assert " prompt and at most 960 reply tokens, at most 0.00" in line


def test_the_report_says_what_was_asked_and_what_it_took(enriching, run: Callable[..., Any]) -> None:
    with OpenAIStub([Reply(text="A note.")]) as stub:
        enriching(stub)
        assert "; 6 enriched (0 from the cache, 6 requests, " in run("ingest").out
        assert len(stub.requests) == DOCUMENTS
        assert "; 6 enriched (6 from the cache, 0 requests, 0 + 0 tokens, 0 failed)" in run("ingest", "--force").out
    assert "to enrich: 0 chunks" in run("ingest", "--plan").out


def test_a_chunk_that_failed_is_named_and_the_run_is_done(enriching, run: Callable[..., Any]) -> None:
    with OpenAIStub([Reply(status=500, text="out of memory")]) as stub:
        enriching(stub)
        done = run("ingest")
    assert done.code == 0
    assert "6 added" in done.out
    assert "1 failed)" in done.out
    assert done.err.startswith("not enriched as asked: ")
    assert "out of memory" in done.err


def test_a_server_that_is_not_there_stops_the_run_with_its_reason(enriching, folder: Path, run) -> None:
    with OpenAIStub() as stub:
        enriching(stub)
    for at in range(10):
        (folder / "docs" / f"again-{at}.md").write_text(f"Again {at}.\n", encoding="utf-8")
    done = run("ingest")
    assert done.code == 1
    assert "cannot reach" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a POSIX signal")
def test_a_killed_run_has_kept_every_reply_it_got(enriching, folder: Path, run: Callable[..., Any]) -> None:
    kept = 3
    with OpenAIStub([*[Reply(text="A note.")] * kept, Reply(hang=True)]) as stub:
        enriching(stub)
        process = subprocess.Popen([sys.executable, "-m", "rag", "ingest", "--quiet"], cwd=folder, env=os.environ)
        for _ in range(6000):
            if len(stub.requests) > kept:
                break
            Event().wait(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        assert len(stub.requests) == kept + 1
        cost = run("ingest", "--plan", "--json").json["enrichment"]
        assert cost["cached"] == kept
        before = len(stub.requests)
        assert "6 added" in run("ingest").out
        assert len(stub.requests) - before == DOCUMENTS - kept
