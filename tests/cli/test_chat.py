from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rag.testing.openai_stub import OpenAIStub, Reply


def test_piped_questions_are_answered_one_after_another(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("chat", stdin="When do dogs bark?\nWhen do owls hoot?\n/quit\nnot asked\n")
    assert done.code == 0
    assert done.out.index("Dogs bark at night. [1]") < done.out.index("Owls hoot after dark. [1]")
    assert done.out.count("mode: extractive") == 2


def test_an_empty_line_and_the_end_of_input_end_it(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("chat", stdin="\nWhen do dogs bark?\n").out == ""
    assert run("chat", stdin="").code == 0


def test_with_a_language_model_a_follow_up_is_made_to_stand_alone(indexed: Path, run: Callable[..., Any]) -> None:
    script = [Reply(text="At night. [1]"), Reply(text="When do owls hoot?"), Reply(text="After dark. [1]")]
    with OpenAIStub(script) as stub:
        llm = f"llm={{use: openai, base_url: '{stub.base_url}', model: stub}}"
        done = run("chat", "--set", llm, "--set", "ask.generate={use: llm}", stdin="When do dogs bark?\nAnd owls?\n")
    assert "asking: When do owls hoot?" in done.err
    assert "After dark. [1]" in done.out
    assert "And owls?" in stub.requests[1].prompt
    assert len(stub.requests) == 3


def test_clear_forgets_the_turns_before(indexed: Path, run: Callable[..., Any]) -> None:
    with OpenAIStub([Reply(text="At night. [1]"), Reply(text="After dark. [1]")]) as stub:
        llm = f"llm={{use: openai, base_url: '{stub.base_url}', model: stub}}"
        done = run(
            "chat",
            "--set",
            llm,
            "--set",
            "ask.generate={use: llm}",
            stdin="When do dogs bark?\n/clear\nWhen do owls hoot?\n",
        )
    assert "asking: " not in done.err
    assert len(stub.requests) == 2


def test_a_question_that_the_server_fails_leaves_the_conversation_going(
    indexed: Path, run: Callable[..., Any], tmp_path: Path
) -> None:
    script = [Reply(text="At night. [1]"), Reply(status=500, text="out of memory"), Reply(text="After dark. [1]")]
    with OpenAIStub(script) as stub:
        llm = f"llm={{use: openai, base_url: '{stub.base_url}', model: stub, retries: 0}}"
        options = ("--set", llm, "--set", "ask.generate={use: llm}", "--memory", str(tmp_path / "said.jsonl"))
        done = run("chat", *options, stdin="When do dogs bark?\nAnd owls?\n/clear\nWhen do owls hoot?\n")
    assert done.code == 1
    assert "error: " in done.err
    assert "out of memory" in done.err
    assert "After dark. [1]" in done.out
    assert "When do owls hoot?" in (tmp_path / "said.jsonl").read_text()


def test_questions_that_are_no_text_of_the_locale_are_asked_with_what_can_be_read(indexed: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "rag", "chat", "--memory", "turns.jsonl"]
    piped = b"Do dogs \xe9 bark?\nDo owls hoot?\n"
    done = subprocess.run(command, cwd=indexed, env=environment, input=piped, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Owls hoot after dark. [1]" in done.stdout
