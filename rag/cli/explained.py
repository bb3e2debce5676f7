"""How an explanation looks: text for a terminal, and JSON (docs/explain.md)."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from rag.cli.options import colours
from rag.cli.render import VERSION
from rag.evaluate.charts import shortened
from rag.evaluate.findings import numbered

if TYPE_CHECKING:
    from rag.evaluate.explanation import Explanation, Passage
    from rag.types import Usage

LABEL = 32
"""Columns that a table keeps for naming the passage; also the most that the name of a stage may have."""


def record(found: Explanation) -> dict[str, object]:
    """The documented JSON of an explanation."""
    return {
        "version": VERSION,
        "query": found.question,
        "queries": list(found.queries),
        "summary": list(found.summary),
        "columns": list(found.columns),
        "passages": [
            {
                "chunk_id": each.chunk_id,
                "where": each.where,
                "texts": list(each.texts),
                "numbers": list(each.numbers),
                "ranks": list(each.ranks),
            }
            for each in found.passages
        ],
        "left_out": [
            {
                "stage": left.stage,
                "name": left.name,
                "instead": left.instead,
                "finding": left.finding,
                "ranks": {key: list(ranks) for key, ranks in left.ranks.items()},
                "characters": left.characters,
                "answer": left.answer,
            }
            for left in found.left_out
        ],
        "characters": found.characters,
        "answer": found.answer,
        "steps": [
            {
                "stage": step.stage,
                "name": step.name,
                "in": step.taken,
                "out": step.given,
                "milliseconds": round(step.seconds * 1000, 3),
                "share": round(step.share, 4),
                "usage": asdict(step.usage),
            }
            for step in found.steps
        ],
        "milliseconds": round(found.seconds * 1000, 3),
    }


# ---- text


def text(found: Explanation, *, width: int | None = None) -> str:
    """Sentences first, then the ranks and the cost under them; `width` columns, the terminal's if ``None``."""
    width = width or max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    folder = [f"(in {clean(found.folder)})"] if found.folder else []
    parts = [[clean(found.question), *folder], [_heading("what decided"), *_paragraphs(found.summary, width)]]
    if found.answer is not None:
        parts.append([_heading("answer"), *_paragraphs([found.answer, *_other_answers(found)], width)])
    if found.left_out:
        parts.append([_heading("without each stage"), *_paragraphs([left.finding for left in found.left_out], width)])
    if found.passages:
        ranks = [passage.ranks for passage in found.passages]
        parts.append(_matrix("rank at each stage", found.columns, found.passages, ranks, width))
    if found.passages and found.left_out:
        names = [f"{left.name}>{left.instead}" if left.instead else left.name for left in found.left_out]
        places = [[left.ranks[passage.chunk_id][-1] for left in found.left_out] for passage in found.passages]
        parts.append(_matrix("place in the evidence without", names, found.passages, places, width))
    parts.append(_cost(found))
    shared = [f"{step.stage} {step.name}: {step.usage.reuse}" for step in found.steps if step.usage.reuse]
    if shared:
        parts.append([_heading("keys and values of sources"), *_paragraphs(shared, width)])
    return "\n\n".join("\n".join(part) for part in parts)


def clean(words: str) -> str:
    """One line; what a terminal would obey or cannot show (control characters, lone surrogates) replaced."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in " ".join(words.split()))


def _other_answers(found: Explanation) -> Iterator[str]:
    for left in found.left_out:
        if left.answer != found.answer:
            instead = (
                f"With `{left.instead}` in the place of `{left.name}`" if left.instead else f"Without `{left.name}`"
            )
            yield f"{instead}: {left.answer}"


def _heading(title: str) -> str:
    return f"\033[1m{title}\033[0m" if colours() else title


def _paragraphs(texts: Sequence[str], width: int) -> list[str]:
    return [
        line
        for each in texts
        for line in textwrap.wrap(
            clean(each), width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    ]


def _matrix(
    title: str, names: Sequence[str], passages: Sequence[Passage], rows: Sequence[Sequence[int | None]], width: int
) -> list[str]:
    """Passages by columns of ranks, in as many tables as it takes to keep `LABEL` columns for the passage."""
    lines: list[str] = []
    names = [shortened(name, LABEL) for name in names]
    numbers = [numbered(passage.numbers) for passage in passages]
    number = max(map(len, numbers)) + 1
    places = [clean(passage.label) for passage in passages]
    for columns in _groups(names, width - LABEL):
        sizes = [max(len(names[at]), 4) + 2 for at in columns]
        label = min(width - sum(sizes), max(len(title), number + max(map(cell_len, places))))
        header = "".join(f"{names[at]:>{size}}" for at, size in zip(columns, sizes, strict=True))
        lines.append(f"{_heading(set_cell_size(title, label))}{header}")
        for named, place, row in zip(numbers, places, rows, strict=True):
            ranks = "".join(f"{row[at] or '-':>{size}}" for at, size in zip(columns, sizes, strict=True))
            lines.append(f"{named:<{number}}{_fitted(place, label - number)}{ranks}")
    return lines


def _groups(names: Sequence[str], width: int) -> list[list[int]]:
    """Positions of the names, in groups that fit into `width`; one that never fits stands alone."""
    groups: list[list[int]] = []
    left = 0
    for at, name in enumerate(names):
        size = max(len(name), 4) + 2
        if not groups or size > left:
            groups.append([])
            left = width
        groups[-1].append(at)
        left -= size
    return groups


def _fitted(place: str, width: int) -> str:
    """Filled up to `width` columns, or cut at the start: the lines or the page stand at the end of a place."""
    if cell_len(place) <= width:
        return set_cell_size(place, width)
    end = place[-width:]
    while cell_len(end) >= width:  # a wide character takes two columns
        end = end[1:]
    return set_cell_size(f"…{end}", width)


def _cost(found: Explanation) -> list[str]:
    """Each stage's candidates, milliseconds and share; tokens and requests where any stage asked a language model."""
    asked = found.usage.requests > 0
    rows = [["cost", "", "in", "out", "ms", "share", *(["tokens", "requests"] if asked else [])]]
    for step in found.steps:
        row = [
            step.stage,
            step.name,
            str(step.taken),
            str(step.given),
            f"{step.seconds * 1000:.2f}",
            f"{step.share:.0%}",
        ]
        rows.append(row + (_tokens(step.usage) if asked else []))
    total = ["total", "", "", "", f"{found.seconds * 1000:.2f}", ""]
    rows.append(total + (_tokens(found.usage) if asked else []))
    sizes = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(size) if at < 2 else cell.rjust(size)
            for at, (cell, size) in enumerate(zip(row, sizes, strict=True))
        )
        for row in rows
    ]
    return [_heading(lines[0]), *(line.rstrip() for line in lines[1:])]


def _tokens(usage: Usage) -> list[str]:
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    if usage.kept is not None:
        cached += f" ({usage.kept.kept_entries / usage.kept.cache_entries:.0%} of the cache kept)"
    return [f"{usage.prompt_tokens:,} + {usage.completion_tokens:,}{cached}", str(usage.requests)]
