from __future__ import annotations

import pytest

from rag.text.graphemes import boundary_at_or_before, is_boundary


@pytest.mark.parametrize(
    "whole",
    [
        "e\u0301",
        "👩\u200d👧",
        "👍🏽",
        "🇩🇪",
        "❤\ufe0f",
        "\r\n",
        "각".encode().decode(),
        "ᄀ\u1161\u11a8",
        "क\u093f",
        "א\u05b0",
    ],
)
def test_what_is_seen_as_one_character_has_no_boundary_inside(whole: str) -> None:
    text = f"a{whole}b"
    boundaries = [at for at in range(len(text) + 1) if is_boundary(text, at)]
    assert boundaries == [0, 1, 1 + len(whole), len(text)]


def test_flags_are_pairs() -> None:
    assert [at for at in range(7) if is_boundary("🇩🇪🇫🇷🇮🇹", at)] == [0, 2, 4, 6]


def test_a_cut_moves_back_to_a_boundary_if_there_is_one() -> None:
    assert boundary_at_or_before("ae\u0301", 2, after=0) == 1
    assert boundary_at_or_before("e\u0301\u0301", 2, after=0) == 2  # none: cut where asked
