"""A worker process: reads requests from standard input, parses, answers on standard output, until the input ends.

It sets its own memory limit before it sees any file, and an alarm for each file, so that it does not outlive its
parent even in an endless loop.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from rag.load.builder import Limits
from rag.load.formats import parse_bytes
from rag.load.messages import dump, encode_parsed, load, receive, send

_ALARM_AFTER_TIMEOUT_SECONDS = 2.0
_STDERR_BYTES = 1 << 20


def main(memory_mib: int, timeout_seconds: float, limits: Limits) -> None:
    """Serve until standard input ends, or until memory runs short: the pool then starts a fresh process."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak into the protocol
    faulthandler.enable()
    _limit_memory(memory_mib)
    send(replies, dump({"ready": os.getpid()}))
    while True:
        _alarm(0)
        header = receive(requests, at_most=1 << 20)
        if header is None:
            return
        _alarm(timeout_seconds + _ALARM_AFTER_TIMEOUT_SECONDS)
        if not _serve(load(header), requests, replies, limits, memory_mib):
            return


def _serve(header: dict[str, object], requests: BinaryIO, replies: BinaryIO, limits: Limits, memory_mib: int) -> bool:
    """Answer one request; false when this process should not take another."""
    data = receive(requests, at_most=1 << 40) or b""
    password = header.get("password")
    limits = replace(limits, password=password if isinstance(password, str) else None)
    reply: bytes | None = None
    last = False
    try:
        result = parse(data, str(header["name"]), str(header["media_type"]), limits)
        last = _address_space_mib() > memory_mib / 2  # a heap that was full does not shrink
        reply = dump(result | {"last": last})
    except MemoryError:
        pass  # answered below, when the exception no longer holds what was being built
    if reply is None:
        del data
        last = True
        reply = dump({"error": f"it needs more than {memory_mib} MiB of memory to read", "last": last})
    send(replies, reply)
    return not last


def parse(data: bytes, name: str, media_type: str, limits: Limits) -> dict[str, object]:
    """Parse one file in this process; the result or ``{"error": sentence}`` as plain data."""
    try:
        return encode_parsed(parse_bytes(data, name, media_type, limits))
    except MemoryError:
        raise
    except ValueError as error:
        return {"error": str(error) or "it cannot be read"}
    except Exception as error:  # a parser's bug on a strange file must not end the run; the traceback goes to the log
        import traceback

        return {
            "error": f"the parser failed on it ({type(error).__name__}: {str(error)[:200]})",
            "traceback": traceback.format_exc()[-4000:],
        }


def _limit_memory(memory_mib: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    def lower(kind: int, value: int) -> None:
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))

    if sys.platform != "darwin":  # macOS accepts the call and ignores it, or refuses it
        lower(resource.RLIMIT_AS, memory_mib << 20)
    lower(resource.RLIMIT_FSIZE, _STDERR_BYTES)
    lower(resource.RLIMIT_CORE, 0)


def _alarm(seconds: float) -> None:
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends the process, also inside C code


def _address_space_mib() -> float:
    """How much address space this process has taken; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
