"""Any server that speaks the OpenAI chat completions API."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import count
from threading import Lock
from typing import Literal

import httpx

from rag.errors import BackendError, ConfigError
from rag.models.choices import MOST_TOKENS, first_token, probabilities
from rag.models.llm import AS_SET, Choice, Completion, Json, Message, Sampling
from rag.models.retry import RETRIED, Backoff, retry_after
from rag.models.sse import events
from rag.models.tokens import estimated_tokens, message_tokens
from rag.types import Token, Usage

logger = logging.getLogger(__name__)


class OpenAIModel:
    """A chat model behind ``{base_url}/chat/completions``. May be used from many threads.

    A request that fails for a reason that may pass (no connection, silence, 408, 409, 429, 5xx) is repeated, but never
    once a piece of the reply was handed out. The key is read from the environment at each request and is in no message.

    Args:
        context_tokens: the model's window.
        concurrency: how many requests should be with the server at the same time; held to by who asks.

    Raises:
        ConfigError: `api_key_env` names a variable that is not set.
        BackendError: see `LanguageModel`.
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
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.api_key_env = api_key_env
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.length_field = length_field
        self.timeout_seconds = timeout_seconds
        self.backoff = backoff or Backoff(retries=4)
        self.window = context_tokens
        self.concurrency = concurrency
        self._client: httpx.Client | None = None
        self._lock = Lock()

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        for attempt in count():
            try:
                pieces = list(self._pieces(messages, sampling))
                break
            except _Failed as failed:
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
                except _Failed as failed:
                    if started:
                        raise failed.error from failed.__cause__
                    self._wait_or_raise(failed, attempt)

    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        body = self._body(messages, Sampling(max_tokens=1)) | {"logprobs": True, "top_logprobs": MOST_TOKENS}
        for attempt in count():
            try:
                reply = self._whole(body)
                break
            except _Failed as failed:
                self._wait_or_raise(failed, attempt)
        tokens = first_token(reply)
        if tokens is None:
            raise BackendError(
                f"{self.base_url}: the reply of {self.model!r} lists no token probabilities",
                hint="choose a server and a model that give `logprobs`; reasoning models do not",
            )
        counted = _Reply()
        counted.take(reply)
        estimated = Usage(message_tokens(messages), 1, 1, estimated=True)
        return Choice(probabilities(tokens, options), counted.usage or estimated)

    def count(self, text: str) -> int:
        return estimated_tokens(text)

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    # ---- one request

    def _body(self, messages: Sequence[Message], sampling: Sampling) -> dict[str, Json]:
        body: dict[str, Json] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            self.length_field: sampling.max_tokens or self.max_tokens,
        }
        temperature = self.temperature if sampling.temperature is None else sampling.temperature
        if temperature is not None:
            body["temperature"] = temperature
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        if sampling.schema is not None:
            schema: dict[str, Json] = {"name": "reply", "strict": True, "schema": dict(sampling.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _pieces(self, messages: Sequence[Message], sampling: Sampling) -> Generator[Token | Usage, None, None]:
        body = self._body(messages, sampling) | {"stream": True, "stream_options": {"include_usage": True}}
        reply = _Reply()
        url = f"{self.base_url}/chat/completions"
        with (
            self._passing_failures(),
            self._open().stream("POST", url, json=body, headers=self._headers()) as response,
        ):
            if response.status_code != 200:
                response.read()
                raise self._refused(response)
            if "json" in response.headers.get("content-type", ""):
                payloads: Iterator[str] = iter([response.read().decode("utf-8", "replace")])
            else:
                payloads = events(response.iter_bytes())
            for payload in payloads:
                if payload == "[DONE]":
                    reply.finished = True
                    break
                text = reply.take(self._parsed(payload))
                if text:
                    yield Token(text)
        self._check(reply, sampling.max_tokens or self.max_tokens)
        yield reply.usage or Usage(message_tokens(messages), estimated_tokens(reply.text), 1, estimated=True)

    def _whole(self, body: Mapping[str, Json]) -> dict[str, Json]:
        """The reply to a request that does not stream."""
        with self._passing_failures():
            response = self._open().post(f"{self.base_url}/chat/completions", json=body, headers=self._headers())
        if response.status_code != 200:
            raise self._refused(response)
        return self._parsed(response.text)

    def _check(self, reply: _Reply, max_tokens: int) -> None:
        if not reply.finished:
            raise _Failed(BackendError(f"{self.base_url}: the reply broke off after {len(reply.text)} characters"))
        if reply.stopped_by == "length" and not reply.text:
            raise _Failed(
                BackendError(
                    f"{self.model!r} used all of {max_tokens} tokens and wrote no answer",
                    hint="raise llm.max_tokens: a reasoning model thinks before it writes",
                ),
                passing=False,
            )
        if reply.stopped_by == "length":
            logger.warning("the reply was cut at max_tokens=%d", max_tokens)

    def _open(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                # A proxy set for the outside world cannot reach a server on this machine.
                outside = httpx.URL(self.base_url).host not in ("localhost", "127.0.0.1", "::1")
                timeout = httpx.Timeout(self.timeout_seconds, connect=min(10.0, self.timeout_seconds))
                self._client = httpx.Client(timeout=timeout, trust_env=outside)
            return self._client

    def _headers(self) -> Mapping[str, str]:
        headers = {"Accept": "text/event-stream, application/json"}
        if self.api_key_env is None:
            return headers
        key = os.environ.get(self.api_key_env, "").strip()
        if not key or not key.isascii() or not key.isprintable():
            found = "characters that no header may have" if key else "nothing"
            raise ConfigError(
                f"llm.api_key_env: expected a key in ${self.api_key_env}, found {found}",
                hint=f"export {self.api_key_env}=...",
            )
        return {**headers, "Authorization": f"Bearer {key}"}

    # ---- failures

    def _wait_or_raise(self, failed: _Failed, attempt: int) -> None:
        if not failed.passing or not self.backoff.wait(attempt, failed.asked_seconds):
            raise failed.error from failed.__cause__
        logger.info("trying again (%d of %d): %s", attempt + 1, self.backoff.retries, failed.error.message)

    @contextmanager
    def _passing_failures(self) -> Iterator[None]:
        """Turn what the connection raises into a failure that another try may mend."""
        try:
            yield
        except httpx.ConnectError as error:
            message, hint = f"cannot reach {self.base_url}: {error}", "is the server running at that address?"
            raise _Failed(BackendError(message, hint=hint)) from error
        except httpx.TimeoutException as error:
            message = f"{self.base_url}: no answer for {self.timeout_seconds:g} s"
            raise _Failed(BackendError(message, hint="raise llm.timeout_seconds")) from error
        except httpx.TransportError as error:
            raise _Failed(BackendError(f"{self.base_url}: the connection broke: {error}")) from error

    def _refused(self, response: httpx.Response) -> _Failed:
        status = response.status_code
        asked = retry_after(response.headers.get("retry-after"))
        message = f"{self.base_url}: {status} {response.reason_phrase}: {_message(response.text)}"
        if asked is not None and status in RETRIED:
            message += f" (asks to wait {asked:g} s)"
        if status in (401, 403):
            named = f"the key in ${self.api_key_env}" if self.api_key_env else "llm.api_key_env: it is not set"
            return _Failed(BackendError(message, hint=f"check {named}"), passing=False)
        if status == 404:
            hint = f"does the server know a model {self.model!r}, and does base_url end as its manual says (often /v1)?"
            return _Failed(BackendError(message, hint=hint), passing=False)
        if status == 429:
            return _Failed(BackendError(message, hint="lower llm.concurrency, or wait"), asked_seconds=asked)
        return _Failed(BackendError(message), passing=status in RETRIED, asked_seconds=asked)

    def _parsed(self, payload: str) -> dict[str, Json]:
        try:
            parsed = json.loads(payload)
        except ValueError as error:
            raise _Failed(BackendError(f"{self.base_url}: not JSON in the reply: {payload[:80]!r}")) from error
        if not isinstance(parsed, dict):
            raise _Failed(BackendError(f"{self.base_url}: expected a JSON object in the reply, got {payload[:80]!r}"))
        if parsed.get("error"):
            raise _Failed(BackendError(f"{self.base_url}: failed while answering: {_message(payload)}"))
        return parsed


class _Failed(Exception):
    """One request failed with `error`; `passing` if another try may succeed, after `asked_seconds` if given."""

    def __init__(self, error: BackendError, *, passing: bool = True, asked_seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.passing = passing
        self.asked_seconds = asked_seconds


class _Reply:
    """What has come of one reply so far."""

    def __init__(self) -> None:
        self.text = ""
        self.finished = False
        self.stopped_by = ""
        self.usage: Usage | None = None

    def take(self, chunk: Mapping[str, Json]) -> str:
        """Note one chunk of the stream, or a whole unstreamed reply; the text it adds."""
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if isinstance(counts[0], int) and isinstance(counts[1], int):
                self.usage = Usage(counts[0], counts[1], 1)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return ""
        reason = choices[0].get("finish_reason")
        if isinstance(reason, str):
            self.finished, self.stopped_by = True, reason
        part = choices[0].get("delta") or choices[0].get("message")
        text = part.get("content") if isinstance(part, dict) else None
        if not isinstance(text, str):
            return ""
        self.text += text
        return text


def _message(body: str) -> str:
    """The sentence in an error's body, wherever the server puts it; at most 300 characters."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return " ".join(body.split())[:300]
    found = parsed
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    return (found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))[:300]
