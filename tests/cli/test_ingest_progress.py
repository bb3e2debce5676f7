"""How far an ingest is, where standard error is no terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.cli.ingest_progress import Lines
from rag.pipeline.report import IngestProgress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_is_written_at_most_every_so_often_and_says_how_far_it_is() -> None:
    clock, written = Clock(), list[str]()
    lines = Lines(written.append, every=5, clock=clock)
    for clock.now in (1.0, 4.9, 5.0, 6.0, 9.9):
        lines(IngestProgress(done=20, total=1200, failed=1, chunks=100, source="a.md"))
    # 100 chunks of 20 documents in 5 s; 1,180 documents to come are 5,900 chunks, at 20 a second 295 s
    assert written == ["indexing: 20 of 1,200 documents, 1 failed, 100 chunks, 20/s, 5 s gone, about 5 min left"]


def test_time_left_counts_what_is_cut_and_not_what_was_unchanged() -> None:
    # One long document: 30 of 120 chunks in 10 s, so 90 more in 30 s.
    one = IngestProgress(done=1, total=1, failed=0, chunks=30, source="long.txt", waiting=90)
    assert one.seconds_left(10) == 30
    # 990 documents were skipped at once; each of the 8 to come is taken to be like the 2 that were read: 10 s each.
    resumed = IngestProgress(done=992, total=1000, failed=0, chunks=50, source="b.md", unchanged=990)
    assert resumed.seconds_left(20) == 80
    assert IngestProgress(done=3, total=None, failed=0, chunks=30, source="").seconds_left(9) is None
    assert IngestProgress(done=3, total=9, failed=0, chunks=0, source="").seconds_left(9) is None


@pytest.mark.parametrize(("options", "expected"), [((), True), (("--quiet",), False), (("--json",), False)])
def test_without_a_terminal_an_ingest_writes_lines_unless_told_not_to(
    folder: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], expected: bool
) -> None:
    monkeypatch.setattr("rag.cli.ingest_progress.LINE_SECONDS", 0.0)
    done = run("ingest", *options)
    assert ("indexing: 2 of 2 documents, " in done.err) is expected
