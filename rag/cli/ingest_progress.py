"""How far an ingest is, on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

from rag.cli.options import note
from rag.cli.terminal import plain

if TYPE_CHECKING:
    from rag.pipeline.report import IngestProgress

Show: TypeAlias = "Callable[[IngestProgress], None]"

LINE_SECONDS = 5.0
_LONGEST_NAME = 40


@contextmanager
def shown(quiet: bool) -> Iterator[Show | None]:
    """What to call with each progress; ``None`` if nothing is to be shown."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield Lines(note, every=LINE_SECONDS)


class Lines:
    """A line at most `every` seconds, the first after as long: a run that is done sooner prints none.

    ``indexing: 120 of 3,400 documents, 1 failed, 2,310 chunks, 85/s, 27 s gone, about 9 min left``
    """

    def __init__(
        self, write: Callable[[str], None], *, every: float, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.write = write
        self.every = every
        self.clock = clock
        self.started = self.written = clock()

    def __call__(self, progress: IngestProgress) -> None:
        now = self.clock()
        if now - self.written < self.every:
            return
        self.written = now
        gone = now - self.started
        facts = [
            f"{progress.done:,}{f' of {progress.total:,}' if progress.total is not None else ''} documents",
            f"{progress.failed:,} failed" if progress.failed else "",
            f"{progress.chunks:,} chunks",
            f"{progress.enriched:,} enriched" if progress.enriched else "",
            _rate(progress, gone),
            f"{duration(gone)} gone",
            _left(progress, gone),
        ]
        self.write(f"indexing: {', '.join(filter(None, facts))}")


def duration(seconds: float) -> str:
    """
    >>> duration(41.7), duration(125), duration(5400)
    ('42 s', '2 min', '1.5 h')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),  # a file may be named as if it were markup
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("indexing", total=None, facts="", left="")

        def show(progress: IngestProgress) -> None:
            gone = bar.tasks[task].elapsed or 0.0
            enriched = f"{progress.enriched} enriched" if progress.enriched else ""
            bar.update(
                task,
                completed=progress.done,
                total=progress.total,
                description=plain(progress.source)[-_LONGEST_NAME:],
                facts="  ".join(filter(None, (f"{progress.chunks} chunks", enriched, _rate(progress, gone)))),
                left=_left(progress, gone),
            )

        yield show


def _rate(progress: IngestProgress, gone: float) -> str:
    return f"{progress.chunks / gone:.0f}/s" if progress.chunks and gone > 0.5 else ""


def _left(progress: IngestProgress, gone: float) -> str:
    left = progress.seconds_left(gone)
    return "" if left is None else f"about {duration(left)} left"
