"""How much of what answers a question survives compression, at each share of the characters.

    python benchmarks/compression.py DATA_DIR [--sets hotpotqa,2wikimultihopqa] [--indexes INDEX_DIR] [--limit 200]

Every set is ingested by the shipped `hybrid` pipeline with its defaults; INDEX_DIR keeps the indexes, one folder a set.
Recall is, over all questions, the share of the supporting sentences in the passages given (metadata.supporting_facts)
that are still there, whole, after compression; where a set has none, of the facts (metadata.evidence), or of the
questions with an answer string in the passages. Three kinds of passages: `retrieved`, the best chunks of the pipeline;
`distractor`, those that came with the question, in the order of their nearness; `gold`, the relevant documents alone.
`best possible` keeps the shortest supporting texts first: in gold passages these often are most of the text. `whole
chunks` keeps the best chunks and drops the others, which is what not to compress at the same cost would do.

Columns: recall at each ratio of the characters, then milliseconds of CPU a question at 35 %, the embedding of what is
compared included. The last lines say where 90 % is kept at 35 %.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from rag import Pipeline
from rag.compress.base import Compression, Compressor
from rag.compress.budget import Budget, Redundant, Scores, Selection
from rag.compress.extract import ExtractiveCompressor
from rag.compress.hybrid import HybridSentences
from rag.compress.passages import Sentence
from rag.compress.specs import Bm25Spec, BudgetedSpec, HybridSpec, SentencesSpec
from rag.embed.base import Embedder, EmbedderIdentity, Tokenizer, Vectors
from rag.testing.sample import SampleResources
from rag.text.sentences import sentences
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span

SETS = "hotpotqa,2wikimultihopqa,squad2,cmrc2018,multihoprag-pooled"
RATIOS = "0.1,0.2,0.3,0.35,0.4,0.5,0.6,0.7,0.8,0.9,1"
GOAL_RATIO, GOAL_RECALL = 0.35, 0.9
TIMED = 20  # questions
SPECS: Mapping[str, BudgetedSpec] = {
    "sentences": SentencesSpec(),
    "bm25": Bm25Spec(),
    "hybrid": HybridSpec(),
    "hybrid, embed 24": HybridSpec(embed=24),
    "hybrid, no model": HybridSpec(nearness_weight=0, chunk_weight=0),
}


@dataclass(frozen=True)
class Case:
    """One question, its passages, and what in them answers: sentences that are all needed, or texts, any or all."""

    question: str
    chunks: Sequence[Chunk]
    spans: Sequence[Span] = ()
    texts: Sequence[str] = ()
    any_text: bool = False

    @property
    def ranking(self) -> Ranking:
        return Ranking(tuple(ScoredChunk(chunk, -float(at), "given") for at, chunk in enumerate(self.chunks)))

    def found(self, kept: Sequence[tuple[Span, str]]) -> tuple[int, int]:
        """How many of the supporting texts `kept` has, and how many there are."""
        if self.spans:
            inside = sum(any(contains(span, support) for span, _ in kept) for support in self.spans)
            return inside, len(self.spans)
        normal = [normalized(text) for _, text in kept]
        hits = [any(support in text for text in normal) for support in self.texts]
        return (int(any(hits)), 1) if self.any_text else (sum(hits), len(hits))


@dataclass
class Remembering:
    """An embedder that embeds each text once, so that the curve costs no more than its first point."""

    inner: Embedder
    known: dict[tuple[str, str], Vectors] = field(default_factory=dict)

    @property
    def identity(self) -> EmbedderIdentity:
        return self.inner.identity

    @property
    def tokenizer(self) -> Tokenizer:
        return self.inner.tokenizer

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if ("d", text) not in self.known]
        if missing:
            self.known |= {
                ("d", text): vector for text, vector in zip(missing, self.inner.embed_documents(missing), strict=True)
            }
        return np.stack([self.known["d", text] for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if ("q", text) not in self.known:
                self.known["q", text] = self.inner.embed_queries([text])[0]
        return np.stack([self.known["q", text] for text in texts])

    def close(self) -> None:
        self.known.clear()


@dataclass(frozen=True, slots=True)
class Knapsack(Budget):
    """The set of sentences with the largest sum of scores, exactly (0/1 knapsack in characters), for comparison."""

    sharpness: float = 0.0
    """0 sums the scores; else ``exp(sharpness * score)``: the larger, the more the best outweigh the many."""

    def select(
        self,
        scores: Scores,
        sentences: Sequence[Sentence],
        chunks: Sequence[Chunk],
        tokenizer: Tokenizer,
        *,
        redundant: Redundant | None = None,
    ) -> Selection:
        values = np.exp(self.sharpness * (scores - scores.max())) if self.sharpness else scores - min(0, scores.min())
        room = int((self.ratio or 1.0) * sum(len(chunk.text) for chunk in chunks))
        best = np.zeros(room + 1)
        taken = np.zeros((len(sentences), room + 1), bool)
        for at, sentence in enumerate(sentences):
            cost = len(sentence.text)
            if cost <= room:
                better = best[: room + 1 - cost] + values[at]
                taken[at, cost:] = better > best[cost:]
                best[cost:] = np.maximum(better, best[cost:])
        kept: set[int] = set()
        for at in range(len(sentences) - 1, -1, -1):
            if taken[at, room]:
                kept.add(at)
                room -= len(sentences[at].text)
        return Selection(scores, kept or {int(scores.argmax())})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--indexes", type=Path, help="where the indexes are kept; else they are made anew each time")
    parser.add_argument("--limit", type=int, default=40, help="questions of a set, a fixed random choice; 0: all")
    parser.add_argument("--compressors", default="; ".join(SPECS), help="names as in the output, with semicolons")
    parser.add_argument("--ratios", default=RATIOS)
    parser.add_argument("--chunks", type=int, default=20, help="how many of the best chunks are retrieved")
    parser.add_argument("--solvers", action="store_true", help="also fill the budget as an exact knapsack")
    parser.add_argument("--json", type=Path, help="append one JSON line a set, kind of passages and compressor")
    arguments = parser.parse_args()
    reached: list[str] = []
    for name in arguments.sets.split(","):
        for kind, compressor, curve, milliseconds in measured(arguments, name):
            points = " ".join(f"{recall:.3f}" for recall in curve.values())
            timing = "" if milliseconds is None else f"  {milliseconds:.0f} ms"
            print(f"{name:<18} {kind:<10} {compressor:<22} {points}{timing}", flush=True)
            reached.append(f"{name} {kind} {compressor}: {curve[GOAL_RATIO]:.3f}")
            if arguments.json:
                record = {"set": name, "passages": kind, "compressor": compressor, "milliseconds": milliseconds}
                with arguments.json.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({**record, **{f"recall@{ratio}": value for ratio, value in curve.items()}}))
                    out.write("\n")
    print(f"at {GOAL_RATIO:.0%} of the characters, {GOAL_RECALL:.0%} or more kept:")
    print("\n".join(f"  {line}" for line in reached if float(line.rpartition(" ")[2]) >= GOAL_RECALL))


def measured(arguments: argparse.Namespace, name: str) -> Iterator[tuple[str, str, dict[float, float], float | None]]:
    """For each kind of passages and each compressor, recall by ratio and milliseconds a question."""
    folder = arguments.data / name
    ratios = sorted({GOAL_RATIO, *map(float, arguments.ratios.split(","))})
    print(f"{name}: recall at {' '.join(f'{ratio:.0%}' for ratio in ratios)}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        index = str(arguments.indexes / name) if arguments.indexes else scratch
        overrides = [
            f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
            f"ingest.index.path={json.dumps(index)}",
            f"ask.fuse.keep={arguments.chunks}",
        ]
        with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
            pipeline.ingest()
            timed = SampleResources(pipeline.embedder, pipeline.index, {})
            remembering = replace(timed, embedder=Remembering(pipeline.embedder))
            for kind, cases in passages(folder, pipeline, arguments.limit).items():
                yield kind, "best possible", {ratio: best_possible(cases, ratio) for ratio in ratios}, None
                yield kind, "whole chunks", {ratio: whole_chunks(cases, ratio) for ratio in ratios}, None
                for label in map(str.strip, arguments.compressors.split(";")):
                    spec = SPECS[label]
                    _, seconds = run(limited(spec, GOAL_RATIO).build(timed), cases[:TIMED])
                    curve = {ratio: run(limited(spec, ratio).build(remembering), cases)[0] for ratio in ratios}
                    yield kind, label, curve, seconds * 1000
                if arguments.solvers:
                    for sharpness in (0.0, 5.0, 20.0):
                        curve = {ratio: run(knapsack(remembering, ratio, sharpness), cases)[0] for ratio in ratios}
                        yield kind, f"knapsack, sharpness {sharpness:g}", curve, None


def limited(spec: BudgetedSpec, ratio: float) -> BudgetedSpec:
    return spec.model_copy(update={"ratio": ratio, "tokens": None, "keep": 1000})


def knapsack(resources: SampleResources, ratio: float, sharpness: float) -> ExtractiveCompressor:
    selector = HybridSentences(resources, budget=Knapsack(tokens=None, ratio=ratio, sharpness=sharpness))
    return ExtractiveCompressor(resources, selector, keep=1000)


def run(compressor: Compressor, cases: Sequence[Case]) -> tuple[float, float]:
    """The recall over all cases and the seconds of CPU a case."""
    started = time.process_time()
    kept: list[Compression] = []
    for case in cases:
        kept += compressor.compress([Query(text=case.question)], [case.ranking])
    seconds = (time.process_time() - started) / len(cases)
    found = [
        case.found([(part.span, part.text) for part in each.evidence]) for case, each in zip(cases, kept, strict=True)
    ]
    return sum(hits for hits, _ in found) / sum(total for _, total in found), seconds


def best_possible(cases: Sequence[Case], ratio: float) -> float:
    hits = total = 0
    for case in cases:
        room = ratio * sum(len(chunk.text) for chunk in case.chunks)
        costs = sorted(len(span) for span in case.spans) or sorted(
            min(len(text) for text in sentence_texts(case.chunks) if support in normalized(text))
            for support in case.texts
        )
        costs = costs[:1] if case.any_text else costs
        fitting = 0
        for cost in costs:
            room -= cost
            fitting += room >= 0 or fitting == 0  # one sentence is kept in any case
        hits, total = hits + fitting, total + len(costs)
    return hits / total


def whole_chunks(cases: Sequence[Case], ratio: float) -> float:
    """The recall of the best chunks alone, whole, as many as fit."""
    hits = total = 0
    for case in cases:
        room = ratio * sum(len(chunk.text) for chunk in case.chunks)
        kept: list[tuple[Span, str]] = []
        for chunk in case.chunks:
            room -= len(chunk.text)
            if room < 0 and kept:
                break
            kept.append((chunk.span, chunk.text))
        found, of = case.found(kept)
        hits, total = hits + found, total + of
    return hits / total


def passages(folder: Path, pipeline: Pipeline, count: int) -> dict[str, list[Case]]:
    """The cases by kind of passages, those that have anything supporting in them."""
    reader = pipeline.index.reader()
    relevant: dict[str, list[str]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if float(score) > 0:
            relevant.setdefault(query, []).append(document)
    queries = [json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8")]
    queries = [query for query in queries if query["_id"] in relevant]
    random.Random(20).shuffle(queries)
    found: dict[str, list[Case]] = {"retrieved": [], "distractor": [], "gold": []}
    for query in queries[: count or None]:
        meta, text = query["metadata"], query["text"]
        documents = {"distractor": meta.get("distractor_setting_docs", []), "gold": relevant[query["_id"]]}
        given = {
            kind: [chunk for name in names for chunk in reader.chunks_of(name)] for kind, names in documents.items()
        }
        question = pipeline.embedder.embed_queries([text])[0]
        for kind, chunks in given.items():
            nearness = reader.vectors(reader.rows_of(chunks)) @ question if chunks else []
            given[kind] = [
                chunk
                for _, chunk in sorted(zip(nearness, chunks, strict=True), key=lambda pair: (-pair[0], pair[1].id))
            ]
        given["retrieved"] = [hit.chunk for hit in pipeline.search(text).ranking]
        for kind, chunks in given.items():
            case = supported(text, chunks, meta, pipeline)
            if case.spans or case.texts:
                found[kind].append(case)
    return {kind: cases for kind, cases in found.items() if cases}


def supported(question: str, chunks: Sequence[Chunk], meta: Mapping[str, object], pipeline: Pipeline) -> Case:
    """What of the question's supporting sentences, facts or answers stands in `chunks`."""
    reader = pipeline.index.reader()
    facts = meta.get("supporting_facts")
    if isinstance(facts, list):
        spans = [
            span for document, number in facts if (span := sentence(reader.document(document).text, document, number))
        ]
        return Case(question, chunks, spans=[span for span in spans if any(contains(c.span, span) for c in chunks)])
    evidence, answers = meta.get("evidence"), meta.get("answers")
    wanted = [fact["fact"] for fact in evidence] if isinstance(evidence, list) else answers
    texts = [normalized(text) for text in wanted] if isinstance(wanted, list) else []
    given = [normalized(text) for text in sentence_texts(chunks)]
    texts = [text for text in texts if text and any(text in sentence for sentence in given)]
    return Case(question, chunks, texts=texts, any_text=not isinstance(evidence, list))


def sentence(text: str, document: str, number: int) -> Span | None:
    """The sentence of a number (from 0) below the title line; the sets' own splitting is lost, ours mostly agrees."""
    below = text.find("\n") + 1
    found = sentences(text[below:])
    return Span(document, below + found[number][0], below + found[number][1]) if number < len(found) else None


def sentence_texts(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.text[start:end] for chunk in chunks for start, end in sentences(chunk.text)]


def contains(outer: Span, inner: Span) -> bool:
    return outer.document_id == inner.document_id and outer.start <= inner.start and inner.end <= outer.end


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and runs of spaces, as SQuAD compares answers."""
    text = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


if __name__ == "__main__":
    main()
