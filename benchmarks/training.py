"""Trained heads on sets they have not seen: what one set, or several, teach about the others.

    python benchmarks/training.py DATA_DIR INDEX_DIR [--part reranker] [--train hotpotqa --train hotpotqa,squad2]

INDEX_DIR holds one index a set, as the pipeline `hybrid` makes it (`rag ingest` with ``ingest.index.path``); what is
not there is ingested into it. For each --train, a set or several with commas, a head is trained as by `rag train
reranker` or `rag train compressor` and judged on the held-out questions of these sets and on all questions of the
others. A line a set: the figure before and after, the gain with its 95 % interval and p, questions. With --tokens the
reranking head also weighs MaxSim, and the gain of `late-interaction` with its defaults on the same candidates stands
beside it. The last line of each sums up.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag import Pipeline
from rag.compress.trained import SIGNS as OF_SENTENCES
from rag.evaluate.datasets import load_dataset
from rag.models.linear_head import LinearHead
from rag.rerank.signs import SIGNS
from rag.rerank.specs import LateInteractionSpec
from rag.train.compressor import compression_cases
from rag.train.head import CaseSet, Judged, judge, train_head
from rag.train.reranker import WITHOUT_TOKENS, reranking_cases

SETS = {
    "reranker": "hotpotqa,multihoprag-pooled,squad2,cranfield,2wikimultihopqa,npl-vaswani,lisa,time,cacm,limit-small,"
    "xquad-ru,cmrc2018,xquad-en",
    "compressor": "hotpotqa,2wikimultihopqa,squad2,xquad-en,cmrc2018",
}
TRAIN = {
    "reranker": ["hotpotqa", "multihoprag-pooled", "squad2", "hotpotqa,multihoprag-pooled,squad2"],
    "compressor": ["hotpotqa", "2wikimultihopqa", "squad2", "hotpotqa,squad2", "hotpotqa,2wikimultihopqa,squad2"],
}
LATE_INTERACTION = LinearHead({"rare": 0.5})
"""`late-interaction` with its defaults orders by the same sum."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--part", choices=list(SETS), default="reranker")
    parser.add_argument("--sets", help="all sets, separated by commas")
    parser.add_argument("--train", action="append", help="a set, or several with commas; repeatable")
    parser.add_argument("--queries", type=int, default=300, help="at most so many a set, drawn at random")
    parser.add_argument("--tokens", action="store_true", help="weigh MaxSim over token states too")
    parser.add_argument("--depth", type=int, default=50, help="candidates a question")
    parser.add_argument("--ratio", type=float, default=0.35, help="share of the characters that compression keeps")
    parser.add_argument("--json", type=Path, help="append one JSON line a head")
    arguments = parser.parse_args()
    sets = {name: cases(arguments, name) for name in (arguments.sets or SETS[arguments.part]).split(",")}
    signs = OF_SENTENCES if arguments.part == "compressor" else SIGNS if arguments.tokens else WITHOUT_TOKENS
    for names in arguments.train or TRAIN[arguments.part]:
        seen = [sets[name] for name in names.split(",")]
        others = [sets[name] for name in sets if name not in names.split(",")]
        head, report = train_head(seen, others, signs=signs, metric="", seed=0)
        weights = ", ".join(f"{name} {weight:+.2f}" for name, weight in head.weights.items())
        print(f"trained on {names}: ridge {report.ridge}, {weights or 'no head'}")
        for judged in report.held_out:
            print(line(judged, "held out"), flush=True)
        for judged, other in zip(report.unseen, others, strict=True):
            late = f"  late-interaction {gain(judge(other, LATE_INTERACTION, seed=0)):+.4f}" if arguments.tokens else ""
            print(line(judged, "unseen") + late, flush=True)
        print(f"  mean gain on unseen sets {np.mean([gain(judged) for judged in report.unseen]):+.4f}")
        if arguments.json:
            write(arguments.json, names, report.weights, [*report.held_out, *report.unseen])


def cases(arguments: argparse.Namespace, name: str) -> CaseSet:
    folder, index, depth = arguments.data / name, arguments.index / name, arguments.depth
    overrides = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
        f"ask.fuse.keep={depth}",
        *(f"ask.retrieve.{at}.k={depth}" for at in range(2)),
    ]
    dataset = load_dataset(folder).sample(arguments.queries, seed=1)
    with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
        pipeline.ingest()  # makes the index, or what of it is missing
        if arguments.part == "compressor":
            return compression_cases(pipeline, dataset, ratio=arguments.ratio)
        matches = LateInteractionSpec(cache_mib=2048).matches(pipeline.resources)
        signs = SIGNS if arguments.tokens else WITHOUT_TOKENS
        return reranking_cases(pipeline, dataset, matches, signs=signs, depth=depth)


def gain(judged: Judged) -> float:
    return judged.after - judged.before


def line(judged: Judged, where: str) -> str:
    low, high = judged.interval
    return (
        f"  {judged.name:<20} {where:<9} {judged.before:.4f} {judged.after:.4f}  {gain(judged):+.4f} "
        f"[{low:+.4f}, {high:+.4f}] p {judged.p:.3f}  {judged.questions:4d}"
    )


def write(path: Path, names: str, weights: object, rows: Sequence[Judged]) -> None:
    figures = {judged.name: [judged.before, judged.after, judged.p, judged.questions] for judged in rows}
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps({"trained on": names, "weights": weights, "figures": figures}) + "\n")


if __name__ == "__main__":
    main()
