"""Retrieval quality on BEIR-layout sets: our sparse, dense and hybrid retrieval, each beside its reference.

    python benchmarks/quality.py DATA_DIR [--sets hotpotqa,cranfield] [--indexes INDEXES] [--json results.jsonl]

Every set is ingested by the shipped pipelines with their defaults (`sparse` for BM25 alone, else `hybrid`); documents
are title and text; an index of the set in INDEXES, made by `hybrid`, is copied and brought up to date. A document's
score is its best chunk's. Columns: nDCG@10 of BM25 alone, dense alone, and both fused, the default last.
References: `index` is the BM25 figure of DATA_DIR/INDEX.md, if that is there; `exact` compares the query with every
vector by hand; `raw` is the common hand-made hybrid: RRF of bm25s with its defaults and of vectors of whole passages,
each cut at the encoder's window. All vectors are ours (a test holds them equal to those of torch to 1e-5). The last
line sums up.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import bm25s
import ir_measures
import numpy as np
from ir_measures import R, nDCG

from rag import Pipeline
from rag.embed.base import Embedder

SETS = "hotpotqa,2wikimultihopqa,multihoprag-pooled,cranfield,limit-small,squad2,xquad-ru,cmrc2018"
SYSTEMS = {
    "dense": ["ask.retrieve=[{use: dense, k: 400}]", "ask.fuse={use: single, keep: 400}"],
    "rrf": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: rrf, keep: 400}"],
    "dbsf": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: dbsf, keep: 400}"],
    "weighted": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: weighted, keep: 400}"],
    "logodds": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: logodds, keep: 400}"],
    "zscore": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: zscore, keep: 400}"],
}
DEEP = ["ask.retrieve=[{use: sparse, k: 400}]", "ask.fuse={use: single, keep: 400}"]
MEASURES = [nDCG @ 10, R @ 10, R @ 100]
Run = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--indexes", type=Path, help="a folder that may hold an index for each set, by its name")
    parser.add_argument("--json", type=Path, help="append one JSON line a set and system")
    arguments = parser.parse_args()
    published = published_bm25(arguments.data / "INDEX.md")
    names = arguments.sets.split(",")
    table: dict[str, dict[str, float]] = {}
    for name in names:
        made = None if arguments.indexes is None else arguments.indexes / name
        figures = measure(arguments.data / name, made if made is not None and made.is_dir() else None)
        if name in published:
            figures["index"] = {"nDCG@10": published[name]}
        table[name] = {system: values["nDCG@10"] for system, values in figures.items()}
        if arguments.json:
            with arguments.json.open("a", encoding="utf-8") as out:
                for system, values in figures.items():
                    out.write(json.dumps({"set": name, "system": system, **values}) + "\n")
        print(row(name, table[name]), flush=True)
    print(summary(table))


def row(name: str, figures: Mapping[str, float]) -> str:
    return f"{name:<20}" + "".join(f"  {system} {value:.4f}" for system, value in figures.items())


def summary(table: Mapping[str, Mapping[str, float]]) -> str:
    """For each pair the issue of which is better, in how many sets."""

    def wins(ours: str, theirs: str, tolerance: float = 0.0) -> str:
        both = [figures for figures in table.values() if ours in figures and theirs in figures]
        return f"{ours} >= {theirs} on {sum(f[ours] >= f[theirs] - tolerance for f in both)} of {len(both)}"

    means = ", ".join(
        f"{system} {sum(figures[system] for figures in table.values()) / len(table):.4f}"
        for system in ("sparse", *SYSTEMS)
    )
    pairs = [wins("sparse", "index"), wins("dense", "exact", 1e-4), wins("rrf", "raw"), wins("zscore", "rrf")]
    return f"mean nDCG@10: {means}; " + "; ".join(pairs)


def measure(folder: Path, made: Path | None) -> dict[str, dict[str, float]]:
    """nDCG@10, R@10, R@100 of each system on one set; `made` is an index of it to begin with."""
    queries, qrels = load(folder)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        index = f"{temporary}/hybrid"
        if made is not None:
            shutil.copytree(made, index)
        common = [
            f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
            f"ingest.index.path={json.dumps(index)}",
        ]
        with Pipeline.from_yaml("hybrid", overrides=common) as pipeline:
            report = pipeline.ingest()
            for failure in report.failed:
                print(f"  not indexed: {failure.source}: {failure.reason}")
            figures |= references(folder, pipeline, queries, qrels)
        words = Pipeline.from_yaml(
            "sparse", overrides=[common[0], f"ingest.index.path={json.dumps(temporary + '/sparse')}", *DEEP]
        )
        words.ingest()
        systems = {"sparse": words}
        systems |= {name: Pipeline.from_yaml("hybrid", overrides=common + changes) for name, changes in SYSTEMS.items()}
        for system, pipeline in systems.items():
            with pipeline:
                started = time.perf_counter()
                run = {query: documents(pipeline, text) for query, text in queries.items()}
                seconds = (time.perf_counter() - started) / len(queries)
            figures[system] = {**scores(qrels, run), "milliseconds": round(seconds * 1000, 2)}
    return figures


def documents(pipeline: Pipeline, question: str) -> dict[str, float]:
    """The best 100 documents, by their best chunk; scores fall strictly, so that evaluation keeps the order."""
    order = list(dict.fromkeys(hit.chunk.document_id for hit in pipeline.search(question).ranking))
    return {document: 1.0 / rank for rank, document in enumerate(order[:100], 1)}


def references(folder: Path, pipeline: Pipeline, queries: Mapping[str, str], qrels: Run) -> dict[str, dict[str, float]]:
    """`exact` and `raw`, as the module says."""
    reader, embedder = pipeline.index.reader(), pipeline.embedder
    chunks = [chunk for summary in reader.documents() for chunk in reader.chunks_of(summary.id)]
    vectors = reader.vectors(reader.rows_of(chunks))
    known = {chunk.indexed_text: vector for chunk, vector in zip(chunks, vectors, strict=True)}
    lines = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
    texts = {line["_id"]: (line.get("title", "") + "\n" + line["text"]).strip() for line in lines}
    ids = [name for name, passage in texts.items() if passage]
    passages = [texts[name] for name in ids]
    cut = [fitting(passage, embedder) for passage in passages]
    missing = [passage for passage in cut if passage not in known]
    known |= dict(zip(missing, embedder.embed_documents(missing), strict=True))
    passage_vectors = np.stack([known[passage] for passage in cut])
    index = bm25s.BM25()
    index.index(bm25s.tokenize(passages, stopwords="en", show_progress=False), show_progress=False)
    k = min(100, len(ids))

    def exact(text: str) -> list[str]:
        order = np.argsort(-(vectors @ embedder.embed_queries([text])[0]), kind="stable")
        return list(dict.fromkeys(chunks[at].document_id for at in order[:2000]))[:100]

    def raw(text: str) -> list[str]:
        nearness = passage_vectors @ embedder.embed_queries([text])[0]
        dense = [ids[at] for at in np.argsort(-nearness, kind="stable")[:k]]
        tokens = bm25s.tokenize(text, stopwords="en", show_progress=False)
        found, weights = index.retrieve(tokens, k=k, show_progress=False)
        sparse = [ids[at] for at, weight in zip(found[0], weights[0], strict=True) if weight > 0]
        fused: dict[str, float] = {}
        for ranking in (dense, sparse):
            for rank, document in enumerate(ranking, 1):
                fused[document] = fused.get(document, 0.0) + 1 / (60 + rank)
        return sorted(fused, key=lambda document: -fused[document])[:100]

    systems: dict[str, Callable[[str], list[str]]] = {"exact": exact, "raw": raw}
    return {
        name: scores(
            qrels,
            {query: {d: 1.0 / rank for rank, d in enumerate(system(text), 1)} for query, text in queries.items()},
        )
        for name, system in systems.items()
    }


def fitting(passage: str, embedder: Embedder) -> str:
    """The passage up to the encoder's window, as a library that cuts silently would embed it."""
    tokens = embedder.tokenizer.offsets(passage)
    window = embedder.tokenizer.max_tokens
    return passage if len(tokens) <= window else passage[: tokens[window - 1][1]]


def scores(qrels: Run, run: Run) -> dict[str, float]:
    means = ir_measures.calc_aggregate(MEASURES, qrels, run)
    return {str(measure): round(means[measure], 4) for measure in MEASURES}


def load(folder: Path) -> tuple[dict[str, str], Run]:
    """The judged queries and their qrels."""
    qrels: Run = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, score = line.split("\t")
        if query != "query-id":
            qrels.setdefault(query, {})[document] = int(float(score))
    lines = (json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8"))
    return {line["_id"]: line["text"] for line in lines if line["_id"] in qrels}, qrels


def published_bm25(index: Path) -> dict[str, float]:
    """nDCG@10 by set, from the table of an INDEX.md; empty without one."""
    if not index.is_file():
        return {}
    rows = re.findall(r"^\| ([\w-]+) \|.*?\| ([\d.]+) \| [\d.]+ \| [\d.]+ \|$", index.read_text("utf-8"), re.MULTILINE)
    return {name: float(value) for name, value in rows}


if __name__ == "__main__":
    main()
