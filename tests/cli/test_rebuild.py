from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_everything_is_read_again_though_nothing_changed(indexed: Path, run: Callable[..., Any]) -> None:
    report = run("rebuild", "--json").json
    assert (report["updated"], report["unchanged"], report["generation"]) == (2, 0, 2)


def test_a_source_that_cannot_be_read_exits_with_4(indexed: Path, run: Callable[..., Any]) -> None:
    (indexed / "docs" / "empty.txt").touch()
    done = run("rebuild")
    assert done.code == 4
    assert done.err.startswith("failed: docs/empty.txt: ")


def test_embed_only_needs_no_source(indexed: Path, run: Callable[..., Any]) -> None:
    for file in (indexed / "docs").iterdir():
        file.unlink()
    other = ("--set", "ingest.embed.dimension=64")
    refused = run("ask", "When do dogs bark?", *other)
    assert refused.code == 1
    assert "rag rebuild --embed-only" in refused.err
    assert run("rebuild", "--embed-only", "--json", *other).json["embedded"] == 2
    assert run("ask", "When do dogs bark?", *other).out.startswith("Dogs bark at night. [1]")


def test_derived_only_leaves_the_texts_and_vectors_alone(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("rebuild", "--derived-only").out == "derived indexes rebuilt\n"
    assert run("ask", "When do dogs bark?").out.startswith("Dogs bark at night. [1]")


def test_the_two_parts_exclude_each_other(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("rebuild", "--embed-only", "--derived-only").code == 2
