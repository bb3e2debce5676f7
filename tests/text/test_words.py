from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Obama's X-ray", ["obama", "s", "x", "ray"]),
        ("1,000 files_with_names", ["1", "000", "files", "with", "names"]),
        ("Straße", ["strasse"]),  # as a question may spell it
        ("Ｆｕｌｌ width", ["full", "width"]),
        ("naïve ≠ naive", ["naïve", "naive"]),
        ("서울은", ["서", "울", "은"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs stay with their word
        ("…", []),
    ],
)
def test_words_are_runs_of_letters_marks_and_digits(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_words_as_written_keep_their_case() -> None:
    assert words("May ÉTÉ may", lowercase=False) == ["May", "ÉTÉ", "may"]


@given(st.text(st.characters(max_codepoint=127)), st.booleans())
def test_ascii_text_gives_the_same_words_beside_other_scripts(text: str, lowercase: bool) -> None:
    assert words(f"{text} é", lowercase=lowercase) == [*words(text, lowercase=lowercase), "é"]


@given(st.text(), st.text())
def test_words_do_not_depend_on_what_stands_beyond_a_space(one: str, other: str) -> None:
    assert words(f"{one} . {other}") == words(one) + words(other)
