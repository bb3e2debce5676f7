"""The worker processes: limits of time, memory and output, crashes, order, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from rag.errors import SourceError
from rag.load.base import Source
from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool
from rag.types import Document

# A worker whose parser does what the file says; the parent's side is the real one.
BOOT = """
import sys; sys.path.append(sys.argv[1])
import os, signal, time
from rag.load import child
from rag.load.builder import Limits
real = child.parse
def parse(data, name, media_type, limits):
    order = data.decode().removeprefix("<html>")
    if order == "hang":
        while True: pass
    if order == "eat":
        kept = [bytearray(1 << 20) for _ in range(100_000)]
    if order == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if order == "leave":
        os._exit(3)
    if order == "print":
        os.write(1, b"noise"); print("noise", flush=True)
    if order == "lie":
        return {{"text": "ab", "parts": [["page", 0, 99, "1", 0]], "boxes": [], "meta": {{}}, "lines": False}}
    if order == "environment":
        data = ("<html>" + repr(sorted(os.environ))).encode()
    return real(data, name, media_type, limits)
child.parse = parse
child.main({arguments})
"""


def page(order: str) -> Source:
    return Source(id=order, uri=f"{order}.html", name=f"{order}.html", read=lambda: b"<html>" + order.encode())


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ParserPool]:
    monkeypatch.setattr("rag.load.process._BOOT", BOOT)
    with ParserPool(ParseSpec(workers=1, timeout_seconds=60)) as pool:
        yield pool


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[ParserPool]:
    monkeypatch.setattr("rag.load.process._BOOT", BOOT)
    with ParserPool(ParseSpec(workers=1, timeout_seconds=4)) as pool:
        yield pool


def outcome(pool: ParserPool, order: str) -> str:
    """What the file's error says, after checking that the next file loads."""
    (_, error), (_, after) = list(pool.parse_all([page(order), page("words")]))
    assert isinstance(after, Document)
    assert after.text == "words"
    assert isinstance(error, SourceError)
    assert error.source == f"{order}.html"
    return error.message


def test_an_endless_loop_ends_at_the_time_limit(impatient: ParserPool) -> None:
    assert outcome(impatient, "hang") == "it takes longer than 4 s to read"


def test_a_file_that_eats_memory_ends_at_the_memory_limit(pool: ParserPool) -> None:
    assert outcome(pool, "eat") == "it needs more than 512 MiB of memory to read"


@pytest.mark.parametrize(("order", "status"), [("crash", f"signal {int(signal.SIGSEGV)}"), ("leave", "status 3")])
def test_a_crash_is_an_error_of_its_file(pool: ParserPool, order: str, status: str) -> None:
    assert status in outcome(pool, order)


def test_a_result_outside_the_text_is_not_believed(pool: ParserPool) -> None:
    assert "cannot be right" in outcome(pool, "lie")


def test_a_library_that_prints_does_not_disturb_the_protocol(pool: ParserPool) -> None:
    assert pool.parse(page("print")).text == "print"


def test_a_worker_does_not_see_secrets(pool: ParserPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    assert "'PATH'" in pool.parse(page("environment")).text
    assert "SOME_API_KEY" not in pool.parse(page("environment")).text


def test_a_module_of_a_standard_name_in_the_working_directory_is_not_run(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open("json.py", "w", encoding="utf-8") as trap:
        trap.write("raise SystemExit(9)")
    with ParserPool(ParseSpec(workers=1)) as pool:
        assert pool.parse(page("words")).text == "words"


def test_results_come_in_the_order_of_the_sources_and_the_list_is_read_lazily() -> None:
    read: list[int] = []

    def sources() -> Iterator[Source]:
        for number in range(60):
            read.append(number)
            yield Source(id=str(number), uri="", name="a.html", read=lambda n=number: f"<p>{n}</p>".encode())

    with ParserPool(ParseSpec(workers=2)) as pool:
        for at, (source, document) in enumerate(pool.parse_all(sources())):
            assert isinstance(document, Document)
            assert (source.id, document.text) == (str(at), str(at))
            assert len(read) <= at + 1 + 2 * 2  # memory does not grow with the list


def test_a_finished_document_passes_through() -> None:
    document = Document(id="a", text="given")
    source = Source(id="a", uri="a", name="a", read=lambda: document)
    with ParserPool(ParseSpec()) as pool:
        assert pool.parse(source) is document


def test_the_sources_metadata_and_access_reach_the_document() -> None:
    source = Source(id="a", uri="x/a.txt", name="a.txt", read=lambda: b"words", meta={"path": "a"}, access=("hr",))
    with ParserPool(ParseSpec()) as pool:
        document = pool.parse(source)
    assert (document.source, dict(document.meta), document.access) == ("x/a.txt", {"path": "a"}, ("hr",))


def test_a_file_over_the_size_limit_is_refused_before_it_is_parsed() -> None:
    source = Source(id="a", uri="a.txt", name="a.txt", read=lambda: b"x" * 2000)
    with ParserPool(ParseSpec(max_megabytes=0.001)) as pool, pytest.raises(SourceError, match="more than the limit"):
        pool.parse(source)


def test_stopping_early_and_closing_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.load.process._BOOT", BOOT)
    with ParserPool(ParseSpec(workers=2, timeout_seconds=60)) as pool:
        results = pool.parse_all([page("words"), *(page("hang") for _ in range(10))])
        next(results)
        results.close()  # type: ignore[attr-defined]  # a generator
    assert not _children()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_in_the_middle_of_a_hanging_file_leaves_no_process() -> None:
    script = f"""
import os, threading, signal, time, rag.load.process as process
process._BOOT = {BOOT!r}
from rag.load.worker import ParserPool; from rag.load.specs import ParseSpec; from rag.load.base import Source
def interrupt():
    while not pool._busy: time.sleep(0.01)
    worker = next(iter(pool._busy))
    while not worker.is_alive(): time.sleep(0.01)
    print(worker._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGINT)
with ParserPool(ParseSpec(workers=1, timeout_seconds=60)) as pool:
    threading.Thread(target=interrupt, daemon=True).start()
    list(pool.parse_all([Source(id="a", uri="a", name="a.html", read=lambda: b"<html>hang")]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert "KeyboardInterrupt" in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_worker_that_hangs_does_not_outlive_a_killed_parent() -> None:
    script = f"""
import os, threading, time, rag.load.process as process
process._BOOT = {BOOT!r}
from rag.load.worker import ParserPool; from rag.load.specs import ParseSpec; from rag.load.base import Source
pool = ParserPool(ParseSpec(workers=1, timeout_seconds=0.5))
def die():
    while not pool._busy or not next(iter(pool._busy)).is_alive(): time.sleep(0.01)
    print(next(iter(pool._busy))._process.pid, flush=True)
    time.sleep(0.3)
    os.kill(os.getpid(), 9)
threading.Thread(target=die, daemon=True).start()
pool.parse(Source(id="a", uri="a", name="a.html", read=lambda: b"<html>hang"))
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    ends = time.monotonic() + 10
    while _is_running(int(done.stdout)):
        assert time.monotonic() < ends
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    listed = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True, check=False).stdout
    return bool(listed.strip()) and not listed.startswith("Z")


def _children() -> list[str]:
    listed = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True, check=False
    )
    return [line for line in listed.stdout.splitlines() if "rag.load" in line]
