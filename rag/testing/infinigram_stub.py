"""A server that speaks the Infini-gram API over a few texts: for tests and for trying things out.

::

    with InfinigramStub(["the cat sat", "the dog"]) as stub:
        counts = InfinigramCounts(url=stub.url, index="stub")
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread


class InfinigramStub:
    """Serves on the loopback interface while the ``with`` block runs. A token is what stands between spaces.

    As the real one it reads ``AND`` and ``OR`` in a query's text as operators, and estimates a pair one phrase of which
    is more frequent than the request allows.

    Args:
        texts: the corpus.
        script: what to answer to the first requests instead, as (status, body).
    """

    def __init__(self, texts: Sequence[str], script: Sequence[tuple[int, str]] = ()) -> None:
        self.requests: list[Mapping[str, object]] = []
        self._numbers: dict[str, int] = {}
        self._texts = [self._cut(text) for text in texts]
        self._script = list(script)
        self._lock = Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None, "only within the `with` block"
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> InfinigramStub:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                stub._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.requests.append(body)
            status, text = self._script.pop(0) if self._script else (200, json.dumps(self._counted(body)))
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(text.encode())

    def _counted(self, body: Mapping[str, object]) -> dict[str, object]:
        if body.get("query_type") != "count" or not isinstance(body.get("index"), str):
            return {"error": "[Invalid Request]"}
        ids = body.get("query_ids")
        text = body.get("query")
        if isinstance(text, str):
            clauses = [[self._cut(term) for term in clause.split(" OR ")] for clause in text.split(" AND ")]
            ids = clauses if len(clauses) > 1 or len(clauses[0]) > 1 else clauses[0][0]
        if not isinstance(ids, list):
            return {"error": "[Invalid Query]"}
        if not ids or isinstance(ids[0], int):
            return {"count": sum(len(_found(one, ids)) for one in self._texts), "approx": False, "token_ids": ids}
        window, most = int(str(body.get("max_diff_tokens", 100))), int(str(body.get("max_clause_freq", 50_000)))
        per_text = [
            [sorted(at for term in clause for at in _found(one, term)) for clause in ids] for one in self._texts
        ]
        rare = all(sum(len(found[at]) for found in per_text) <= most for at in range(len(ids)))
        pairs = sum(abs(i - j) <= window for first, *rest in per_text if rest for i in first for j in rest[0])
        return {"count": pairs if rare else pairs // 2, "approx": not rare, "token_ids": ids}

    def _cut(self, text: str) -> list[int]:
        return [self._numbers.setdefault(token, len(self._numbers) + 1) for token in text.split()]


def _found(text: list[int], phrase: list[int]) -> list[int]:
    return [at for at in range(len(text)) if text[at : at + len(phrase)] == phrase]
