"""Requests to an OpenAI-compatible server, and what their failures mean."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock

import httpx

from rag.errors import BackendError, ConfigError
from rag.models.caller import CALLER, Caller
from rag.models.llm import Json
from rag.models.retry import RETRIED, retry_after
from rag.models.sse import events

LONGEST_CONNECT = 10.0  # seconds; a server that is there takes a connection at once, however busy it is
SHOWN = 80  # characters of a reply that is none


class RequestFailed(Exception):
    """One request failed with `error`; `passing` if another try may succeed, after `asked_seconds` if given."""

    def __init__(self, error: BackendError, *, passing: bool = True, asked_seconds: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.passing = passing
        self.asked_seconds = asked_seconds


class Connection:
    """The chat completions of one server. Connects at first use; may be used from many threads.

    Raises:
        RequestFailed: from every request that does not end well.
        ConfigError: `api_key_env` names a variable that holds no key.
    """

    def __init__(self, base_url: str, *, model: str, api_key_env: str | None, timeout_seconds: float) -> None:
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.api_key_env = api_key_env
        self.timeout_seconds = timeout_seconds
        self._client: httpx.Client | None = None
        self._lock = Lock()

    def stream(self, body: Mapping[str, Json]) -> Generator[dict[str, Json] | None, None, None]:
        """The chunks of a streamed reply, ``None`` where the server says that it is over.

        A server that answers in one piece although it was asked to stream gives one chunk.
        """
        caller = CALLER.get()
        with (
            self._passing_failures(),
            self._open(caller).stream("POST", self._url, content=_encoded(body), headers=self._headers()) as response,
            caller.stopping(partial(_hang_up, response)),
        ):
            if response.status_code != 200:
                response.read()
                raise self._refused(response)
            if "json" in response.headers.get("content-type", ""):
                yield self._parsed(response.read().decode("utf-8", "replace"))
                return
            beginning, found = bytearray(), False
            for payload in events(_noted(response.iter_bytes(), beginning)):
                found = True
                if payload == "[DONE]":
                    yield None
                    return
                yield self._parsed(payload)
            if not found and beginning.strip() and not beginning.startswith(b":"):  # not even a keep-alive
                raise self._foreign(beginning.decode("utf-8", "replace"))

    def whole(self, body: Mapping[str, Json]) -> dict[str, Json]:
        """The reply to a request that does not stream."""
        with self._passing_failures():
            response = self._open(CALLER.get()).post(self._url, content=_encoded(body), headers=self._headers())
        if response.status_code != 200:
            raise self._refused(response)
        return self._parsed(response.text)

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    @property
    def _url(self) -> str:
        return f"{self.base_url}/chat/completions"

    @property
    def _connect_seconds(self) -> float:
        return min(LONGEST_CONNECT, self.timeout_seconds)

    def _open(self, caller: Caller) -> httpx.Client:
        if caller.left:
            raise RequestFailed(BackendError(f"{self.base_url}: not asked, for the caller has left"), passing=False)
        with self._lock:
            if self._client is None:
                # A proxy set for the outside world cannot reach a server on this machine.
                outside = httpx.URL(self.base_url).host not in ("localhost", "127.0.0.1", "::1")
                timeout = httpx.Timeout(self.timeout_seconds, connect=self._connect_seconds)
                # How many requests run at once is for who asks to say; waiting for a free connection is no silence.
                limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
                self._client = httpx.Client(timeout=timeout, limits=limits, trust_env=outside)
            return self._client

    def _headers(self) -> Mapping[str, str]:
        headers = {"Accept": "text/event-stream, application/json", "Content-Type": "application/json"}
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

    @contextmanager
    def _passing_failures(self) -> Iterator[None]:
        """Turn what the connection raises into a failure that another try may mend."""
        try:
            yield
        except httpx.ConnectError as error:
            message, hint = f"cannot reach {self.base_url}: {error}", "is the server running at that address?"
            raise RequestFailed(BackendError(message, hint=hint)) from error
        except httpx.ConnectTimeout as error:
            message = f"cannot reach {self.base_url}: no connection after {self._connect_seconds:g} s"
            raise RequestFailed(BackendError(message, hint="is the server running at that address?")) from error
        except httpx.TimeoutException as error:
            message = f"{self.base_url}: no answer for {self.timeout_seconds:g} s"
            raise RequestFailed(BackendError(message, hint="raise llm.timeout_seconds")) from error
        except httpx.RequestError as error:  # also a body that is not encoded as its header says
            raise RequestFailed(BackendError(f"{self.base_url}: the connection broke: {error}")) from error

    def _refused(self, response: httpx.Response) -> RequestFailed:
        status = response.status_code
        asked = retry_after(response.headers.get("retry-after"))
        message = f"{self.base_url}: {status} {response.reason_phrase}: {_message(response.text)}"
        if asked is not None and status in RETRIED:
            message += f" (asks to wait {asked:g} s)"
        if status in (401, 403):
            named = f"the key in ${self.api_key_env}" if self.api_key_env else "llm.api_key_env: it is not set"
            return RequestFailed(BackendError(message, hint=f"check {named}"), passing=False)
        if status == 404:
            hint = f"does the server know a model {self.model!r}, and does base_url end as its manual says (often /v1)?"
            return RequestFailed(BackendError(message, hint=hint), passing=False)
        if status == 429:
            hint = "lower llm.concurrency, set llm.requests_per_minute, or wait"
            return RequestFailed(BackendError(message, hint=hint), asked_seconds=asked)
        return RequestFailed(BackendError(message), passing=status in RETRIED, asked_seconds=asked)

    def _parsed(self, payload: str) -> dict[str, Json]:
        try:
            parsed = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise self._foreign(payload) from error
        if not isinstance(parsed, dict):
            raise self._foreign(payload)
        if parsed.get("error"):
            failed = BackendError(f"{self.base_url}: failed while answering: {_message(payload)}")
            status = _status(parsed["error"])
            raise RequestFailed(failed, passing=status is None or status in RETRIED)
        return parsed

    def _foreign(self, payload: str) -> RequestFailed:
        """For a reply that is not of this API; a web page is the answer of something else, and stays that."""
        page = payload.lstrip()[:SHOWN].lower().startswith(("<!doctype", "<html"))
        kind = "found a web page" if page else "found no JSON object in it"
        message = f"{self.base_url}: expected a model's reply, {kind}: {' '.join(payload.split())[:SHOWN]!r}"
        hint = "does base_url end as the server's manual says (often /v1), and does no proxy answer for it?"
        return RequestFailed(BackendError(message, hint=hint if page else ""), passing=not page)


def _hang_up(response: httpx.Response) -> None:
    """End a reply whose reader may be waiting for it in another thread: it finds the connection broken."""
    stream = response.extensions.get("network_stream")
    connected = stream.get_extra_info("socket") if stream is not None else None
    if isinstance(connected, socket.socket):
        with suppress(OSError):  # it is closed already
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # not TLS's own, which would take part in the reading


def _noted(pieces: Iterable[bytes], beginning: bytearray) -> Iterator[bytes]:
    """The pieces; what they begin with is left in `beginning`."""
    for piece in pieces:
        beginning += piece[: max(0, 4 * SHOWN - len(beginning))]
        yield piece


def _status(error: Json) -> int | None:
    """The status that an error inside a reply names (vLLM's ``code``), if it names one."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else None


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


def _encoded(body: Mapping[str, Json]) -> bytes:
    """As JSON in UTF-8, with ``?`` for lone surrogates: a document may hold them, and the name of a file may."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
