"""Compares the sparse index with tantivy, SQLite FTS5 and bm25s: ranking quality and speed, in one run.

    python benchmarks/sparse_engines.py DATA [--sets cranfield,cmrc2018] [--chunks 10000,100000] [--json FILE]

DATA holds evaluation sets as folders of ``corpus.jsonl``, ``queries.jsonl`` and ``qrels.tsv``. Engines marked
``+terms`` get the terms of our analyzer instead of their own, which tells the engine from the analysis. Each gives the
ids of its 100 best; queries are interleaved between engines, so that a busy machine slows all of them alike. Needs
tantivy and bm25s.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Protocol

import bm25s
import numpy as np
import tantivy

from rag.index.directory import IndexDirectory
from rag.index.specs import Bm25Spec, IndexSpec
from rag.text.analyze import Analyzer
from rag.types import Chunk, Document, Span

K = 100
COMMIT = 4096
TIMED_QUERIES = 200


class Engine(Protocol):
    name: str

    def index(self, texts: Sequence[str], folder: Path) -> None: ...

    def search(self, query: str) -> list[int]:
        """Positions of the best texts."""
        ...


class Ours:
    name = "ragloom"

    def index(self, texts: Sequence[str], folder: Path) -> None:
        spec = IndexSpec(path=str(folder), dense=None)
        with IndexDirectory(spec).writer(None) as writer:
            for at, text in enumerate(texts):
                name = f"{at:07d}"
                chunks = [Chunk(span=Span(name, 0, len(text)), text=text)] if text else []
                writer.add(Document(id=name, text=text), chunks, None, stamp="", fingerprint="")
                if at % COMMIT == COMMIT - 1:
                    writer.commit()
            writer.commit()
            writer.compact()
        self.reader = IndexDirectory(spec).reader()
        self.positions = [at for at, text in enumerate(texts) if text]

    def search(self, query: str) -> list[int]:
        assert self.reader.sparse is not None
        return [self.positions[row] for row in self.reader.sparse.search([query], k=K, allowed=None)[0].rows]


class Tantivy:
    """With its own English stemmer, or over our terms; k1 1.2 and b 0.75 are fixed."""

    def __init__(self, analyzer: Analyzer | None) -> None:
        self.analyzer = analyzer
        self.name = "tantivy+terms" if analyzer else "tantivy"

    def index(self, texts: Sequence[str], folder: Path) -> None:
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("text", tokenizer_name="whitespace" if self.analyzer else "en_stem")
        schema.add_integer_field("at", stored=True, fast=True)
        self.schema = schema.build()
        self.engine = tantivy.Index(self.schema, path=str(folder))
        writer = self.engine.writer(heap_size=100_000_000, num_threads=1)
        for at, text in enumerate(texts):
            content = " ".join(self.analyzer.terms(text)) if self.analyzer else text
            writer.add_document(tantivy.Document(text=content, at=at))
            if at % COMMIT == COMMIT - 1:
                writer.commit()
        writer.commit()
        writer.wait_merging_threads()
        self.engine.reload()
        self.searcher = self.engine.searcher()

    def search(self, query: str) -> list[int]:
        if self.analyzer:
            terms = [tantivy.Query.term_query(self.schema, "text", term) for term in self.analyzer.terms(query)]
            parsed = tantivy.Query.boolean_query([(tantivy.Occur.Should, term) for term in terms])
        else:
            parsed, _ = self.engine.parse_query_lenient(" ".join(_words(query)), ["text"])
        found = self.searcher.search(parsed, K).hits
        return [self.searcher.doc(address)["at"][0] for _, address in found]


class Fts5:
    """SQLite's own full-text index, ``porter unicode61``; k1 1.2 and b 0.75 are fixed."""

    name = "fts5"

    def index(self, texts: Sequence[str], folder: Path) -> None:
        folder.mkdir(parents=True)
        self.connection = sqlite3.connect(folder / "fts.sqlite", isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("CREATE VIRTUAL TABLE texts USING fts5(text, tokenize = 'porter unicode61')")
        for start in range(0, len(texts), COMMIT):
            self.connection.execute("BEGIN")
            rows = enumerate(texts[start : start + COMMIT], start)
            self.connection.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", rows)
            self.connection.execute("COMMIT")
        self.connection.execute("INSERT INTO texts (texts) VALUES ('optimize')")

    def search(self, query: str) -> list[int]:
        clauses = " OR ".join(f'"{word}"' for word in _words(query))
        if not clauses:
            return []
        statement = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY bm25(texts) LIMIT ?"
        return [row for (row,) in self.connection.execute(statement, (clauses, K))]


class Bm25s:
    """Our formula over our terms, scores computed when indexing; cannot be added to."""

    name = "bm25s+terms"

    def __init__(self, analyzer: Analyzer) -> None:
        self.analyzer = analyzer

    def index(self, texts: Sequence[str], folder: Path) -> None:
        spec = Bm25Spec()
        self.engine = bm25s.BM25(method="lucene", k1=spec.k1, b=spec.b)
        self.engine.index([self.analyzer.terms(text) for text in texts], show_progress=False)
        self.k = min(K, len(texts))
        self.known = set(self.engine.vocab_dict)

    def search(self, query: str) -> list[int]:
        terms = [term for term in self.analyzer.terms(query) if term in self.known]
        if not terms:
            return []
        rows, scores = self.engine.retrieve([terms], k=self.k, show_progress=False, leave_progress=False)
        return [int(row) for row, score in zip(rows[0], scores[0], strict=True) if score > 0]


def _words(query: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in query).split()


def engines() -> list[Engine]:
    return [Ours(), Tantivy(None), Tantivy(Analyzer()), Fts5(), Bm25s(Analyzer())]


class EvaluationSet:
    """Documents as title, line break, text; judged queries only."""

    def __init__(self, folder: Path) -> None:
        documents = [json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8")]
        self.ids = [document["_id"] for document in documents]
        self.texts = [f"{document.get('title') or ''}\n{document['text']}" for document in documents]
        self.relevant: dict[str, dict[str, int]] = {}
        for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
            query, document, score = line.split("\t")
            if int(score) > 0:
                self.relevant.setdefault(query, {})[document] = int(score)
        queries = map(json.loads, (folder / "queries.jsonl").open(encoding="utf-8"))
        self.queries = {query["_id"]: query["text"] for query in queries if query["_id"] in self.relevant}

    def measure(self, engine: Engine) -> tuple[float, float]:
        """Mean nDCG@10 and recall@100."""
        gains, recalls = [], []
        for query, text in self.queries.items():
            relevant = self.relevant[query]
            ranked = [self.ids[at] for at in engine.search(text)]
            dcg = sum(relevant.get(id_, 0) / math.log2(rank + 1) for rank, id_ in enumerate(ranked[:10], 1))
            ideal = sorted(relevant.values(), reverse=True)[:10]
            gains.append(dcg / sum(score / math.log2(rank + 1) for rank, score in enumerate(ideal, 1)))
            recalls.append(len(relevant.keys() & set(ranked)) / len(relevant))
        return float(np.mean(gains)), float(np.mean(recalls))


def quality(sets: Sequence[Path]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    print(f"{'nDCG@10 / R@100':22s}", *(f"{engine.name:>16s}" for engine in engines()))
    for folder in sets:
        data, row = EvaluationSet(folder), dict[str, object](set=folder.name)
        for engine in engines():
            with tempfile.TemporaryDirectory() as temporary:
                engine.index(data.texts, Path(_made(temporary, engine)))
                row[engine.name] = data.measure(engine)
        rows.append(row)
        print(f"{folder.name:22s}", *(f"  {row[e.name][0]:.4f} / {row[e.name][1]:.3f}" for e in engines()), flush=True)  # type: ignore[index]
    return rows


def _made(temporary: str, engine: Engine) -> str:
    folder = Path(temporary) / engine.name
    if isinstance(engine, Tantivy):
        folder.mkdir()
    return str(folder)


def replicated(texts: Sequence[str], count: int) -> list[str]:
    """`count` texts of about 120 words: stretches of the given ones, with 5 % of words drawn from all of them."""
    rng = random.Random(0)
    words = [text.split() for text in texts if len(text) > 200]
    every = [word for some in words for word in some]
    made = []
    for at in range(count):
        some = words[at % len(words)]
        start = rng.randrange(max(1, len(some) - 120))
        piece = some[start : start + 120]
        made.append(" ".join(rng.choice(every) if rng.random() < 0.05 else word for word in piece))
    return made


def speed(sets: Sequence[Path], counts: Sequence[int]) -> list[dict[str, object]]:
    datas = [EvaluationSet(folder) for folder in sets]
    source = [text for data in datas for text in data.texts]
    queries = [query for data in datas for query in data.queries.values()]
    random.Random(1).shuffle(queries)
    rows: list[dict[str, object]] = []
    for count in counts:
        texts, compared, seconds = replicated(source, count), engines(), dict[str, list[float]]()
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        temporary = Path(tempfile.mkdtemp())
        indexing = {}
        for engine in compared:
            folder = Path(_made(str(temporary), engine))
            started = perf_counter()
            engine.index(texts, folder)
            indexing[engine.name] = perf_counter() - started
        for query in queries[:TIMED_QUERIES]:
            for engine in compared:
                started = perf_counter()
                engine.search(query)
                seconds.setdefault(engine.name, []).append(perf_counter() - started)
        print(f"\n{count} chunks, {megabytes:.1f} MB, {TIMED_QUERIES} queries, each once")
        for engine in compared:
            p50, p95 = (float(np.percentile(seconds[engine.name], q)) * 1e3 for q in (50, 95))
            ours = float(np.percentile(seconds["ragloom"], 50)) * 1e3
            rows.append(
                {
                    "chunks": count,
                    "engine": engine.name,
                    "index_seconds": round(indexing[engine.name], 2),
                    "index_mb_per_second": round(megabytes / indexing[engine.name], 2),
                    "p50_ms": round(p50, 3),
                    "p95_ms": round(p95, 3),
                    "p50_ratio_to_ragloom": round(p50 / ours, 2),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
        shutil.rmtree(temporary)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", help="folders of DATA, by comma; all that hold a corpus when absent")
    parser.add_argument("--chunks", default="10000,100000", help="sizes for the timing, by comma; empty: none")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    options = parser.parse_args()
    if options.sets:
        sets = [options.data / name for name in options.sets.split(",")]
    else:
        sets = sorted(folder.parent for folder in options.data.glob("*/corpus.jsonl"))
    about = {
        "bench": "sparse_engines",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "sqlite": sqlite3.sqlite_version,
        "tantivy": tantivy.__version__,
        "bm25s": bm25s.__version__,
    }
    print(json.dumps(about))
    figures = {
        **about,
        "quality": quality(sets),
        "speed": speed(sets, [int(count) for count in options.chunks.split(",") if count]),
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
