from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rag.errors import BackendError, ConfigError
from rag.models.llm import Message
from rag.models.openai import OpenAIModel
from rag.models.retry import Backoff
from rag.testing.openai_stub import OpenAIStub, Reply
from rag.types import Token, Usage

ASK = [Message("system", "Be brief."), Message("user", "Do dogs bark?")]
DONE = b"data: [DONE]\n\n"


def piece(text: str, *, finish: str | None = None) -> bytes:
    return (
        b"data: " + json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]}).encode() + b"\n\n"
    )


class Served:
    """A stub, a model that talks to it, and the waits it would have made."""

    def __init__(
        self, stub: OpenAIStub, *, retries: int = 2, timeout_seconds: float = 5.0, key: str | None = None
    ) -> None:
        self.stub = stub
        self.slept: list[float] = []
        backoff = Backoff(retries=retries, sleep=self.slept.append, draw=lambda low, high: high)
        self.model = OpenAIModel(
            base_url=stub.base_url, model="stub", timeout_seconds=timeout_seconds, backoff=backoff, api_key_env=key
        )


@contextmanager
def serve(*script: Reply, retries: int = 2, timeout_seconds: float = 5.0, key: str | None = None) -> Iterator[Served]:
    with OpenAIStub(script) as stub:
        served = Served(stub, retries=retries, timeout_seconds=timeout_seconds, key=key)
        try:
            yield served
        finally:
            served.model.close()


def test_a_reply_comes_in_pieces_and_then_what_it_cost() -> None:
    with serve(Reply(text="Yes, they do.")) as served:
        pieces = list(served.model.stream(ASK))
    assert pieces == [Token("Yes, "), Token("they "), Token("do."), Usage(3, 3, 1)]


def test_a_finished_reply_is_its_pieces_put_together() -> None:
    with serve(Reply(text="Yes, they do.")) as served:
        completion = served.model.complete(ASK)
    assert (completion.text, completion.usage) == ("Yes, they do.", Usage(3, 3, 1))


def test_the_request_says_what_the_options_say() -> None:
    with serve(Reply(text="Yes.")) as served:
        served.model.complete(ASK)
        [request] = served.stub.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "stub",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Do dogs bark?"}],
        "temperature": 0.0,
        "max_tokens": 512,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "Authorization" not in request.headers


def test_no_temperature_is_sent_where_the_model_refuses_one() -> None:
    with OpenAIStub([Reply(text="Yes.")]) as stub:
        model = OpenAIModel(
            base_url=stub.base_url, model="o", temperature=None, max_tokens=9, length_field="max_completion_tokens"
        )
        model.complete(ASK)
        model.close()
        [request] = stub.requests
    assert "temperature" not in request.body
    assert "max_tokens" not in request.body
    assert request.body["max_completion_tokens"] == 9


def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_KEY", " secret\n")
    with serve(Reply(text="Yes."), key="STUB_KEY") as served:
        served.model.complete(ASK)
        assert served.stub.requests[0].headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("value", ["", "two\nlines", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_an_error_that_does_not_show_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_KEY", value)
    with serve(key="STUB_KEY") as served, pytest.raises(ConfigError, match=r"\$STUB_KEY") as caught:
        served.model.complete(ASK)
    assert not value or value not in str(caught.value)
    assert served.stub.requests == []


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_a_failure_that_may_pass_is_tried_again(status: int) -> None:
    with serve(Reply(status=status), Reply(text="Yes.")) as served:
        assert served.model.complete(ASK).text == "Yes."
    assert served.slept == [0.5]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_failure_that_stays_is_not_tried_again(status: int) -> None:
    with serve(Reply(status=status, text="no such thing")) as served:
        with pytest.raises(BackendError, match=f"{status} .*no such thing"):
            served.model.complete(ASK)
        assert len(served.stub.requests) == 1
    assert served.slept == []


def test_waits_double_and_end_with_the_last_error() -> None:
    with (
        serve(*[Reply(status=503, text="overloaded")] * 4, retries=3) as served,
        pytest.raises(BackendError, match=r"503 .*overloaded"),
    ):
        list(served.model.stream(ASK))
    assert served.slept == [0.5, 1.0, 2.0]


def test_the_wait_a_server_asks_for_is_kept() -> None:
    with serve(Reply(status=429, headers={"Retry-After": "3"}), Reply(text="Yes.")) as served:
        assert served.model.complete(ASK).text == "Yes."
    assert served.slept == [3.0]


def test_a_server_that_asks_for_an_hour_is_reported_at_once() -> None:
    with (
        serve(Reply(status=429, headers={"Retry-After": "3600"})) as served,
        pytest.raises(BackendError, match="asks to wait 3600 s"),
    ):
        served.model.complete(ASK)
    assert served.slept == []


def test_no_server_is_an_error_that_asks_whether_it_runs() -> None:
    with OpenAIStub() as stub:
        url = stub.base_url
    model = OpenAIModel(base_url=url, model="stub", backoff=Backoff(retries=1, sleep=lambda seconds: None))
    with pytest.raises(BackendError, match=f"cannot reach {url}") as caught:
        model.complete(ASK)
    assert "is the server running" in caught.value.hint
    model.close()


def test_a_server_that_stays_silent_is_an_error_that_says_for_how_long() -> None:
    with (
        serve(Reply(hang=True), retries=0, timeout_seconds=0.2) as served,
        pytest.raises(BackendError, match=r"no answer for 0.2 s"),
    ):
        served.model.complete(ASK)


def test_a_stream_that_breaks_before_its_first_piece_is_tried_again() -> None:
    with serve(Reply(pieces=[], break_after=0), Reply(text="Yes.")) as served:
        assert [each.text for each in served.model.stream(ASK) if isinstance(each, Token)] == ["Yes."]
    assert served.slept == [0.5]


@pytest.mark.parametrize("broken", [Reply(text="Yes, they do.", break_after=2), Reply(pieces=[piece("Yes, ")])])
def test_a_stream_that_breaks_after_its_first_piece_is_an_error_and_never_repeated(broken: Reply) -> None:
    got: list[object] = []
    with serve(broken, Reply(text="Something else.")) as served:
        with pytest.raises(BackendError, match="broke"):
            got.extend(served.model.stream(ASK))
        assert len(served.stub.requests) == 1
    assert got[:1] == [] or got[0] == Token("Yes, ")


def test_a_broken_reply_that_nobody_has_seen_is_tried_again() -> None:
    with serve(Reply(text="Yes, they do.", break_after=2), Reply(text="Yes, they do.")) as served:
        assert served.model.complete(ASK).text == "Yes, they do."


def test_an_error_inside_the_stream_is_reported_in_its_own_words() -> None:
    failed = b'data: {"error": {"message": "out of memory"}}\n\n'
    with (
        serve(Reply(pieces=[piece("Yes, "), failed])) as served,
        pytest.raises(BackendError, match="failed while answering: out of memory"),
    ):
        list(served.model.stream(ASK))


@pytest.mark.parametrize("nonsense", [b"data: {not json\n\n", b"data: [1, 2]\n\n"])
def test_nonsense_in_the_stream_is_an_error_that_shows_it(nonsense: bytes) -> None:
    with (
        serve(Reply(pieces=[nonsense]), retries=0) as served,
        pytest.raises(BackendError, match=r"JSON.*(not json|\[1, 2\])"),
    ):
        served.model.complete(ASK)


def test_lines_cut_anywhere_keep_alives_and_empty_deltas_do_no_harm() -> None:
    stream = (
        b": ping\n\n" + piece("Yes,") + b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n'
    )
    stream += piece(" söh.", finish="stop") + DONE
    with serve(Reply(pieces=[stream[at : at + 3] for at in range(0, len(stream), 3)])) as served:
        assert served.model.complete(ASK).text == "Yes, söh."


def test_a_stream_that_ends_without_done_but_with_a_reason_is_finished() -> None:
    with serve(Reply(pieces=[piece("Yes.", finish="stop")])) as served:
        assert served.model.complete(ASK).text == "Yes."


def test_tokens_that_no_server_counted_are_estimated_and_say_so() -> None:
    with serve(Reply(text="Yes, they do.", usage=False)) as served:
        usage = served.model.complete(ASK).usage
    # 9 and 13 characters in two messages of 4 tokens' frame each; 13 characters of reply; four characters a token.
    assert usage == Usage(4 + 3 + 4 + 4, 4, 1, estimated=True)


def test_a_reply_that_ran_out_of_tokens_before_its_first_word_says_what_to_raise() -> None:
    with (
        serve(Reply(pieces=[piece("", finish="length"), DONE])) as served,
        pytest.raises(BackendError, match="wrote no answer") as caught,
    ):
        served.model.complete(ASK)
    assert "max_tokens" in caught.value.hint


def test_a_cut_answer_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with serve(Reply(pieces=[piece("Yes, they", finish="length"), DONE])) as served:
        assert served.model.complete(ASK).text == "Yes, they"
    assert "cut at max_tokens=512" in caplog.text


def test_a_server_that_does_not_stream_is_understood() -> None:
    body = {
        "choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1},
    }
    with serve(Reply(pieces=[json.dumps(body).encode()], headers={"Content-Type": "application/json"})) as served:
        assert list(served.model.stream(ASK)) == [Token("Yes."), Usage(5, 1, 1)]


def test_a_consumer_that_walks_away_closes_the_connection_and_the_model_stays_usable() -> None:
    with serve(Reply(text="one two three"), Reply(text="again")) as served:
        stream = served.model.stream(ASK)
        assert next(stream) == Token("one ")
        stream.close()  # type: ignore[attr-defined]  # a generator, as the iterator of a `yield` is
        assert served.model.complete(ASK).text == "again"
