"""The client against a loopback server that counts for real."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from rag.errors import CountsUnavailableError
from rag.index.counts import Count
from rag.index.counts_server import InfinigramCounts
from rag.index.counts_specs import InfinigramCountsSpec
from rag.models.retry import Backoff
from rag.testing.infinigram_stub import InfinigramStub

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "ORLANDO Bloom and the BED BATH AND BEYOND sign"]


def waits(asked: list[float]) -> Backoff:
    return Backoff(retries=2, sleep=asked.append, draw=lambda low, high: high)


@contextmanager
def served(
    script: Sequence[tuple[int, str]] = (), *, tokenizer: Path | None = None
) -> Iterator[tuple[InfinigramStub, InfinigramCounts]]:
    with InfinigramStub(TEXTS, script) as stub:
        counts = InfinigramCounts(url=stub.url, index="corpus", tokenizer=tokenizer, backoff=waits([]))
        yield stub, counts
        counts.close()


def test_a_phrase_is_counted_as_the_api_asks_for_it() -> None:
    with served() as (stub, counts):
        assert counts.count("sat on") == Count(2)
        assert stub.requests == [{"index": "corpus", "query_type": "count", "query": "sat on"}]


def test_a_pair_is_a_formula_of_token_ids_never_of_text() -> None:
    with served() as (stub, counts):
        assert counts.cooccur("the cat", "mat", window=10) == Count(1)
        assert counts.cooccur("cat", "dog", window=10) == Count(0)
        formula = stub.requests[2]
        assert "query" not in formula
        assert formula["query_ids"] == [[[1, 2]], [[5]]]
        assert formula["max_diff_tokens"] == 10
        assert formula["max_clause_freq"] == 500_000


def test_a_name_that_holds_the_letters_of_an_operator_is_no_formula() -> None:
    with served() as (_, counts):
        assert counts.count("ORLANDO Bloom") == Count(1)
        assert counts.cooccur("ORLANDO", "sign", window=20) == Count(1)


def test_a_phrase_with_the_word_and_is_refused_where_the_server_would_split_it() -> None:
    with served() as (stub, counts):
        with pytest.raises(CountsUnavailableError, match="operators"):
            counts.count("BED BATH AND BEYOND")
        assert stub.requests == []


def test_the_corpus_own_tokenizer_counts_a_phrase_with_the_word_and(tmp_path: Path) -> None:
    import tokenizers

    with InfinigramStub(TEXTS) as stub:
        vocabulary = {word: at for at, word in enumerate(dict.fromkeys(" ".join(TEXTS).split()), 1)}
        tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({**vocabulary, "?": 0}, unk_token="?"))
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        counts = InfinigramCounts(url=stub.url, index="corpus", tokenizer=tmp_path / "tokenizer.json")
        assert counts.count("BED BATH AND BEYOND") == Count(1)
        assert counts.cooccur("BED BATH AND BEYOND", "ORLANDO", window=20) == Count(1)
        assert all("query" not in request for request in stub.requests)
        counts.close()


def test_an_estimate_is_marked_and_its_zero_is_no_absence() -> None:
    script = [(200, '{"count": 0, "approx": true, "token_ids": [1]}')]
    with served(script) as (_, counts):
        found = counts.count("cat")
        assert found == Count(0, exact=False)
        assert not found.absent


def test_a_phrase_is_asked_for_once() -> None:
    with served() as (stub, counts):
        counts.count("cat")
        counts.count("cat")
        counts.cooccur("cat", "cat", window=5)
        assert len(stub.requests) == 2


@pytest.mark.parametrize("phrase", ["", "  ", "?!"])
def test_a_phrase_without_a_word_is_never_sent(phrase: str) -> None:
    with served() as (stub, counts):
        with pytest.raises(ValueError, match="no word"):
            counts.count(phrase)
        assert stub.requests == []


@pytest.mark.parametrize("failure", [(503, "busy"), (200, '{"error": "[Server Busy]"}'), (200, "<html>")])
def test_a_failure_that_may_pass_is_tried_again(failure: tuple[int, str]) -> None:
    with served([failure, failure]) as (stub, counts):
        assert counts.count("cat") == Count(1)
        assert len(stub.requests) == 3


@pytest.mark.parametrize(
    ("status", "body", "said", "tries"),
    [
        (500, "broken", "500 Internal Server Error: broken", 3),
        (404, "no such path", "404", 1),
        (200, '{"error": "unknown index"}', "unknown index", 3),
        (200, "[1]", "expected a JSON object", 3),
        (200, '{"token_ids": [1]}', "expected a count", 1),
        (200, '{"count": 3, "token_ids": [[[1]], [[2]]]}', "for one phrase", 1),
    ],
)
def test_a_service_that_fails_says_so_and_never_gives_a_number(status: int, body: str, said: str, tries: int) -> None:
    with served([(status, body)] * 3) as (stub, counts):
        with pytest.raises(CountsUnavailableError, match=said):
            counts.count("cat")
        assert len(stub.requests) == tries


def test_a_service_that_cannot_be_reached_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    counts = InfinigramCounts(url=url, index="corpus", backoff=Backoff(retries=0))
    with pytest.raises(CountsUnavailableError, match=f"cannot reach {url}"):
        counts.count("cat")
    counts.close()


def test_a_window_wider_than_the_api_allows_is_refused() -> None:
    with served() as (_, counts), pytest.raises(ValueError, match="1 to 1000"):
        counts.cooccur("cat", "mat", window=1001)


def test_a_tokenizer_that_is_not_there_is_said_before_anything_is_asked() -> None:
    spec = InfinigramCountsSpec(url="http://localhost:1/", index="corpus", tokenizer="nowhere/tokenizer.json")
    assert spec.missing() == "there is no tokenizer at nowhere/tokenizer.json"
