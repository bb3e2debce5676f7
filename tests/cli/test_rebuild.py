from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rag.embed.base import Vectors


def test_everything_is_read_again_though_nothing_changed(indexed: Path, run: Callable[..., Any]) -> None:
    report = run("rebuild", "--json").json
    assert (report["updated"], report["unchanged"], report["generation"]) == (2, 0, 2)


def test_a_source_that_cannot_be_read_exits_with_4(indexed: Path, run: Callable[..., Any]) -> None:
    (indexed / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    done = run("rebuild")
    assert done.code == 4
    assert done.err.startswith("failed: docs/broken.pdf: ")


def test_embed_only_needs_no_source(indexed: Path, run: Callable[..., Any]) -> None:
    for file in (indexed / "docs").iterdir():
        file.unlink()
    other = ("--set", "ingest.embed.dimension=64")
    refused = run("ask", "When do dogs bark?", *other)
    assert refused.code == 1
    assert refused.hinted == ["rebuild", *other, "--embed-only"]
    assert run(*refused.hinted, "--json").json["embedded"] == 2
    assert run("ask", "When do dogs bark?", *other).out.startswith("Dogs bark at night. [1]")


def test_chunks_too_long_for_the_new_model_are_cut_anew_by_the_command_that_is_named(
    indexed: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rag.embed.hash import HashEmbedder
    from rag.errors import ModelError

    def refuse(embedder: HashEmbedder, texts: Sequence[str]) -> Vectors:
        raise ModelError("text 0 has 12 tokens, hash reads 4", hint="chunk it smaller")

    other = ("--set", "ingest.embed.dimension=64")
    with monkeypatch.context() as patch:
        patch.setattr(HashEmbedder, "embed_documents", refuse)
        refused = run("rebuild", "--embed-only", *other)
    assert refused.code == 1
    assert "hint: chunk it smaller; to cut and embed anew, into another folder: `rag ingest " in refused.err
    elsewhere = "ingest.index.path=.ragloom/index-new"
    assert refused.hinted == ["ingest", *other, "--set", elsewhere]
    assert run(*refused.hinted).code == 0
    assert run("ask", "When do dogs bark?", *other, "--set", elsewhere).out.startswith("Dogs bark at night. [1]")


def test_derived_only_leaves_the_texts_and_vectors_alone(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("rebuild", "--derived-only").out == "derived indexes rebuilt\n"
    assert run("ask", "When do dogs bark?").out.startswith("Dogs bark at night. [1]")


def test_the_two_parts_exclude_each_other(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("rebuild", "--embed-only", "--derived-only").code == 2
