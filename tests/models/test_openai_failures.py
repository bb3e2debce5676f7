"""Servers that are ill, each in its own way: a clear error in bounded time, as many tries as said, nothing left."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
from pydantic import ValidationError

from rag.errors import BackendError
from rag.models.llm import Message
from rag.models.openai import OpenAIModel
from rag.models.openai_specs import OpenAIModelSpec
from rag.models.retry import Backoff
from rag.testing.openai_stub import OpenAIStub, Reply
from rag.testing.vllm_server import until
from rag.types import Token

ASK = [Message("user", "Do dogs bark?")]
DONE = b"data: [DONE]\n\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>data: none</body></html>"
PATIENCE = 0.3  # seconds; what a test waits for a silent server


def piece(text: str, *, finish: str | None = None, **fields: str) -> bytes:
    choice = {"delta": {"content": text, **fields}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


@contextmanager
def asking(url: str, *, retries: int = 2) -> Iterator[tuple[OpenAIModel, list[float]]]:
    """A model of the server, and the waits it would have made. Afterwards no thread and no connection is left of it."""
    slept: list[float] = []
    backoff = Backoff(retries=retries, sleep=slept.append, draw=lambda low, high: high)
    threads, sockets = set(threading.enumerate()), open_sockets()
    model = OpenAIModel(base_url=url, model="m", timeout_seconds=PATIENCE, backoff=backoff)
    try:
        yield model, slept
    finally:
        model.close()
    # The stub's own threads and sockets, one for each connection, end when they see that nobody is there.
    left = [thread for thread in set(threading.enumerate()) - threads if "process_request" not in thread.name]
    assert left == []
    assert until(lambda: open_sockets() <= sockets + hung(threads), seconds=5)


def hung(threads: set[threading.Thread]) -> int:
    """How many connections the stub holds on its side until it is closed: scripted silence does not look."""
    return sum("process_request" in thread.name for thread in set(threading.enumerate()) - threads)


def open_sockets() -> int:
    """The sockets of this process; Linux only."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
        except OSError:
            continue  # the listing's own
    return count


def take(model: OpenAIModel, got: list[object]) -> None:
    """Note each piece of a reply as it comes."""
    for each in model.stream(ASK):
        got.append(each)  # what came before a failure is to be seen


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts sockets in /proc")


def test_a_server_that_takes_the_connection_and_never_replies_is_tried_as_often_as_said() -> None:
    with OpenAIStub([Reply(hang=True)] * 9) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match=r"no answer for 0\.3 s") as caught:
            model.complete(ASK)
        assert caught.value.hint == "raise llm.timeout_seconds"
        assert (len(stub.requests), slept) == (3, [0.5, 1.0])


def test_a_server_that_is_never_given_the_processor_is_the_same() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:  # the kernel takes the connection, nobody reads
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with asking(url, retries=1) as (model, slept), pytest.raises(BackendError, match=r"no answer for 0\.3 s"):
            list(model.stream(ASK))
    assert slept == [0.5]


def test_a_reply_that_stalls_in_the_middle_of_a_chunk_is_an_error_after_what_was_handed_out() -> None:
    half = [piece("Yes, "), piece("they do.")[:12]]
    got: list[object] = []
    with OpenAIStub([Reply(pieces=half, stall_after=2)] * 9) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match=r"no answer for 0\.3 s"):
            take(model, got)
        assert (len(stub.requests), slept) == (1, [])
    assert got == [Token("Yes, ")]


def test_a_reply_that_stalls_before_anybody_has_seen_it_is_tried_as_often_as_said() -> None:
    stalled = Reply(pieces=[piece("Yes, "), piece("they")[:12]], stall_after=2)
    with OpenAIStub([stalled, stalled, Reply(text="Yes, they do.")]) as stub, asking(stub.base_url) as (model, slept):
        assert model.complete(ASK).text == "Yes, they do."
        assert slept == [0.5, 1.0]


@pytest.mark.parametrize("header", ["text/html; charset=utf-8", "text/event-stream", "application/json"])
def test_a_web_page_with_status_200_is_named_and_not_asked_for_again(header: str) -> None:
    reply = Reply(pieces=[PAGE], headers={"Content-Type": header})
    with OpenAIStub([reply] * 9) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match=r"found a web page: '<!DOCTYPE html> <html>") as caught:
            model.complete(ASK)
        assert "/v1" in caught.value.hint
        assert (len(stub.requests), slept) == (1, [])


def test_plain_words_with_status_200_are_shown_and_tried_again() -> None:
    busy = Reply(pieces=[b"upstream is busy\n"], headers={"Content-Type": "text/plain"})
    with OpenAIStub([busy, busy, busy]) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match=r"expected a model's reply, .*'upstream is busy'"):
            model.complete(ASK)
        assert slept == [0.5, 1.0]


@pytest.mark.parametrize(
    "malformed",
    [
        b"data: {\xff\xfe\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: null\n\n",
        b'data: {"choices": 7}\n\ndata: {"choices": [{"delta": "x"}]}\n\n',
        b'data: {"choices": [{"delta": {"content": 5}}]}\n\n',
        b"da",
        b"",
    ],
)
def test_malformed_events_end_in_an_error_after_the_tries(malformed: bytes) -> None:
    reply = Reply(pieces=[malformed] if malformed else [])
    with OpenAIStub([reply] * 9) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match=r"expected a model's reply|broke off after 0 characters"):
            model.complete(ASK)
        assert (len(stub.requests), slept) == (3, [0.5, 1.0])


def test_a_reply_of_keep_alives_alone_broke_off() -> None:
    with (
        OpenAIStub([Reply(pieces=[b": ping\n\n"])]) as stub,
        asking(stub.base_url, retries=0) as (model, _),
        pytest.raises(BackendError, match="broke off after 0 characters"),
    ):
        model.complete(ASK)


def test_a_body_that_is_not_compressed_as_its_header_says_is_a_broken_connection() -> None:
    reply = Reply(pieces=[piece("Yes.")], headers={"Content-Encoding": "gzip"})
    with (
        OpenAIStub([reply]) as stub,
        asking(stub.base_url, retries=0) as (model, _),
        pytest.raises(BackendError, match="the connection broke"),
    ):
        model.complete(ASK)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_the_wait_that_429_asks_for_is_kept_as_seconds_and_as_a_date(form: str) -> None:
    asked = "7" if form == "seconds" else formatdate(time() + 30, usegmt=True)
    reply = Reply(status=429, headers={"Retry-After": asked})
    with OpenAIStub([reply, Reply(text="Yes.")]) as stub, asking(stub.base_url) as (model, slept):
        assert model.complete(ASK).text == "Yes."
    [waited] = slept
    assert waited == 7.0 if form == "seconds" else 25 < waited <= 30


def test_an_error_inside_a_reply_is_tried_again_unless_its_code_says_that_it_stays() -> None:
    passing = Reply(pieces=[b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'])
    staying = Reply(pieces=[b'data: {"error": {"message": "too long", "code": 400}}\n\n'])
    with OpenAIStub([passing, staying, Reply(text="Yes.")]) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match="failed while answering: too long"):
            model.complete(ASK)
        assert (len(stub.requests), slept) == (2, [0.5])


def test_an_error_inside_a_reply_after_its_first_piece_is_never_tried_again() -> None:
    failing = Reply(pieces=[piece("Yes, "), b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'])
    got: list[object] = []
    with OpenAIStub([failing] * 9) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match="failed while answering: overloaded"):
            take(model, got)
        assert (len(stub.requests), slept) == (1, [])
    assert got == [Token("Yes, ")]


@pytest.mark.parametrize("refusing", [piece("", refusal="I cannot."), piece("So far", finish="content_filter")])
def test_a_reply_that_a_filter_cut_is_an_error_and_no_short_answer(refusing: bytes) -> None:
    with OpenAIStub([Reply(pieces=[refusing, DONE])] * 9) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match="refused to answer"):
            model.complete(ASK)
        assert (len(stub.requests), slept) == (1, [])


def test_choosing_from_a_web_page_is_the_same_error() -> None:
    reply = Reply(pieces=[PAGE], headers={"Content-Type": "text/html"})
    with OpenAIStub([reply]) as stub, asking(stub.base_url) as (model, slept):
        with pytest.raises(BackendError, match="found a web page"):
            model.choose(ASK, ["Yes", "No"])
        assert (len(stub.requests), slept) == (1, [])


@pytest.mark.parametrize(
    "url", ["http://", "http://host:port/v1", "http://host:99999/v1", "http://[::1/v1", "http:///v1"]
)
def test_an_address_that_is_none_is_refused_with_the_file(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        OpenAIModelSpec.model_validate({"base_url": url, "model": "m"})
