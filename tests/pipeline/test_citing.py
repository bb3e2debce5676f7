"""Citations as events of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import Answered, Components, Pipeline, Wrote
from rag.cite.checked import CheckedCiter
from rag.cite.markers import MarkerCiter
from rag.cite.support import SupportChecker, Thresholds
from rag.events import Cited, Compressed, Event, Retracted
from rag.pipeline.citing import with_citations
from rag.testing import ScriptedModel
from rag.types import Answer, Evidence, Span, Token

TEXT = (
    "Dogs bark. [1] Cats meow at noon [2]. Owls hoot [9].\n\n"
    "- Dogs bark [1]\n- Cats sleep, says Dr. No [2].\nMice run [1][2]"
)
EVIDENCE = tuple(
    Evidence(span=Span(name, 0, len(text)), text=text, score=1.0, chunk_id=name)
    for name, text in (("a", "Dogs bark."), ("b", "Cats meow at noon, and sleep."))
)
CHECKED = CheckedCiter(SupportChecker(thresholds=Thresholds()))


def streamed(citer: MarkerCiter | CheckedCiter, pieces: Sequence[str | Retracted]) -> tuple[list[Event], Answer]:
    """The events that come of writing these pieces, and the answer of what stands at the end."""
    text = ""
    events: list[Event] = [Compressed(0, EVIDENCE)]
    for piece in pieces:
        text = text[: piece.keep] if isinstance(piece, Retracted) else text + piece
        events.append(piece if isinstance(piece, Retracted) else Wrote(0, piece))
    cited = citer.cite(text, EVIDENCE)
    answer = Answer(query="?", text=cited.text, evidence=EVIDENCE, citations=cited.citations)
    return list(with_citations([*events, Answered(0, answer)], citer, lambda at: None)), answer


def standing(events: Sequence[Event]) -> list[Cited]:
    found: list[Cited] = []
    for event in events:
        if isinstance(event, Retracted):
            found = [each for each in found if each.written <= event.keep]
        elif isinstance(event, Cited):
            found.append(event)
    return found


@given(st.lists(st.integers(0, len(TEXT)), max_size=30), st.sampled_from([MarkerCiter(), CHECKED]))
def test_wherever_the_tokens_are_cut_the_events_are_the_citations_of_the_answer(
    cuts: list[int], citer: MarkerCiter | CheckedCiter
) -> None:
    borders = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[start:end] for start, end in pairwise(borders)]
    events, answer = streamed(citer, pieces)
    assert [each.citation for each in standing(events)] == list(answer.citations)
    assert len([event for event in events if isinstance(event, Cited)]) == len(answer.citations)


def test_a_citation_comes_when_the_next_sentence_has_begun() -> None:
    events, _ = streamed(MarkerCiter(), ["Dogs bark", " [1].", " Cats", " meow", " [2]."])
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Compressed", "Wrote", "Wrote", "Wrote", "Wrote", "Cited", "Wrote", "Cited", "Answered"]


@given(st.integers(0, 30), st.integers(0, 30))
def test_what_is_retracted_takes_its_citations_with_it(first: int, keep: int) -> None:
    words = [word + " " for word in TEXT.split(" ")]
    begun = words[:first]
    length = min(keep, len("".join(begun)))
    events, answer = streamed(CHECKED, [*begun, Retracted(0, length), *words])
    assert [each.citation for each in standing(events)] == list(answer.citations)


def test_a_citer_that_moves_citations_gives_them_at_the_end() -> None:
    citer = CheckedCiter(SupportChecker(thresholds=Thresholds()), reattribute=True)
    events, answer = streamed(citer, ["Dogs bark [2]. ", "Cats meow at noon [2]. ", "Mice run."])
    assert [type(event).__name__ for event in events[-3:]] == ["Cited", "Cited", "Answered"]
    assert answer.citations[0].moved_from == (2,)


def test_a_pipeline_streams_citations_by_the_numbers_its_model_saw(make: Callable[..., Pipeline]) -> None:
    reply = "Dogs bark [1]. They bark at night [7]. Cats meow [1]. Owls hoot loudly"
    tokens = [Token(piece) for piece in reply.replace(" ", " |").split("|")]
    pipeline = make(
        "llm={use: given}", "ask.generate={use: llm}", components=Components(llm=ScriptedModel([tokens, tokens]))
    )
    pipeline.ingest()
    events = list(pipeline.stream(["Do dogs bark?"]))
    answer = pipeline.ask("Do dogs bark?")
    assert [event.citation for event in events if isinstance(event, Cited)] == list(answer.citations)
    first = next(at for at, event in enumerate(events) if isinstance(event, Cited))
    assert any(isinstance(event, Wrote) for event in events[first:])  # before the end


@pytest.mark.parametrize("question", ["Do dogs bark?"])
def test_an_extractive_answer_gives_its_citations_too(make: Callable[..., Pipeline], question: str) -> None:
    pipeline = make()
    pipeline.ingest()
    events = list(pipeline.stream([question]))
    last = events[-1]
    assert isinstance(last, Answered)
    assert [event.citation for event in events if isinstance(event, Cited)] == list(last.answer.citations)
