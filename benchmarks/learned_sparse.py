"""Seismic against exact scoring of learned sparse vectors.

    python benchmarks/learned_sparse.py [--sizes 10000,100000] [--queries 200] [--query-cut 10] [--promise 0.8]
        [--json results.jsonl]

All vectors are made, for lack of a SPLADE model here: 30,522 terms; a chunk has about 120 (40 to 200), four tenths of
them among the 400 of its topic (of 500), the others of a Zipf distribution over all; weights are gamma distributed
around 0.7, rarer terms heavier. A query has 12 of the terms of a chunk, weighted anew, and 18 more of its topic.

`@10` is the share of the exact ten best among the ten best found, with ten asked for; `@82` with as many asked for as
the retriever does for 50 and its margin. Times are the processor's, one query at a time, the engines taking turns, p50
and p95: `engine` finds and scores candidates, `search` also does what fusion needs (mean, deviation) and picks rows.
Set OMP_NUM_THREADS=1 and RAYON_NUM_THREADS=1. The last line of each size sums up.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, thread_time

import numpy as np
from numpy.typing import NDArray

from rag.index import learned_sparse
from rag.index.base import Rows
from rag.index.learned_sparse import LearnedSparseIndex
from rag.index.parts import Rowed
from rag.index.ranking import best
from rag.index.seismic import SeismicOptions
from rag.index.term_weights import documents_at, products
from rag.models.sparse_encoder import WeightedTerms

TERMS, TOPICS, OF_TOPIC = 30_522, 500, 400
SEED = 20_240_607


class Made:
    """Weighted terms that follow from a text, the number of a chunk."""

    terms = TERMS

    def __init__(self) -> None:
        random = np.random.default_rng(SEED)
        self.names = random.permutation(TERMS).astype(np.int32)  # rank by frequency to term
        self.ranks = np.argsort(self.names)
        share = 1.0 / np.arange(10, TERMS + 10)
        self.steps = np.cumsum(share / share.sum())
        self.topics = random.integers(200, TERMS, (TOPICS, OF_TOPIC))

    def encode_documents(self, texts: Sequence[str]) -> list[WeightedTerms]:
        return [self.document(int(text)) for text in texts]

    def encode_queries(self, texts: Sequence[str]) -> list[WeightedTerms]:
        return [self.query(int(text)) for text in texts]

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        return [query.terms for query in self.encode_queries(texts)]

    def document(self, number: int) -> WeightedTerms:
        random = np.random.default_rng([SEED, number])
        count = int(np.clip(random.normal(120, 30), 40, 200))
        own = self.topics[number % TOPICS][random.integers(0, OF_TOPIC, int(0.4 * count))]
        common = np.searchsorted(self.steps, random.random(count - len(own)))
        return self._weighted(np.concatenate([own, common]), random)

    def query(self, number: int) -> WeightedTerms:
        random = np.random.default_rng([SEED, number, 1])
        some = random.permutation(self.ranks[self.document(number).terms])[:12]
        more = self.topics[number % TOPICS][random.integers(0, OF_TOPIC, 18)]
        return self._weighted(np.concatenate([some, more]), random)

    def _weighted(self, ranks: Rows, random: np.random.Generator) -> WeightedTerms:
        ranks = np.unique(ranks)
        weights = random.gamma(2.0, 0.35, len(ranks)) * (0.4 + 0.6 * np.log1p(ranks) / np.log(TERMS))
        order = np.argsort(self.names[ranks])
        return WeightedTerms(self.names[ranks][order], weights[order].astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--query-cut", type=int, default=SeismicOptions().query_terms)
    parser.add_argument("--promise", type=float, default=SeismicOptions().promise)
    parser.add_argument("--json", type=Path, help="append one JSON line a size")
    arguments = parser.parse_args()
    learned_sparse.EXACT_ROWS = 0
    options = SeismicOptions(query_terms=arguments.query_cut, promise=arguments.promise)
    for size in map(int, arguments.sizes.split(",")):
        line = measure(size, arguments.queries, options)
        if arguments.json:
            with arguments.json.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"bench": "learned_sparse", "size": size, **line}) + "\n")


def measure(size: int, queries: int, options: SeismicOptions) -> dict[str, float]:
    encoder = Made()
    with tempfile.TemporaryDirectory() as folder:
        rows = Rowed(
            folder=Path(folder),
            key=f"made {size}",
            chunks=np.arange(size),
            live=np.ones(size, np.bool_),
            texts=lambda rows: [str(row) for row in rows.tolist()],
        )
        exact = LearnedSparseIndex(rows, encoder)
        near = LearnedSparseIndex(rows, encoder, options=options)
        kept = exact.kept()
        terms = kept.bytes / 8 / size  # 4 bytes a term and 4 a weight, about
        seconds = {"postings": took(exact.postings), "seismic": took(near.built)}
        asked = encoder.encode_queries([str(at) for at in range(0, size, max(1, size // queries))][:queries])
        megabytes = {
            name: (Path(folder) / file).stat().st_size / 1e6
            for name, file in (("postings", "postings.safetensors"), ("seismic", "seismic.index"))
        }
        mean = np.mean([len(query.terms) for query in asked])
        print(f"\n{size} made chunks of {terms:.0f} terms, {len(asked)} queries of {mean:.0f}")
        line = compare(exact, near, asked, size)
    print(f"{'':<10} {'engine p50':>11} {'p95':>7} {'search p50':>11} {'p95':>7} {'MB':>7} {'build s':>8}")
    for name in ("exact", "seismic"):
        file = "postings" if name == "exact" else name
        print(
            f"{name:<10} {line[f'{name} engine p50']:>11.3f} {line[f'{name} engine p95']:>7.3f} "
            f"{line[f'{name} search p50']:>11.3f} {line[f'{name} search p95']:>7.3f} "
            f"{megabytes[file]:>7.1f} {seconds[file]:>8.1f}"
        )
    print(
        f"seismic: @10 {line['@10']:.4f}, @82 {line['@82']:.4f}; engine {line['engine ratio']:.1f} times, "
        f"search {line['search ratio']:.1f} times faster than exact",
        flush=True,
    )
    return line


def took(do: object) -> float:
    started = perf_counter()
    do()  # type: ignore[operator]
    return perf_counter() - started


def compare(
    exact: LearnedSparseIndex, near: LearnedSparseIndex, asked: list[WeightedTerms], size: int
) -> dict[str, float]:
    """Milliseconds, recall and ratios."""
    everything, kept, postings, built = np.arange(size), exact.kept(), exact.postings(), near.built()
    assert np.array_equal(kept.places, everything)
    assert np.array_equal(built.rows, everything)

    def by_postings(query: WeightedTerms, k: int) -> Rows:
        return best(postings.scores(query, size=size).astype(np.float32), everything, k=k)[0]

    def by_seismic(query: WeightedTerms, k: int) -> Rows:
        found = np.sort(built.index.find(query, k=k))
        return best(products(query, documents_at(kept, found), terms=TERMS), found, k=k)[0]

    ways = {
        "exact engine": lambda query: by_postings(query, 10),
        "seismic engine": lambda query: by_seismic(query, 10),
        "exact search": lambda query: exact.search_terms([query], k=82, allowed=None)[0].rows,
        "seismic search": lambda query: near.search_terms([query], k=82, allowed=None)[0].rows,
    }
    for way in ways.values():
        way(asked[0])
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[Rows]] = {name: [] for name in ways}
    for query in asked:
        for name, way in ways.items():
            started = thread_time()
            rows = way(query)
            times[name].append((thread_time() - started) * 1000)
            found[name].append(rows)
    line = {f"{name} p{q}": float(np.percentile(times[name], q)) for name in ways for q in (50, 95)}
    for name, by, other in (("@10", "exact engine", "seismic engine"), ("@82", "exact search", "seismic search")):
        line[name] = float(np.mean([np.isin(a, b).mean() for a, b in zip(found[by], found[other], strict=True)]))
    line["engine ratio"] = line["exact engine p50"] / line["seismic engine p50"]
    line["search ratio"] = line["exact search p50"] / line["seismic search p50"]
    return line


if __name__ == "__main__":
    main()
