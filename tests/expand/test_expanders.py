from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from rag.expand.base import Expander
from rag.expand.parent import ParentExpander, in_turn, parent
from rag.expand.stretch import sentences_around
from rag.expand.window import WindowExpander
from rag.testing import SampleResources
from rag.text.sentences import sentences
from rag.types import Document, Layout, Part, Query, Ranking

Spans = Sequence[tuple[int, int]]
Index = Callable[[Document, Spans], SampleResources]
Rank = Callable[[Document, Spans], Ranking]

TEXT = "Ants dig. Bees hum. Cats nap.\n\nDogs bark. Eels slip. Foxes run."
SENTENCES = [(0, 9), (10, 19), (20, 29), (31, 41), (42, 52), (53, 63)]
DOCUMENT = Document(id="d", text=TEXT)


def expanded(expander: Expander, ranking: Ranking) -> list[tuple[str, float, str]]:
    (after,) = expander.expand([Query(text="?")], [ranking])
    return [(hit.chunk.text, hit.score, hit.origin) for hit in after]


def test_a_window_adds_the_sentences_beside_a_chunk(index: Index, rank: Rank) -> None:
    resources = index(DOCUMENT, SENTENCES)
    one = WindowExpander(resources, reach=1)
    assert expanded(one, rank(DOCUMENT, [(20, 29)])) == [("Bees hum. Cats nap.\n\nDogs bark.", 1.0, "given-0")]
    assert expanded(one, rank(DOCUMENT, [(0, 9)])) == [("Ants dig. Bees hum.", 1.0, "given-0")]
    assert expanded(one, rank(DOCUMENT, [(53, 63)])) == [("Eels slip. Foxes run.", 1.0, "given-0")]
    assert expanded(WindowExpander(resources, reach=9), rank(DOCUMENT, [(31, 41)])) == [(TEXT, 1.0, "given-0")]


def test_a_chunk_inside_a_sentence_becomes_whole_sentences_first(index: Index, rank: Rank) -> None:
    cut = [(0, 9), (10, 24), (25, 63)]
    expander = WindowExpander(index(DOCUMENT, cut), reach=1)
    assert expanded(expander, rank(DOCUMENT, [(12, 24)]))[0][0] == "Ants dig. Bees hum. Cats nap.\n\nDogs bark."


def test_windows_that_overlap_become_one_at_the_first_place_with_the_best_score(index: Index, rank: Rank) -> None:
    expander = WindowExpander(index(DOCUMENT, SENTENCES), reach=1)
    ranking = rank(DOCUMENT, [(53, 63), (0, 9), (31, 41)])  # Eels is beside the first and the last
    assert expanded(expander, ranking) == [
        ("Cats nap.\n\nDogs bark. Eels slip. Foxes run.", 1.0, "given-0"),
        ("Ants dig. Bees hum.", 0.5, "given-1"),
    ]
    (after,) = expander.expand([Query(text="?")], [ranking])
    assert (after[0].chunk.context, after[0].chunk.meta) == ("at 53", {"start": 53})


def test_a_stretch_that_joins_two_earlier_ones_leaves_one(index: Index, rank: Rank) -> None:
    expander = WindowExpander(index(DOCUMENT, SENTENCES), reach=1)
    # Ants to Bees; Eels to Foxes; then Bees to Dogs and Cats to Eels lie between
    ranking = rank(DOCUMENT, [(0, 9), (53, 63), (20, 29), (31, 41)])
    assert expanded(expander, ranking) == [(TEXT, 1.0, "given-0")]


def test_windows_that_only_touch_stay_apart(index: Index, rank: Rank) -> None:
    expander = WindowExpander(index(DOCUMENT, SENTENCES), reach=1)
    assert [text for text, _, _ in expanded(expander, rank(DOCUMENT, [(10, 19), (42, 52)]))] == [
        "Ants dig. Bees hum. Cats nap.",
        "Dogs bark. Eels slip. Foxes run.",
    ]


def test_a_window_of_chunks_adds_those_of_the_index_and_what_is_between(index: Index, rank: Rank) -> None:
    cut = [(0, 9), (10, 29), (31, 41), (42, 63)]
    resources = index(DOCUMENT, cut)
    one = WindowExpander(resources, unit="chunks", reach=1)
    assert expanded(one, rank(DOCUMENT, [(31, 41)]))[0][0] == TEXT[10:]
    assert expanded(one, rank(DOCUMENT, [(0, 9)]))[0][0] == TEXT[:29]
    assert expanded(one, rank(DOCUMENT, [(42, 63)]))[0][0] == TEXT[31:]


def test_chunks_that_overlap_are_neighbours_by_their_starts(index: Index, rank: Rank) -> None:
    cut = [(0, 29), (10, 41), (31, 52), (42, 63)]
    expander = WindowExpander(index(DOCUMENT, cut), unit="chunks", reach=1)
    assert expanded(expander, rank(DOCUMENT, [(31, 52)]))[0][0] == TEXT[10:]


def test_the_sentences_around_a_place_are_those_of_the_whole_text() -> None:
    paragraphs = ["One. Two.", "Three is a\nlonger one. Four!", "五。六。", "- a list\n- of two", "Seven. Eight."]
    for gap in ("\n\n", "\r\n\r\n", "\n \n", "\n\n\n", "\n\r\n"):
        text = gap.join(paragraphs)
        whole = sentences(text)
        for start in range(len(text)):
            for reach in (0, 1, 10, 1000):
                around = sentences_around(text, start, start + 1, reach=reach)
                assert [one for one in whole if one in around] == around
                near = [one for one in whole if one[0] < start + 1 + reach and start - reach < one[1]]
                assert set(near) <= set(around)


MARKDOWN = "Intro.\n\n# Top\nAlpha.\n\n## Sub\nBeta.\n\n## Other\nGamma.\n\n# Next\nDelta.\n"
HEADINGS = [("# Top", 1), ("## Sub", 2), ("## Other", 2), ("# Next", 1)]
LAYOUT = Layout(
    parts=tuple(
        Part("heading", MARKDOWN.index(line), MARKDOWN.index(line) + len(line), line.lstrip("# "), level)
        for line, level in HEADINGS
    )
)
SECTIONS = Document(id="s", text=MARKDOWN, layout=LAYOUT)


def place(text: str) -> tuple[int, int]:
    return MARKDOWN.index(text), MARKDOWN.index(text) + len(text)


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ("Beta.", "## Sub\nBeta."),
        ("Gamma.", "## Other\nGamma."),
        ("Alpha.", "# Top\nAlpha.\n\n## Sub\nBeta.\n\n## Other\nGamma."),
        ("Delta.", "# Next\nDelta."),
        ("Beta.\n\n## Other", "## Sub\nBeta.\n\n## Other"),  # over a border: as far as the chunk itself goes
        ("Intro.", MARKDOWN.rstrip()),  # no heading above, no page: the document
    ],
)
def test_a_section_goes_from_the_nearest_heading_to_the_next_of_its_level(
    chunk: str, expected: str, index: Index, rank: Rank
) -> None:
    expander = ParentExpander(index(SECTIONS, [place(chunk)]), kind="section")
    assert expanded(expander, rank(SECTIONS, [place(chunk)])) == [(expected, 1.0, "given-0")]


def test_a_page_is_all_pages_that_the_chunk_is_on() -> None:
    parts = (Part("page", 0, 30, "1"), Part("page", 30, 50, "2"), Part("page", 50, 63, "3"))
    paged = Document(id="p", text=TEXT, layout=Layout(parts=parts))
    assert parent(paged, 31, 41, kind="page") == (30, 50)
    assert parent(paged, 42, 52, kind="page") == (30, 63)
    assert parent(paged, 42, 52, kind="section") == (30, 63)  # no headings
    assert parent(paged, 42, 52, kind="tokens") == (0, 63)
    assert parent(DOCUMENT, 42, 52, kind="page") == (0, 63)  # no pages


def test_a_parent_that_is_too_long_gives_sentences_in_turn_after_and_before(index: Index, rank: Rank) -> None:
    resources = index(DOCUMENT, SENTENCES)
    for tokens, expected in ((2, TEXT[31:41]), (4, TEXT[31:52]), (5, TEXT[31:52]), (6, TEXT[20:52]), (8, TEXT[20:63])):
        expander = ParentExpander(resources, kind="tokens", tokens=tokens)
        assert expanded(expander, rank(DOCUMENT, [(31, 41)]))[0][0] == expected


def test_a_chunk_longer_than_the_budget_stays_as_it_is(index: Index, rank: Rank) -> None:
    expander = ParentExpander(index(DOCUMENT, [(12, 50)]), kind="tokens", tokens=3)
    assert expanded(expander, rank(DOCUMENT, [(12, 50)]))[0][0] == TEXT[12:50]


def test_a_long_book_gives_no_more_than_was_asked_for(index: Index, rank: Rank) -> None:
    book = Document(id="b", text=" ".join(f"Word number {at} stands here." for at in range(20_000)))
    start = book.text.index("Word number 10000 ")
    span = (start, book.text.index("Word number 10001 ") - 1)
    expander = ParentExpander(index(book, [span]), tokens=50)  # a sentence has 5
    text = expanded(expander, rank(book, [span]))[0][0]
    assert text.startswith("Word number 9996 ")
    assert text.endswith("Word number 10005 stands here.")


def test_taking_in_turn_goes_on_with_the_side_that_still_fits() -> None:
    assert in_turn([5, 5, 5], [2, 2], room=10) == (1, 2)
    assert in_turn([9], [1, 1, 1], room=3) == (0, 3)
    assert in_turn([], [], room=3) == (0, 0)
    assert in_turn([1, 1], [1, 1], room=3) == (2, 1)
