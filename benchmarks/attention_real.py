"""Attention reranking by a trained model on real questions: the candidates' own order against that of its attention.

For each of `--contexts` questions, drawn by `--seed`, the first `--documents` chunks of the pipeline `hybrid` are
reranked as a pipeline does it: by all heads or by those of a file of `rag heads detect`, calibrated or not. The keys of
a prompt are computed once for all cases, which changes no figure. A document has the rank of its best chunk;
documents that were no candidate count as not found. Differences are paired, question by question, with 95 % intervals.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rag import Pipeline
from rag.evaluate.beir import load_beir
from rag.evaluate.metrics import Grades, ndcg, reciprocal_rank
from rag.models.attention import Anatomy, Attended, Attention, AttentionPrompt, Head
from rag.models.attention_heads import detected_for
from rag.models.local.model import TransformersModel
from rag.models.template import Template
from rag.rerank.attention import AttentionReranker
from rag.types import Query, Ranking, Usage

Row = dict[str, float | str]


def reranked(
    model: TransformersModel,
    template: Template,
    *,
    data: Path,
    index: Path,
    questions: int,
    documents: int,
    files: Sequence[Path],
    heads: int,
    seed: int,
) -> list[Row]:
    """Print one line a case."""
    once = ReadOnce(model)
    lists: dict[str, tuple[Head, ...] | None] = {"all heads": None}
    for file in files:
        found = detected_for(model.anatomy, file)
        lists[f"{heads} heads by {found.method}"] = found.best(heads)
    rerankers = {
        f"{name}, {'calibrated' if calibrate else 'not calibrated'}": AttentionReranker(
            once, template, keep=documents, depth=documents, heads=chosen, calibrate=calibrate
        )
        for name, chosen in lists.items()
        for calibrate in (True, False)
    }
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ("candidates", *rerankers)}
    started = time.process_time()
    for query, candidates, grades in _drawn(data, index, questions, documents, seed):
        figures["candidates"].append(_measured(candidates, grades))
        for name, reranker in rerankers.items():
            figures[name].append(_measured(reranker.rerank([query], [candidates])[0], grades))
        once.forget()
    seconds = (time.process_time() - started) / questions
    print(f"{data.name}: {questions} questions, the first {documents} of `hybrid`, {seconds:.1f} s a question")
    return [_row(data.name, name, values, figures["candidates"]) for name, values in figures.items()]


class ReadOnce:
    """Shows of a model's attention what is asked for, and reads each prompt once for all who ask."""

    def __init__(self, model: TransformersModel) -> None:
        self.model = model
        self._seen: dict[tuple[str, str], tuple[Attention, ...]] = {}

    @property
    def window(self) -> int:
        return self.model.window

    @property
    def anatomy(self) -> Anatomy:
        return self.model.anatomy

    def count(self, text: str) -> int:
        return self.model.count(text)

    def attend(self, prompt: AttentionPrompt, *, heads: Sequence[Head] | None = None) -> Attended:
        missing = tuple(tail for tail in prompt.tails if (prompt.shared, tail) not in self._seen)
        if missing:
            attended = self.model.attend(replace(prompt, tails=missing))
            self._seen |= {(prompt.shared, tail): rows for tail, rows in zip(missing, attended.tails, strict=True)}
        width = self.model.anatomy.heads
        rows = slice(None) if heads is None else np.array([each.layer * width + each.head for each in heads])
        tails = tuple(tuple(each[rows] for each in self._seen[prompt.shared, tail]) for tail in prompt.tails)
        return Attended(tails, Usage())

    def forget(self) -> None:
        self._seen.clear()


def _drawn(data: Path, index: Path, count: int, documents: int, seed: int) -> list[tuple[Query, Ranking, Grades]]:
    judged = [question for question in load_beir(data).questions if question.documents]
    overrides = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(data / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
    ]
    drawn = []
    with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
        for question in random.Random(seed).sample(judged, count):
            found = pipeline.search(question.text).ranking
            drawn.append((Query(text=question.text), Ranking(found.hits[:documents]), question.relevant))
    return drawn


def _measured(ranking: Ranking, grades: Grades) -> tuple[float, float]:
    """nDCG@10 and the reciprocal rank."""
    found = list(dict.fromkeys(hit.chunk.document_id for hit in ranking))
    return ndcg(found, grades, k=10), reciprocal_rank(found, grades, k=10)


def _row(data: str, case: str, values: Sequence[tuple[float, float]], before: Sequence[tuple[float, float]]) -> Row:
    gains, ranks = zip(*values, strict=True)
    better = [one - other for (one, _), (other, _) in zip(values, before, strict=True)]
    half = 1.96 * statistics.stdev(better) / len(better) ** 0.5
    up, down = sum(each > 0 for each in better), sum(each < 0 for each in better)
    row: Row = {
        "set": data,
        "case": case,
        "ndcg": statistics.mean(gains),
        "mrr": statistics.mean(ranks),
        "change": statistics.mean(better),
        "half_interval": half,
    }
    print(
        f"  {case:<32} nDCG@10 {row['ndcg']:.3f} ({row['change']:+.3f} ± {half:.3f}; {up} better, {down} worse)  "
        f"MRR {row['mrr']:.3f}",
        flush=True,
    )
    return row
