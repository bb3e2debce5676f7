"""A server that speaks the OpenAI chat completions API and needs no model: for tests and for trying things out.

::

    with OpenAIStub() as stub:
        model = OpenAIModel(base_url=stub.base_url, model="stub")

``python -m rag.testing.openai_stub`` serves it until Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import zip_longest
from math import log
from threading import Event, Lock, Thread

from rag.text.sentences import sentences

_SOURCE = re.compile(r'<source id="(\d+)"[^>]*>\n(.*?)\n</source>', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the server does with one request.

    Attributes:
        text: what it answers; ``None`` quotes the first sentence of the first source in the prompt, with its number
            (a line without a full stop, like a heading, only if there is nothing else).
        status: of the response; other than 200, `text` becomes the error's message.
        headers: beside the usual ones.
        tokens: the probabilities of the first token, for a request that asks for them; ``None`` lists `text`'s first
            word alone.
        places: for a request that asks for them, the probabilities at each word of a streamed reply, the word's own
            first; ``None`` gives every word all there is.
        lists: whether it lists probabilities for a request that asks for them.
        usage: whether it counts tokens (one a word).
        cached: how many tokens of the prompt it says it had in its cache.
        pieces: the raw body to send, instead of what `text` would make; for broken streams.
        break_after: closes the connection after so many pieces.
        stall_after: sends nothing after so many pieces until the server is closed.
        hang: sends nothing until the server is closed.
    """

    text: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, float] | None = None
    places: Sequence[Mapping[str, float]] | None = None
    lists: bool = True
    usage: bool = True
    cached: int | None = None
    pieces: Sequence[bytes] | None = None
    break_after: int | None = None
    stall_after: int | None = None
    hang: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the server got."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, object]

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        messages = self.body["messages"]
        return str(messages[-1]["content"]) if isinstance(messages, list) else ""


class OpenAIStub:
    """Serves on the loopback interface while the ``with`` block runs. The same prompt always gets the same answer.

    Args:
        script: what to do with the first requests, in their order; then the default `Reply`.
        port: 0 takes a free one.
    """

    def __init__(self, script: Sequence[Reply] = (), *, port: int = 0) -> None:
        self.port = port
        self.requests: list[Request] = []
        self._script = list(script)
        self._lock = Lock()
        self._closing = Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> OpenAIStub:
        stub = self

        class Handler(_Handler):
            def do_POST(self) -> None:
                stub._answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, handler: _Handler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        request = Request(handler.path, dict(handler.headers.items()), body)
        with self._lock:
            self.requests.append(request)
            reply = self._script.pop(0) if self._script else Reply()
        if reply.hang:
            self._closing.wait()
            return
        streamed = bool(body.get("stream")) or reply.pieces is not None
        if reply.status == 200 and streamed:
            handler.start(200, {"Content-Type": "text/event-stream", **reply.headers})
            pieces = list(reply.pieces) if reply.pieces is not None else list(_events(request, reply))
            if reply.stall_after is not None:
                handler.write_chunked(pieces[: reply.stall_after], ended=False)
                self._closing.wait()
                return
            handler.write_chunked(pieces[: reply.break_after], ended=reply.break_after is None)
            return
        if reply.status == 200:
            payload: object = _completion(request, reply)
        else:
            payload = {"error": {"message": reply.text or "scripted failure"}}
        data = json.dumps(payload).encode()
        length = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        handler.start(reply.status, {**length, **reply.headers})
        handler.wfile.write(data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")  # or who asks next may just be using it
        self.end_headers()

    def write_chunked(self, pieces: Sequence[bytes], *, ended: bool) -> None:
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if ended:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet: a test's output is the test's."""


def _events(request: Request, reply: Reply) -> Iterator[bytes]:
    text = _text(request, reply)
    words = re.findall(r"\S+\s*|\s+", text)
    listed = bool(request.body.get("logprobs")) and reply.lists
    places = reply.places if reply.places is not None else [{word: 1.0} for word in words]
    for word, place in zip_longest(words, places):
        choice: dict[str, object] = {"index": 0, "delta": {"content": word or ""}, "finish_reason": None}
        if listed and place is not None:
            choice["logprobs"] = {"content": [_logprobs(place)]}
        yield _event({"choices": [choice]})
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if reply.usage:
        yield _event({"choices": [], "usage": _usage(request, reply, text)})
    yield b"data: [DONE]\n\n"


def _event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def _completion(request: Request, reply: Reply) -> Mapping[str, object]:
    text = _text(request, reply)
    choice: dict[str, object] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    if request.body.get("logprobs") and reply.lists:
        tokens = reply.tokens if reply.tokens is not None else {text.split()[0]: 1.0}
        choice["logprobs"] = {"content": [_logprobs(tokens)]}
    completion: dict[str, object] = {"choices": [choice]}
    return {**completion, "usage": _usage(request, reply, text)} if reply.usage else completion


def _logprobs(tokens: Mapping[str, float]) -> Mapping[str, object]:
    """One place as the API lists it: its token, the first given, and the most probable ones in their order."""
    if not tokens:
        return {"token": "", "logprob": 0.0, "top_logprobs": []}
    listed = [{"token": token, "logprob": log(share)} for token, share in sorted(tokens.items(), key=lambda x: -x[1])]
    token, share = next(iter(tokens.items()))
    return {"token": token, "logprob": log(share), "top_logprobs": listed}


def _usage(request: Request, reply: Reply, text: str) -> Mapping[str, object]:
    counts = {"prompt_tokens": len(request.prompt.split()), "completion_tokens": len(text.split())}
    return counts if reply.cached is None else {**counts, "prompt_tokens_details": {"cached_tokens": reply.cached}}


def _text(request: Request, reply: Reply) -> str:
    """The scripted text; else the first sentence of the first source; without sources the prompt's last line."""
    if reply.text is not None:
        return reply.text
    source = _SOURCE.search(request.prompt)
    if source is None:
        return request.prompt.strip().rpartition("\n")[2]
    found = [source[2][start:end] for start, end in sentences(source[2])]
    quoted = next((sentence for sentence in found if sentence.endswith((".", "!", "。"))), found[0])
    return f"{quoted} [{source[1]}]"


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="An OpenAI-compatible server that quotes the first source.")
    parser.add_argument("--port", type=int, default=8000)
    with OpenAIStub(port=parser.parse_args().port) as stub:
        print(f"serving {stub.base_url}", flush=True)
        try:
            Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
