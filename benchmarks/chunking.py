"""Chunkers by the characters they find, and late chunking by nDCG@10.

    python benchmarks/chunking.py DATA_DIR [--only recursive,semantic] [--characters 50000] [--limit 60]
        [--precision int8] [--json FILE]
    python benchmarks/chunking.py DATA_DIR --late time,cranfield

The first asks DATA_DIR/chunking-eval, whose questions name the characters that answer them, with each chunker under
the shipped `hybrid` pipeline: all documents (or `--documents`), the first `--characters` of each (0: all, which takes
an hour and more), and of the questions about these a fixed random choice, `--limit` for each document. One line a
chunker: the mean share of gold characters among the first five chunks
(recall), of gold among what these hold (precision), both over either (IoU), their characters, and the recall of the
first 2000 and 4000 characters in the order of the ranking, which does not favour long chunks; chunks in the index and
seconds to make it (vectors of equal texts are made once a run, so the first of several pays). The second compares
plain with late vectors of the same chunks, dense alone and in the hybrid. The last line names the best.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np

from rag import Components, Pipeline
from rag.embed.base import Embedder, Vectors
from rag.evaluate.metrics import ndcg
from rag.evaluate.metrics_spans import overlap
from rag.pipeline.spec import load_spec
from rag.types import Ranking, Span

K = 5
SEED = 20_240_607
BUDGETS = (2000, 4000)  # characters
CHUNKERS: Mapping[str, Sequence[str]] = {
    "fixed": ["ingest.chunk={use: fixed, tokens: 200}"],
    "fixed-overlap": ["ingest.chunk={use: fixed, tokens: 200, overlap: 40}"],
    "recursive": [],
    "recursive-100": ["ingest.chunk.tokens=100"],
    "headings": ["ingest.chunk={use: headings, tokens: 200}"],
    "semantic": ["ingest.chunk={use: semantic, tokens: 200}"],
    "semantic-deviation": ["ingest.chunk={use: semantic, tokens: 200, breakpoints: deviation}"],
    "semantic-interquartile": ["ingest.chunk={use: semantic, tokens: 200, breakpoints: interquartile}"],
    "semantic-gradient": ["ingest.chunk={use: semantic, tokens: 200, breakpoints: gradient}"],
    "semantic-80": ["ingest.chunk={use: semantic, tokens: 200, threshold: 80}"],
    "topic": ["ingest.chunk={use: topic, tokens: 200}"],
    "sentences": ["ingest.chunk={use: sentences}"],
    "sentences-3": ["ingest.chunk={use: sentences, sentences: 3, overlap: 1}"],
    "sentence-window": ["ingest.chunk={use: sentences}", "ask.expand=[{use: window, reach: 3}]", "ask.fuse.keep=10"],
    "sentence-window-20": ["ingest.chunk={use: sentences}", "ask.expand=[{use: window, reach: 3}]", "ask.fuse.keep=20"],
    "recursive-parent": [
        "ingest.chunk.tokens=100",
        "ask.expand=[{use: parent, kind: tokens, tokens: 200}]",
        "ask.fuse.keep=10",
    ],
    "late": ["ingest.embed={use: late, base: {use: onnx, precision: PRECISION}}"],
}


class Remembering:
    """An embedder that makes the vector of a text once in a run."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.known: dict[str, Vectors] = {}
        self.asked: dict[str, Vectors] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self.embedder, name)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        new = list(dict.fromkeys(text for text in texts if text not in self.known))
        self.known.update(zip(new, self.embedder.embed_documents(new), strict=True))
        return np.stack([self.known[text] for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if text not in self.asked:
                self.asked[text] = self.embedder.embed_queries([text])[0]
        return np.stack([self.asked[text] for text in texts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--documents", help="only these of chunking-eval, and the questions about them")
    parser.add_argument("--characters", type=int, default=50_000, help="of each document, from its start; 0: all")
    parser.add_argument("--limit", type=int, default=60, help="questions for each document; 0: all")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32", help="of the encoder; int8 is quicker")
    parser.add_argument("--only", default=",".join(CHUNKERS))
    parser.add_argument("--late", metavar="SETS", help="compare plain with late vectors on these sets instead")
    parser.add_argument("--json", type=Path, help="append one JSON line a result")
    arguments = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for name, figures in of_late(arguments) if arguments.late else of_chunkers(arguments):
        found[name] = figures
        print(f"{name:<34}" + "".join(f"  {key} {value:.4g}" for key, value in figures.items()), flush=True)
        if arguments.json:
            with arguments.json.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"name": name, **figures}) + "\n")
    figure = "nDCG@10" if arguments.late else f"recall@{BUDGETS[0]}"
    best = max(found, key=lambda name: found[name][figure])
    print(f"best {figure}: {best} {found[best][figure]:.4f}")


# ---- chunkers


def of_chunkers(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, float]]]:
    folder = arguments.data / "chunking-eval"
    texts = shortened(folder / "corpus.jsonl", arguments.documents, arguments.characters)
    questions = gold_spans(folder, {name: len(text) for name, text in texts.items()}, limit=arguments.limit)
    print(f"{len(texts)} documents, {sum(map(len, texts.values()))} characters, {len(questions)} questions", flush=True)
    precision = f"ingest.embed.precision={arguments.precision}"
    embedder = Remembering(load_spec("hybrid", overrides=[precision]).spec.ingest.embed.build())
    with tempfile.TemporaryDirectory() as temporary:
        corpus = Path(temporary) / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"_id": id, "text": texts[id]}) + "\n" for id in texts), encoding="utf-8")
        for name in arguments.only.split(","):
            overrides = [
                f"ingest.load=[{{use: rows, path: {json.dumps(str(corpus))}, title: no-such-field}}]",
                f"ingest.index.path={json.dumps(f'{temporary}/{name}')}",
                "ask.fuse.keep=100",
                *(change.replace("PRECISION", arguments.precision) for change in CHUNKERS[name]),
            ]
            components = None if name == "late" else Components(embedder=embedder)  # type: ignore[arg-type]  # it has all
            with Pipeline.from_yaml("hybrid", overrides=overrides, components=components) as pipeline:
                started = time.perf_counter()
                report = pipeline.ingest(strict=True)
                seconds = time.perf_counter() - started
                scores = [span_scores(pipeline.search(text).ranking, gold) for text, gold in questions]
            means = {key: fmean(score[key] for score in scores) for key in scores[0]}
            yield name, {**means, "chunks": report.chunks, "seconds": seconds}


def span_scores(ranking: Ranking, gold: Sequence[Span]) -> dict[str, float]:
    spans = [hit.chunk.span for hit in ranking]
    first = overlap(spans[:K], gold)
    scores = {
        f"recall@{K}": first.recall,
        f"precision@{K}": first.precision,
        f"IoU@{K}": first.iou,
        "characters": float(sum(map(len, spans[:K]))),
    }
    for budget in BUDGETS:
        scores[f"recall@{budget}"] = overlap(within(spans, budget), gold).recall
    return scores


def within(spans: Sequence[Span], budget: int) -> list[Span]:
    """The first `budget` characters of the spans, one after the other; the last one is cut."""
    taken: list[Span] = []
    for span in spans:
        end = min(span.end, span.start + budget)
        taken.append(Span(span.document_id, span.start, end))
        budget -= end - span.start
        if budget <= 0:
            break
    return taken


def shortened(corpus: Path, only: str | None, characters: int) -> dict[str, str]:
    """The texts of the documents, cut after so many characters (0: whole)."""
    rows = [json.loads(line) for line in corpus.open(encoding="utf-8")]
    wanted = only.split(",") if only else [row["_id"] for row in rows]
    return {row["_id"]: row["text"][: characters or None] for row in rows if row["_id"] in wanted}


def gold_spans(folder: Path, lengths: Mapping[str, int], *, limit: int) -> list[tuple[str, list[Span]]]:
    """Questions with their gold spans, of those that lie in the documents; for each document at most `limit`."""
    questions: dict[str, list[tuple[str, list[Span]]]] = {}
    for line in (folder / "queries.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        spans = [Span(gold["doc"], gold["start"], gold["end"]) for gold in row["metadata"]["gold_spans"]]
        if all(span.end <= lengths.get(span.document_id, 0) for span in spans):
            questions.setdefault(spans[0].document_id, []).append((row["text"], spans))
    if not questions:
        sys.exit(f"{folder}: no questions about {', '.join(lengths)}")
    chosen = random.Random(SEED)
    return [
        question
        for several in questions.values()
        for question in (chosen.sample(several, limit) if 0 < limit < len(several) else several)
    ]


# ---- late


def of_late(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, float]]]:
    """Plain and late vectors of the chunks that `hybrid` makes, by nDCG@10 of documents at their best chunk's rank."""
    dense = ["ask.retrieve=[{use: dense, k: 400}]", "ask.fuse={use: single, keep: 400}"]
    hybrid = ["ask.retrieve=[{use: dense, k: 400}, {use: sparse, k: 400}]", "ask.fuse.keep=400"]
    for name in arguments.late.split(","):
        folder = arguments.data / name
        queries, grades = judged(folder)
        for embed in ("onnx", "late"):
            with tempfile.TemporaryDirectory() as index:
                common = [
                    f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
                    f"ingest.index.path={json.dumps(index)}",
                    f"ingest.embed={{use: {embed}}}",
                ]
                with Pipeline.from_yaml("hybrid", overrides=common) as pipeline:
                    started = time.perf_counter()
                    report = pipeline.ingest()
                    seconds = time.perf_counter() - started
                for system, changes in (("dense", dense), ("hybrid", hybrid)):
                    with Pipeline.from_yaml("hybrid", overrides=[*common, *changes]) as pipeline:
                        scores = [
                            ndcg(documents(pipeline, text), grades[query], k=10) for query, text in queries.items()
                        ]
                    figures = {"nDCG@10": fmean(scores), "chunks": report.chunks, "seconds": seconds}
                    yield f"{name}, {'plain' if embed == 'onnx' else 'late'}, {system}", figures


def documents(pipeline: Pipeline, question: str) -> list[str]:
    return list(dict.fromkeys(hit.chunk.document_id for hit in pipeline.search(question).ranking))


def judged(folder: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """The questions with relevant documents, and those with their grades."""
    grades: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, score = line.split("\t")
        if query != "query-id" and float(score) > 0:
            grades.setdefault(query, {})[document] = int(float(score))
    lines = (json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8"))
    return {line["_id"]: line["text"] for line in lines if line["_id"] in grades}, grades


if __name__ == "__main__":
    main()
