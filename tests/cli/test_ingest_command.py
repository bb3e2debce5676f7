from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


def test_only_what_changed_is_read(folder: Path, run: Callable[..., Any]) -> None:
    assert run("ingest").out.startswith("2 added, 0 unchanged; 2 chunks (0 from the cache, 0% truncated) in ")
    assert run("ingest").out.startswith("0 added, 2 unchanged in ")
    (folder / "docs" / "dogs.md").write_text("# Dogs\n\nDogs bark at noon.\n", encoding="utf-8")
    assert run("ingest").out.startswith("0 added, 1 updated, 1 unchanged; 1 chunk ")


def test_a_source_that_cannot_be_read_exits_with_4_and_the_rest_is_indexed(
    folder: Path, run: Callable[..., Any]
) -> None:
    (folder / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing else")
    done = run("ingest")
    assert done.code == 4
    assert "2 added, 0 unchanged, 1 failed" in done.out
    assert done.err.startswith("failed: docs/broken.pdf: ")


def test_strict_stops_at_a_source_that_cannot_be_read(folder: Path, run: Callable[..., Any]) -> None:
    (folder / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing else")
    done = run("ingest", "--strict")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "broken.pdf" in done.err


def test_plan_says_what_would_change_and_changes_nothing(indexed: Path, run: Callable[..., Any]) -> None:
    (indexed / "docs" / "cats.md").write_text("Cats meow.", encoding="utf-8")
    (indexed / "docs" / "dogs.md").write_text("Dogs bark at noon.", encoding="utf-8")
    (indexed / "docs" / "owls.md").unlink()
    done = run("ingest", "--plan")
    assert done.out.splitlines() == [
        "+ cats.md",
        "~ dogs.md",
        "- owls.md",
        "1 to add, 1 to read again, 0 unchanged, 1 vanished (removed with --prune)",
    ]
    plan = run("ingest", "--plan", "--json").json
    assert (plan["added"], plan["changed"], plan["vanished"]) == (["cats.md"], ["dogs.md"], ["owls.md"])


def test_vanished_documents_stay_until_prune(indexed: Path, run: Callable[..., Any]) -> None:
    (indexed / "docs" / "owls.md").unlink()
    assert run("ingest", "--json").json["removed"] == 0
    assert "owls.md" in run("inspect").out
    assert run("ingest", "--prune", "--json").json["removed"] == 1
    assert "owls.md" not in run("inspect").out


def test_json_has_exactly_the_documented_fields(folder: Path, run: Callable[..., Any]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "json-output.md").read_text(encoding="utf-8")
    section = page.split("## `rag ingest --json`")[1].split("With `--plan`")[0]
    documented = set(re.findall(r"`([a-z]+)`", section.replace("[]", ""))) - {"source", "reason"}
    assert set(run("ingest", "--json").json) == documented


def test_what_is_left_out_is_said_by_suffix(folder: Path, run: Callable[..., Any]) -> None:
    (folder / "docs" / "old.zip").write_bytes(b"PK\3\4\0\0")
    (folder / "docs" / ".notes.md").write_text("hidden")
    done = run("ingest")
    assert (done.code, done.err) == (0, "left out: 1 .zip, 1 hidden\n")
    assert run("ingest", "--json").json["skipped"] == {".zip": 1, "hidden": 1}


def test_a_run_that_finds_nothing_says_so(folder: Path, run: Callable[..., Any]) -> None:
    done = run("ingest", "--set", 'ingest.load.0.include=["*.tex"]')
    assert done.err == (
        "left out: 2 not included\nnothing to index was found: see ingest.load, and its `include` and `exclude`\n"
    )


def test_a_failure_says_what_to_do_about_it(folder: Path, run: Callable[..., Any]) -> None:
    done = run("ingest", "--set", "ingest.load.0.max_megabytes=0.00001")
    assert "more than the limit of 1e-05 MB; raise max_megabytes of the connector and of ingest.parse\n" in done.err


def test_an_index_that_cannot_be_written_is_an_error_without_a_traceback(folder: Path, run: Callable[..., Any]) -> None:
    (folder / "taken").write_text("a file")
    done = run("ingest", "--set", "ingest.index.path=taken")
    assert done.code == 1
    assert done.err.splitlines() == [
        "error: taken: the index cannot be written: File exists",
        "  hint: ingest.index.path names the folder of the index",
    ]


class Silent(BaseHTTPRequestHandler):
    """Says that it was asked, and never answers."""

    asked = threading.Event()

    def do_GET(self) -> None:
        Silent.asked.set()
        threading.Event().wait()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_while_ingesting_exits_with_130_without_a_traceback(own_directory: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    load = f"ingest.load=[{{use: web, urls: ['{url}'], allow_private: true}}]"
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "ingest", "--set", load],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert Silent.asked.wait(20)  # it is in the middle of reading
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    server.shutdown()
    server.server_close()
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted: what was committed stays, the next run goes on from there\n"
