"""Asking about many chunks: each question once, failures noted, replies kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from threading import Barrier

import pytest

from rag.enrich.asking import IN_A_ROW, Asking, Prices, Question, UnusableReplyError
from rag.enrich.cache import NAME, ReplyCache
from rag.enrich.tally import EnrichmentTally
from rag.errors import BackendError
from rag.models.llm import Message, Sampling
from rag.types import Chunk, Span, Usage


def question(text: str) -> Question:
    return Question(Chunk(span=Span("d", 0, len(text)), text=text), [Message("user", text)])


def asking(model, cache: ReplyCache, *, concurrency: int = 1, **options) -> Asking:
    return Asking(model, cache, sampling=Sampling(max_tokens=100), concurrency=concurrency, **options)


def whole(chunk: Chunk, reply: str) -> str:
    return reply


def number(chunk: Chunk, reply: str) -> int:
    if not reply.isdigit():
        raise UnusableReplyError("expected a number")
    return int(reply)


def test_replies_come_in_the_order_of_the_questions(function_model, cache: ReplyCache) -> None:
    model = function_model(lambda messages: messages[0].content.upper())
    tally = EnrichmentTally()
    found = asking(model, cache, concurrency=3).ask_all([question(c) for c in "abcdef"], whole, tally)
    assert found == list("ABCDEF")
    assert (tally.asked, tally.cached, tally.usage) == (6, 0, Usage(60, 12, 6))


def test_as_many_are_asked_at_once_as_allowed_and_no_more(function_model, cache: ReplyCache) -> None:
    both = Barrier(2, timeout=10)  # broken unless two are asked at the same time

    def reply(messages: Sequence[Message]) -> str:
        both.wait()
        return "yes"

    model = function_model(reply)
    assert (
        asking(model, cache, concurrency=2).ask_all([question(c) for c in "abcd"], whole, EnrichmentTally())
        == ["yes"] * 4
    )
    assert model.most_at_once == 2


def test_the_same_question_is_asked_once_and_never_again(function_model, cache: ReplyCache, tmp_path: Path) -> None:
    model = function_model(lambda messages: "1")
    first, again = EnrichmentTally(), EnrichmentTally()
    questions = [question("a"), question("b"), question("a")]
    assert asking(model, cache).ask_all(questions, number, first) == [1, 1, 1]
    assert len(model.asked) == 2
    other = ReplyCache(tmp_path)
    assert asking(model, other).ask_all(questions, number, again) == [1, 1, 1]
    other.close()
    assert len(model.asked) == 2
    assert (again.asked, again.cached, again.usage) == (0, 3, Usage())


def test_another_model_or_other_sampling_is_asked_anew(function_model, cache: ReplyCache) -> None:
    one, other = function_model(lambda messages: "1"), function_model(lambda messages: "2", model="other")
    asking(one, cache).ask_all([question("a")], whole, EnrichmentTally())
    assert asking(other, cache).ask_all([question("a")], whole, EnrichmentTally()) == ["2"]
    longer = Asking(one, cache, sampling=Sampling(max_tokens=200), concurrency=1)
    longer.ask_all([question("a")], whole, EnrichmentTally())
    assert len(one.asked) == 2


def test_a_reply_of_no_use_is_asked_for_once_more_with_the_error_told(function_model, cache: ReplyCache) -> None:
    model = function_model(lambda messages: "5" if len(messages) > 1 else "five")
    tally = EnrichmentTally()
    assert asking(model, cache).ask_all([question("a")], number, tally) == [5]
    first, second = model.asked
    assert second[:2] == (*first, Message("assistant", "five"))
    assert "expected a number" in second[2].content
    assert (tally.usage.requests, tally.failed) == (2, [])
    assert asking(model, cache).ask_all([question("a")], number, EnrichmentTally()) == [5]
    assert len(model.asked) == 2


def test_a_chunk_without_a_usable_reply_is_noted_and_the_others_go_on(function_model, cache: ReplyCache) -> None:
    def reply(messages: Sequence[Message]) -> str:
        if messages[0].content == "down":
            raise BackendError("no answer")
        return "five" if messages[0].content == "odd" else "5"

    model, tally = function_model(reply), EnrichmentTally()
    questions = [question(text) for text in ("odd", "a", "down", "b")]
    assert asking(model, cache).ask_all(questions, number, tally) == [None, 5, None, 5]
    assert {(failure.reason, failure.passing) for failure in tally.failed} == {
        ("expected a number", False),
        ("no answer", True),
    }


def test_a_server_that_is_gone_stops_the_run_and_what_it_said_before_is_kept(function_model, cache: ReplyCache) -> None:
    def reply(messages: Sequence[Message]) -> str:
        if messages[0].content == "0":
            return "fine"
        raise BackendError("no answer")

    model = function_model(reply)
    questions = [question(str(at)) for at in range(50)]
    with pytest.raises(BackendError, match="no answer"):
        asking(model, cache).ask_all(questions, whole, EnrichmentTally())
    assert len(model.asked) == 1 + IN_A_ROW
    assert asking(model, cache).cost(questions).cached == 1


def test_progress_is_told_after_each_reply(function_model, cache: ReplyCache) -> None:
    seen: list[int] = []
    tally = EnrichmentTally(watch=lambda: seen.append(tally.done))
    asking(function_model(lambda messages: "1"), cache).ask_all([question(c) for c in "abc"], whole, tally)
    assert seen == [1, 2, 3]


def test_the_cost_counts_what_is_not_known_yet_and_asks_nothing(
    function_model, cache: ReplyCache, tmp_path: Path
) -> None:
    model = function_model(lambda messages: "1")
    asker = asking(model, cache, prices=Prices(prompt=1.0, completion=2.0))
    assert asker.cost([question("a")]).requests == 1
    assert not (tmp_path / NAME).exists()
    asker.ask_all([question("a")], whole, EnrichmentTally())
    cost = asker.cost([question("a"), question("b" * 40), question("b" * 40)])
    # 40 letters are 10 tokens, 4 more frame the message; the reply has at most 100
    assert (cost.chunks, cost.requests, cost.cached, cost.prompt_tokens, cost.completion_tokens) == (3, 1, 1, 14, 100)
    assert cost.price == pytest.approx((14 * 1 + 100 * 2) / 1e6)
    assert len(model.asked) == 1


def test_replies_survive_the_death_of_the_process(tmp_path: Path) -> None:
    script = f"""
        import os, signal
        from pathlib import Path
        from rag.enrich.cache import ReplyCache
        cache = ReplyCache(Path({str(tmp_path)!r}))
        cache.put("k", "lone \\ud800 surrogate")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    cache = ReplyCache(tmp_path)
    assert cache.get(["k", "other"]) == {"k": "lone \ud800 surrogate"}
    cache.close()
