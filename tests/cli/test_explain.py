from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from rag.cli.explained import clean, text
from rag.evaluate.explanation import Explanation, LeftOut, Passage, Step
from rag.evaluate.findings import told

ROOT = Path(__file__).parents[2]
QUESTION = "When do dogs bark?"


def test_sentences_come_first_then_the_ranks_and_the_cost(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("explain", QUESTION)
    parts = done.out.split("\n\n")
    assert parts[0] == f"{QUESTION}\n(in docs/)"
    assert [part.split("  ")[0].splitlines()[0] for part in parts[1:]] == [
        "what decided",
        "without each stage",
        "rank at each stage",
        "place in the evidence without",
        "cost",
    ]
    assert parts[1].splitlines()[1] == "  dogs.md, lines 1-3 comes first whichever stage is left out."
    first = parts[3].splitlines()[1]
    assert re.fullmatch(r"\[1\] dogs\.md, lines? \S+ +1 +1 +1 +1", first)
    assert (done.code, done.err) == (0, "")


def test_with_answer_it_says_what_would_be_answered(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("explain", QUESTION, "--answer")
    assert "\n\nanswer\n  Dogs bark at night. [1]\n" in done.out
    assert "generate  extractive" in done.out


def test_json_is_what_the_page_about_it_describes(indexed: Path, run: Callable[..., Any]) -> None:
    record = run("explain", QUESTION, "--json").json
    page = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8").split("## JSON")[1]
    described = {
        name
        for line in page.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert set(record) == described
    assert len(record["passages"][0]["ranks"]) == len(record["columns"])
    assert sum(step["share"] for step in record["steps"]) == pytest.approx(1, abs=0.001)


def test_out_writes_a_page_and_says_so(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("explain", QUESTION, "--out", "pages/why.html")
    assert done.err == "wrote pages/why.html\n"
    assert done.out.startswith(QUESTION)
    assert (indexed / "pages" / "why.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_filter_and_a_principal_hold(indexed: Path, run: Callable[..., Any]) -> None:
    found = run("explain", QUESTION, "--json", "--filter", 'path = "owls.md"').json
    assert [passage["where"] for passage in found["passages"]] == ["docs/owls.md, lines 1-3"]
    assert "There is no evidence for this question." in run("explain", QUESTION, "--as", "staff").out


def test_an_empty_question_is_a_wrong_command_line(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("explain", "  ").code == 2


# ---- the text


def explanation(columns: int, where: str) -> Explanation:
    names = tuple(f"stage-{at}" for at in range(columns))
    passages = tuple(
        Passage(chunk_id=str(at), where=where, label=where, texts=("x",), numbers=(at,), ranks=(*([at] * columns), at))
        for at in (1, 2)
    )
    left = tuple(
        LeftOut(
            stage="rerank",
            name=name,
            instead="",
            ranks={"1": passages[0].ranks, "2": passages[1].ranks},
            standing={},
            characters=2,
            answer=None,
        )
        for name in names
    )
    step = Step(stage="rerank", name="stage-0", taken=2, given=2, seconds=0.001, share=1.0)
    return told(
        Explanation(
            question="Why?",
            queries=("Why?",),
            steps=(step,),
            columns=(*names, "evidence"),
            passages=passages,
            left_out=left,
            characters=2,
            answer=None,
        )
    )


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("columns", [1, 4, 15])
@pytest.mark.parametrize(
    "where", ["a.md, line 1", "a/very/long/path/" * 8 + "handbook.md, lines 3-9", "文件夹" * 30 + ", line 1"]
)
def test_no_line_is_wider_than_the_terminal(width: int, columns: int, where: str) -> None:
    shown = text(explanation(columns, where), width=width)
    tables = shown[shown.index("rank at each stage") :].splitlines()
    assert max(map(cell_len, tables)) <= width
    assert all(f"stage-{at}" in shown for at in range(columns))
    assert sum(line.startswith("[2] ") for line in tables) >= 2


def test_a_long_place_is_cut_in_the_middle_so_that_number_and_lines_stay() -> None:
    shown = text(explanation(4, "folder/" * 30 + "handbook.md, lines 3-9"), width=80)
    assert re.search(r"^\[1\] ….*handbook\.md, lines 3-9 +1 +1 +1 +1 +1$", shown, flags=re.MULTILINE)


def test_what_a_terminal_would_obey_is_replaced() -> None:
    assert clean("a\x1b[31mb\n c\ud800\u202e") == "a\ufffd[31mb c\ufffd\ufffd"
