from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rag.cite.markers import MarkerCiter
from rag.types import Citation, Evidence, Span

GIVEN = (1, 2)
EVIDENCE = [
    Evidence(span=Span(f"d{number}", 0, 10), text="Dogs bark.", score=1.0, chunk_id=f"c{number}") for number in GIVEN
]
WORDS = ["Dogs bark", "Cats meow at noon, says Dr", "mice", "Über", "犬は吠える。", "3", "a" * 45]
MARKS = [" ", " ", "\n", "\n\n", "\n- ", "\n1", ".", ". ", "? ", "…", "“", "” ", "# ", "|", "`", "```"]
MARKERS = ["[1]", "[2]", " [1][2]", " [1, 2]", " [9]", "[1", "]", "[", "`[1]`"]
PIECES = WORDS + MARKS + MARKERS
texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


def standing(text: str) -> tuple[str, list[Citation]]:
    """The final text as far as it is certain, and the citations in it."""
    citer = MarkerCiter()
    cited = citer.cite(text, EVIDENCE)
    end = citer.certain(text, GIVEN)
    assert end <= len(cited.text)
    return cited.text[:end], [citation for citation in cited.citations if citation.end <= end]


@settings(max_examples=600)
@given(texts, st.data())
@example("aaaa bbb. [1]\nCats are animals of some size [2]. And", None)
def test_wherever_the_stream_is_cut_what_stands_is_how_the_finished_answer_begins(
    text: str, data: st.DataObject | None
) -> None:
    cuts = range(len(text) + 1) if data is None else [data.draw(st.integers(0, len(text)))]
    whole = MarkerCiter().cite(text, EVIDENCE)
    for cut in cuts:
        begun, citations = standing(text[:cut])
        assert whole.text.startswith(begun)
        assert list(whole.citations[: len(citations)]) == citations


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("Dogs bark [1].", ""),  # the marker of the next sentence may be its own
        ("Dogs bark [1]. Cats", ""),  # "Cats" may become a name that goes on after an abbreviation
        ("Dogs bark [1]. Cats meow", "Dogs bark [1]."),
        ("Dogs bark. [1] Cats meow", "Dogs bark. [1]"),
        ("Dogs bark.\n\n[1]", ""),
        ("Dogs bark [1].\n- Cats meow", "Dogs bark [1]."),
        ("Dogs bark [1]\nCats meow", "Dogs bark [1]"),
        (
            "Dogs bark at night and in the day\nCats meow [1]. Mice",
            "",
        ),  # a long line to come makes this one wrapped text
        ("Dogs bark [1]. Cats meow [9]. Mice run", "Dogs bark [1]."),
        ("Dogs bark [1]. `Cats meow. Mice run", ""),
    ],
)
def test_a_sentence_stands_when_nothing_to_come_can_change_it(text: str, stands: str) -> None:
    assert standing(text)[0] == stands


def test_most_of_a_long_answer_stands_while_it_is_written() -> None:
    text = "".join(f"Dogs bark number {at} times at night in the yard [1]. " for at in range(50))
    assert len(standing(text)[1]) == 49
