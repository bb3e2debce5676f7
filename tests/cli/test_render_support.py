"""What an answer says of the sentences that its sources do not clearly support."""

from __future__ import annotations

from rag.cli import render
from rag.types import Answer, Citation, Evidence, Location, Span, Support, Verdict

TEXT = "Dogs bark [1]. Dogs weigh 5 g [1]. Cats meow."
EVIDENCE = Evidence(span=Span("a.md", 0, 10), text="Dogs bark.", score=1.0, chunk_id="a", source="a.md")


def answer(*verdicts: Verdict, uncited: bool = True) -> Answer:
    ranges = [(0, 14), (15, 34)]
    missing: tuple[str, ...] = ("5",) if verdicts[-1] == "unsupported" else ()
    return Answer(
        query="?",
        text=TEXT,
        evidence=(EVIDENCE,),
        citations=tuple(
            Citation(start, end, (1,), (EVIDENCE.span,), Support(verdict=verdict, words=0.5, missing=missing))
            for (start, end), verdict in zip(ranges, verdicts, strict=False)
        ),
        uncited=((35, 45),) if uncited else (),
    )


def shown(result: Answer, *, with_text: bool = True) -> list[str]:
    return render.answer(result, locate=lambda span: Location(), with_text=with_text).splitlines()


def test_a_word_behind_the_sentence_says_what_is_doubtful_and_a_line_says_why() -> None:
    lines = shown(answer("supported", "unsupported"))
    assert lines[0] == "Dogs bark [1]. Dogs weigh 5 g [1]. (unsupported) Cats meow."
    assert 'unsupported: "Dogs weigh 5 g [1]." not in its source: 5' in lines
    assert 'without a source: "Cats meow."' in lines
    assert (
        lines[-1]
        == "mode: generated · 1 source · 0 ms · 1 of 2 cited sentences supported · 1 sentence without a source"
    )


def test_weak_support_without_a_wrong_fact_gives_the_share_of_words() -> None:
    lines = shown(answer("supported", "weak"))
    assert "(weakly supported)" in lines[0]
    assert 'weakly supported: "Dogs weigh 5 g [1]." 50% of its words are in its source' in lines


def test_a_streamed_answer_is_not_printed_again_but_its_doubts_are() -> None:
    lines = shown(answer("supported", "unsupported"), with_text=False)
    assert not any("Dogs bark [1]." in line for line in lines)
    assert any(line.startswith("unsupported:") for line in lines)


def test_nothing_is_said_where_nothing_was_checked() -> None:
    result = Answer(
        query="?", text="Dogs bark [1].", evidence=(EVIDENCE,), citations=(Citation(0, 14, (1,), (EVIDENCE.span,)),)
    )
    assert shown(result)[-1] == "mode: generated · 1 source · 0 ms"


def test_json_has_the_verdict_and_the_numbers_behind_it() -> None:
    record = render.answer_record(answer("supported", "unsupported"), lambda span: Location())
    citations = record["citations"]
    assert isinstance(citations, list)
    assert citations[1]["support"] == {
        "verdict": "unsupported", "words": 0.5, "quoted": False, "missing": ("5",), "contrary": (), "swapped": (),
        "cosine": None, "entailment": None, "contradiction": None,
    }  # fmt: skip
    assert record["uncited"] == [{"start": 35, "end": 45}]
