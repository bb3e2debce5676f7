"""Parse a folder of test documents and check what comes out of each.

    python benchmarks/documents.py PATH_TO_DOCUMENTS

The folder holds ``index.jsonl``: for each file its class (plain, hard, hostile), the phrases that a right text of it
contains, and a password if it has one. Plain and hard files must yield every phrase; hostile ones a text or a clear
error, each within the limits. Exits 1 when they do not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import unicodedata
from pathlib import Path

from rag.errors import SourceError
from rag.load.base import Source
from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool
from rag.types import Document

PASSWORD = "DOCUMENTS_BENCHMARK_PASSWORD"


def folded(text: str) -> str:
    """For comparing: NFKC, case and white space do not count."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def parse(pool: ParserPool, path: Path, password: str | None) -> Document | SourceError:
    os.environ.pop(PASSWORD, None)
    if password:
        os.environ[PASSWORD] = password
    try:
        return pool.parse(Source(id=path.name, uri=str(path), name=path.name, read=path.read_bytes))
    except SourceError as error:
        return error


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("documents", type=Path)
    folder = arguments.parse_args().documents
    entries = [json.loads(line) for line in (folder / "index.jsonl").read_text("utf-8").splitlines()]
    right = files = found = expected = rescued = refused = missing = 0
    slowest = 0.0
    with ParserPool(ParseSpec(password_env=PASSWORD)) as pool:
        for entry in entries:
            for password in dict.fromkeys((None, entry.get("password"))):
                started = time.perf_counter()
                result = parse(pool, folder / entry["file"], password)
                seconds = time.perf_counter() - started
                slowest = max(slowest, seconds)
                text = folded(result.text) if isinstance(result, Document) else ""
                hits = [folded(phrase) in text for phrase in entry["expect"]]
                hostile = entry["class"] == "hostile"
                if hostile:
                    rescued += isinstance(result, Document)
                    refused += isinstance(result, SourceError)
                    missing += (bool(text) or password is not None) and not all(hits)
                else:
                    found += sum(hits)
                    expected += len(hits)
                    files += 1
                    right += bool(text) and all(hits)
                    missing += not text or not all(hits)
                name = entry["file"] + (" (with its password)" if password else "")
                outcome = f"{len(text):>7} letters" if text else f"{getattr(result, 'message', '')}"
                print(f"{entry['class']:8}{name:58}{sum(hits)}/{len(hits)}  {seconds * 1000:6.0f} ms  {outcome}")
    print(
        f"{right} of {files} plain+hard files right, {found} of {expected} phrases found; "
        f"hostile: {refused} clear errors, {rescued} rescued; "
        f"slowest file {slowest:.2f} s"
    )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
