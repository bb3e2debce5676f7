"""What Seismic's options give against exact scoring by postings, at an accuracy of 0.99.

    python benchmarks/seismic_options.py [--data DATA_DIR] [--only words] [--size 100000] [--queries 200]
        [--work FOLDER] [--builds 3000:0.2:0.5,1000:0.1:0.4] [--json results.jsonl]

Two weightings. `made`: the vectors of `learned_sparse.py`. `words`, with `--data`: real texts of all BEIR-layout sets
under DATA_DIR in pieces of 60 words, a chunk's terms its word pieces by MiniLM's vocabulary with BM25 weights, a
question's its own with the logarithm of rarity; so no term is added that the text does not hold.

Builds are `postings:blocks:energy`. Each is searched with every number of looked-up terms and every promise of a grid,
one query at a time on one thread, in turn with exact search: p50 of the processor's time, library and our scoring of
its ten candidates included. `accuracy` is the share of the exact ten best. `batch` is the library's own search of all
queries in one call on one thread against the mean of exact search. Only the fastest with an accuracy of 0.99 of each
build is printed; all go to `--json`. Builds are kept in `--work`. Set OMP_NUM_THREADS=1 and RAYON_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter, process_time, thread_time

import numpy as np
from learned_sparse import TERMS, Made
from numpy.typing import NDArray

from rag.index import seismic
from rag.index.base import Rows
from rag.index.ranking import best
from rag.index.seismic import Seismic, SeismicOptions
from rag.index.term_weights import TermPostings, products
from rag.models.sparse_encoder import WeightedTerms
from rag.pipeline.spec import load_spec

QUERY_TERMS = (4, 6, 8, 10, 15, 20, 30)
PROMISES = (0.7, 0.8, 0.9, 1.0)
WORDS = 60
ENOUGH = 0.99
SEED = 20_240_607
K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", choices=("made", "words"), help="one weighting alone")
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--builds", default="3000:0.2:0.5,3000:0.1:0.4,1000:0.1:0.4,500:0.1:0.4")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", type=Path, help="append one JSON line a search option")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(exist_ok=True)
        for name, make in weightings(arguments).items():
            if arguments.only not in (None, name):
                continue
            documents, queries = make()
            for line in measure(name, documents, queries, builds(arguments.builds), work):
                if arguments.json:
                    with arguments.json.open("a", encoding="utf-8") as out:
                        out.write(json.dumps({"bench": "seismic_options", **line}) + "\n")


Weighted = tuple[list[WeightedTerms], list[WeightedTerms]]


def weightings(arguments: argparse.Namespace) -> Mapping[str, Callable[[], Weighted]]:
    found: dict[str, Callable[[], Weighted]] = {"made": lambda: made(arguments.size, arguments.queries)}
    if arguments.data:
        found["words"] = lambda: words(arguments.data, arguments.size, arguments.queries)
    return found


def builds(written: str) -> list[SeismicOptions]:
    parsed = [each.split(":") for each in written.split(",")]
    return [SeismicOptions(postings=int(n), blocks=float(b), energy=float(e)) for n, b, e in parsed]


# ---- weighted terms


def made(size: int, queries: int) -> Weighted:
    encoder = Made()
    asked = [str(at) for at in range(0, size, max(1, size // queries))][:queries]
    return encoder.encode_documents(list(map(str, range(size)))), encoder.encode_queries(asked)


def words(data: Path, size: int, queries: int) -> Weighted:
    """BM25 weights (k1 1.2, b 0.75) of the pieces of real texts, and real questions by rarity."""
    chosen = random.Random(SEED)
    pieces = [piece for corpus in sorted(data.glob("*/corpus.jsonl")) for piece in cut(corpus)]
    pieces = chosen.sample(pieces, min(size, len(pieces)))
    asked = [json.loads(line)["text"] for path in sorted(data.glob("*/queries.jsonl")) for line in path.open()]
    counted = [np.unique(tokens, return_counts=True) for tokens in tokenized(pieces)]
    lengths = np.array([counts.sum() for _, counts in counted])
    frequencies = np.bincount(np.concatenate([terms for terms, _ in counted]), minlength=TERMS)
    rarity = np.log1p((len(pieces) - frequencies + 0.5) / (frequencies + 0.5))
    documents = []
    for (terms, counts), length in zip(counted, lengths.tolist(), strict=True):
        weights = counts * 2.2 / (counts + 1.2 * (0.25 + 0.75 * length / lengths.mean()))
        documents.append(WeightedTerms(terms.astype(np.int32), weights.astype(np.float32)))
    found = (np.unique(tokens) for tokens in tokenized(chosen.sample(asked, queries)))
    kept = (terms[frequencies[terms] > 0] for terms in found)
    return documents, [WeightedTerms(terms.astype(np.int32), rarity[terms].astype(np.float32)) for terms in kept]


def cut(corpus: Path) -> Iterator[str]:
    for line in corpus.open(encoding="utf-8"):
        each = json.loads(line)["text"].split()
        yield from (" ".join(each[at : at + WORDS]) for at in range(0, len(each), WORDS))


def tokenized(texts: Sequence[str]) -> list[NDArray[np.int64]]:
    tokenizer = load_spec("hybrid").spec.ingest.embed.build().tokenizer
    return [np.array(ids[1:-1], np.int64) for ids in tokenizer.ids(texts)]  # without [CLS] and [SEP]


# ---- both engines


def measure(
    name: str, documents: list[WeightedTerms], queries: list[WeightedTerms], options: list[SeismicOptions], work: Path
) -> Iterator[dict[str, object]]:
    size = len(documents)
    postings, everything = TermPostings.of(documents, terms=TERMS), np.arange(size)
    print(
        f"\n{name}: {size} chunks of {np.mean([len(each.terms) for each in documents]):.0f} terms, "
        f"{len(queries)} queries of {np.mean([len(each.terms) for each in queries]):.0f}"
    )

    def exactly(query: WeightedTerms) -> Rows:
        return best(postings.scores(query, size=size).astype(np.float32), everything, k=K)[0]

    for built in options:
        path = work / f"{name}-{size}-{built.postings}-{built.blocks}-{built.energy}.seismic"
        started = perf_counter()
        if not path.exists():
            seismic.build(path, documents, terms=TERMS, options=built)
        seconds = perf_counter() - started
        opened = seismic.load(path, terms=TERMS, options=built)
        lines = list(searched(opened, documents, queries, exactly, work))
        for line in lines:
            of_build = {"set": name, "postings": built.postings, "blocks": built.blocks, "energy": built.energy}
            yield {**of_build, "MB": path.stat().st_size / 1e6, "build s": seconds, **line}
        enough = [line for line in lines if line["accuracy"] >= ENOUGH]
        fastest = max(enough, key=lambda line: line["times"], default=max(lines, key=lambda line: line["accuracy"]))
        print(
            f"{built.postings}:{built.blocks}:{built.energy}  {path.stat().st_size / 1e6:.0f} MB, {seconds:.0f} s; "
            f"cut {fastest['query terms']:.0f} promise {fastest['promise']}: accuracy {fastest['accuracy']:.4f}, "
            f"{fastest['ms']:.3f} ms, exact {fastest['exact ms']:.3f} ({fastest['times']:.1f} times), "
            f"batch {fastest['batch times']:.1f} times",
            flush=True,
        )


def searched(
    opened: Seismic,
    documents: list[WeightedTerms],
    queries: list[WeightedTerms],
    exactly: Callable[[WeightedTerms], Rows],
    work: Path,
) -> Iterator[dict[str, float]]:
    asked = work / f"{len(documents)}-{opened.options.postings}-{opened.options.blocks}.queries"
    asked.write_bytes(seismic._as_file(queries))
    for terms, promise in product(QUERY_TERMS, PROMISES):
        each = Seismic(opened.index, replace(opened.options, query_terms=terms, promise=promise))

        def near(query: WeightedTerms, each: Seismic = each) -> Rows:
            found = np.sort(each.find(query, k=K))
            return best(products(query, [documents[at] for at in found], terms=TERMS), found, k=K)[0]

        (exact, truth), (times, rows) = in_turn([exactly, near], queries)
        started = process_time()
        opened.index.batch_search(str(asked), K, terms, promise, 0, True, 1)
        batch = (process_time() - started) / len(queries) * 1000
        p50, exact_p50 = float(np.percentile(times, 50)), float(np.percentile(exact, 50))
        yield {
            "query terms": terms,
            "promise": promise,
            "accuracy": float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, rows, strict=True)])),
            "ms": p50,
            "exact ms": exact_p50,
            "times": exact_p50 / p50,
            "batch times": float(np.mean(exact)) / batch,
        }
    asked.unlink()


def in_turn(
    ways: Sequence[Callable[[WeightedTerms], Rows]], queries: Sequence[WeightedTerms]
) -> list[tuple[list[float], list[Rows]]]:
    """The processor's milliseconds of each query, and what was found, for each way; the ways take turns."""
    found: list[tuple[list[float], list[Rows]]] = [([], []) for _ in ways]
    for query in [queries[0], *queries]:
        for (times, rows), search in zip(found, ways, strict=True):
            started = thread_time()
            rows.append(search(query))
            times.append((thread_time() - started) * 1000)
    return [(times[1:], rows[1:]) for times, rows in found]  # the first one is a warm-up


if __name__ == "__main__":
    main()
