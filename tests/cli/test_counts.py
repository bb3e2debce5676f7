from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

ON = ("--set", "ingest.index.ngrams={}")


def test_phrases_are_counted_alone_and_together(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("counts", "Owls", "they hunt", "--window", "6", *ON)
    # "# Owls\n\nOwls hoot after dark. They hunt mice.": 5 and 6 words before "they".
    assert [line.split(maxsplit=1) for line in done.out.splitlines()] == [
        ["2", "Owls"],
        ["1", "they hunt"],
        ["2", "together within 6 words"],
        ["1", "documents with both"],
    ]
    assert done.code == 0


def test_the_window_is_in_words(indexed: Path, run: Callable[..., Any]) -> None:
    record = run("counts", "owls", "they hunt", "--window", "4", "--json", *ON).json
    assert record["together"]["pairs"] == {"count": 1, "exact": True}


def test_json_says_what_was_counted_and_where(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("counts", "dogs", "--json", *ON).json == {
        "version": 1,
        "generation": 1,
        "words": 18,
        "counts": [{"phrase": "dogs", "count": 2, "exact": True}],
    }


def test_a_lower_bound_is_called_one(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("counts", "dogs", "bark", "--set", "ingest.index.ngrams={most: 1}")
    assert "at least 1  together within 1000 words" in done.out


def test_a_pipeline_without_counts_says_how_to_have_them(indexed: Path, run: Callable[..., Any]) -> None:
    done = run("counts", "dogs")
    assert done.code == 1
    assert "ingest.index.ngrams" in done.err


def test_a_phrase_without_a_word_is_refused(indexed: Path, run: Callable[..., Any]) -> None:
    assert run("counts", "?!", *ON).code == 2
