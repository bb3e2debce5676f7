from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.embed.base import EmbedderIdentity
from rag.embed.hash import HashEmbedder
from rag.errors import ModelNotFoundError


def states(report: list[dict[str, str]], start: str) -> list[str]:
    return [finding["state"] for finding in report if finding["what"].startswith(start)]


def test_a_folder_without_an_index_is_no_problem_and_the_command_that_makes_one_is_named(
    folder: Path, run: Callable[..., Any]
) -> None:
    done = run("doctor")
    assert done.code == 0
    assert "ok       embedding model hash" in done.out
    assert "absent   index .ragloom/index: there is none yet\n         rag ingest" in done.out


def test_a_sound_index_is_reported_with_its_size(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("doctor", "--deep", "--json")
    assert done.code == 0
    assert states(done.json, "index") == ["ok", "ok"]
    assert done.json[-1]["what"].endswith("no chunk is truncated, all fit the encoder's window of 512 tokens")
    assert states(done.json, "ragloom") == ["ok"]
    assert any(finding["what"].endswith("2 documents, 2 chunks, generation 1") for finding in done.json)


def test_an_index_of_another_model_is_a_problem_with_the_command_that_mends_it(
    indexed: Path, run: Callable[..., Any]
) -> None:
    other = ("--set", "ingest.embed.dimension=64")
    done = run("doctor", "--json", *other)
    assert done.code == 1
    (problem,) = [finding for finding in done.json if finding["state"] == "problem"]
    assert "`rag rebuild --set ingest.embed.dimension=64 --embed-only`" in problem["mend"]
    assert problem["what"].count(".ragloom/index: ") == 1
    assert run("rebuild", "--embed-only", *other).code == 0
    assert run("doctor", *other).code == 0


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ([], "rag ingest"),
        (["-p", "my own.yaml"], "rag ingest -p 'my own.yaml'"),
        (["--set", "ingest.index.path=other"], "rag ingest --set ingest.index.path=other"),
        (["-s", "docs", "--set", "ask.fuse={use: rrf}"], "rag ingest -s docs --set 'ask.fuse={use: rrf}'"),
        (["--set", "llm={use: openai, base_url: 'http://me:hunter2@host/v1', model: m}"], None),
    ],
)
def test_the_command_that_mends_is_for_the_pipeline_that_was_looked_at(
    folder: Path, run: Callable[..., Any], options: list[str], mend: str | None
) -> None:
    (folder / "my own.yaml").write_text((folder / "pipeline.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    found = run("doctor", "--json", *options).json[-1]
    assert found["state"] == "absent"
    assert "hunter2" not in found["mend"]
    if mend is not None:
        assert found["mend"] == mend
        assert run(*shlex.split(mend)[1:]).code == 0
        assert run("doctor", "--json", *options).json[-1]["state"] == "ok"


def test_a_model_that_is_missing_is_one_problem_and_the_index_is_looked_at_all_the_same(
    indexed: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(embedder: HashEmbedder) -> EmbedderIdentity:
        raise ModelNotFoundError("no weights of it", hint="`pip install weights`, or set allow_download to true")

    monkeypatch.setattr(HashEmbedder, "identity", property(missing))
    done = run("doctor", "--deep", "--json")
    assert done.code == 1
    *_, model, index = done.json
    assert (model["state"], index["state"]) == ("problem", "ok")
    assert index["what"].endswith("2 documents, 2 chunks, generation 1")


def test_a_pipeline_that_is_wrong_is_a_problem_beside_what_is_installed(folder: Path, run: Callable[..., Any]) -> None:
    done = run("doctor", "--json", "--set", "ask.fuse.kep=3")
    assert done.code == 1
    first, *_, last = done.json
    assert first["what"].startswith("ragloom ")
    assert last["state"] == "problem"
    assert last["what"].endswith("ask.fuse.kep: unknown key; did you mean `keep`?")


TEXT = " ".join(f"The {name} committee decided that its budget grows." for name in ("red", "green", "blue", "grey"))


def test_copies_and_near_copies_of_a_chunk_are_notes_with_what_hides_them(
    folder: Path, run: Callable[..., Any]
) -> None:
    for name, text in (("a", TEXT), ("b", TEXT), ("c", TEXT.replace("grey", "gray"))):
        (folder / "docs" / f"{name}.txt").write_text(text, encoding="utf-8")
    assert run("ingest").code == 0
    done = run("doctor", "--deep", "--json")
    assert done.code == 0
    same, near = [found for found in done.json if found["state"] == "note"]
    assert "a.txt and b.txt: 2 chunks have the same text" in same["what"]
    assert "a.txt, c.txt: 2 chunks have nearly the same text" in near["what"]
    assert same["mend"] == near["mend"] == "ask.rerank: [{use: dedupe}] shows one of them"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("UPDATE chunks SET context = zeroblob(2000)", "2 chunks longer than the encoder's window of 512 tokens"),
        ("UPDATE chunks SET text = X'200A' WHERE id = 1", "nothing but white space at [0, 54)"),
        ("DELETE FROM chunks WHERE id = 1", "rows that belong to no chunk: 1"),
        ("UPDATE chunks SET text = X'41' WHERE id = 1", "the chunk at [0, 54) is not the text there"),
    ],
)
def test_what_is_wrong_with_chunks_is_found_and_rebuild_mends_it(
    indexed: Path, run: Callable[..., Any], damage: str, message: str
) -> None:
    with sqlite3.connect(indexed / ".ragloom" / "index" / "index.sqlite") as connection:
        connection.execute(damage.replace("zeroblob(2000)", f"CAST('{'x ' * 2000}' AS BLOB)"))
    connection.close()
    done = run("doctor", "--deep", "--json")
    assert done.code == 1
    (mend,) = {found["mend"] for found in done.json if found["state"] == "problem" and message in found["what"]}
    assert run(*shlex.split(mend)[1:]).code == 0
    assert run("doctor", "--deep").code == 0


def test_chunks_whose_document_is_gone_are_damage_that_only_a_new_index_mends(
    indexed: Path, run: Callable[..., Any]
) -> None:
    with sqlite3.connect(indexed / ".ragloom" / "index" / "index.sqlite") as connection:
        connection.execute("DELETE FROM documents WHERE id = 1")
    connection.close()
    done = run("doctor", "--json")
    assert done.code == 1
    (mend,) = {found["mend"] for found in done.json if "chunks of no document: 1" in found["what"]}
    assert mend == "restore a backup, or delete the folder and ingest again"


def test_a_damaged_truth_is_a_problem_that_names_the_file(indexed: Path, run: Callable[..., Any]) -> None:
    database = indexed / ".ragloom" / "index" / "index.sqlite"
    for leftover in database.parent.glob("index.sqlite-*"):
        leftover.unlink()
    database.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    done = run("doctor")
    assert done.code == 1
    assert "index.sqlite" in done.out
    assert "Traceback" not in done.err
