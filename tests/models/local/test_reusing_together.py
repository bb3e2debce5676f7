"""One model, several who ask: what is kept of one question writes no answer to another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Literal

import pytest

from rag.kv.specs import CacheCraftSpec, NoneSpec, PolicySpec, PrefixSpec, ReuseSpec
from rag.models.attention import AttentionPrompt
from rag.models.llm import Message
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.models.passages import Block, joined
from rag.types import Reuse, Usage

TEXTS = ["Dogs bark at night. They sleep by day.", "Cats sleep all day long.", "Rain falls in the north."]
SECRET = "The key is under the mat."
SYSTEM = "Answer from the sources."
ANN = '["ann"]'
BARKS, SLEEPS = "Who barks?", "Who sleeps?"


def sources(texts: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    text, passages = joined([Block.of(number, each) for number, each in enumerate(texts, 1)])
    return text, tuple(passages)


def question(texts: Sequence[str], asked: str, access: Sequence[str] = ()) -> list[Message]:
    text, passages = sources(texts)
    return [Message("system", SYSTEM), Message("user", f"{text}\n\nQuestion: {asked}", passages, tuple(access))]


def attention(texts: Sequence[str], asked: str, access: Sequence[str] = ()) -> AttentionPrompt:
    text, passages = sources(texts)
    return AttentionPrompt(text, passages, (f"\n\nQuestion: {asked}",), SYSTEM, passages, tuple(access))


def reuse_of(usage: Usage) -> Reuse:
    assert usage.reuse is not None
    return usage.reuse


@contextmanager
def reusing(weights: Path, policy: PolicySpec, kept: Literal["again", "kept"] = "kept") -> Iterator[TransformersModel]:
    reuse = ReuseSpec(policy=policy, question=kept)  # type: ignore[arg-type]
    model = TransformersModel(Loader(str(weights), device="cpu"), max_tokens=8, reuse=reuse)
    try:
        yield model
    finally:
        model.close()


@pytest.fixture
def model(weights: Path) -> Iterator[TransformersModel]:
    with reusing(weights, NoneSpec()) as made:
        yield made


ASKED = ((TEXTS, TEXTS[1:], BARKS), (TEXTS[:2], TEXTS[:1], SLEEPS), (TEXTS, TEXTS[1:2], SLEEPS))
"""Sources that attention is asked of, what is left of them, the question; of the last two it is the same one."""


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (1, 2)])
def test_an_answer_is_not_written_from_another_questions_pass_however_two_interleave(
    weights: Path, pair: tuple[int, int]
) -> None:
    kept, again = reusing(weights, NoneSpec()), reusing(weights, NoneSpec(), "again")
    with reusing(weights, NoneSpec()) as model, kept as alone, again as anew:
        for steps in ("aAbB", "abAB", "abBA", "baAB", "baBA"):
            callers = {"a": copy_context(), "b": copy_context()}
            for step in steps:
                read, left, asked = ASKED[pair["ab".index(step.lower())]]
                caller = callers[step.lower()]
                if step in "ab":
                    caller.run(model.attend, attention(read, asked))
                    continue
                answer = caller.run(model.complete, question(left, asked))
                found = reuse_of(answer.usage)
                alone.attend(attention(read, asked))
                gone_on = alone.complete(question(left, asked))
                assert (reuse_of(gone_on.usage).questions, reuse_of(gone_on.usage).apart) == (1, "")
                expected = gone_on if found.questions else anew.complete(question(left, asked))
                assert answer.text == expected.text
                assert bool(found.apart) == (not found.questions)
                if steps[steps.index(step) - 1] == step.lower():  # nobody came between
                    assert found.questions == 1


def test_the_same_question_of_fewer_sources_is_not_answered_by_who_was_shown_more(model: TransformersModel) -> None:
    one, other = copy_context(), copy_context()
    one.run(model.attend, attention(TEXTS[:2], SLEEPS))
    other.run(model.attend, attention(TEXTS, SLEEPS))
    found = reuse_of(one.run(model.complete, question(TEXTS[:1], SLEEPS)).usage)
    assert (found.questions, found.apart) == (0, "sources left out, looked at elsewhere")


def test_a_question_over_the_same_sources_keeps_its_pass_while_another_is_asked_of_them(
    model: TransformersModel,
) -> None:
    model.attend(attention(TEXTS, BARKS))
    model.attend(attention(TEXTS, SLEEPS))
    for asked in (BARKS, SLEEPS):
        found = reuse_of(model.complete(question(TEXTS[1:], asked)).usage)
        assert (found.questions, found.apart) == (1, "")


def test_what_was_read_beside_a_secret_is_not_gone_on_from_for_those_who_may_not_see_it(
    weights: Path, model: TransformersModel
) -> None:
    shown, lists = [*TEXTS, SECRET], ["", "", "", ANN]
    model.attend(attention(shown, BARKS, lists))
    answer = model.complete(question(TEXTS, BARKS, lists[:3]))
    found = reuse_of(answer.usage)
    assert (found.questions, found.apart) == (0, "sources left out that others may see")
    with reusing(weights, NoneSpec()) as other:
        assert answer.text == other.complete(question(TEXTS, BARKS, lists[:3])).text
    model.attend(attention(shown, BARKS, lists))
    hers = model.complete(question([TEXTS[1], SECRET], BARKS, ["", ANN]))  # she may see it: it is shown to her
    assert (reuse_of(hers.usage).questions, reuse_of(hers.usage).apart) == (1, "")


def test_a_chunk_that_was_read_behind_a_secret_serves_only_prompts_with_sources_of_that_list(weights: Path) -> None:
    with reusing(weights, CacheCraftSpec(), "again") as model:
        model.complete(question([SECRET, *TEXTS], BARKS, [ANN, "", "", ""]))
        others = reuse_of(model.complete(question(TEXTS, BARKS)).usage)
        assert others.from_memory == 0
        hers = reuse_of(model.complete(question([SECRET, TEXTS[1], TEXTS[0]], BARKS, [ANN, "", ""])).usage)
        assert hers.from_memory > 0
    with reusing(weights, CacheCraftSpec(), "again") as model:
        model.complete(question([*TEXTS, SECRET], BARKS, ["", "", "", ANN]))
        others = reuse_of(model.complete(question(TEXTS[::-1], BARKS)).usage)
        assert others.from_memory > 0  # these stood in front of it


def test_callers_at_the_same_time_get_the_answers_they_get_alone(weights: Path) -> None:
    """An exact policy, so that what is read before whom makes no difference."""

    async def both(model: TransformersModel) -> list[str]:
        async def one(read: Sequence[str], asked: str) -> str:
            await asyncio.to_thread(model.attend, attention(read, asked))
            return (await asyncio.to_thread(model.complete, question(read, asked))).text

        return list(await asyncio.gather(*(one(read, asked) for read, _, asked in ASKED * 4)))

    with reusing(weights, PrefixSpec()) as model, reusing(weights, PrefixSpec(), "again") as alone:
        expected = [alone.complete(question(read, asked)).text for read, _, asked in ASKED * 4]
        assert asyncio.run(both(model)) == expected


def test_of_callers_at_the_same_time_each_is_told_whether_its_question_was_found(weights: Path) -> None:
    def asked_alone(read: Sequence[str], left: Sequence[str], asked: str) -> tuple[str, str]:
        with reusing(weights, NoneSpec()) as kept, reusing(weights, NoneSpec(), "again") as again:
            kept.attend(attention(read, asked))
            return kept.complete(question(left, asked)).text, again.complete(question(left, asked)).text

    expected = {asked: asked_alone(*asked[:2], asked[2]) for asked in ((tuple(r), tuple(x), q) for r, x, q in ASKED)}

    def ask(model: TransformersModel, read: Sequence[str], left: Sequence[str], asked: str) -> None:
        model.attend(attention(read, asked))
        answer = model.complete(question(left, asked))
        found = reuse_of(answer.usage)
        kept, again = expected[tuple(read), tuple(left), asked]
        # Found is what it was shown attention of, or what another caller had read for the same answer.
        assert answer.text in ((kept, again) if found.questions else (again,))
        assert bool(found.apart) == (not found.questions)

    with reusing(weights, NoneSpec()) as model, ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(ask, model, *each) for each in ASKED * 5]:
            done.result()
