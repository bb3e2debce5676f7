from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import log

import pytest
from pydantic import BaseModel

from rag.errors import BackendError, ConfigError
from rag.models.llm import Json, Message, Sampling
from rag.models.openai import OpenAIModel
from rag.models.openai_specs import OpenAIModelSpec
from rag.models.prices import Price
from rag.models.rate import RateLimit
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


# ---- how probable the tokens are


def test_a_stream_with_log_probabilities_pairs_each_piece_with_its_own() -> None:
    places = [{"Yes, ": 0.5, "No, ": 0.25}, {"they ": 1.0}, {"do.": 0.25, "did.": 0.75}]
    with serve(Reply(text="Yes, they do.", places=places)) as served:
        *tokens, usage = served.model.stream(ASK, Sampling(logprobs=True))
        assert served.stub.requests[0].body["logprobs"] is True
        assert served.stub.requests[0].body["top_logprobs"] == 20
    assert all(isinstance(token, Token) for token in tokens)
    assert [token.text for token in tokens if isinstance(token, Token)] == ["Yes, ", "they ", "do."]
    logprobs = [token.logprob for token in tokens if isinstance(token, Token)]
    assert logprobs == pytest.approx([log(0.5), 0.0, log(0.25)])
    entropies = [token.entropy for token in tokens if isinstance(token, Token)]
    # 0.5, 0.25 and the 0.25 that is not listed, counted as one; nothing to say where one token is listed alone
    assert entropies[0] == pytest.approx(-0.5 * log(0.5) - 2 * 0.25 * log(0.25))
    assert entropies[1] is None
    assert entropies[2] == pytest.approx(-0.25 * log(0.25) - 0.75 * log(0.75))
    assert isinstance(usage, Usage)


def test_a_stream_asks_for_no_log_probabilities_unless_told_to() -> None:
    with serve(Reply(text="Yes.")) as served:
        assert next(iter(served.model.stream(ASK))) == Token("Yes.")
        assert "logprobs" not in served.stub.requests[0].body


def test_a_server_that_lists_no_probabilities_is_an_error_and_not_a_silence() -> None:
    with serve(Reply(text="Yes.", lists=False)) as served:
        with pytest.raises(BackendError, match="lists no token probabilities"):
            list(served.model.stream(ASK, Sampling(logprobs=True)))
        assert len(served.stub.requests) == 1


# ---- replies by a schema


class Pet(BaseModel):
    name: str
    age: int | None = None


CLOSED = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"], "additionalProperties": False}


@pytest.mark.parametrize(("schema", "strict"), [(CLOSED, True), (Pet.model_json_schema(), False)])
def test_a_schema_is_sent_and_strictly_only_where_openai_takes_it_so(schema: dict[str, Json], strict: bool) -> None:
    # It answers 400 to a strict schema with an object that is open or has optional fields, as pydantic's have.
    with serve(Reply(text="{}")) as served:
        served.model.complete(ASK, Sampling(schema=schema))
        sent = served.stub.requests[0].body["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "reply", "strict": strict, "schema": schema}}


# ---- drafts


def test_a_draft_is_continued_by_a_server_that_can() -> None:
    with OpenAIStub([Reply(text="bark.")]) as stub:
        model = OpenAIModel(base_url=stub.base_url, model="m", continues=True)
        assert model.complete([*ASK, Message("assistant", "Yes, dogs ")]).text == "bark."
        model.close()
        [request] = stub.requests
    assert request.body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Do dogs bark?"},
        {"role": "assistant", "content": "Yes, dogs "},
    ]
    assert request.body["continue_final_message"] is True
    assert request.body["add_generation_prompt"] is False


def test_a_draft_is_put_into_the_question_for_a_server_that_cannot_continue() -> None:
    with serve(Reply(text="bark.")) as served:
        served.model.complete([*ASK, Message("assistant", "Yes, {dogs} ")])
        [request] = served.stub.requests
    messages = request.body["messages"]
    assert isinstance(messages, list)
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[1]["content"].startswith("Do dogs bark?\n\n")
    assert "----- begun -----\nYes, {dogs} \n----- continue -----" in messages[1]["content"]
    assert "continue_final_message" not in request.body


# ---- what it costs


def test_prompt_tokens_that_the_server_had_in_its_cache_are_counted_and_priced() -> None:
    with OpenAIStub([Reply(text="Yes, they do.", cached=2)]) as stub:
        model = OpenAIModel(base_url=stub.base_url, model="m", price=Price(prompt=10, completion=100, cached=1))
        usage = model.complete(ASK).usage
        model.close()
    assert usage == Usage(3, 3, 1, cached_tokens=2, price=(1 * 10 + 2 * 1 + 3 * 100) / 1e6)


def test_choosing_costs_too() -> None:
    with OpenAIStub([Reply(text="Yes", tokens={"Yes": 0.5})]) as stub:
        model = OpenAIModel(base_url=stub.base_url, model="m", price=Price(prompt=10, completion=100))
        choice = model.choose(ASK, ["Yes", "No"])
        model.close()
    assert choice.usage.price == pytest.approx((3 * 10 + 1 * 100) / 1e6)


# ---- rate limits


def test_requests_over_the_allowance_wait_and_unused_tokens_are_given_back() -> None:
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    limit = RateLimit(tokens_per_minute=1000, clock=lambda: now[0], sleep=sleep)
    with OpenAIStub() as stub:
        model = OpenAIModel(base_url=stub.base_url, model="m", max_tokens=50, limit=limit)
        for _ in range(3):
            model.complete(ASK)  # reserves 50 and the prompt's estimated 15, uses 3 and 3
        assert slept == []  # 100 may go out at once
        model.complete(ASK, Sampling(max_tokens=100))
        model.close()
    assert slept == [pytest.approx((3 * 6 + 115 - 100) / (901 / 60))]


def test_a_retried_request_counts_again() -> None:
    taken: list[int] = []

    class Counted(RateLimit):
        def wait(self, tokens: int) -> None:
            taken.append(tokens)

    with OpenAIStub([Reply(status=503), Reply(text="Yes.")]) as stub:
        backoff = Backoff(retries=1, sleep=lambda seconds: None)
        model = OpenAIModel(base_url=stub.base_url, model="m", limit=Counted(), backoff=backoff, max_tokens=7)
        model.complete(ASK)
        model.close()
    assert taken == [22, 22]


def test_the_yaml_says_all_of_it() -> None:
    spec = OpenAIModelSpec.model_validate(
        {
            "base_url": "http://127.0.0.1:1/v1",
            "model": "m",
            "continues": True,
            "requests_per_minute": 60,
            "tokens_per_minute": 1000,
            "prices": {"prompt": 1, "completion": 2, "cached": 0.5},
        }
    )
    model = spec.build()
    assert isinstance(model, OpenAIModel)
    assert (model.continues, model.price) == (True, Price(prompt=1, completion=2, cached=0.5))
    assert OpenAIModelSpec.offers == {"text", "logprobs"}
