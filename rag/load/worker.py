"""Parsing in worker processes, under limits of time, memory and output.

A parser reads files from strangers with libraries written in C. Here it runs in a process of its own, which is killed
when it takes too long, cannot take more memory than allowed, sees none of the environment's secrets, and answers in
plain data. A file that breaks its worker is an error of that file alone.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from types import TracebackType

from rag.errors import SourceError
from rag.load.base import Parsed, Source
from rag.load.builder import Limits
from rag.load.formats import detect, make_parser
from rag.load.process import WorkerProcess
from rag.load.specs import Ocr, ParseSpec
from rag.types import Document

_SMALL_BYTES = 1 << 20
_WORKERS = 4
_OCR_HINT = 'set ingest.parse.ocr: auto and pip install "ragloom[docs]"'
_AHEAD = 2  # sources in flight for each worker: enough to keep it busy, few enough to bound memory


class ParserPool:
    """Turns sources into documents; worker processes start when the first file needs one.

    >>> from rag.load.base import Source
    >>> with ParserPool(ParseSpec()) as pool:
    ...     pool.parse(Source(id="a.txt", uri="a.txt", name="a.txt", read=lambda: b"Dogs bark.")).text
    'Dogs bark.'
    """

    def __init__(self, spec: ParseSpec) -> None:
        self.spec = spec
        self.workers = spec.workers or min(_WORKERS, os.cpu_count() or 1)
        self._limits = Limits(int(spec.max_unpacked_megabytes * 1e6), spec.max_characters)
        self._idle: dict[Ocr, list[WorkerProcess]] = {}
        self._busy: set[WorkerProcess] = set()
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self.workers)

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all worker processes, the busy ones too. The pool may be used again."""
        with self._lock:
            processes = [*chain.from_iterable(self._idle.values()), *self._busy]
            self._idle = {}
        for process in processes:
            process.kill()

    def parse(self, source: Source) -> Document:
        """Read and parse one source; may be called from several threads.

        Raises:
            SourceError: it cannot be read, names what is wrong and the source's uri.
        """
        try:
            read = source.read()
        except OSError as error:
            raise SourceError(f"it cannot be read: {error.strerror or error}", source=source.uri) from error
        if isinstance(read, Document):
            return read
        if not read:
            raise SourceError("empty file", source=source.uri)
        if len(read) > self.spec.max_megabytes * 1e6:
            raise SourceError(
                f"it has {len(read) / 1e6:,.1f} MB, more than the limit of {self.spec.max_megabytes:g} MB",
                source=source.uri,
                hint="raise ingest.parse.max_megabytes",
            )
        try:
            parsed = self._parsed(read, source)
        except ValueError as error:
            raise SourceError(str(error), source=source.uri) from error
        if not parsed.text.strip():
            raise SourceError("there is no text in it", source=source.uri)
        return Document(
            id=source.id,
            text=parsed.text,
            source=source.uri,
            meta={**parsed.meta, **source.meta},
            access=source.access,
            layout=parsed.layout,
        )

    def parse_all(self, sources: Iterable[Source]) -> Iterator[tuple[Source, Document | SourceError]]:
        """Parse in parallel, give in the order of `sources`, which is advanced only as results are taken.

        At most two sources for each worker are in memory at a time, whatever the number of sources.
        """
        waiting: deque[tuple[Source, Future[Document | SourceError]]] = deque()
        executor = ThreadPoolExecutor(self.workers, thread_name_prefix="rag-parse")
        try:
            for source in sources:
                waiting.append((source, executor.submit(self._outcome, source)))
                if len(waiting) >= self.workers * _AHEAD:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        except BaseException:  # Ctrl-C, or the consumer stopped: nobody wants the other results
            executor.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        finally:
            executor.shutdown(wait=True)

    def _outcome(self, source: Source) -> Document | SourceError:
        try:
            return self.parse(source)
        except SourceError as error:
            return error

    def _parsed(self, data: bytes, source: Source) -> Parsed:
        """Raises `ValueError` with what is wrong with the file."""
        name = detect(data, source.name, source.media_type)
        if name in ("text", "code") and len(data) <= _SMALL_BYTES and _is_utf8(data):
            # Decoding UTF-8 cannot hang, crash or grow: no need to send it to another process.
            return make_parser(name, self._limits).parse(data, source.name)
        ocr = self.spec.ocr
        if ocr == "off" and name == "image":
            raise ValueError(f"it is a picture; to read the text on it {_OCR_HINT}")
        with self._slots:
            if name == "image" or (name == "pdf" and ocr == "always"):
                return self._parsed_in_worker(data, source, ocr)
            parsed = self._parsed_in_worker(data, source, "off")
            if name == "pdf" and parsed.meta.get("pages_without_text"):
                # A process of its own, since OCR takes a multiple of the time and memory that other files may have.
                if ocr == "auto":
                    return self._parsed_in_worker(data, source, ocr)
                if not parsed.text:
                    raise ValueError(f"no page has a text layer; {_OCR_HINT}")
        return parsed

    def _parsed_in_worker(self, data: bytes, source: Source, ocr: Ocr) -> Parsed:
        process = self._checkout(ocr)
        try:
            return process.parse(data, name=source.name, media_type=source.media_type, password=self._password())
        finally:
            self._give_back(process, ocr)

    def _checkout(self, ocr: Ocr) -> WorkerProcess:
        with self._lock:
            idle = self._idle.get(ocr)
            process = idle.pop() if idle else self._process(ocr)
            self._busy.add(process)
            return process

    def _process(self, ocr: Ocr) -> WorkerProcess:
        spec = self.spec
        if ocr == "off":
            return WorkerProcess(self._limits, memory_mib=spec.memory_mib, timeout_seconds=spec.timeout_seconds)
        limits = replace(self._limits, ocr=ocr, threads=max(1, (os.cpu_count() or 1) // self.workers))
        return WorkerProcess(limits, memory_mib=spec.ocr_memory_mib, timeout_seconds=spec.ocr_timeout_seconds)

    def _give_back(self, process: WorkerProcess, ocr: Ocr) -> None:
        with self._lock:
            self._busy.discard(process)
            if process.is_alive():
                self._idle.setdefault(ocr, []).append(process)
                return
        process.kill()

    def _password(self) -> str | None:
        return os.environ.get(self.spec.password_env) if self.spec.password_env else None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
