from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from rag.errors import BackendError
from rag.models.batch import Ask, complete_all
from rag.models.caller import CALLER, Caller, pause
from rag.models.llm import Message
from rag.models.openai import OpenAIModel
from rag.models.retry import Backoff
from rag.testing.openai_stub import OpenAIStub, Reply
from rag.testing.vllm_server import until

ASK = [Message("user", "Do dogs bark?")]
BEGUN = b'data: {"choices": [{"delta": {"content": "Yes, "}}]}\n\n'
FOREVER = 60.0  # seconds; no test takes as long


@contextmanager
def working_for(caller: Caller) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4, initializer=CALLER.set, initargs=(caller,)) as threads:
        yield threads


def test_who_leaves_stops_what_runs_and_what_begins_later() -> None:
    caller, stopped = Caller(), []
    with caller.stopping(lambda: stopped.append("first")):
        with caller.stopping(lambda: stopped.append("over before")):
            pass
        caller.leave()
        assert stopped == ["first"]
        with caller.stopping(lambda: stopped.append("later")):
            assert stopped == ["first", "later"]
    assert caller.left


def test_a_wait_ends_when_the_caller_leaves() -> None:
    caller = Caller()
    with working_for(caller) as threads:
        waiting = threads.submit(pause, FOREVER)
        caller.leave()
        waiting.result(5)


def test_threads_without_a_caller_work_for_one_who_stays() -> None:
    assert not CALLER.get().left


@pytest.mark.parametrize("pieces", [1, 0])
def test_a_reply_that_a_server_has_begun_ends_when_the_caller_leaves(pieces: int) -> None:
    caller = Caller()
    with OpenAIStub([Reply(pieces=[BEGUN], stall_after=pieces)] * 9) as stub, working_for(caller) as threads:
        model = OpenAIModel(base_url=stub.base_url, model="m", timeout_seconds=FOREVER)
        asked = threads.submit(model.complete, ASK)
        assert until(lambda: bool(caller._stops))  # the server has said that it will answer
        caller.leave()
        with pytest.raises(BackendError, match="connection broke"):
            asked.result(5)
        with pytest.raises(BackendError, match="the caller has left"):
            threads.submit(model.complete, ASK).result(5)
        assert len(stub.requests) == 1
        model.close()


def test_nothing_is_tried_again_for_a_caller_who_has_left() -> None:
    caller = Caller()
    again = Reply(status=503, headers={"Retry-After": "30"})
    with OpenAIStub([again] * 9) as stub, working_for(caller) as threads:
        waiting = Event()

        def sleep(seconds: float) -> None:
            waiting.set()
            pause(seconds)

        model = OpenAIModel(base_url=stub.base_url, model="m", backoff=Backoff(retries=4, sleep=sleep))
        asked = threads.submit(model.complete, ASK)
        assert waiting.wait(5)
        caller.leave()
        with pytest.raises(BackendError, match="the caller has left"):
            asked.result(5)
        assert len(stub.requests) == 1
        model.close()


def test_prompts_that_are_asked_together_end_together() -> None:
    caller = Caller()
    with OpenAIStub([Reply(pieces=[BEGUN], stall_after=1)] * 9) as stub, working_for(caller) as threads:
        model = OpenAIModel(base_url=stub.base_url, model="m", timeout_seconds=FOREVER)
        asked = threads.submit(complete_all, model, [Ask(ASK)] * 3, concurrency=3)
        assert until(lambda: len(caller._stops) == 3)
        caller.leave()
        with pytest.raises(BackendError):
            asked.result(5)
        model.close()
