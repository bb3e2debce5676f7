"""Counts by a server that speaks the Infini-gram API."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import cached_property
from itertools import count
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

import httpx

from rag.errors import CountsUnavailableError, ModelError
from rag.index.counts import Count
from rag.models.llm import Json
from rag.models.retry import RETRIED, Backoff, retry_after
from rag.text.words import words

if TYPE_CHECKING:
    import tokenizers

logger = logging.getLogger(__name__)

WIDEST = 1000
"""Tokens: the widest window in which the API looks for pairs."""
OPERATORS = frozenset({"AND", "OR"})
KEPT = 10_000  # phrases whose counts are remembered: the corpus does not change

Ids: TypeAlias = list[int]


class InfinigramCounts:
    """A client of an Infini-gram server (arXiv 2401.17377). May be used from many threads.

    A count is of the phrase as written, in tokens of the corpus: case and spelling matter, and so does the window's
    unit. Pairs are asked for as a formula of token ids, never of text, so that no word of a phrase is taken for an
    operator. The ids come from the tokenizer, or else from the server's answer about each phrase alone.

    Args:
        index: the corpus, by the server's name for it.
        tokenizer: the corpus' ``tokenizer.json``.
        most: occurrences of a phrase looked at for a pair; with more the server estimates.
    """

    def __init__(
        self,
        *,
        url: str,
        index: str,
        tokenizer: Path | None = None,
        most: int = 500_000,
        timeout_seconds: float = 10.0,
        backoff: Backoff | None = None,
    ) -> None:
        self.url = url
        self.index = index
        self.tokenizer = tokenizer
        self.most = most
        self.timeout_seconds = timeout_seconds
        self.backoff = backoff or Backoff(retries=2)
        self._known: dict[str, tuple[Count, Ids]] = {}
        self._client: httpx.Client | None = None
        self._lock = Lock()

    def count(self, phrase: str) -> Count:
        return self._looked_up(phrase)[0]

    def cooccur(self, first: str, second: str, *, window: int) -> Count:
        """As of `CorpusCounts`; adjacent in any order, at most `window` tokens between them.

        Raises:
            ValueError: also for a window of more than 1000 tokens.
        """
        if not 0 < window <= WIDEST:
            raise ValueError(f"expected a window of 1 to {WIDEST} tokens, got {window}")
        formula: list[Json] = [[list[Json](self._ids(first))], [list[Json](self._ids(second))]]
        reply = self._asked({"query_ids": formula, "max_clause_freq": self.most, "max_diff_tokens": window})
        return self._count_in(reply)

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _ids(self, phrase: str) -> Ids:
        _require_words(phrase)
        return self._cut(phrase) if self.tokenizer is not None else self._looked_up(phrase)[1]

    def _looked_up(self, phrase: str) -> tuple[Count, Ids]:
        _require_words(phrase)
        known = self._known.get(phrase)
        if known is None:
            known = self._by_ids(phrase) if self.tokenizer is not None else self._by_text(phrase)
            with self._lock:
                if len(self._known) >= KEPT:
                    self._known.clear()
                self._known[phrase] = known
        return known

    def _by_ids(self, phrase: str) -> tuple[Count, Ids]:
        ids = self._cut(phrase)
        return self._count_in(self._asked({"query_ids": list[Json](ids)})), ids

    def _by_text(self, phrase: str) -> tuple[Count, Ids]:
        if not OPERATORS.isdisjoint(phrase.split()):
            raise CountsUnavailableError(
                f"{self.url} would read AND and OR in {phrase!r} as operators",
                hint="set the corpus' tokenizer: it makes phrases of token ids, which have none",
            )
        reply = self._asked({"query": phrase})
        found = reply.get("token_ids")
        ids = [one for one in found if isinstance(one, int)] if isinstance(found, list) else []
        if not ids or not isinstance(found, list) or len(ids) < len(found):
            raise CountsUnavailableError(
                f"{self.url} did not take {phrase!r} for one phrase: its token_ids are {json.dumps(found)[:80]}"
            )
        return self._count_in(reply), ids

    def _cut(self, phrase: str) -> Ids:
        ids: Ids = self._reader.encode(phrase, add_special_tokens=False).ids
        return ids

    @cached_property
    def _reader(self) -> tokenizers.Tokenizer:
        import tokenizers

        try:
            return tokenizers.Tokenizer.from_file(str(self.tokenizer))
        except Exception as error:  # the library raises bare Exception, for a missing and for a malformed file
            raise ModelError(f"{self.tokenizer}: cannot be read as a tokenizer: {error}") from error

    def _count_in(self, reply: Mapping[str, Json]) -> Count:
        found, estimated = reply.get("count"), reply.get("approx", False)
        if not isinstance(found, int) or not isinstance(estimated, bool) or found < 0:
            raise CountsUnavailableError(f"{self.url}: expected a count in the reply, found {dict(reply)!r:.200}")
        return Count(found, exact=not estimated)

    # ---- one request

    def _asked(self, query: Mapping[str, Json]) -> Mapping[str, Json]:
        """The server's reply to a count, tried again where that may help."""
        body: dict[str, Json] = {"index": self.index, "query_type": "count", **query}
        for attempt in count():
            try:
                return self._reply(body)
            except _Failed as failed:
                if not failed.passing or not self.backoff.wait(attempt, failed.asked_seconds):
                    raise failed.error from failed.__cause__
                logger.info("trying again (%d of %d): %s", attempt + 1, self.backoff.retries, failed.error.message)
        raise AssertionError("the loop returns or raises")

    def _reply(self, body: Mapping[str, Json]) -> Mapping[str, Json]:
        try:
            response = self._open().post(self.url, json=body)
        except httpx.TimeoutException as error:
            raise _Failed(f"{self.url}: no answer for {self.timeout_seconds:g} s") from error
        except httpx.TransportError as error:
            raise _Failed(f"cannot reach {self.url}: {error}") from error
        if response.status_code != 200:
            raise _Failed(
                f"{self.url}: {response.status_code} {response.reason_phrase}: {response.text[:200]}",
                passing=response.status_code in RETRIED,
                asked_seconds=retry_after(response.headers.get("retry-after")),
            )
        try:
            reply = response.json()
        except ValueError as error:
            raise _Failed(f"{self.url}: not JSON in the reply: {response.text[:80]!r}") from error
        if not isinstance(reply, dict):
            raise _Failed(f"{self.url}: expected a JSON object in the reply, found {response.text[:80]!r}")
        if "error" in reply:
            raise _Failed(f"{self.url}: {reply['error']}")
        return reply

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                # A proxy set for the outside world cannot reach a server on this machine.
                outside = httpx.URL(self.url).host not in ("localhost", "127.0.0.1", "::1")
                timeout = httpx.Timeout(self.timeout_seconds, connect=min(5.0, self.timeout_seconds))
                self._client = httpx.Client(timeout=timeout, trust_env=outside)
            return self._client


class _Failed(Exception):
    """One request failed; `passing` if another try may succeed, after `asked_seconds` if given."""

    def __init__(self, message: str, *, passing: bool = True, asked_seconds: float | None = None) -> None:
        super().__init__(message)
        self.error = CountsUnavailableError(message)
        self.passing = passing
        self.asked_seconds = asked_seconds


def _require_words(phrase: str) -> None:
    """Of an empty query the server counts all tokens of the corpus."""
    if not words(phrase):
        raise ValueError(f"there is no word in {phrase!r}")
