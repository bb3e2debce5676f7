"""Three chunkers by three ways for metadata to take part in the vectors: the matrix of arXiv 2512.05411.

    python benchmarks/metadata.py DATA_DIR [--sets chunking-eval,cranfield] [--json results.jsonl]
    python benchmarks/metadata.py DATA_DIR --set 'llm={use: openai, base_url: ..., model: ...}' --enrich metadata

Chunkers: fixed, recursive, semantic, 200 tokens each. Conditions: content alone, TF-IDF-weighted (70 % text), prefix.
Metadata is that of `--enrich`: by rules unless a language model is given. Retrieval is dense alone, as in the paper;
`--hybrid` uses the default pipeline's. Figures: Hit Rate@10, nDCG@10, MRR@10, and metadata consistency@10, the share of
the first ten chunks whose `content_type` is that of the best right chunk (of all chunks with gold text the one with the
most of it). Sets with gold spans in their questions' metadata are scored by chunks, others by documents, each at its
best chunk's rank. Of a set the first `--documents` are taken, of each the first `--characters`, and of the questions
whose answers these hold a fixed random choice of `--limit` (0: all, each). One line a cell; the last line of a set
names its best condition for each chunker.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rag import Pipeline
from rag.evaluate.metadata import best_chunk, chunk_grades, metadata_consistency
from rag.evaluate.metrics import hit_rate, ndcg, reciprocal_rank
from rag.types import Chunk, Span

K = 10
SEED = 20_240_607
DEPTH = 100  # chunks looked at to find ten documents
FIELD = "content_type"
CHUNKERS = {name: f"{{use: {name}, tokens: 200}}" for name in ("fixed", "recursive", "semantic")}
CONDITIONS = ("content", "prefix", "tfidf-weighted")
DENSE = [f"ask.retrieve=[{{use: dense, k: {DEPTH}}}]", f"ask.fuse={{use: single, keep: {DEPTH}}}"]


@dataclass(frozen=True)
class Judged:
    """A question, its gold spans where they are known, and its relevant documents with their grades."""

    text: str
    spans: tuple[Span, ...]
    grades: Mapping[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default="chunking-eval,cranfield")
    parser.add_argument("--chunkers", default=",".join(CHUNKERS))
    parser.add_argument("--enrich", default="metadata-rules")
    parser.add_argument("--documents", type=int, default=400, help="of a set, from its start; 0: all")
    parser.add_argument("--characters", type=int, default=50_000, help="of each document, from its start; 0: all")
    parser.add_argument("--limit", type=int, default=300, help="questions of a set; 0: all")
    parser.add_argument("--hybrid", action="store_true", help="retrieve as the default pipeline does")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="more options, as for `rag`")
    parser.add_argument("--index", type=Path, help="a folder that keeps the indexes, so that another run embeds less")
    parser.add_argument("--json", type=Path, help="append one JSON line a cell")
    arguments = parser.parse_args()
    for name in arguments.sets.split(","):
        with tempfile.TemporaryDirectory() as temporary:
            index = Path(temporary) / "index" if arguments.index is None else arguments.index / name
            corpus = Path(temporary) / "corpus.jsonl"
            lengths = shorten(arguments.data / name / "corpus.jsonl", corpus, arguments)
            queries = load(arguments.data / name, lengths, limit=arguments.limit)
            if not queries:
                parser.error(f"{name}: no question is about these {len(lengths)} documents, or they are cut too short")
            print(f"{name}: {len(lengths)} documents, {len(queries)} questions", flush=True)
            best = []
            for chunker in arguments.chunkers.split(","):
                cells = matrix_row(name, corpus, queries, chunker, index, arguments)
                winner = max(cells, key=lambda condition: cells[condition]["nDCG@10"])
                best.append(f"{chunker}: {winner} {cells[winner]['nDCG@10']:.4f}")
        print(f"{name}: best nDCG@10 for {', '.join(best)}", flush=True)


def shorten(corpus: Path, to: Path, arguments: argparse.Namespace) -> dict[str, int]:
    """Write the part of a corpus that is used; gives the length of each document in it."""
    rows = [json.loads(line) for line in corpus.open(encoding="utf-8")][: arguments.documents or None]
    rows = [{**row, "text": row["text"][: arguments.characters or None]} for row in rows]
    to.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {row["_id"]: len(row["text"]) for row in rows}


def matrix_row(
    name: str, corpus: Path, queries: Sequence[Judged], chunker: str, index: Path, arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """The figures of each condition for one chunker; all use one index folder, so that nothing is embedded twice."""
    cells: dict[str, dict[str, float]] = {}
    for condition in CONDITIONS:
        overrides = [
            f"ingest.load=[{{use: rows, path: {json.dumps(str(corpus))}}}]",
            f"ingest.index.path={json.dumps(str(index))}",
            f"ingest.chunk={CHUNKERS[chunker]}",
            f"ingest.enrich=[{{use: {arguments.enrich}}}]",
            f"ingest.represent.by={condition}",
            *([] if arguments.hybrid else DENSE),
            *arguments.overrides,
        ]
        with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
            pipeline.ingest()
            if condition == "tfidf-weighted":
                pipeline.ingest(force=True)  # every chunk weighed by the metadata of all
            cells[condition] = measure(pipeline, queries, corpus)
        figures = "".join(f"  {name} {round(value, 4):g}" for name, value in cells[condition].items())
        print(f"{name:<20}  {chunker:<10} {condition:<15}{figures}", flush=True)
        if arguments.json:
            line = {"set": name, "chunker": chunker, "condition": condition, **cells[condition]}
            with arguments.json.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
    return cells


def measure(pipeline: Pipeline, queries: Sequence[Judged], corpus: Path) -> dict[str, float]:
    """The means over the questions whose answer is in the index."""
    reader = pipeline.index.reader()
    chunks = {summary.id: reader.chunks_of(summary.id) for summary in reader.documents()}
    kinds = {chunk.id: chunk.meta.get(FIELD) for several in chunks.values() for chunk in several}
    starts = text_starts(pipeline, corpus) if any(query.spans for query in queries) else {}
    scored: list[tuple[list[str], Mapping[str, int], float | None]] = []
    for query in queries:
        graded = right_chunks(query, chunks, starts)
        best = best_chunk(graded)
        if best is None:
            continue
        found = [hit.chunk for hit in pipeline.search(query.text).ranking]
        consistency = metadata_consistency([kinds[chunk.id] for chunk in found], kinds[best], k=K)
        if query.spans:
            scored.append(([chunk.id for chunk in found], dict.fromkeys(graded, 1), consistency))
        else:
            scored.append((list(dict.fromkeys(chunk.document_id for chunk in found)), query.grades, consistency))
    return {
        f"HitRate@{K}": fmean(hit_rate(ranking, grades, k=K) for ranking, grades, _ in scored),
        f"nDCG@{K}": fmean(ndcg(ranking, grades, k=K) for ranking, grades, _ in scored),
        f"MRR@{K}": fmean(reciprocal_rank(ranking, grades, k=K) for ranking, grades, _ in scored),
        f"consistency@{K}": fmean(consistency for *_, consistency in scored if consistency is not None),
        "chunks": len(kinds),
        "questions": len(scored),
    }


def right_chunks(query: Judged, chunks: Mapping[str, Sequence[Chunk]], starts: Mapping[str, int]) -> dict[str, int]:
    """The chunks with gold text: that of the question's spans, or all of the documents with the highest grade."""
    if query.spans:
        gold = [
            Span(span.document_id, span.start + starts[span.document_id], span.end + starts[span.document_id])
            for span in query.spans
        ]
    else:
        top = max(query.grades.values())
        gold = [
            Span(document, several[0].span.start, several[-1].span.end)
            for document, grade in query.grades.items()
            if grade == top and (several := chunks.get(document))
        ]
    return chunk_grades([chunk for span in gold for chunk in chunks.get(span.document_id, ())], gold)


def text_starts(pipeline: Pipeline, corpus: Path) -> dict[str, int]:
    """Where the corpus's text begins in each document: spans count from there, documents begin with their title."""
    reader = pipeline.index.reader()
    starts = {}
    for line in corpus.open(encoding="utf-8"):
        row = json.loads(line)
        text = row["text"].lstrip()
        starts[row["_id"]] = reader.document(row["_id"]).text.index(text[:200]) - (len(row["text"]) - len(text))
    return starts


def load(folder: Path, lengths: Mapping[str, int], *, limit: int) -> list[Judged]:
    """The judged questions whose answers lie in the documents; a fixed random choice of them, if there are more."""
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, score = line.split("\t")
        if query != "query-id" and float(score) > 0 and document in lengths:
            qrels.setdefault(query, {})[document] = int(float(score))
    judged = []
    for line in (folder / "queries.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        gold = [Span(span["doc"], span["start"], span["end"]) for span in row.get("metadata", {}).get("gold_spans", ())]
        if row["_id"] in qrels and all(span.end <= lengths.get(span.document_id, 0) for span in gold):
            judged.append(Judged(row["text"], tuple(gold), qrels[row["_id"]]))
    return random.Random(SEED).sample(judged, limit) if 0 < limit < len(judged) else judged


if __name__ == "__main__":
    main()
