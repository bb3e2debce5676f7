"""What the generator `extractive` quotes, and which questions it declines.

    python benchmarks/extractive.py DATA_DIR INDEX_DIR [--sets squad2,xquad-en] [--questions 100] [--json FILE]

Questions of each set under the shipped pipeline `hybrid`, a fixed random choice; yes-or-no questions and those that
name their answer are left out. INDEX_DIR keeps an index a set and is not written to where it has one. Each question is
asked of its set; again without the chunks that are known to answer it (`gone`: what is left is of the same subject and
as near as a miss can be); and half of them of a set of another subject (`other`).

Columns: `found`, the share of all questions whose quotes have a reference answer (squad-like sets), of the gold
characters quoted (chunking-eval), or the F1 of the quotes' terms against the conclusion's (pubmedqa); `first`, the same
of the first quote alone; `words` and `quotes` of an answer; `declined` of questions whose set answers them; of those
without their chunks (`gone`), of the set's own unanswerable ones (`unanswerable`), and of another subject (`other`);
`ms`, the median time of the generator alone.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

from rag import Pipeline
from rag.evaluate.metrics_answers import contains_answer
from rag.text.analyze import Analyzer
from rag.text.answers import tokens
from rag.types import Prompt, Query, Ranking, Span

SETS = (
    "squad2,hotpotqa,xquad-ru,chunking-eval,multihoprag-pooled,"  # looked at while rules were made
    "xquad-en,2wikimultihopqa,cmrc2018,pubmedqa"  # not looked at
)
OTHERS: Mapping[str, str] = {"pubmedqa": "xquad-en"}
MARKER = re.compile(r"(?:\[\d+\])+")
ANALYZER = Analyzer()


@dataclass(frozen=True)
class Asked:
    """A question of a set, and what is known of its answer.

    `gold` are documents, or, where only some of a document answers, stretches of it.
    """

    text: str
    answers: tuple[str, ...]
    gold: frozenset[str]
    spans: tuple[Span, ...] = ()
    conclusion: str = ""
    answerable: bool = True

    def in_gold(self, span: Span) -> bool:
        if self.spans:
            return any(_shared(span, gold) for gold in self.spans)
        return span.document_id in self.gold


@dataclass(frozen=True)
class Told:
    """One answer: its quotes in order, where they stand, and how long it took."""

    quotes: tuple[str, ...]
    spans: tuple[Span, ...]
    abstained: bool
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("indexes", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = ["found", "first", "words", "quotes", "declined", "gone", "unanswerable", "other", "ms"]
    print(f"{'':20}{'n':>5}" + "".join(f"{name:>13}" for name in names))
    for name in options.sets.split(","):
        figures = measure(name, options)
        cells = "".join(f"{figures[each]:13.3f}" if each in figures else f"{'':13}" for each in names)
        print(f"{name:20}{figures['n']:5.0f}{cells}", flush=True)
        if options.json:
            with options.json.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"set": name, **figures}) + "\n")


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    asked = questions(options.data / name, count=options.questions, seed=options.seed)
    other = OTHERS.get(name, "pubmedqa")
    with opened(name, options) as pipeline, opened(other, options) as elsewhere:
        pipeline.warm_up()
        told = [(each, tell(pipeline, prompt(pipeline, each))) for each in asked]
        gone = [tell(pipeline, prompt(pipeline, each, gone=True)) for each in asked if each.answerable]
        far = [tell(elsewhere, prompt(elsewhere, each)) for each in asked[: options.questions // 2]]
    there = [(each, answer) for each, answer in told if each.answerable]
    given = [answer for _, answer in there if not answer.abstained]
    figures = {
        "n": len(there),
        "found": fmean(found(each, answer) for each, answer in there),
        "first": fmean(
            found(each, replace(answer, quotes=answer.quotes[:1], spans=answer.spans[:1])) for each, answer in there
        ),
        "words": fmean(len(tokens(" ".join(answer.quotes))) for answer in given),
        "quotes": fmean(len(answer.quotes) for answer in given),
        "declined": fmean(answer.abstained for _, answer in there),
        "gone": fmean(answer.abstained for answer in gone),
        "other": fmean(answer.abstained for answer in far),
        "ms": 1000 * median(answer.seconds for _, answer in told),
    }
    if missing := [answer.abstained for each, answer in told if not each.answerable]:
        figures["unanswerable"] = fmean(missing)
    return figures


def opened(name: str, options: argparse.Namespace) -> Pipeline:
    overrides = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(options.data / name / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(options.indexes / name))}",
    ]
    pipeline = Pipeline.from_yaml("hybrid", overrides=overrides, environ={})
    if not (options.indexes / name).is_dir():
        pipeline.ingest()
    return pipeline


def questions(folder: Path, *, count: int, seed: int) -> list[Asked]:
    """At most `count` that are answerable and as many that are not, mixed."""
    gold: dict[str, set[str]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").split("\n")[1:-1]:
        query, document, _ = line.split("\t")
        gold.setdefault(query, set()).add(document)
    rows = [json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8")]
    read = [each for row in rows if (each := _asked(row, frozenset(gold.get(row["_id"], ())))) is not None]
    rng = random.Random(seed)
    chosen: list[Asked] = []
    for answerable in (True, False):
        of_kind = [each for each in read if each.answerable == answerable]
        chosen += rng.sample(of_kind, min(count, len(of_kind)))
    rng.shuffle(chosen)
    return chosen


def _asked(row: Mapping[str, Any], gold: frozenset[str]) -> Asked | None:
    about, text = row["metadata"], row["text"]
    answerable = about.get("answerable", about.get("type") != "null_query")
    spans = tuple(Span(each["doc"], each["start"], each["end"]) for each in about.get("gold_spans", ()))
    answers = tuple(about["answers"])
    conclusion = about.get("long_answer", "")
    if answerable and not spans and not conclusion:
        said = any(answer.lower() in ("yes", "no") or contains_answer(text, [answer]) for answer in answers)
        if said or not answers:
            return None
    return Asked(text, answers, gold, spans, conclusion, answerable)


def prompt(pipeline: Pipeline, asked: Asked, *, gone: bool = False) -> Prompt:
    """What the generator of the pipeline is given; with `gone`, without what is known to answer."""
    ranking = pipeline.search(asked.text).ranking
    if gone:
        ranking = Ranking(tuple(hit for hit in ranking.hits if not asked.in_gold(hit.chunk.span)))
    [compressed] = pipeline.stages.compressor.run.compress([Query(text=asked.text)], [ranking])
    return Prompt(question=asked.text, evidence=compressed.evidence)


def tell(pipeline: Pipeline, asked: Prompt) -> Told:
    started = perf_counter()
    decoding = pipeline.stages.generator.run.start([asked])
    text = "".join(token.text for _, token in decoding)
    seconds = perf_counter() - started
    cited = pipeline.stages.citer.run.cite(text, asked.evidence)
    if decoding.outcome(0).abstained:
        return Told((), (), True, seconds)
    quotes = tuple(MARKER.sub("", cited.text[each.start : each.end]).strip() for each in cited.citations)
    return Told(quotes, tuple(each.spans[0] for each in cited.citations), False, seconds)


def found(asked: Asked, told: Told) -> float:
    if asked.spans:
        whole = sum(gold.end - gold.start for gold in asked.spans)
        return min(1.0, sum(_shared(span, gold) for gold in asked.spans for span in told.spans) / whole)
    if asked.conclusion:
        ours, theirs = (set(ANALYZER.terms(text)) for text in (" ".join(told.quotes), asked.conclusion))
        return 2 * len(ours & theirs) / (len(ours) + len(theirs))
    return contains_answer(" ".join(told.quotes), asked.answers)


def _shared(one: Span, other: Span) -> int:
    if one.document_id != other.document_id:
        return 0
    return max(0, min(one.end, other.end) - max(one.start, other.start))


if __name__ == "__main__":
    main()
