"""What an ingest makes besides the index: token vectors, for the stages that read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag import Pipeline
from rag.embed.hash import HashEmbedder
from rag.errors import IndexMismatchError

PIPELINE = """
version: 1
ingest:
  load: [{use: files, root: docs}]
  embed: {use: hash, dimension: 64}
ask:
  rerank: [%s]
  generate: {use: extractive}
"""
STORED = "{use: late-interaction, stored: true}"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "dogs.md").write_text("Dogs bark at night.")
    (tmp_path / "docs" / "owls.md").write_text("Owls hoot after dark.")
    for name, reranker in (("stored", STORED), ("plain", "")):
        (tmp_path / f"{name}.yaml").write_text(PIPELINE % reranker)
    return tmp_path


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts whose token states were asked for."""
    texts: list[str] = []
    states = HashEmbedder.token_states
    monkeypatch.setattr(HashEmbedder, "token_states", lambda self, some: texts.extend(some) or states(self, some))
    return texts


def test_an_ingest_makes_token_vectors_once_and_a_question_encodes_nothing_but_itself(
    files: Path, encoded: list[str]
) -> None:
    with Pipeline.from_yaml("stored.yaml") as pipeline:
        pipeline.ingest()
        assert sorted(encoded) == ["Dogs bark at night.", "Owls hoot after dark."]
        pipeline.ingest()
        assert len(encoded) == 2
        found = pipeline.search("Do owls hoot?")
        assert found.ranking[0].chunk.document_id.endswith("owls.md")
        assert encoded[2:] == ["Do owls hoot?"]


def test_what_another_pipeline_put_in_is_made_up_for_by_the_next_ingest(files: Path, encoded: list[str]) -> None:
    with Pipeline.from_yaml("plain.yaml") as plain:
        plain.ingest()
    with Pipeline.from_yaml("stored.yaml") as pipeline:
        with pytest.raises(IndexMismatchError, match="2 of 2 chunks have no token vectors"):
            pipeline.search("Do owls hoot?")
        report = pipeline.ingest()
        assert (report.added, report.unchanged) == (0, 2)
        assert len(pipeline.search("Do owls hoot?").ranking) == 2


def test_rebuilding_what_is_derived_and_embedding_anew_bring_them_back(files: Path) -> None:
    with Pipeline.from_yaml("stored.yaml") as pipeline:
        pipeline.ingest()
        pipeline.rebuild_derived()
        assert len(pipeline.search("Do owls hoot?").ranking) == 2
        pipeline.reembed()
        assert len(pipeline.search("Do owls hoot?").ranking) == 2


def test_multivector_retrieval_finds_its_vectors_ready(files: Path, encoded: list[str]) -> None:
    (files / "multi.yaml").write_text(PIPELINE.replace("ask:", "ask:\n  retrieve: [{use: multivector}]") % "")
    with Pipeline.from_yaml("multi.yaml", overrides=["ask.fuse={use: single}"]) as pipeline:
        pipeline.ingest()
        del encoded[:]
        pipeline.search("Do owls hoot?")
        assert encoded == ["Do owls hoot?"]
