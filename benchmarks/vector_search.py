"""Compares the dense indexes: recall against exact search, query time, build time and size, in one table.

    python benchmarks/vector_search.py DATA INDEXES [--sizes 10000,100000] [--limit 200] [--json results.jsonl]

INDEXES holds an index folder for each set, made by the `hybrid` pipeline (`rag ingest`), DATA the sets themselves, for
their questions. All vectors are the encoder's; where there are fewer than a size asks for, the rest are copies of them
with noise, at a cosine of about 0.9 to their original, and the table says how many. Questions are those of the sets.

Every index searches itself here, also where a pipeline with so few chunks would search exactly. `recall@10` is the
share of the exact ten best among its ten best, with ten asked for; `k=132` is the same with as many asked for as the
retriever does (its 100 and a margin for ties). Time is of one query at a time with k=132 on one thread, the indexes
taking turns, so that a busy machine slows all alike; `cpu ms` is the processor's time alone, p50. Set OMP_NUM_THREADS=1
for it. Megabytes are of what search reads: the vectors for `exact`, else the
derived file; candidates' vectors are read from the mapped segments on top of that. The last line of a size names the
fastest with 95 % recall. Most of the time goes into building `hnsw` and `ivfpq`: without them
(`--leave-out "hnsw;ivfpq"`) it is a minute. `chroma` needs the extra of that name.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path
from time import perf_counter, thread_time

import faiss
import numpy as np
from numpy.typing import NDArray

from rag import Pipeline
from rag.embed.base import Vectors
from rag.index import approximate
from rag.index.base import DenseIndex
from rag.index.directory import IndexDirectory
from rag.index.segments import SegmentedVectors
from rag.index.specs import (
    BinarySpec,
    ChromaSpec,
    DenseIndexSpec,
    ExactSpec,
    HnswSpec,
    IndexSpec,
    Int8Spec,
    IvfPqSpec,
    MatryoshkaSpec,
    PcaSpec,
)

SPECS: dict[str, DenseIndexSpec] = {
    "exact": ExactSpec(),
    "hnsw": HnswSpec(),
    "ivfpq": IvfPqSpec(),
    "pca": PcaSpec(),
    "pca, 64 axes": PcaSpec(dimension=64),
    "matryoshka, 128": MatryoshkaSpec(),
    "int8": Int8Spec(),
    "binary": BinarySpec(),
    "chroma": ChromaSpec(),
}
COLUMNS = {
    "recall@10": ("recall", 4),
    "k=132": ("recall_deep", 4),
    "p50 ms": ("p50_ms", 2),
    "p95 ms": ("p95_ms", 2),
    "cpu ms": ("cpu_ms", 2),
    "build s": ("build_s", 1),
    "MB": ("megabytes", 1),
}
K, DEEP = 10, 132
NOISE = 0.48  # length of the noise beside a vector of length 1: a cosine of 1 / sqrt(1 + 0.48²) = 0.90
SEED = 20_240_607


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("indexes", type=Path)
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--limit", type=int, default=200, help="about so many questions, evenly of all sets")
    parser.add_argument("--leave-out", default="", help="indexes not to measure, as ivfpq;hnsw")
    parser.add_argument("--json", type=Path, help="append one JSON line a size and index")
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(1)
    approximate.EXACT_ROWS = 0
    names = sorted(path.name for path in arguments.indexes.iterdir() if (arguments.data / path.name).is_dir())
    real = np.concatenate([vectors_of(arguments.indexes / name) for name in names])
    queries = questions(arguments.data, names, arguments.limit)
    for title in filter(None, arguments.leave_out.split(";")):
        del SPECS[title]
    for size in map(int, arguments.sizes.split(",")):
        vectors = enlarged(real, size)
        copies = max(0, size - len(real))
        print(f"{size} vectors of {len(names)} sets, {copies} of them noisy copies; {len(queries)} questions")
        print(f"{'index':<20}" + "".join(f" {title:>9}" for title in COLUMNS))
        lines = measure(vectors, queries)
        for line in lines:
            figures = [f"{line[key]:>9.{digits}f}" for key, digits in COLUMNS.values()]
            print(f"{line['index']:<20} " + " ".join(figures), flush=True)
            if arguments.json:
                with arguments.json.open("a", encoding="utf-8") as out:
                    extra = {"bench": "vector_search", "size": size, "copies": copies, "cpu": platform.machine()}
                    out.write(json.dumps({**extra, **line}) + "\n")
        enough = [line for line in lines if float(line["recall"]) >= 0.95]
        best = min(enough, key=lambda line: float(line["cpu_ms"]))
        print(f"fastest with a recall@10 of 0.95: {best['index']}, {best['cpu_ms']} ms, recall {best['recall']:.4f}")


def vectors_of(path: Path) -> Vectors:
    reader = IndexDirectory(IndexSpec(path=str(path))).reader()
    return reader.vectors(np.flatnonzero(reader.live))


def questions(data: Path, names: list[str], count: int) -> Vectors:
    """A fixed random choice of the sets' questions, the same number of each set, embedded."""
    random, texts = np.random.default_rng(SEED), list[str]()
    for name in names:
        lines = (data / name / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        wanted = min(-(-count // len(names)), len(lines))
        texts += [json.loads(lines[at])["text"] for at in random.choice(len(lines), wanted, replace=False)]
    with Pipeline.from_yaml("hybrid") as pipeline:
        return pipeline.embedder.embed_queries(texts)


def enlarged(real: Vectors, size: int) -> Vectors:
    """`size` vectors: a random choice of the real ones, or all of them and noisy copies."""
    random = np.random.default_rng(SEED)
    if size <= len(real):
        return real[np.sort(random.choice(len(real), size, replace=False))]
    copies = real[random.integers(len(real), size=size - len(real))]
    noise = random.standard_normal(copies.shape, np.float32)
    copies += NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.concatenate([real, copies / np.linalg.norm(copies, axis=1, keepdims=True)])


def measure(vectors: Vectors, queries: Vectors) -> list[dict[str, str | float | int]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors.tofile(folder / "vectors.f32")
        mapped = np.memmap(folder / "vectors.f32", np.float32, "r", shape=vectors.shape).view(np.ndarray)
        indexes: dict[str, DenseIndex] = {}
        builds: dict[str, float] = {}
        for at, (title, spec) in enumerate(SPECS.items()):
            live, chunks = np.ones(len(vectors), np.bool_), np.arange(1, len(vectors) + 1)
            segmented = SegmentedVectors(folder / str(at), "bench", vectors.shape[1], [mapped], chunks, live)
            indexes[title] = spec.build(segmented)
            started = perf_counter()
            indexes[title].search(queries[:1], k=K, allowed=None)
            builds[title] = perf_counter() - started
            print(f"built {title} in {builds[title]:.1f} s", file=sys.stderr, flush=True)
        seconds: dict[str, list[tuple[float, float]]] = {title: [] for title in SPECS}
        found: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {title: [] for title in SPECS}
        for query in queries:
            for title, index in indexes.items():
                started, cpu = perf_counter(), thread_time()
                (deep,) = index.search(query[np.newaxis], k=DEEP, allowed=None)
                seconds[title].append((perf_counter() - started, thread_time() - cpu))
                (few,) = index.search(query[np.newaxis], k=K, allowed=None)
                found[title].append((few.rows, deep.rows[:K]))
        lines: list[dict[str, str | float | int]] = []
        for at, title in enumerate(SPECS):
            files = [path for path in (folder / str(at)).rglob("*") if path.is_file() and path.suffix != ".json"]
            (p50, cpu), (p95, _) = np.percentile(seconds[title], [50, 95], axis=0) * 1000
            lines.append(
                {
                    "index": title,
                    "recall": recall([few for few, _ in found[title]], [few for few, _ in found["exact"]]),
                    "recall_deep": recall([deep for _, deep in found[title]], [few for few, _ in found["exact"]]),
                    "p50_ms": round(float(p50), 3),
                    "p95_ms": round(float(p95), 3),
                    "cpu_ms": round(float(cpu), 3),
                    "build_s": round(builds[title], 2),
                    "megabytes": (sum(path.stat().st_size for path in files) or vectors.nbytes) / 1e6,
                }
            )
        return lines


def recall(found: list[NDArray[np.int64]], exact: list[NDArray[np.int64]]) -> float:
    return float(np.mean([len(np.intersect1d(some, best)) / K for some, best in zip(found, exact, strict=True)]))


if __name__ == "__main__":
    main()
