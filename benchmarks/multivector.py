"""Multi-vector search: MUVERA's encodings against exact MaxSim, then what pruning and early exit save.

    python benchmarks/multivector.py DATA INDEXES [--sets cranfield,hotpotqa,cacm] [--chunks 2000] [--questions 60]
        [--keep FOLDER] [--made 6000] [--json results.jsonl]

INDEXES holds an index folder for each set, made by the `hybrid` pipeline (`rag ingest`), DATA the sets themselves. The
chunks of all sets (of each at most `--chunks`, those of relevant documents first) are one collection; token vectors are
the token states of MiniLM, which was not trained for MaxSim. `--keep` keeps them for another run. `--made` takes so
many made chunks instead, for lack of a ColBERT: 60 to 180 tokens of 128 dimensions, noisy copies (cosine 0.9) of
20,000 directions, two thirds of them among the 200 of the chunk's topic, the others of a Zipf distribution; questions
are 12 tokens of a chunk, as noisy again, and that chunk alone is relevant.

First table: an encoding's recall of the ten best chunks by exact MaxSim (float32, every chunk) among its first 10, 50
and 200, the time to search all encodings, its size, and the time to make one. Second: the retriever's search for 10
chunks, as set; `recall` of the same ten, nDCG@10 over the documents of the questions' own sets, how many candidates
were scored, and the time. Times are the processor's, one query at a time, p50 and p95, the ways taking turns; set
OMP_NUM_THREADS=1. The last line compares pruning with early exit to scoring all candidates, and to scoring all chunks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time

import numpy as np
import quality

from rag import Pipeline
from rag.index.base import Rows
from rag.index.directory import IndexDirectory
from rag.index.multivector import MultiVectorIndex, Refinement
from rag.index.parts import Rowed
from rag.index.ranking import best
from rag.index.specs import ExactSpec, IndexSpec
from rag.models.token_encoder import EmbedderTokenEncoder, TokenEncoder, TokenVectors, maxsim, unit_rows
from rag.retrieve.encoded_specs import MultiVectorSpec

ENCODINGS: dict[str, dict[str, int | None]] = {
    "mean of all tokens": {"planes": 0},
    "4 x 2^3 x all": {"repetitions": 4, "planes": 3, "inner": None},
    "20 x 2^3 x 8": {"planes": 3, "inner": 8},
    "20 x 2^5 x 8": {"planes": 5, "inner": 8},
    "20 x 2^5 x 16": {"planes": 5},
    "20 x 2^5 x 16 > 2048": {"planes": 5, "dimension": 2048},
}
WAYS: dict[str, Refinement | None] = {
    "every chunk": None,
    "all candidates": Refinement(200),
    "pruned": Refinement(200, prune=0.2),
    "early exit": Refinement(200, patience=20),
    "pruned, early exit": Refinement(200, prune=0.2, patience=20),
}
K = 10
SEED = 20_240_607


@dataclass(frozen=True)
class Collection:
    """The chunks of several sets, and their questions with what is relevant, by set."""

    documents: list[str]
    texts: list[str]
    questions: list[str]
    relevant: list[dict[str, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("indexes", type=Path)
    parser.add_argument("--sets", default="cranfield,hotpotqa,cacm")
    parser.add_argument("--chunks", type=int, default=2000, help="of each set, at most")
    parser.add_argument("--questions", type=int, default=60, help="of each set, at most")
    parser.add_argument("--keep", type=Path, help="folder for the token vectors")
    parser.add_argument("--json", type=Path, help="append one JSON line a row")
    parser.add_argument("--made", type=int, help="take so many made chunks instead of the sets'")
    arguments = parser.parse_args()
    if arguments.made:
        collection, key = made(arguments.made, arguments.questions), f"made {arguments.made}"
    else:
        names, key = arguments.sets.split(","), f"{arguments.sets} {arguments.chunks}"
        collection = gather(arguments.indexes, arguments.data, names, arguments.chunks, arguments.questions)
    with tempfile.TemporaryDirectory() as temporary, Pipeline.from_yaml("hybrid") as pipeline:
        encoder = Made() if arguments.made else EmbedderTokenEncoder(pipeline.embedder)
        rows = Rowed(
            folder=arguments.keep or Path(temporary),
            key=key,
            chunks=np.arange(len(collection.texts)),
            live=np.ones(len(collection.texts), np.bool_),
            texts=lambda rows: [collection.texts[row] for row in rows.tolist()],
        )
        queries = encoder.encode_queries(collection.questions)
        rounding(rows, encoder, queries)
        lines = [*encodings(rows, encoder, queries), *ways(rows, encoder, queries, collection)]
    if arguments.json:
        with arguments.json.open("a", encoding="utf-8") as out:
            out.writelines(
                json.dumps({"bench": "multivector", "chunks": len(rows.chunks), **line}) + "\n" for line in lines
            )
    by_name = {line["way"]: line for line in lines if "way" in line}
    quick, full, every = (by_name[name] for name in ("pruned, early exit", "all candidates", "every chunk"))
    quality_of = ", ".join(f"{line['ndcg']:.4f}" for line in (quick, full, every))
    print(
        f"pruning and early exit: {full['ms'] / quick['ms']:.2f} times faster than all candidates, "
        f"{every['ms'] / quick['ms']:.2f} times than every chunk, nDCG@10 {quality_of}"
    )


def gather(indexes: Path, data: Path, names: list[str], chunks: int, questions: int) -> Collection:
    random, collection = np.random.default_rng(SEED), Collection([], [], [], [])
    for name in names:
        asked, qrels = quality.load(data / name)
        picked = random.permutation(sorted(qrels))[:questions].tolist()
        wanted = {document for query in picked for document in qrels[query]}
        reader = IndexDirectory(IndexSpec(path=str(indexes / name))).reader()
        found = reader.chunks(random.permutation(np.flatnonzero(reader.live)).tolist())
        found.sort(key=lambda chunk: chunk.document_id not in wanted)  # stable: relevant documents first
        collection.documents.extend(f"{name}/{chunk.document_id}" for chunk in found[:chunks])
        collection.texts.extend(chunk.indexed_text for chunk in found[:chunks])
        collection.questions.extend(asked[query] for query in picked)
        collection.relevant.extend({f"{name}/{key}": value for key, value in qrels[query].items()} for query in picked)
    print(f"{len(collection.texts)} chunks, {len(collection.questions)} questions of {', '.join(names)}")
    return collection


class Made:
    """Token vectors that follow from a text, the number of a chunk: see the module."""

    def __init__(self) -> None:
        directions = np.random.default_rng(SEED).standard_normal((20_000, 128)).astype(np.float32)
        self.directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def encode_documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [self._noisy(self._concepts(text), seed=int(text)) for text in texts]

    def encode_queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [self._noisy(self._concepts(text)[:12], seed=-1 - int(text)) for text in texts]

    def _concepts(self, text: str) -> Rows:
        random = np.random.default_rng([SEED, int(text)])
        common = (random.zipf(1.15, random.integers(20, 60)) - 1) % len(self.directions)
        own = int(text) % 100 * 200 + random.integers(200, size=random.integers(40, 120))
        return random.permutation(np.concatenate([common, own]))

    def _noisy(self, concepts: Rows, *, seed: int) -> TokenVectors:
        noise = np.random.default_rng([SEED, abs(seed), seed < 0]).standard_normal((len(concepts), 128))
        return unit_rows((self.directions[concepts] + 0.5 * noise / np.sqrt(128)).astype(np.float32))


def made(chunks: int, questions: int) -> Collection:
    names = [str(at) for at in range(chunks)]
    asked = names[:: max(1, chunks // questions)][:questions]
    return Collection(names, names, asked, [{name: 1} for name in asked])


def index_of(rows: Rowed, encoder: TokenEncoder, options: dict[str, int | None], way: Refinement) -> MultiVectorIndex:
    spec = MultiVectorSpec(**options)  # type: ignore[arg-type]  # names of fields
    return MultiVectorIndex(rows, encoder, encoding=spec.encoding, first=ExactSpec().build, refinement=way)


def encodings(rows: Rowed, encoder: TokenEncoder, queries: list[TokenVectors]) -> list[dict[str, object]]:
    """The first table."""
    titles = " ".join(f"{title:>7}" for title in ("numbers", "@10", "@50", "@200", "p50 ms", "p95 ms", "MB", "ms each"))
    print(f"\n{'encoding':<22} {titles}")
    top = exact(index_of(rows, encoder, {}, Refinement()), queries)
    lines: list[dict[str, object]] = []
    for name, options in ENCODINGS.items():
        index = index_of(rows, encoder, options, Refinement())
        started = thread_time()
        first = index.first_pass()
        made_in = (thread_time() - started) * 1000 / len(rows.chunks)
        seconds, found = list[float](), list[Rows]()
        for query in queries:
            started = thread_time()
            [hits] = first.index.search(first.encoding.query(query)[np.newaxis], k=200, allowed=None)
            seconds.append(thread_time() - started)
            found.append(first.kept.rows[hits.rows])
        recall = {
            k: float(np.mean([np.isin(wanted, mine[:k]).mean() for wanted, mine in zip(top, found, strict=True)]))
            for k in (10, 50, 200)
        }
        p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
        figures = [*(f"{value:>7.3f}" for value in recall.values()), f"{p50:>7.2f}", f"{p95:>7.2f}"]
        figures += [f"{first.kept.bytes / 1e6:>7.1f}", f"{made_in:>7.2f}"]
        print(f"{name:<22} {first.encoding.size:>7} {' '.join(figures)}", flush=True)
        lines.append(
            {"encoding": name, "recall": recall, "ms": p50, "p95_ms": p95, "megabytes": first.kept.bytes / 1e6}
        )
    return lines


def exact(index: MultiVectorIndex, queries: list[TokenVectors]) -> list[Rows]:
    """The ten best rows of each query by MaxSim of every chunk."""
    tokens, everything = index.tokens(), np.arange(len(index.rows.chunks))
    print(f"token vectors: {tokens.bytes / 1e6:.0f} MB, {tokens.bytes / len(everything) / 1e3:.1f} kB a chunk")
    return [np.argsort(-index.maxsim(query, everything), kind="stable")[:K] for query in queries]


def rounding(rows: Rowed, encoder: TokenEncoder, queries: list[TokenVectors]) -> None:
    """What keeping a byte a dimension costs, on a few chunks encoded anew."""
    few = np.arange(min(300, len(rows.chunks)))
    vectors = encoder.encode_documents(rows.texts(few))
    index = index_of(rows, encoder, {}, Refinement())
    overlaps, errors = list[float](), list[float]()
    for query in queries:
        real, kept = maxsim(query, vectors), index.maxsim(query, few)
        overlaps.append(float(np.isin(np.argsort(-real)[:K], np.argsort(-kept)[:K]).mean()))
        errors.append(float((np.abs(real - kept) / np.abs(real)).max()))
    print(
        f"8 bits: {np.mean(overlaps):.4f} of the ten best of float32 among {len(few)}, error at most {max(errors):.4f}"
    )


def ways(
    rows: Rowed, encoder: TokenEncoder, queries: list[TokenVectors], collection: Collection
) -> list[dict[str, object]]:
    """The second table."""
    everything = np.arange(len(rows.chunks))
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    found: dict[str, list[Rows]] = {name: [] for name in WAYS}
    scored: dict[str, list[int]] = {name: [] for name in WAYS}
    options = {"planes": 5} if isinstance(encoder, Made) else {}  # as the retriever does with a model, and without
    indexes = {name: index_of(rows, encoder, options, way or Refinement()) for name, way in WAYS.items()}
    for index in indexes.values():
        index.search_vectors(queries[:1], k=K, allowed=None)  # opens the files, draws the sample
    for query in queries:
        for name, way in WAYS.items():
            started = thread_time()
            if way is None:
                top, _ = best(indexes[name].maxsim(query, everything), everything, k=K)
            else:
                top = indexes[name].search_vectors([query], k=K, allowed=None)[0].rows
            seconds[name].append(thread_time() - started)
            found[name].append(top)
            scored[name].append(
                len(everything) if way is None else len(indexes[name].refined(query, k=K, allowed=None)[0])
            )
    print(f"\n{'way':<20} {'recall':>7} {'nDCG@10':>8} {'scored':>7} {'p50 ms':>7} {'p95 ms':>7}")
    lines: list[dict[str, object]] = []
    for name in WAYS:
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(found["every chunk"], found[name], strict=True)]))
        gains = [
            ndcg(mine, relevant, collection) for mine, relevant in zip(found[name], collection.relevant, strict=True)
        ]
        p50, p95 = np.percentile(np.array(seconds[name]) * 1000, [50, 95])
        line = {
            "way": name,
            "recall": recall,
            "ndcg": float(np.mean(gains)),
            "scored": float(np.mean(scored[name])),
            "ms": p50,
        }
        print(
            f"{name:<20} {recall:>7.3f} {line['ndcg']:>8.4f} {line['scored']:>7.0f} {p50:>7.2f} {p95:>7.2f}", flush=True
        )
        lines.append(line)
    return lines


def ndcg(rows: Rows, relevant: dict[str, int], collection: Collection) -> float:
    """nDCG@10 of the documents of the rows, each at its best chunk."""
    gains = [
        relevant.get(document, 0) for document in dict.fromkeys(collection.documents[row] for row in rows.tolist())
    ]
    ideal = sorted(relevant.values(), reverse=True)[:K]
    discount = 1 / np.log2(np.arange(2, K + 2))
    return float(np.dot(gains, discount[: len(gains)]) / np.dot(ideal, discount[: len(ideal)]))


if __name__ == "__main__":
    main()
