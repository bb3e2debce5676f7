from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.index.directory import IndexDirectory
from rag.index.reader import Reader
from rag.index.records import Problem
from rag.index.specs import IndexSpec

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")

LONGEST_SECONDS = 0.25
FULL_DISKS = 8


class Writing:
    """The process that forks writers, and what the present one said."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("writing.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, path: Path, seed: int, *, largest_file: int | None = None) -> int:
        """Let a writer begin; its process id."""
        self.process.stdin.write(json.dumps({"path": str(path), "seed": seed, "largest_file": largest_file}) + "\n")
        self.process.stdin.flush()
        return int(self.said()[1])

    def said(self) -> tuple[str, object]:
        line = self.process.stdout.readline()
        assert line, "the writing process ended"
        word, _, value = line.partition(" ")
        return word, json.loads(value)


@pytest.fixture
def writing() -> Iterator[Writing]:
    started = Writing()
    yield started
    started.process.stdin.close()
    started.process.wait(10)
    started.process.stdout.close()


def state_of(path: Path) -> dict[str, int]:
    """The documents and their versions, each held against all that must be there of it."""
    directory = IndexDirectory(IndexSpec(path=str(path)))
    if not directory.exists():
        return {}
    reader, state = directory.reader(), dict[str, int]()
    for summary in reader.documents():
        version = reader.document(summary.id).meta["version"]
        chunks = reader.chunks_of(summary.id)
        assert [f"{summary.id} version{version} line{n} of {len(chunks)} " for n in range(len(chunks))] == [
            chunk.text[: chunk.text.index(" of ")] + f" of {len(chunks)} " for chunk in chunks
        ]
        assert all(f" of {len(chunks)} " in chunk.text for chunk in chunks)
        assert len(chunks) == summary.chunks
        rows = reader.rows_of(chunks)
        assert reader.live[rows].all()
        assert np.isfinite(reader.vectors(rows)).all()
        (hits,) = reader.sparse.search([f"version{version}"], k=1000, allowed=None)
        assert set(rows.tolist()) <= set(hits.rows.tolist())
        state[summary.id] = version
    assert reader.size == sum(summary.chunks for summary in reader.documents())
    directory.close()
    return state


def damage(reader: Reader) -> list[Problem]:
    """What is wrong with the index; that the made documents resemble each other is not."""
    return [problem for problem in reader.check(deep=True) if problem.kind != "near-duplicate-chunk"]


def kill_rounds(writing: Writing, path: Path, rounds: int, *, seed: int) -> None:
    rng = random.Random(seed)
    acknowledged: dict[str, int] = {}
    for round_ in range(rounds):
        pid = writing.start(path, round_ + 1)
        killer = threading.Timer(rng.uniform(0, LONGEST_SECONDS), os.kill, (pid, signal.SIGKILL))
        killer.start()
        possible = [acknowledged]
        while (heard := writing.said())[0] != "end":
            word, state = heard
            possible = [possible[0], state] if word == "intent" else [state]
        assert heard[1] == -signal.SIGKILL
        killer.join()
        found = state_of(path)
        assert found in possible
        with IndexDirectory(IndexSpec(path=str(path))).writer(None):
            pass
        directory = IndexDirectory(IndexSpec(path=str(path)))
        assert damage(directory.reader()) == []
        directory.close()
        acknowledged = found


def test_a_writer_killed_at_a_random_moment_loses_no_acknowledged_commit(writing: Writing, tmp_path: Path) -> None:
    kill_rounds(writing, tmp_path / "index", 25, seed=1)


@pytest.mark.slow
def test_a_hundred_and_fifty_kills_lose_nothing(writing: Writing, tmp_path: Path) -> None:
    kill_rounds(writing, tmp_path / "index", 150, seed=2)


def test_a_reader_outlives_the_kills_of_its_writers(writing: Writing, tmp_path: Path) -> None:
    path = tmp_path / "index"
    kill_rounds_after(writing, path, 3)
    directory = IndexDirectory(IndexSpec(path=str(path)))
    reader = directory.reader()
    before = [(summary, reader.chunks_of(summary.id)) for summary in reader.documents()]
    vectors = reader.vectors(np.flatnonzero(reader.live)).copy()
    kill_rounds_after(writing, path, 4)
    assert [(summary, reader.chunks_of(summary.id)) for summary in reader.documents()] == before
    np.testing.assert_array_equal(reader.vectors(np.flatnonzero(reader.live)), vectors)
    assert directory.refresh()
    directory.close()


def kill_rounds_after(writing: Writing, path: Path, commits: int) -> None:
    """One more writer, killed after so many commits."""
    pid = writing.start(path, 99)
    acknowledged = 0
    while (heard := writing.said())[0] != "end":
        acknowledged += heard[0] == "ack"
        if acknowledged == commits:
            os.kill(pid, signal.SIGKILL)
    assert heard[1] == -signal.SIGKILL


@pytest.mark.parametrize("seed", range(3))
def test_a_full_disk_at_any_write_loses_nothing_and_the_writer_goes_on(
    writing: Writing, tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "index"
    pid = writing.start(path, seed + 1, largest_file=300_000)
    full, possible = 0, list[object]()
    while (heard := writing.said())[0] != "end":
        word, value = heard
        if word == "full":
            full += 1
            assert "make room on the disk" in value
        else:
            possible = [*possible[:1], value] if word == "intent" else [value]
        if full == FULL_DISKS and word == "ack":
            os.kill(pid, signal.SIGKILL)
    assert heard[1] == -signal.SIGKILL
    assert full >= FULL_DISKS
    assert state_of(path) in possible
    with IndexDirectory(IndexSpec(path=str(path))).writer(None):
        pass
    directory = IndexDirectory(IndexSpec(path=str(path)))
    assert damage(directory.reader()) == []
    directory.close()


def test_a_half_written_segment_of_a_killed_writer_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "index"
    directory = IndexDirectory(IndexSpec(path=str(path)))
    with directory.writer(None) as writer:
        writer.commit()
    (path / "vectors").mkdir()
    (path / "vectors" / "000001.f32").write_bytes(b"\0" * 1001)
    assert [problem.kind for problem in directory.reader().check()] == ["orphan-file"]
    with directory.writer(None):
        pass
    assert list((path / "vectors").iterdir()) == []
    directory.close()
