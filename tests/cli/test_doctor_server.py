from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rag.cli.doctor import EXTRAS


@contextmanager
def serving(status: int, body: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/v1/models" and self.headers.get("Authorization") in (None, "Bearer right")
            self.send_response(status if known else 401)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def finding(run: Callable[..., Any], url: str, more: str = "") -> tuple[int, str, str]:
    """Exit code, state, and what is said behind the address, of a pipeline whose model is `small` at `url`."""
    done = run("doctor", "--json", "--set", f"llm={{use: openai, base_url: '{url}', model: small{more}}}")
    (found,) = [each for each in done.json if each["what"].startswith(f"language model small at {url}")]
    return done.code, found["state"], found["what"].removeprefix(f"language model small at {url}")


@pytest.mark.parametrize(
    ("status", "body", "state", "said"),
    [
        (200, json.dumps({"data": [{"id": "large"}, {"id": "small"}]}), "ok", ""),
        (200, json.dumps({"data": [{"id": "large"}]}), "note", ": it lists large"),
        (200, "[]", "note", ": it answers, and lists no models (200)"),
        (404, "", "note", ": it answers, and lists no models (404)"),
    ],
)
def test_a_server_that_answers_is_no_problem_whatever_it_lists(
    indexed: Path, run: Callable[..., Any], status: int, body: str, state: str, said: str
) -> None:
    with serving(status, body) as url:
        assert finding(run, url) == (0, state, said)


def test_a_server_that_is_down_or_refuses_the_key_is_a_problem(
    indexed: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(200, json.dumps({"data": [{"id": "small"}]})) as url:
        with_key = ", api_key_env: SMALL_KEY"
        monkeypatch.delenv("SMALL_KEY", raising=False)
        assert finding(run, url, with_key) == (1, "problem", ": no key in $SMALL_KEY")
        monkeypatch.setenv("SMALL_KEY", "wrong")
        assert finding(run, url, with_key) == (1, "problem", ": the key is refused (401)")
        monkeypatch.setenv("SMALL_KEY", "right")
        assert finding(run, url, with_key) == (0, "ok", "")
    code, state, said = finding(run, url)
    assert (code, state) == (1, "problem")
    assert said.startswith(": cannot be reached: ")


def test_every_extra_is_looked_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"dev", "all"}
