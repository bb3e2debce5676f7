from __future__ import annotations

from math import isclose

import pytest

from rag.errors import BackendError
from rag.models.choices import first_token, listed_entropy, probabilities
from rag.models.llm import Choice, ChoosingModel, Message
from rag.models.openai import OpenAIModel
from rag.models.retry import Backoff
from rag.testing.openai_stub import OpenAIStub, Reply
from rag.types import Usage

ASK = [Message("user", "Do dogs bark?")]


def model(stub: OpenAIStub) -> OpenAIModel:
    backoff = Backoff(retries=1, sleep=lambda seconds: None)
    return OpenAIModel(base_url=stub.base_url, model="stub", timeout_seconds=5, backoff=backoff)


def chosen(reply: Reply, options: tuple[str, ...] = ("Yes", "No")) -> Choice:
    with OpenAIStub([reply]) as stub:
        asked: ChoosingModel = model(stub)
        try:
            return asked.choose(ASK, options)
        finally:
            asked.close()


def test_each_option_has_the_probability_of_its_first_token() -> None:
    choice = chosen(Reply(text="Yes", tokens={"Yes": 0.7, "No": 0.2, "Maybe": 0.1}))
    assert all(isclose(*pair) for pair in zip(choice.probabilities, (0.7, 0.2), strict=True))
    assert choice.usage == Usage(3, 1, 1)


def test_tokens_that_begin_an_option_with_or_without_a_space_count_together() -> None:
    assert probabilities({"Yes": 0.5, " Yes": 0.125, "Y": 0.0625, "yes": 0.2}, ["Yes", "No"]) == (0.6875, 0.0)


def test_a_token_that_begins_two_options_or_is_empty_counts_for_neither() -> None:
    assert probabilities({"No": 0.5, "Not": 0.25, " ": 0.125, "": 0.125}, ["Nothing", "None"]) == (0.25, 0.0)


def test_an_option_that_is_not_listed_has_probability_0() -> None:
    assert chosen(Reply(text="Perhaps", tokens={"Perhaps": 1.0})).probabilities == (0.0, 0.0)


def test_one_token_is_asked_for_in_one_piece_with_the_most_alternatives() -> None:
    with OpenAIStub([Reply(text="Yes")]) as stub:
        asked = model(stub)
        asked.choose(ASK, ["Yes"])
        asked.close()
        body = stub.requests[0].body
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)
    assert "stream" not in body


def test_a_failure_that_may_pass_is_tried_again() -> None:
    with OpenAIStub([Reply(status=503), Reply(text="No")]) as stub:
        asked = model(stub)
        assert asked.choose(ASK, ["Yes", "No"]).probabilities == (0.0, 1.0)
        asked.close()


def test_a_refusal_is_reported_in_the_server_s_words() -> None:
    with pytest.raises(BackendError, match=r"400 .*no logprobs here"):
        chosen(Reply(status=400, text="no logprobs here"))


def test_a_server_that_lists_no_probabilities_is_an_error_that_says_what_is_needed() -> None:
    with pytest.raises(BackendError, match="lists no token probabilities") as failed:
        chosen(Reply(text="Yes", tokens={}))
    assert "logprobs" in failed.value.hint


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"content": []}}]},
        {"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": 3, "logprob": "x"}]}]}}]},
    ],
)
def test_a_reply_of_another_shape_lists_nothing(reply: dict[str, object]) -> None:
    assert first_token(reply) is None  # type: ignore[arg-type]  # what a server may send


def test_log_probabilities_above_zero_count_as_certain() -> None:
    assert listed_entropy([1e9]) == 0.0
    listed = {"token": "Yes", "logprob": 1e9, "top_logprobs": [{"token": "Yes", "logprob": 1e9}]}
    assert first_token({"choices": [{"logprobs": {"content": [listed]}}]}) == {"Yes": 1.0}
