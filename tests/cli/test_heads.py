from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.models.attention_heads import DetectedHeads
from rag.testing.tiny_llama import make_tiny_llama

from .conftest import Command


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("tiny"))


def test_heads_of_a_model_are_found_and_written(run: Command, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "heads.json"
    done = run("heads", "detect", str(tiny), "--out", str(out), "--trials", "8", "--passages", "6", "--device", "cpu")
    assert done.code == 0, done.err
    found = DetectedHeads.load(out)
    assert (found.method, found.trials, len(found.scores)) == ("ndcg", 8, 4)  # two layers of two heads
    assert "8 of 8 questions" in done.err
    assert f"--set ask.rerank.0.heads={out}" in done.out
    assert [score for _, score in found.scores] == sorted((score for _, score in found.scores), reverse=True)


def test_they_are_found_on_an_evaluation_set_as_well(run: Command, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    texts = {"a": "Dogs bark.", "b": "Cats sleep.", "c": "Rain falls.", "d": "Owls hoot."}
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": k, "text": t}) + "\n" for k, t in texts.items()))
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "Who barks?"}) + "\n")
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    out = tmp_path / "heads.json"
    done = run("heads", "detect", str(tiny), "--out", str(out), "--data", str(folder), "--method", "mass", "--json")
    assert done.code == 0, done.err
    assert done.json["data"] == "set"
    assert done.json["trials"] == 1


def test_a_model_that_is_not_there_is_said_so(run: Command, tmp_path: Path) -> None:
    done = run("heads", "detect", str(tmp_path / "none"), "--out", str(tmp_path / "heads.json"))
    assert done.code == 1
    assert "there is no folder" in done.err
