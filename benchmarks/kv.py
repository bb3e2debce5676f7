"""Reuse of chunks' keys and values: time to first token, answers, tokens computed, the store, one prefill.

    python benchmarks/kv.py all DATA INDEXES [--rounds 3]
    python benchmarks/kv.py ttft [--contexts 1024,2048,4096,8192] [--rounds 5] [--policy "hkvd 15 %"]
    python benchmarks/kv.py quality [--model DIR] [--contexts 60] [--svg FILE]
    python benchmarks/kv.py zipf INDEX DATA [--requests 1000] [--exponent 1.0]
    python benchmarks/kv.py store [--folder DIR] [--caches 1000000]
    python benchmarks/kv.py one-prefill [--rounds 5] [--policies shipped,none] [--attended 300]

Each part is described at the head of the file kv_<part>.py. `all` runs every part, `zipf` on hotpotqa and
2wikimultihopqa in the folders DATA and INDEXES, and those parts of kv_compress.py that need no other model. The last
line says which goals were met.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from kv_compress import micro_answers, speeds
from kv_goals import Goal, summary
from kv_one_prefill import POLICIES, one_prefill
from kv_quality import quality
from kv_store import store_figures
from kv_ttft import times_to_first_token
from kv_zipf import zipf

CONTEXTS = (1024, 2048, 4096, 8192)
SETS = ("hotpotqa", "2wikimultihopqa")
MICRO = Path(__file__).parent / "microlm" / "model"
SHOWN = ("shipped", "none", "hkvd 15 %")


def main() -> None:
    torch.set_num_threads(1)
    arguments = parsed()
    print(summary(arguments.run(arguments)))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True, metavar="PART")

    every = parts.add_parser("all")
    every.add_argument("data", type=Path, help="the folder with the sets, in BEIR's layout")
    every.add_argument("indexes", type=Path, help="the folder with their indexes, made by `hybrid`; not written to")
    every.add_argument("--rounds", type=int, default=3)
    every.set_defaults(run=lambda given: everything(given.data, given.indexes, given.rounds))

    ttft = parts.add_parser("ttft")
    ttft.add_argument("--contexts", default=",".join(map(str, CONTEXTS)))
    ttft.add_argument("--rounds", type=int, default=5)
    ttft.add_argument("--policy", action="append", default=[], metavar="NAME", help="these alone, in memory alone")
    ttft.set_defaults(
        run=lambda given: times_to_first_token(list(map(int, given.contexts.split(","))), given.rounds, given.policy)
    )

    answers = parts.add_parser("quality")
    answers.add_argument("--model", type=Path, default=MICRO)
    answers.add_argument("--contexts", type=int, default=60)
    answers.add_argument("--svg", type=Path, help="draw accuracy against tokens computed into this file")
    answers.set_defaults(run=lambda given: quality(given.model, given.contexts, given.svg))

    requests = parts.add_parser("zipf")
    requests.add_argument("index", type=Path, help="an index made by the pipeline `hybrid`; it is not written to")
    requests.add_argument("data", type=Path, help="the folder with its corpus.jsonl and queries.jsonl")
    requests.add_argument("--requests", type=int, default=1000)
    requests.add_argument("--exponent", type=float, default=1.0)
    requests.set_defaults(run=lambda given: zipf(given.index, given.data, given.requests, given.exponent))

    store = parts.add_parser("store")
    store.add_argument("--folder", type=Path, help="where to write; a temporary folder if not given")
    store.add_argument("--caches", type=int, default=1_000_000, help="rows of the index for the lookups")
    store.set_defaults(run=lambda given: stored(given.folder, given.caches))

    three = parts.add_parser("one-prefill")
    three.add_argument("--rounds", type=int, default=5)
    three.add_argument("--policies", default=",".join(SHOWN), help=f"of {', '.join(POLICIES)}, separated by commas")
    three.add_argument("--attended", type=int, default=300, help="tokens whose sentences compression keeps")
    three.set_defaults(run=lambda given: one_prefill(given.policies.split(","), given.rounds, given.attended))
    return parser.parse_args()


def everything(data: Path, indexes: Path, rounds: int) -> list[Goal]:
    parts: dict[str, Callable[[], Sequence[Goal] | None]] = {
        "time to first token": lambda: times_to_first_token(CONTEXTS, rounds),
        "answers": lambda: quality(MICRO, 60),
        **{f"tokens computed, {name}": lambda name=name: zipf(indexes / name, data / name, 1000, 1.0) for name in SETS},
        "store": lambda: stored(None, 1_000_000),
        "one prefill": lambda: one_prefill(SHOWN, rounds),
        "answers from a part of the cache": lambda: micro_answers(8),
        "speed of a part of the cache": lambda: speeds(4096, 1, [0.25], 10),
    }
    goals: list[Goal] = []
    for name, part in parts.items():
        print(f"\n== {name}", flush=True)
        started = time.perf_counter()
        goals += part() or ()  # what is published without a goal
        print(f"{time.perf_counter() - started:.0f} s", flush=True)
    return goals


def stored(folder: Path | None, caches: int) -> list[Goal]:
    with tempfile.TemporaryDirectory() as temporary:
        return store_figures(folder or Path(temporary), caches)


if __name__ == "__main__":
    main()
