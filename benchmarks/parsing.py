"""How fast plain text is listed, read and parsed, and how much memory it takes at two sizes of the corpus.

    python benchmarks/parsing.py [--megabytes 40] [--repeats 3]

Writes synthetic text into a temporary folder, in files of 5 KB and of 200 KB, and runs the files connector and the
parser pool over it, each run in a fresh process. One JSON line for each format and file size: megabytes a second
(best and worst run), and the peak resident memory of the parent process at a tenth of the corpus and at all of it.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rag.connectors.files import FilesConnector, FilesSpec

from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool
from rag.types import Document

WORDS = [f"{a}{b}" for a in ("re", "con", "dis", "un", "over", "sub") for b in ("tain", "cover", "view", "form", "act")]


def write_corpus(folder: Path, *, suffix: str, megabytes: float, file_bytes: int) -> None:
    """Paragraphs of random words; every twentieth has a heading, every tenth letters outside ASCII."""
    rng = random.Random(0)
    folder.mkdir()
    for number in range(max(1, int(megabytes * 1e6 / file_bytes))):
        paragraphs: list[str] = []
        size = 0
        while size < file_bytes:
            text = " ".join(rng.choices(WORDS, k=90)) + ("." if rng.random() < 0.9 else " — naïve.")
            paragraphs.append(f"## {text[:40]}\n\n{text}" if rng.random() < 0.05 else text)
            size += len(paragraphs[-1]) + 2
        (folder / f"{number:06}{suffix}").write_text("\n\n".join(paragraphs), "utf-8")


def run(folder: Path) -> dict[str, float]:
    """Parse a folder in this process; megabytes of input, seconds, and the peak of resident memory."""
    files = megabytes = 0.0
    started = time.perf_counter()
    with ParserPool(ParseSpec()) as pool:
        for _, document in pool.parse_all(FilesConnector(FilesSpec(root=str(folder))).load()):
            if not isinstance(document, Document):
                raise document
            files += 1
            megabytes += len(document.text.encode()) / 1e6
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"files": files, "megabytes": megabytes, "seconds": seconds, "peak_mib": peak}


def in_a_process(folder: Path) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, "--run", str(folder)], stdout=subprocess.PIPE, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(arguments.run)))
        return
    with tempfile.TemporaryDirectory() as place:
        for suffix, file_bytes in ((".txt", 5_000), (".txt", 200_000), (".md", 5_000), (".md", 200_000)):
            small, large = (Path(place) / f"{name}{suffix}{file_bytes}" for name in ("small", "large"))
            write_corpus(small, suffix=suffix, megabytes=arguments.megabytes / 10, file_bytes=file_bytes)
            write_corpus(large, suffix=suffix, megabytes=arguments.megabytes, file_bytes=file_bytes)
            tenth = in_a_process(small)
            runs = [in_a_process(large) for _ in range(arguments.repeats)]
            rates = [one["megabytes"] / one["seconds"] for one in runs]
            result = {
                "bench": f"parse{suffix}",
                "file_kb": file_bytes / 1000,
                "files": int(runs[0]["files"]),
                "megabytes": round(runs[0]["megabytes"], 1),
                "mb_per_second_best": round(max(rates), 1),
                "mb_per_second_worst": round(min(rates), 1),
                "peak_mib_at_a_tenth": round(tenth["peak_mib"]),
                "peak_mib_at_all": round(max(one["peak_mib"] for one in runs)),
                "python": platform.python_version(),
            }
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
