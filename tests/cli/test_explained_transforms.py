from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rag.testing.openai_stub import OpenAIStub, Reply


def test_explain_says_what_a_transform_spent_and_that_its_reply_was_malformed(
    indexed: Path, run: Callable[..., Any]
) -> None:
    with OpenAIStub([Reply(text="no JSON"), Reply(text='{"queries": ["hounds at night"]}')]) as stub:
        options = (
            "--set",
            f"llm={{use: openai, base_url: '{stub.base_url}', model: stub}}",
            "--set",
            "ask.transform=[{use: multi-query}]",
        )
        table = run("ask", "Do dogs bark?", "--explain", *options).out
        [malformed] = [line for line in table.splitlines() if line.startswith("transform")]
        assert "requests 1, malformed 1, prompt tokens" in malformed
        table = run("ask", "Do dogs bark?", "--explain", *options).out
        [fine] = [line for line in table.splitlines() if line.startswith("transform")]
    assert fine.split()[:4] == ["transform", "multi-query", "1", "2"]
    assert "malformed" not in fine
    assert "<question>\nDo dogs bark?\n</question>" in stub.requests[0].prompt
    assert "response_format" in stub.requests[0].body or "guided_json" in stub.requests[0].body
