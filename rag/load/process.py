"""One worker process, seen from the pool."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from rag.load.base import Parsed
from rag.load.builder import Limits
from rag.load.messages import BadMessageError, decode_parsed, dump, load, receive, send

logger = logging.getLogger(__name__)

_START_SECONDS = 60.0
_KEPT_ENVIRONMENT = frozenset({"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR"})
_ROOT = str(Path(__file__).resolve().parents[2])
# -P: a file named like a standard module in the working directory must not be imported. The folder that holds this
# package comes last, for a checkout that is not installed.
_BOOT = (
    "import sys; sys.path.append(sys.argv[1]); from rag.load.child import main; from rag.load.builder import Limits; "
    "main({arguments})"
)


class WorkerProcess:
    """Started by the first `parse`; dead for good after a time-out, a crash or too much memory."""

    def __init__(self, limits: Limits, *, memory_mib: int, timeout_seconds: float) -> None:
        self.limits = limits
        self.memory_mib = memory_mib
        self.timeout_seconds = timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._killed = False
        self._lock = threading.Lock()

    def is_alive(self) -> bool:
        return self._process is not None and not self._killed and self._process.poll() is None

    def parse(self, data: bytes, *, name: str, media_type: str, password: str | None) -> Parsed:
        """Parse one file within the limits.

        Raises:
            ValueError: what is wrong with the file; whether the process can be used again, `is_alive` says.
        """
        process = self._process or self._start()
        header = dump({"name": name, "media_type": media_type, "password": password})
        with _Deadline(process, self.timeout_seconds) as deadline:
            try:
                reply = self._exchange(process, header, data)
            except (OSError, BadMessageError) as error:
                self.kill()
                if deadline.passed:
                    raise ValueError(f"it takes longer than {self.timeout_seconds:g} s to read") from None
                raise ValueError(self._cause(process, error)) from None
        if reply.get("last") is True:  # it is about to end, to give its memory back
            self.kill()
        if "traceback" in reply:
            logger.debug("the parser failed on %s:\n%s", name, reply["traceback"])
        if "error" in reply:
            raise ValueError(str(reply["error"])[:1000])
        try:
            return decode_parsed(reply, max_characters=self.limits.max_characters)
        except BadMessageError as error:
            self.kill()
            raise ValueError(f"the parser gave a result that cannot be right ({error})") from error

    def kill(self) -> None:
        """End the process, if there is one, and wait for it; may be called twice and from another thread."""
        with self._lock:
            self._killed = True
            process = self._process
        if process is None:
            return
        process.kill()
        process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        boot = _BOOT.format(arguments=f"{self.memory_mib}, {self.timeout_seconds}, {self.limits!r}")
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.upper() in _KEPT_ENVIRONMENT or name.startswith("PYTHON")
        }
        with self._lock:
            if self._killed:
                raise ValueError("reading was stopped")
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 closed with the object
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", boot, _ROOT],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=kept | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"},
                # Ctrl-C goes to the foreground process group: the pool hears it and ends its workers itself.
                process_group=0 if sys.platform != "win32" else None,
            )
        with _Deadline(process, _START_SECONDS):
            try:
                if process.stdout is None or receive(process.stdout, at_most=1000) is None:
                    raise BadMessageError("it ended while starting")
            except (OSError, BadMessageError) as error:
                self.kill()
                raise ValueError(self._cause(process, error)) from None
        return process

    def _exchange(self, process: subprocess.Popen[bytes], header: bytes, data: bytes) -> dict[str, object]:
        if process.stdin is None or process.stdout is None:
            raise BadMessageError("the worker has no pipes")
        send(process.stdin, header)
        send(process.stdin, data)
        # Text, its escapes in JSON, and the layout: no honest reply is longer.
        reply = receive(process.stdout, at_most=12 * self.limits.max_characters + (1 << 26))
        if reply is None:
            raise BadMessageError("it ended without an answer")
        return load(reply)

    def _cause(self, process: subprocess.Popen[bytes], error: Exception) -> str:
        """What can be said about a process that died; its last words go to the log."""
        if self._stderr is not None:
            self._stderr.seek(0)
            logger.debug("a parser process ended with %s:\n%s", process.returncode, self._stderr.read()[-4000:])
        code = process.returncode
        status = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        return (
            f"the parser process broke on it ({status}; {error}): a damaged file, or one that needs more than "
            f"{self.memory_mib} MiB of memory"
        )


class _Deadline:
    """Kills a process that is still at work when the time is up; the blocked reader then sees the stream end."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.process = process
        self.passed = False
        self._over = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._stop)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with self._lock:  # after this the timer cannot kill a process that has moved on to another file
            self._over = True
        self._timer.cancel()

    def _stop(self) -> None:
        with self._lock:
            if not self._over:
                self.passed = True
                self.process.kill()
