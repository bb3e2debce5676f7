from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.testing.tiny_llama import make_tiny_llama

Command = Callable[..., Any]
PIPELINE = """version: 1
extends: hybrid
llm:
  use: transformers
  model: {model}
  device: cpu
  context_tokens: 1024
  reuse:
    policy: {policy}
    path: kv
ingest:
  load: [{{use: files, root: docs}}]
  embed: {{use: hash, dimension: 256}}
ask:
  generate: {{use: llm, max_tokens: 4}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("model"))


@pytest.fixture
def indexed(run: Command, own_directory: Path, model: Path) -> Path:
    (own_directory / "docs").mkdir()
    for name, text in {"dogs.md": "Dogs bark at night.", "owls.md": "Owls hoot after dark."}.items():
        (own_directory / "docs" / name).write_text(f"# {name}\n\n{text}\n", encoding="utf-8")
    write(own_directory, model, "{use: none}")
    assert run("ingest").code == 0
    return own_directory


def write(folder: Path, model: Path, policy: str) -> None:
    (folder / "pipeline.yaml").write_text(PIPELINE.format(model=json.dumps(str(model)), policy=policy), "utf-8")


def test_a_warmed_cache_is_counted_found_by_the_first_question_checked_and_pruned(run: Command, indexed: Path) -> None:
    before = run("cache", "stats", "--json")
    assert before.json["models"] == {}
    warmed = run("cache", "warm")
    assert warmed.code == 0, warmed.err
    assert "2 of 2 chunks" in warmed.err
    (first,) = run("cache", "stats", "--json").json["models"].values()
    assert first["caches"] == 3  # two chunks and the prefix
    assert first["bytes"] > 0
    assert run("ask", "Do dogs bark?").code in (0, 3)
    (after,) = run("cache", "stats", "--json").json["models"].values()
    assert after["caches"] == 3  # nothing had to be read anew
    assert after["uses"] > first["uses"]
    assert "3 caches" in run("cache", "stats").out
    (file, *_) = sorted(indexed.glob("kv/??/*.safetensors"))
    file.write_bytes(b"x" + file.read_bytes()[1:])
    assert run("cache", "verify").out == "2 intact; removed: 1 damaged, 0 unknown files\n"
    assert run("cache", "prune", "--to", "0").code == 0
    assert not list(indexed.glob("kv/??/*.safetensors"))


def test_policies_that_read_chunks_in_their_place_cannot_be_warmed(run: Command, indexed: Path, model: Path) -> None:
    write(indexed, model, "{use: prefix}")
    refused = run("cache", "warm")
    assert refused.code == 1
    assert "prefix keeps chunks as they are read in a prompt" in refused.err


def test_a_pipeline_without_caches_on_disk_is_told_how_to_have_them(run: Command, own_directory: Path) -> None:
    for command in (["stats"], ["verify"], ["warm"], ["prune", "--to", "0"]):
        refused = run("cache", *command)
        assert refused.code == 1
        assert "keeps no chunk caches on disk" in refused.err
        assert "reuse:" in refused.err
