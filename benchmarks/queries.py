"""What searching a second time is worth: feedback and query refinement against none, on BEIR-layout sets.

    python benchmarks/queries.py DATA_DIR INDEX_DIR [--sets hotpotqa,cranfield] [--limit 300] [--systems rm3,gqr]

INDEX_DIR holds one index a set, as the pipeline `hybrid` makes it (`rag ingest` with ``ingest.index.path``); what is
not there is ingested into it. A document's place is its best chunk's. Systems alone are ranked by their retriever;
`a + b` are fused by the pipeline's default. A line a set and system: nDCG@10 with the difference to its baseline and
that difference's 95 % interval, Recall@10 and 100, milliseconds a question (without encoding it, which all share). The
last line sums up. Transforms that ask a language model are not measured here: they need one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import R, nDCG

from rag import Pipeline
from rag.pipeline.build import Stage
from rag.pipeline.spec import PipelineSpec
from rag.retrieve.base import Retriever
from rag.types import Query, Ranking

SETS = "cranfield,cacm,npl-vaswani,hotpotqa,2wikimultihopqa,multihoprag-pooled"
DEPTH = 400
ALONE = {
    "sparse": "{use: sparse, k: 400}",
    "rm3": "{use: rm3, k: 400}",
    "dense": "{use: dense, k: 400}",
    "vector-prf": "{use: vector-prf, k: 400}",
    "rocchio": "{use: rocchio, k: 400}",
    "gqr": "{use: gqr, k: 400}",
    "gqr-index": "{use: gqr, k: 400, scope: index}",
}
SYSTEMS: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "sparse": (("sparse",), None),
    "rm3": (("rm3",), "sparse"),
    "dense": (("dense",), None),
    "vector-prf": (("vector-prf",), "dense"),
    "rocchio": (("rocchio",), "dense"),
    "gqr": (("gqr",), "dense"),
    "gqr-index": (("gqr-index",), "dense"),
    "dense + sparse": (("dense", "sparse"), None),
    "dense + rm3": (("dense", "rm3"), "dense + sparse"),
    "vector-prf + sparse": (("vector-prf", "sparse"), "dense + sparse"),
    "rocchio + sparse": (("rocchio", "sparse"), "dense + sparse"),
    "gqr-index + sparse": (("gqr-index", "sparse"), "dense + sparse"),
}
"""For each system the retrievers that are fused, and what it is compared with."""
TRANSFORMED = {
    "split": "transform: [{use: split}]",
    "temporal": "transform: [{use: temporal}]",
    "temporal ranking": "rerank: [{use: temporal, keep: 400}]",
}
"""Parts of a pipeline, put into `dense + sparse` and compared with it; their times are of the whole pipeline."""
MEASURES = [nDCG @ 10, R @ 10, R @ 100]
Run = dict[str, dict[str, float]]
Scores = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument(
        "--limit", type=int, default=150, help="questions of a set, evenly spread over their ids; 0: all"
    )
    parser.add_argument("--systems", help="names of systems, separated by commas; all")
    parser.add_argument("--json", type=Path, help="append one JSON line a set and system")
    arguments = parser.parse_args()
    wanted = arguments.systems.split(",") if arguments.systems else [*SYSTEMS, *TRANSFORMED]
    gains: dict[str, list[float]] = {}
    for name in arguments.sets.split(","):
        print(f"{name} ...", file=sys.stderr, flush=True)
        for row in measure(arguments.data / name, arguments.index / name, most=arguments.limit, wanted=wanted):
            print(line(name, row), flush=True)
            if "gain" in row:
                gains.setdefault(str(row["system"]), []).append(float(row["gain"]))
            if arguments.json:
                with arguments.json.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"set": name, **row}) + "\n")
    means = ", ".join(
        f"{name} {np.mean(values):+.4f} (helps on {sum(value > 0 for value in values)} of {len(values)})"
        for name, values in gains.items()
    )
    print(f"mean difference in nDCG@10: {means}")


def line(name: str, row: Mapping[str, float | str]) -> str:
    gain = f"{row['gain']:+.4f} ± {row['half_interval']:.4f}" if "gain" in row else " " * 16
    return (
        f"{name:<20} {row['system']:<20} nDCG@10 {row['nDCG@10']:.4f}  {gain}  R@10 {row['R@10']:.4f}"
        f"  R@100 {row['R@100']:.4f}  {row['milliseconds']:7.1f} ms"
    )


def measure(folder: Path, index: Path, *, most: int, wanted: Sequence[str]) -> list[dict[str, float | str]]:
    """One row a system."""
    texts, qrels = load(folder)
    ids = sorted(texts)
    ids = [ids[at] for at in sorted(set(np.linspace(0, len(ids) - 1, min(most or len(ids), len(ids))).astype(int)))]
    overrides = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
        f"ask.fuse.keep={DEPTH}",
    ]
    queries = [Query(text=texts[key]) for key in ids]
    rows: list[dict[str, float | str]] = []
    with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
        pipeline.ingest()  # makes the index, or what of it is missing
        found: dict[str, list[Ranking]] = {}
        seconds: dict[str, float] = {}
        for part in dict.fromkeys(part for system in wanted if system in SYSTEMS for part in SYSTEMS[system][0]):
            spec = PipelineSpec.from_yaml(f"version: 1\nask: {{retrieve: [{ALONE[part]}]}}").ask.retrieve[0]
            found[part], seconds[part] = timed(spec.build(pipeline.resources), queries)
        known: dict[str, Scores] = {}
        for system in wanted:
            parts, baseline = SYSTEMS.get(system, ((), "dense + sparse"))
            started = time.perf_counter()
            if system in TRANSFORMED:
                changed = variant(pipeline, TRANSFORMED[system])
                rankings = [changed.search(query.text).ranking for query in queries]
            elif len(parts) == 1:
                rankings = found[parts[0]]
            else:
                fuser = pipeline.stages.fuser.run
                rankings = [
                    fuser.fuse(list(of_query)) for of_query in zip(*(found[part] for part in parts), strict=True)
                ]
            fusing = (time.perf_counter() - started) / len(ids)
            known[system] = scores(dict(zip(ids, rankings, strict=True)), qrels)
            row: dict[str, float | str] = {"system": system}
            row |= {
                str(measure): round(float(np.mean([of_query[str(measure)] for of_query in known[system].values()])), 4)
                for measure in MEASURES
            }
            row["milliseconds"] = round(1000 * (fusing + sum(seconds[part] for part in parts)), 2)
            if baseline in known:
                row |= difference(known[system], known[baseline])
            rows.append(row)
    return rows


def variant(pipeline: Pipeline, part: str) -> Pipeline:
    """The pipeline with dense and sparse retrieval, and `part` in its place."""
    ask = PipelineSpec.from_yaml(f"version: 1\nask:\n  {part}\n  retrieve: [{ALONE['dense']}, {ALONE['sparse']}]\n").ask
    built = replace(
        pipeline.stages,
        transforms=[Stage(spec.use, spec.build(pipeline.resources)) for spec in ask.transform],
        retrievers=[Stage(spec.use, spec.build(pipeline.resources)) for spec in ask.retrieve],
        rerankers=[Stage(spec.use, spec.build(pipeline.resources)) for spec in ask.rerank],
    )
    return pipeline.variant(built)


def timed(retriever: Retriever, queries: Sequence[Query]) -> tuple[list[Ranking], float]:
    """Each query's ranking, asked one by one, and the seconds for one; questions are encoded before the clock runs."""
    for query in queries:
        retriever.retrieve([query])
    started = time.perf_counter()
    rankings = [retriever.retrieve([query])[0] for query in queries]
    return rankings, (time.perf_counter() - started) / len(queries)


def difference(ours: Scores, theirs: Scores) -> dict[str, float]:
    gains = np.array([ours[key]["nDCG@10"] - theirs[key]["nDCG@10"] for key in ours])
    half = 1.96 * float(gains.std(ddof=1)) / math.sqrt(len(gains))
    return {"gain": round(float(gains.mean()), 4), "half_interval": round(half, 4)}


def scores(rankings: Mapping[str, Ranking], qrels: Run) -> Scores:
    """Each question's figures; a document's place is its first chunk's."""
    run: Run = {}
    for key, ranking in rankings.items():
        order = list(dict.fromkeys(hit.chunk.document_id for hit in ranking))[:100]
        run[key] = {document: 1.0 / rank for rank, document in enumerate(order, 1)}
    found: Scores = {key: {str(measure): 0.0 for measure in MEASURES} for key in rankings}
    for metric in ir_measures.iter_calc(MEASURES, {key: qrels[key] for key in rankings}, run):
        found[metric.query_id][str(metric.measure)] = metric.value
    return found


def load(folder: Path) -> tuple[dict[str, str], Run]:
    """The judged queries and their qrels."""
    qrels: Run = {}
    for row in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, score = row.split("\t")
        if query != "query-id":
            qrels.setdefault(query, {})[document] = int(float(score))
    lines = (json.loads(row) for row in (folder / "queries.jsonl").open(encoding="utf-8"))
    return {each["_id"]: each["text"] for each in lines if each["_id"] in qrels}, qrels


if __name__ == "__main__":
    main()
