"""What a second retrieval brings where no language model is at hand: the quoted answer is what is asked with.

    python benchmarks/dynamic.py DATA_DIR INDEX_DIR [--pipeline sparse] [--evidence 8] [--add 3]

INDEX_DIR keeps an index of a shipped pipeline for each set, in a folder of its name; it is made if it is not there.
With `sparse` no model is run at all: BM25, and quotes chosen by their words. With `hybrid` the sentences that may be
quoted are embedded, some thirty for each question and round.

Questions of both sets need two to four documents. `once` gives the generator the `--evidence` best chunks of one
retrieval; `once, with feedback` searches again for words of the best chunks (`rm3`) before anything is quoted, which
costs no answer. Every other case gives it `--evidence` minus `--add` chunks first, and then up to `--add` more that a
trigger and a query builder of ``ask.dynamic`` find, so that all have the same room.

Columns: `all` is the share of questions whose documents are all in the evidence, `docs` the share of documents, both at
the end; `first` is `all` after the first retrieval; `asked` is how many questions were retrieved for again. With
`--timed` also the CPU time a question; without, the cases share the vectors of what they embed, which is faster. What
is measured is evidence. Whether a model answers better from it is not, nor how triggers that look at a model's tokens
do: these need one.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rag import Components, Compressed, Pipeline
from rag.embed.base import Embedder, EmbedderIdentity, Tokenizer, Vectors
from rag.pipeline.spec import PipelineSpec
from rag.trigger.adaptive import by_rules

CASES: Mapping[str, str] = {
    "iter-retgen": "{trigger: {use: iter-retgen}}",
    "iter-retgen, draft alone": "{trigger: {use: iter-retgen}, query: {use: draft}}",
    "iter-retgen, new names": "{trigger: {use: iter-retgen}, query: {use: new-names}}",
    "adaptive": "{trigger: {use: adaptive}}",
    "adaptive, new names": "{trigger: {use: adaptive}, query: {use: new-names}}",
    "always, by sentences": "{trigger: {use: always}}",
}
FEEDBACK = "once, with feedback"
BATCH = 64


class Remembering:
    """An embedder that embeds each text once."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.vectors: dict[tuple[str, str], Vectors] = {}

    @property
    def identity(self) -> EmbedderIdentity:
        return self.embedder.identity

    @property
    def tokenizer(self) -> Tokenizer:
        return self.embedder.tokenizer

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._all("query", texts, self.embedder.embed_queries)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._all("document", texts, self.embedder.embed_documents)

    def close(self) -> None:
        """Kept for the next case."""

    def _all(self, kind: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if (kind, text) not in self.vectors]
        if new:
            self.vectors |= {(kind, text): vector for text, vector in zip(new, embed(new), strict=True)}
        return np.stack([self.vectors[kind, text] for text in texts]) if texts else embed(texts)


@dataclass(frozen=True)
class Question:
    text: str
    documents: frozenset[str]


@dataclass(frozen=True)
class Result:
    """Shares of 1, and milliseconds of CPU a question."""

    all: float
    docs: float
    first: float
    asked: float
    chunks: float
    ms: float


def questions_of(folder: Path, limit: int | None) -> list[Question]:
    documents: defaultdict[str, set[str]] = defaultdict(set)
    with (folder / "qrels.tsv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            documents[row["query-id"]].add(row["corpus-id"])
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    return [Question(row["text"], frozenset(documents[row["_id"]])) for row in rows if row["_id"] in documents][:limit]


def pipeline(
    shipped: str,
    data: Path,
    index: Path,
    *,
    keep: int,
    dynamic: str,
    add: int,
    feedback: bool = False,
    embedder: Embedder | None = None,
) -> Pipeline:
    overrides = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(data / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
        f"ask.compress={{use: none, keep: {keep}}}",
        f"ask.dynamic={dynamic}",
    ]
    if dynamic != "null":
        overrides.append(f"ask.dynamic.add={add}")
    if feedback:
        overrides.append("ask.retrieve=[{use: rm3, k: 50}]")
    made = Pipeline.from_yaml(shipped, overrides=overrides, environ={}, components=Components(embedder=embedder))
    if not made.index.exists():
        made.ingest()
    return made


def measured(pipe: Pipeline, questions: Sequence[Question], *, room: int) -> Result:
    first: list[frozenset[str]] = []
    last: list[frozenset[str]] = []
    again = chunks = 0
    pipe.warm_up()
    started = time.process_time()
    for batch in batches(questions):
        seen: defaultdict[int, list[Compressed]] = defaultdict(list)
        for event in pipe.stream([question.text for question in batch]):
            if isinstance(event, Compressed):
                seen[event.at].append(event)
        for at in range(len(batch)):
            rounds = [event.evidence[:room] for event in seen[at]]
            found = [frozenset(part.span.document_id for part in evidence) for evidence in rounds]
            first.append(found[0])
            last.append(found[-1])
            again += len(found) > 1
            chunks += len(rounds[-1])
    seconds = time.process_time() - started
    return Result(
        all=share(question.documents <= found for question, found in zip(questions, last, strict=True)),
        docs=sum(len(question.documents & found) for question, found in zip(questions, last, strict=True))
        / sum(len(question.documents) for question in questions),
        first=share(question.documents <= found for question, found in zip(questions, first, strict=True)),
        asked=again / len(questions),
        chunks=chunks / len(questions),
        ms=1000 * seconds / len(questions),
    )


def batches(questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
    for at in range(0, len(questions), BATCH):
        yield questions[at : at + BATCH]


def share(held: Iterator[bool]) -> float:
    values = list(held)
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("indexes", type=Path)
    parser.add_argument("--pipeline", default="sparse", choices=("sparse", "hybrid"))
    parser.add_argument("--sets", default="hotpotqa,2wikimultihopqa")
    parser.add_argument("--cases", default=None, help="names, separated by semicolons; all if left out")
    parser.add_argument("--evidence", type=int, default=8)
    parser.add_argument("--add", type=int, default=3)
    parser.add_argument("--questions", type=int, default=None)
    parser.add_argument("--timed", action="store_true")
    arguments = parser.parse_args()
    room, add = arguments.evidence, arguments.add
    chosen = arguments.cases.split(";") if arguments.cases else [*CASES]
    gains: defaultdict[str, list[float]] = defaultdict(list)
    for name in arguments.sets.split(","):
        data, index = arguments.data / name, arguments.indexes / name
        questions = questions_of(data, arguments.questions)
        multi = share(by_rules(question.text)[0] == "multi" for question in questions)
        print(f"{name}: {len(questions)} questions, {100 * multi:.0f} % of several hops by the rules of `adaptive`")
        once = {"once": ("null", room)} | ({FEEDBACK: ("null", room)} if arguments.pipeline == "sparse" else {})
        cases = {**once, **{case: (CASES[case], room - add) for case in chosen}}
        shared = None if arguments.timed else Remembering(PipelineSpec().ingest.embed.build())
        for case, (dynamic, keep) in cases.items():
            with pipeline(
                arguments.pipeline,
                data,
                index,
                keep=keep,
                dynamic=dynamic,
                add=add,
                feedback=case == FEEDBACK,
                embedder=shared,
            ) as pipe:
                result = measured(pipe, questions, room=room)
            if case == "once":
                before = result.all
            else:
                gains[case].append(result.all - before)
            print(
                f"{name:16} {case:28} all {result.all:.3f}  docs {result.docs:.3f}  first {result.first:.3f}  "
                f"asked {result.asked:.2f}  chunks {result.chunks:.1f}"
                + (f"  {result.ms:6.1f} ms" if arguments.timed else ""),
                flush=True,
            )
    print(
        f"more questions with all documents among {room} chunks than by one retrieval, smallest gain of the sets: "
        + ", ".join(f"{case} {min(values):+.3f}" for case, values in gains.items())
    )


if __name__ == "__main__":
    main()
