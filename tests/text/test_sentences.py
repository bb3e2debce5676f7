from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text.sentences import sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["Dogs bark.", "Cats meow!", "Do fish sing?", "No."],
        ["Mr. and Mrs. Smith met Dr. Ng.", "She left."],
        ["Pi is 3.14 and version 2.0.1 is out.", "Visit www.example.com."],
        ["He lives in the U.S.", "The army left."],
        ["He is in the U.S. Army now."],
        ["J. R. R. Tolkien wrote it."],
        ["It was vitamin C.", "The end."],
        ["Smith et al. (2020) showed it.", "See Fig. 3 and e.g. the table."],
        ["No. 5 is alive.", "He said no.", "Then he left."],
        ["Apple Inc. Chairman Bob spoke.", "He left Apple Inc.", "The company grew."],
        ["The end... or not?", "Yes!"],
        ['"Stop!" he said.', "“Go.”", "(Really.)", "Next."],
        ["A claim.[12]", "Another one [2]."],
        ["¿Qué pasa?", "¡Nada!", "Bueno."],
        ["А. С. Пушкин жил в г. Москва.", "Он писал стихи."],
        ["هل أنت بخير؟", "نعم، أنا بخير."],
        ["यह पहला वाक्य है।", "यह दूसरा है॥", "तीसरा"],
    ],
)
def test_text_with_spaces_is_cut_where_a_reader_would(expected: list[str]) -> None:
    assert split(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [["今天天气很好。", "我们去公园吧！", "好吗？"], ["彼は「はい。」と言った。", "終わり"], ["“好。”", "他走了。"]],
)
def test_chinese_and_japanese_stops_need_no_space(expected: list[str]) -> None:
    assert split("".join(expected)) == expected


def test_line_breaks_of_wrapped_text_are_no_borders() -> None:
    text = (
        "This is a wrapped paragraph that goes on for a good while and it\n"
        "breaks lines at about sixty-five characters so that each line is\n"
        "full. Then it ends."
    )
    assert split(text) == [text[: text.index(" Then")], "Then it ends."]


def test_headings_list_items_table_rows_and_blank_lines_are_borders() -> None:
    text = "# Title\nSome body\n\n- one thing\n- another\n1. First step\n| a | b |\n| 1 | 2 |\n\nEnd"
    lines = ["# Title", "Some body", "- one thing", "- another", "1. First step", "| a | b |", "| 1 | 2 |", "End"]
    assert split(text) == lines


def test_rows_that_begin_with_the_same_label_are_a_sentence_each() -> None:
    rows = [
        f"Department: {name}; Budget 2026: {n}; Owner: A. Novak" for n, name in enumerate(("Cranes", "iT", "Legal"))
    ]
    assert split("\n".join(rows)) == rows
    records = [f'{{"order": {n}, "customer": "Dietz and sons", "paid": true}},' for n in range(3)]
    assert split("  " + "\n  ".join(records)) == records
    wrapped = "Note: this line is followed by another one, of the same text and\nNote it has no label at all."
    assert split(wrapped) == [wrapped]


@pytest.mark.parametrize(
    "stamp",
    ["2026-01-{:02}T10:00:00Z", "[2026/01/{:02} 10:00] [main]", "Jan {:2} 10:00:00 gamma kernel:", "10:00:{:02}.125"],
)
def test_each_record_of_a_log_is_a_sentence(stamp: str) -> None:
    text = "".join(f"{stamp.format(day)} INFO Request number {day} was served in {day} ms\n" for day in range(5, 15))
    assert [text[start:end] for start, end in sentences(text)] == text.splitlines()


def test_a_short_line_above_a_paragraph_is_a_heading() -> None:
    body = "Employees get 25 days of leave a year, and may carry five of them over."
    assert split(f"Leave policy\n{body}") == ["Leave policy", body]


def test_a_line_that_goes_on_with_a_small_letter_is_no_border() -> None:
    text = "The report\nwas written by several people over the course of one long year."
    assert split(text) == [text]


TEXTS = st.text() | st.text(alphabet='aB1.!?。؟।…"”)([ \t\r\n\x0b\u2028-#|é\u0301👩\u200d', max_size=60)


@given(TEXTS)
def test_sentences_tile_everything_but_white_space(text: str) -> None:
    spans = sentences(text)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())
    ends = [0, *(end for _, end in spans)]
    assert all(previous <= start < end for previous, (start, end) in zip(ends, spans, strict=False))
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)


@pytest.mark.parametrize("pattern", [".", "x", "\n", '."', "a. ", ". " + "(" * 50, "| a\n", "。", "A b. C d.\n"])
def test_time_is_linear_in_the_length(pattern: str) -> None:
    def seconds(characters: int) -> float:
        text = pattern * (characters // len(pattern))
        start = time.process_time()
        sentences(text)
        return time.process_time() - start

    # quadratic time would be a factor of 64; the constant absorbs the clock's noise
    assert seconds(800_000) < 24 * seconds(100_000) + 0.25


WORDS = ["Dr", "e.g", "etc", "no", "dog", "Dogs", "A", "2", "“Why", "(so", "naïve", "U.S", "ran", "x" * 30, "Ⅷ", "été"]
PIECES = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from([". ", " ", ".\n", "? ", ".  ", ". ", ".) ", ""])))


@given(PIECES)
def test_plain_full_stops_are_found_as_the_rules_for_all_stops_find_them(pieces: list[tuple[str, str]]) -> None:
    text = "".join(word + gap for word, gap in pieces)
    found = sentences(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rag.text.sentences._is_plain", lambda *given: False)
        assert sentences(text) == found
