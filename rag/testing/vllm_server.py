"""A real vLLM server for tests and benchmarks, started by ``rag serve-llm``; it can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from rag.models.vllm_metrics import EngineMetrics, parse_metrics

STOP_SECONDS = 120.0


class VllmServer:
    """Serves a model on a port of the loopback interface. Needs vLLM in the environment of this Python.

    Args:
        folder: the model.
        options: further options of ``rag serve-llm``.
    """

    def __init__(self, folder: Path, *options: str, name: str = "tiny") -> None:
        self.folder = folder
        self.options = options
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[str] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> str:
        """Start it and wait until it answers; the YAML that the command prints.

        Raises:
            RuntimeError: it ended instead; its log is on standard error.
        """
        command = [sys.executable, "-m", "rag", "serve-llm", str(self.folder), "--port", str(self.port)]
        command += ["--name", self.name, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for _ in range(7)]
        if not all(lines):
            raise RuntimeError(f"rag serve-llm ended with code {self.process.wait()}")
        return "".join(lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it as a service manager or a terminal does; the command's exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End all its processes without a warning, as the kernel does when there is no memory left."""
        assert self.process is not None
        for child in children(self.process.pid):
            os.kill(child, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def metrics(self) -> EngineMetrics:
        """What the engine says of itself."""
        return parse_metrics(httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False, timeout=30).text)


def until(holds: Callable[[], bool], *, seconds: float = 60.0) -> bool:
    """Whether it comes to hold, looking every 50 ms."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def children(process: int) -> Sequence[int]:
    """The running processes below one, from ``/proc``; Linux only."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if fields[0] != "Z":
            parents[int(folder.name)] = int(fields[1])
    found: list[int] = []
    level = [process]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found += level
    return found
