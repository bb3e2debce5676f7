"""Any server that speaks the OpenAI chat completions API."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from typing import Literal

from rag.errors import BackendError
from rag.models.aligned import Aligner
from rag.models.caller import CALLER
from rag.models.choices import MOST_TOKENS, first_token, probabilities
from rag.models.llm import AS_SET, Choice, Completion, Json, Message, Sampling
from rag.models.openai_http import Connection, RequestFailed
from rag.models.openai_reply import ReplyReader
from rag.models.prices import Price
from rag.models.rate import RateLimit
from rag.models.retry import Backoff
from rag.models.strict import is_strict
from rag.models.tokens import estimated_tokens, message_tokens
from rag.types import Token, Usage

logger = logging.getLogger(__name__)

CONTINUE = (
    "\n\nYour answer is begun; it stands between the two lines below. Continue it exactly where it stops, in the "
    "middle of a sentence if need be. Write only what comes next: do not repeat what is there, do not begin anew.\n"
    "----- begun -----\n{draft}\n----- continue -----"
)
"""How a server that cannot continue a draft itself is asked to."""


class OpenAIModel:
    """A chat model behind ``{base_url}/chat/completions``. May be used from many threads.

    A request that fails for a reason that may pass (no connection, silence, 408, 409, 429, 5xx) is repeated, but never
    once a piece of the reply was handed out. The key is read from the environment at each request and is in no message.

    With ``Sampling.logprobs`` every token carries its log-probability, and its entropy as an estimate from below, from
    the `MOST_TOKENS` most probable that the server lists (`rag.models.choices.listed_entropy`).

    Args:
        context_tokens: the model's window.
        concurrency: how many requests should be with the server at the same time; held to by who asks.
        continues: whether the server continues a draft when told to as vLLM and SGLang are; otherwise the draft is put
            into the user's message, and whether the model continues it or begins anew is up to the model.

    Raises:
        ConfigError: `api_key_env` names a variable that is not set.
        BackendError: see `LanguageModel`; also where log-probabilities were asked for and the server lists none.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key_env: str | None = None,
        temperature: float | None = 0.0,
        max_tokens: int = 512,
        length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        timeout_seconds: float = 60.0,
        backoff: Backoff | None = None,
        context_tokens: int = 8192,
        concurrency: int = 4,
        continues: bool = False,
        limit: RateLimit | None = None,
        price: Price | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.length_field = length_field
        self.backoff = backoff or Backoff(retries=4)
        self.window = context_tokens
        self.concurrency = concurrency
        self.continues = continues
        self.limit = limit or RateLimit()
        self.price = price
        self.connection = Connection(
            self.base_url, model=model, api_key_env=api_key_env, timeout_seconds=timeout_seconds
        )

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        for attempt in count():
            try:
                pieces = list(self._pieces(messages, sampling))
                break
            except RequestFailed as failed:
                self._wait_or_raise(failed, attempt)
        usage = sum((piece for piece in pieces if isinstance(piece, Usage)), Usage())
        return Completion("".join(piece.text for piece in pieces if isinstance(piece, Token)), usage)

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        for attempt in count():
            started = False
            with closing(self._pieces(messages, sampling)) as pieces:
                try:
                    for piece in pieces:
                        started = True
                        yield piece
                    return
                except RequestFailed as failed:
                    if started:
                        raise failed.error from failed.__cause__
                    self._wait_or_raise(failed, attempt)

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        body = self._body(messages, Sampling(max_tokens=1, logprobs=True))
        estimate = Usage(message_tokens(messages), 1, 1, estimated=True)
        for attempt in count():
            reserved = self._reserve(messages, 1)
            try:
                reply = self.connection.whole(body)
                break
            except RequestFailed as failed:
                self._wait_or_raise(failed, attempt)
        tokens = first_token(reply)
        if tokens is None:
            raise self._unlisted()
        reader = ReplyReader()
        reader.take(reply)
        return Choice(probabilities(tokens, options), self._settled(reader.usage or estimate, reserved))

    def count(self, text: str) -> int:
        return estimated_tokens(text)

    def close(self) -> None:
        self.connection.close()

    # ---- one request

    def _body(self, messages: Sequence[Message], sampling: Sampling) -> dict[str, Json]:
        drafted = bool(messages) and messages[-1].role == "assistant"
        sent = with_draft_asked(messages) if drafted and not self.continues else messages
        body: dict[str, Json] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in sent],
            self.length_field: sampling.max_tokens or self.max_tokens,
        }
        if drafted and self.continues:
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        temperature = self.temperature if sampling.temperature is None else sampling.temperature
        if temperature is not None:
            body["temperature"] = temperature
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.logprobs:
            body |= {"logprobs": True, "top_logprobs": MOST_TOKENS}
        if sampling.schema is not None:
            wanted = dict(sampling.schema)
            schema: dict[str, Json] = {"name": "reply", "strict": is_strict(wanted), "schema": wanted}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _pieces(self, messages: Sequence[Message], sampling: Sampling) -> Generator[Token | Usage, None, None]:
        body = self._body(messages, sampling) | {"stream": True, "stream_options": {"include_usage": True}}
        longest = sampling.max_tokens or self.max_tokens
        reserved = self._reserve(messages, longest)
        reader, aligner = ReplyReader(), Aligner()
        listed = False
        with closing(self.connection.stream(body)) as chunks:
            for chunk in chunks:
                if chunk is None:
                    reader.finished = True
                    break
                piece = reader.take(chunk)
                listed = listed or bool(piece.tokens)
                if sampling.logprobs and piece.text and not listed:
                    raise RequestFailed(self._unlisted(), passing=False)
                yield from aligner.take(piece.text, piece.tokens)
        yield from aligner.end()
        self._check(reader, longest)
        estimate = Usage(message_tokens(messages), estimated_tokens(reader.text), 1, estimated=True)
        yield self._settled(reader.usage or estimate, reserved)

    def _check(self, reader: ReplyReader, longest: int) -> None:
        if not reader.finished:
            raise RequestFailed(
                BackendError(f"{self.base_url}: the reply broke off after {len(reader.text)} characters")
            )
        if reader.refused or reader.stopped_by == "content_filter":
            said = f": {reader.refused[:300]}" if reader.refused else ""
            raise RequestFailed(
                BackendError(f"{self.base_url}: {self.model!r} or its server's filter refused to answer{said}"),
                passing=False,
            )
        if reader.stopped_by == "length" and not reader.text:
            raise RequestFailed(
                BackendError(
                    f"{self.model!r} used all of {longest} tokens and wrote no answer",
                    hint="raise llm.max_tokens: a reasoning model thinks before it writes",
                ),
                passing=False,
            )
        if reader.stopped_by == "length":
            logger.warning("the reply was cut at max_tokens=%d", longest)

    def _reserve(self, messages: Sequence[Message], longest: int) -> int:
        tokens = message_tokens(messages) + longest
        self.limit.wait(tokens)
        return tokens

    def _settled(self, usage: Usage, reserved: int) -> Usage:
        self.limit.settle(reserved, usage.prompt_tokens + usage.completion_tokens)
        return usage if self.price is None else replace(usage, price=self.price.of(usage))

    def _wait_or_raise(self, failed: RequestFailed, attempt: int) -> None:
        if CALLER.get().left or not failed.passing or not self.backoff.wait(attempt, failed.asked_seconds):
            raise failed.error from failed.__cause__
        logger.info("trying again (%d of %d): %s", attempt + 1, self.backoff.retries, failed.error.message)

    def _unlisted(self) -> BackendError:
        return BackendError(
            f"{self.base_url}: the reply of {self.model!r} lists no token probabilities",
            hint="choose a server and a model that give `logprobs`; reasoning models do not",
        )


def with_draft_asked(messages: Sequence[Message]) -> list[Message]:
    """The messages with the draft at their end moved into the one before it, and asked to be continued.

    >>> asked = with_draft_asked([Message("user", "Why do dogs bark?"), Message("assistant", "They bark bec")])
    >>> len(asked), asked[0].content[:17], asked[0].content.splitlines()[-2]
    (1, 'Why do dogs bark?', 'They bark bec')
    """
    *before, draft = messages
    asked = CONTINUE.format(draft=draft.content)
    if before and before[-1].role == "user":
        return [*before[:-1], replace(before[-1], content=before[-1].content + asked)]
    return [*before, Message("user", asked.strip())]
