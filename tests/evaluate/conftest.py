"""A small set in BEIR's layout, and the hybrid pipeline with hashed vectors over it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

CORPUS = {
    "dogs": ("Dogs", "Dogs bark at night. They sleep during the day."),
    "owls": ("Owls", "Owls hoot after dark. They hunt mice."),
    "vasa": ("The Vasa", "The Vasa sank in 1628 on its first voyage. It was raised in 1961."),
    "leave": ("", "Employees have 27 days of annual leave a year. Unused days lapse in March."),
}
QUERIES = (
    {"_id": "q1", "text": "Do dogs bark at night?", "metadata": {"answers": ["at night"]}},
    {
        "_id": "q2",
        "text": "In what year was it that the Vasa sank?",
        "metadata": {
            "answers": ["1628"],
            "gold_spans": [
                {"doc": "vasa", "start": 0, "end": 42, "text": "The Vasa sank in 1628 on its first voyage."}
            ],
        },
    },
    {"_id": "q3", "text": "Is there a gym?", "metadata": {"answerable": False, "answers": [""]}},
    {"_id": "q4", "text": "Nobody has judged this one"},
)
QRELS = ("q1\tdogs\t2", "q1\towls\t1", "q2\tvasa\t1")
OVERRIDES = ("ingest.embed={use: hash, dimension: 64}",)

Write = Callable[[str, Iterable[Mapping[str, object]]], Path]


def lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("questions.jsonl", rows)``: a file of JSON lines."""

    def written(name: str, rows: Iterable[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        path.write_text(lines(rows), encoding="utf-8")
        return path

    return written


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    corpus = ({"_id": key, "title": title, "text": text} for key, (title, text) in CORPUS.items())
    (folder / "corpus.jsonl").write_text(lines(corpus), encoding="utf-8")
    (folder / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(QRELS) + "\n", encoding="utf-8")
    return folder
