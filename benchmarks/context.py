"""What notes by rules before the chunks are worth in the default pipeline: in both indexes, in one, and in parts.

    python benchmarks/context.py DATA_DIR INDEX_DIR [--sets hotpotqa,cranfield] [--words-only] [--work DIR]

INDEX_DIR holds one index a set, as the pipeline `hybrid` makes it. A set's index is copied and brought up to date
(`plain`). Another is ingested with `contextual-rules` after the default enrichers (`both`), and `vectors` is made of
the words of the first and the vectors of the second. `words` has the notes in the sparse index alone; `title` and
`opening` have a part of them there: title and headings; the document's first sentence, before chunks that do not hold
it. With `--words-only` nothing is embedded: `both` and `vectors` are left out. `--work` keeps all indexes.

Before a set's figures stands how many chunks get a note, and how much longer that makes what is embedded. Then a line
a system, as shipped or BM25 alone over the same chunks: nDCG@10, the difference to the same without notes with its 95 %
interval (bootstrap) and p (sign flips, not adjusted), questions won and lost. The last lines are means over the sets,
with intervals that resample the questions of each set.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rag import Components, Pipeline
from rag.embed.base import Embedder, Vectors
from rag.enrich.contextual import RuleContext
from rag.evaluate import Dataset, evaluate, load_dataset
from rag.evaluate.statistics import bootstrap, sign_flip
from rag.types import Chunk, Document, Layout

SETS = "hotpotqa,2wikimultihopqa,multihoprag-pooled,cranfield,cacm,lisa,time,squad2,xquad-en,pubmedqa"
METRIC = "nDCG@10"
RESAMPLES = 10_000
NOTES = "ingest.enrich=[{use: headings}, {use: contextual-rules}]"
BM25 = ("ask.retrieve=[{use: sparse, k: 50}]", "ask.fuse={use: single, keep: 20}")
SYSTEMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "hybrid": ("plain", ()),
    "both": ("both", ()),
    "words": ("words", ()),
    "vectors": ("vectors", ()),
    "title in words": ("title", ()),
    "opening in words": ("opening", ()),
    "BM25": ("plain", BM25),
    "BM25 words": ("words", BM25),
    "BM25 title": ("title", BM25),
    "BM25 opening": ("opening", BM25),
}
"""The index of each system, and what else differs from `hybrid`."""
BASELINES = ("hybrid", "BM25")
Chunks = Callable[[Document], Sequence[Chunk]]
Gains = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--limit", type=int, default=0, help="questions of a set, the first ones; 0: all")
    parser.add_argument("--words-only", action="store_true", help="embed nothing: no notes in the vectors")
    parser.add_argument("--work", type=Path, help="a folder that keeps the indexes")
    parser.add_argument("--json", type=Path, help="append one JSON line a set and system")
    arguments = parser.parse_args()
    gains: dict[str, list[Gains]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) if arguments.work is None else arguments.work
        for name in arguments.sets.split(","):
            dataset = load_dataset(arguments.data / name)
            dataset = replace(dataset, questions=dataset.questions[: arguments.limit or None])
            opened = indexes(arguments.data / name, arguments.index / name, work / name, words=arguments.words_only)
            for row, of_set in measure(dataset, opened):
                print(line(name, row), flush=True)
                gains.setdefault(str(row["system"]), []).append(of_set)
                if arguments.json:
                    with arguments.json.open("a", encoding="utf-8") as out:
                        out.write(json.dumps({"set": name, **row}) + "\n")
    for system, of_sets in gains.items():
        if system not in BASELINES:
            low, high = mean_interval(of_sets)
            mean = np.mean([of_set.mean() for of_set in of_sets])
            print(f"mean of {len(of_sets)}: {system:<20} {mean:+.4f}  {low:+.4f} .. {high:+.4f}")


def line(name: str, row: Mapping[str, float | str]) -> str:
    figures = f"{name:<20} {row['system']:<18} {METRIC} {row[METRIC]:.4f}"
    if row["system"] in BASELINES:
        return figures
    return (
        f"{figures}  {row['gain']:+.4f}  {row['low']:+.4f} .. {row['high']:+.4f}  p {row['p']:.4f}"
        f"  won {row['won']}, lost {row['lost']}"
    )


def indexes(data: Path, made: Path, work: Path, *, words: bool) -> dict[str, list[str]]:
    """The overrides that open each index; what is not in `work` is made.

    Args:
        words: leave out what has notes in its vectors.
    """
    load = f"ingest.load=[{{use: rows, path: {json.dumps(str(data / 'corpus.jsonl'))}}}]"

    def at(name: str) -> list[str]:
        return [load, f"ingest.index.path={json.dumps(str(work / name))}"]

    work.mkdir(parents=True, exist_ok=True)
    ingested = {"plain": []} if words else {"plain": [], "both": [NOTES]}
    for name, changes in ingested.items():
        if not (work / name).is_dir() and made.is_dir():
            shutil.copytree(made, work / name)
        with Pipeline.from_yaml("hybrid", overrides=[*at(name), *changes]) as pipeline:
            pipeline.ingest()
    with Pipeline.from_yaml("hybrid", overrides=at("plain")) as plain:
        chunks = chunks_of(plain)
        fill(at("words"), words=lambda document: RuleContext().noted(chunks(document), document), vectors=plain)
        fill(at("title"), words=lambda document: title_alone(chunks(document), document), vectors=plain)
        fill(at("opening"), words=lambda document: opening_alone(chunks(document), document), vectors=plain)
        with Pipeline.from_yaml("hybrid", overrides=at("words")) as noted:
            print(cost(data.name, plain, noted), flush=True)
        if not words:
            with Pipeline.from_yaml("hybrid", overrides=at("both")) as both:
                fill(at("vectors"), words=chunks, vectors=both)
    names = ("plain", "words", "title", "opening", *(() if words else ("both", "vectors")))
    return {name: at(name) for name in names}


def cost(name: str, plain: Pipeline, noted: Pipeline) -> str:
    """How much more an ingest with notes embeds: its time is nearly all that."""
    before, after = plain.index.reader(), noted.index.reader()
    texts = [
        (old.indexed_text, new.indexed_text)
        for summary in before.documents()
        for old, new in zip(before.chunks_of(summary.id), after.chunks_of(summary.id), strict=True)
    ]
    changed = sum(old != new for old, new in texts)
    count = plain.embedder.tokenizer.count
    longer = sum(count([new for _, new in texts])) / sum(count([old for old, _ in texts]))
    return f"{name}: notes before {changed} of {len(texts)} chunks, {longer:.3f} times the tokens to embed"


def chunks_of(pipeline: Pipeline) -> Chunks:
    reader = pipeline.index.reader()
    return lambda document: reader.chunks_of(document.id)


def title_alone(chunks: Sequence[Chunk], document: Document) -> Sequence[Chunk]:
    """The note by rules without the document's first sentence."""
    return RuleContext().noted(chunks, replace(document, text=""))


def opening_alone(chunks: Sequence[Chunk], document: Document) -> Sequence[Chunk]:
    """The note by rules without title and headings."""
    return RuleContext().noted(chunks, replace(document, meta={}, layout=Layout()))


def fill(overrides: Sequence[str], *, words: Chunks, vectors: Pipeline) -> None:
    """Make an index of the documents, with chunks as `words` gives them and the vectors of another index."""
    reader = vectors.index.reader()
    with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
        if pipeline.index.exists():
            return
        with pipeline.index.writer(pipeline.embedder.identity) as writer:
            for summary in reader.documents():
                document = reader.document(summary.id)
                of_document = reader.vectors(reader.rows_of(reader.chunks_of(summary.id)))
                writer.add(document, words(document), of_document, stamp="", fingerprint="")
            writer.commit()


def measure(dataset: Dataset, opened: Mapping[str, Sequence[str]]) -> list[tuple[dict[str, float | str], Gains]]:
    """For each system its row, and its difference to its baseline question by question."""
    with ExitStack() as stack:
        first = stack.enter_context(Pipeline.from_yaml("hybrid", overrides=opened["plain"]))
        embedder = Remembering(first.embedder)
        pipelines = {
            system: stack.enter_context(
                Pipeline.from_yaml(
                    "hybrid", overrides=[*opened[index], *changes], components=Components(embedder=embedder)
                )
            )
            for system, (index, changes) in SYSTEMS.items()
            if index in opened
        }
        report = evaluate(pipelines, dataset, metrics=[METRIC])
    values = {system.name: system.results[METRIC].values for system in report.systems}
    rows = []
    baseline = BASELINES[0]
    for system, scores in values.items():
        baseline = system if system in BASELINES else baseline
        judged = [key for key, score in scores.items() if score is not None]
        gains = np.array([(scores[key] or 0.0) - (values[baseline][key] or 0.0) for key in judged])
        gains[np.abs(gains) < 1e-12] = 0.0  # rounding
        low, high = bootstrap(gains.tolist(), seed=0)
        row: dict[str, float | str] = {
            "system": system,
            METRIC: round(float(np.mean([scores[key] or 0.0 for key in judged])), 4),
            "gain": round(float(gains.mean()), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "p": round(sign_flip(gains.tolist(), seed=0), 4),
            "won": int((gains > 0).sum()),
            "lost": int((gains < 0).sum()),
        }
        rows.append((row, gains))
    return rows


class Remembering:
    """An embedder that encodes a question once for all systems."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.identity = embedder.identity
        self.tokenizer = embedder.tokenizer
        self._known: dict[str, Vectors] = {}

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self.embedder.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if text not in self._known:
                self._known[text] = self.embedder.embed_queries([text])
        return np.concatenate([self._known[text] for text in texts])

    def close(self) -> None:
        self.embedder.close()


def mean_interval(of_sets: Sequence[Gains]) -> tuple[float, float]:
    """The 95 % interval of the mean over sets: questions are drawn anew within each."""
    random = np.random.default_rng(0)
    means = np.zeros(RESAMPLES)
    for gains in of_sets:
        drawn = random.integers(0, len(gains), (RESAMPLES, len(gains)), dtype=np.uint16)
        means += gains[drawn].mean(axis=1) / len(of_sets)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
