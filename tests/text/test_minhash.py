from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text.minhash import BANDS, ROWS, agreement, resemblance, sharing, shingles, signature


def words(start: int, count: int) -> str:
    return " ".join(f"word{n}" for n in range(start, start + count))


def test_shingles_are_runs_of_five_characters() -> None:
    assert len(shingles("abcdefgh")) == 4  # abcde bcdef cdefg defgh
    assert len(shingles("aaaaaaaaaa")) == 1
    assert len(shingles("abc")) == 1
    assert len(shingles(" ... \n")) == 0


def test_resemblance_is_what_is_shared_over_all() -> None:
    # abcde bcdef cdefg and bcdef cdefg defgh: 2 of 4
    assert resemblance(shingles("abcdefg"), shingles("bcdefgh")) == 0.5
    assert resemblance(shingles("abcdefg"), shingles("ABC-defg")) < 1  # a hyphen is a space, which counts
    assert resemblance(shingles("Abc  defg!"), shingles("abc, DEFG")) == 1
    assert resemblance(shingles(""), shingles("")) == 0


@given(st.text(alphabet="abcdef 漢字かな", min_size=1), st.text(alphabet="abcdef 漢字かな", min_size=1))
def test_resemblance_is_that_of_the_sets_of_runs(one: str, other: str) -> None:
    def runs(text: str) -> set[str]:
        plain = " ".join(text.split())
        return {plain[at : at + 5] for at in range(max(1, len(plain) - 4))} - {""}

    mine, theirs = runs(one), runs(other)
    expected = len(mine & theirs) / len(mine | theirs) if mine and theirs else 0
    assert resemblance(shingles(one), shingles(other)) == pytest.approx(expected)


def test_signatures_agree_about_as_often_as_the_sets_do() -> None:
    texts = [words(0, 300), words(30, 300), words(150, 300), words(1000, 300)]
    sets = [shingles(text) for text in texts]
    found = agreement(np.stack([signature(one) for one in sets]))
    for at, one in enumerate(sets):
        for place, other in enumerate(sets):
            assert found[at, place] == pytest.approx(resemblance(one, other), abs=0.15)
    assert np.diag(found).tolist() == [1, 1, 1, 1]


def test_near_duplicates_share_a_band_and_others_hardly_ever() -> None:
    texts = [words(100 * n, 100) for n in range(100)]
    copies = [text.replace(f"word{100 * n + 50}", "changed") for n, text in enumerate(texts)]
    assert min(resemblance(shingles(a), shingles(b)) for a, b in zip(texts, copies, strict=True)) > 0.9
    pairs = list(sharing([signature(shingles(text)) for text in texts + copies]))
    assert {(n, n + 100) for n in range(100)} <= set(pairs)
    assert len(pairs) == len(set(pairs))
    assert len(pairs) < 400  # of 19,900
    assert signature(shingles("some text")).shape == (BANDS * ROWS,)
