from __future__ import annotations

import numpy as np
import pytest

from rag.index import duplicates
from rag.index.signatures import held_signatures, kept_signatures, signatures_of
from rag.text.minhash import shingles, signature
from rag.types import Document

LINE = "Employees may claim the cost of one pair of glasses every second year, up to an amount of {} euros in total."
OTHER = "The cafeteria is open from half past eleven to two in the afternoon, and closed on public holidays {}."


def test_groups_of_nearly_the_same_text_are_reported_largest_first(index) -> None:
    index.put(
        *(Document(id=f"a{n}", text=LINE.format(n)) for n in range(4)),
        *(Document(id=f"b{n}", text=OTHER.format(n)) for n in range(2)),
        Document(id="c", text="Nothing like it."),
    )
    found = [problem for problem in index.directory.reader().check(deep=True) if "near" in problem.kind]
    assert [problem.where for problem in found] == ["a0, a1, a2 and 1 more", "b0, b1"]
    assert found[0].message.startswith("4 chunks have nearly the same text, as 'Employees may claim")
    assert [problem for problem in index.directory.reader().check() if "near" in problem.kind] == []


def test_the_very_same_text_is_reported_as_that(index) -> None:
    index.put(Document(id="a", text=LINE.format(1)), Document(id="b", text=LINE.format(1)))
    assert [problem.kind for problem in index.directory.reader().check(deep=True)] == ["duplicate-chunk"]


def test_of_many_groups_the_first_are_named_and_the_rest_counted(index) -> None:
    texts = [" ".join(f"w{n}x{i}" for i in range(30)) for n in range(25)]
    index.put(*(Document(id=f"{n}", text=f"{text}\n{text} more") for n, text in enumerate(texts)))
    found = [problem for problem in index.directory.reader().check(deep=True) if "near" in problem.kind]
    assert len(found) == 21
    assert found[-1].message == "5 further groups, 10 chunks"


def test_signatures_that_are_kept_are_made_once_and_are_those_of_the_texts(index) -> None:
    index.put(Document(id="a", text=LINE.format(1)), Document(id="b", text=OTHER.format(1)))
    kept_signatures(index.directory.reader())
    index.put(Document(id="c", text="Nothing like it."), remove=["a"])
    reader = index.directory.reader()
    assert sorted(held_signatures(reader)) == [2]
    rows = np.flatnonzero(reader.live)
    found = signatures_of(kept_signatures(reader), rows)
    expected = [signature(shingles(chunk.text)) for chunk in reader.chunks(rows.tolist())]
    assert found.tolist() == np.stack(expected).tolist()
    assert sorted(held_signatures(reader)) == [2, 3]


def test_kept_signatures_are_what_duplicates_are_found_by(index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.put(*(Document(id=f"a{n}", text=LINE.format(n)) for n in range(3)), Document(id="b", text="--- ***"))
    kept_signatures(index.directory.reader())
    monkeypatch.setattr(duplicates, "signature", lambda of: pytest.fail("made again"))
    found = [problem.where for problem in index.directory.reader().check(deep=True) if "near" in problem.kind]
    assert found == ["a0, a1, a2"]
