"""Rerankers on BEIR-layout sets: nDCG@10 before and after, on the same candidates, with paired confidence intervals.

    python benchmarks/reranking.py DATA_DIR INDEX_DIR [--sets hotpotqa,cranfield] [--queries 100] [--depth 30]

INDEX_DIR holds one index a set, as the pipeline `hybrid` makes it (`rag ingest` with ``ingest.index.path``); what is
not there is ingested into it. The fused ranking of each question is kept, every reranker orders the same one, and
the first ten chunks of each are compared. A document's place is its best chunk's. A line a set and reranker: nDCG@10,
the difference to no reranking with its 95 % interval, milliseconds of the processor a question, candidates scored.
Candidates are encoded before the clock runs, so times are those of encoding the question and of scoring; encoding costs
a pass of the embedder for each candidate scored. The last line sums up.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import nDCG

from rag import Pipeline
from rag.pipeline.spec import PipelineSpec
from rag.types import Query, Ranking

SETS = "hotpotqa,multihoprag-pooled,cranfield,squad2"
SYSTEMS = {
    "mmr": "{use: mmr, keep: 10, relevance: 0.9}",
    "late": "{use: late-interaction, keep: 10, depth: 100}",
    "late, all alike": "{use: late-interaction, keep: 10, depth: 100, match: null}",
    "maxsim alone": "{use: late-interaction, keep: 10, depth: 100, match: null, weight: null}",
    "late, pruned": "{use: late-interaction, keep: 10, depth: 100, prune: 0.1}",
    "late, patience": "{use: late-interaction, keep: 10, depth: 100, patience: 4}",
    "late, both": "{use: late-interaction, keep: 10, depth: 100, prune: 0.1, patience: 4}",
}
KEEP = 10
Run = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--queries", type=int, default=100, help="at most so many a set, evenly spread over their ids")
    parser.add_argument("--depth", type=int, default=30, help="candidates a question")
    parser.add_argument("--systems", help="names of rerankers, separated by commas; all")
    parser.add_argument("--json", type=Path, help="append one JSON line a set and reranker")
    arguments = parser.parse_args()
    wanted = arguments.systems.split(",") if arguments.systems else list(SYSTEMS)
    gains: dict[str, list[float]] = {name: [] for name in wanted}
    for name in arguments.sets.split(","):
        for row in measure(arguments.data / name, arguments.index / name, arguments.queries, arguments.depth, wanted):
            print(line(name, row), flush=True)
            gains.setdefault(str(row["system"]), []).append(float(row["gain"]))
            if arguments.json:
                with arguments.json.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"set": name, "depth": arguments.depth, **row}) + "\n")
    print("mean gain: " + ", ".join(f"{name.strip()} {np.mean(values):+.4f}" for name, values in gains.items()))


def line(name: str, row: Mapping[str, float | str]) -> str:
    return (
        f"{name:<20} {row['system']:<16} nDCG@10 {row['nDCG@10']:.4f}  {row['gain']:+.4f} ± {row['half_interval']:.4f}"
        f"  {row['milliseconds']:8.1f} ms  {row['scored']:5.1f} scored"
    )


def measure(folder: Path, index: Path, most: int, depth: int, wanted: Sequence[str]) -> list[dict[str, float | str]]:
    """One row a reranker, the fused ranking itself first."""
    texts, qrels = load(folder)
    ids = sorted(texts)
    ids = [ids[at] for at in np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(int)]
    common = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
        f"ask.fuse.keep={depth}",
    ]
    rows: list[dict[str, float | str]] = []
    with Pipeline.from_yaml("hybrid", overrides=common) as pipeline:
        pipeline.ingest()  # makes the index, or what of it is missing
        fused = {key: pipeline.search(texts[key]).ranking for key in ids}
        before = per_query(fused, qrels)
        rows.append({"system": "none", "nDCG@10": mean(before), "gain": 0.0, "half_interval": 0.0, "milliseconds": 0.0})
        rows[0]["scored"] = 0.0
        for name in wanted:
            spec = PipelineSpec.from_yaml(f"version: 1\nask: {{rerank: [{SYSTEMS[name]}]}}").ask.rerank[0]
            reranker = spec.build(pipeline.resources)
            after: dict[str, Ranking] = {}
            seconds = 0.0
            for key in ids:
                reranker.rerank([Query(text=texts[key])], [fused[key]])  # encodes, and remembers
                started = time.process_time()
                [after[key]] = reranker.rerank([Query(text=texts[key])], [fused[key]])
                seconds += (time.process_time() - started) / len(ids)
            scores = per_query(after, qrels)
            difference = np.array([scores[key] - before[key] for key in ids])
            half = 1.96 * float(difference.std(ddof=1)) / math.sqrt(len(ids))
            scored = float(np.mean([float(ranking.notes.get("scored") or 0) for ranking in after.values()]))
            rows.append(
                {
                    "system": name,
                    "nDCG@10": mean(scores),
                    "gain": round(float(difference.mean()), 4),
                    "half_interval": round(half, 4),
                    "milliseconds": round(seconds * 1000, 1),
                    "scored": round(scored, 1),
                }
            )
    return rows


def mean(scores: Mapping[str, float]) -> float:
    return round(float(np.mean(list(scores.values()))), 4)


def per_query(rankings: Mapping[str, Ranking], qrels: Run) -> dict[str, float]:
    """nDCG@10 of the first ten chunks of each question."""
    run: Run = {}
    for key, ranking in rankings.items():
        order = dict.fromkeys(hit.chunk.document_id for hit in ranking.hits[:KEEP])
        run[key] = {document: 1.0 / rank for rank, document in enumerate(order, 1)}
    asked = {key: qrels[key] for key in rankings}
    return {metric.query_id: metric.value for metric in ir_measures.iter_calc([nDCG @ 10], asked, run)}


def load(folder: Path) -> tuple[dict[str, str], Run]:
    """The judged queries and their qrels."""
    qrels: Run = {}
    for text in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, score = text.split("\t")
        if query != "query-id":
            qrels.setdefault(query, {})[document] = int(float(score))
    lines = (json.loads(text) for text in (folder / "queries.jsonl").open(encoding="utf-8"))
    return {entry["_id"]: entry["text"] for entry in lines if entry["_id"] in qrels}, qrels


if __name__ == "__main__":
    main()
