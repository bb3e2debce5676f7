"""The n-gram index and the triggers on it: build rate, latency, memory; retrieval rates, doubts about made statements.

    python benchmarks/ngrams.py [--corpus CORPUS.jsonl ...] [--tokens 1000000,10000000,100000000] [--folder DIR]
    python benchmarks/ngrams.py --set DATA_DIR ... [--tokens ""]

Without `--set`: the index at several sizes. `made` is text of words drawn from a Zipf law (500,000 words, exponent
1.07), so hardly a passage is repeated; `repeated` is real text (`--corpus`, BEIR layout, may be given several times)
again and again up to the size, which is the worst case for sorting: every passage stands there many times. Documents of
1,000 words and of the corpus. Building is from texts in memory to synced files, in CPU seconds of a process that uses
one core; latencies are of 1,000 phrases of 1 to 5 words taken from the text and 200 that do not occur. Memory is the
peak of the process, the texts in memory left out.

With `--set` (folders with corpus.jsonl and queries.jsonl): which share of the questions QuCo-RAG's first stage
retrieves for, by threshold; the time that takes; and how many statements its second stage doubts, of those that rules
find in the corpus itself and of the same with a tail from another document of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from rag.index.counts import CorpusCounts
from rag.index.counts_local import LocalCounts
from rag.index.directory import IndexDirectory
from rag.index.ngrams.files import Corpus, keep
from rag.index.ngrams.index import NgramIndex
from rag.index.specs import IndexSpec, NgramsSpec
from rag.text.entities import named
from rag.text.sentences import sentences
from rag.text.triples import Triple, triples
from rag.text.words import words
from rag.trigger.quco_scores import flagged, rarity
from rag.trigger.quco_threshold import Quantile
from rag.types import Document

WORDS = 500_000
DOCUMENT = 1000  # words
SEED = 7
PHRASES, ABSENT, PAIRS = 1000, 200, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, action="append", default=[])
    parser.add_argument("--tokens", default="1000000,10000000,100000000")
    parser.add_argument("--folder", type=Path, help="where the files are made; default: a temporary folder")
    parser.add_argument("--set", type=Path, action="append", default=[], dest="sets")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for size in map(int, filter(None, arguments.tokens.split(","))):
            for kind in ["made", *(["repeated"] if arguments.corpus else [])]:
                # A process of its own, so that the peak of its memory is the case's.
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    case = pool.submit(measure, kind, size, arguments.corpus, Path(folder) / f"{kind}-{size}")
                    rows.append(case.result())
                print(json.dumps(rows[-1]), flush=True)
        for path in arguments.sets:
            for row in trigger(path, Path(folder) / path.name):
                print(json.dumps(row), flush=True)
    if rows:
        slowest, worst = min(row["tokens_per_second"] for row in rows), max(row["count_p50_ms"] for row in rows)
        print(f"slowest build {slowest:,} tokens/s, worst median count {worst} ms, of {len(rows)} cases")


# ---- the index


def measure(kind: str, size: int, corpora: Sequence[Path], folder: Path) -> dict[str, float]:
    """One size of one kind of text."""
    source = made(size) if kind == "made" else repeated(size, corpora)
    texts = list(source)
    held = peak_mb()
    corpus = Corpus(
        folder, "benchmark", np.arange(1, len(texts) + 1), lambda some: ((at, texts[at - 1]) for at in some), True
    )
    started, wall = time.process_time(), time.perf_counter()
    index = NgramIndex(keep(corpus), lowercase=True, most=500_000)
    seconds, elapsed = time.process_time() - started, time.perf_counter() - wall
    built = peak_mb()
    phrases = [*taken(texts, PHRASES), *(f"zqx{at} nowhere" for at in range(ABSENT))]
    started = time.perf_counter()
    index = NgramIndex(keep(corpus), lowercase=True, most=500_000)
    opened = time.perf_counter() - started
    random.Random(SEED).shuffle(phrases)
    counted = timed(index.count, phrases)
    pairs = [(phrases[at], phrases[-at - 1]) for at in range(PAIRS)]
    together = timed(lambda pair: index.cooccur(*pair, window=1000), pairs)
    return {
        "case": kind,
        "tokens": index.size,
        "documents": len(texts),
        "segments": len(index.segments),
        "tokens_per_second": round(index.size / seconds),
        "build_cpu_s": round(seconds, 1),
        "build_s": round(elapsed, 1),
        "build_peak_mb": round(built - held),
        "disk_mb": round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6),
        "open_s": round(opened, 2),
        "count_p50_ms": at_quantile(counted, 0.5),
        "count_p95_ms": at_quantile(counted, 0.95),
        "pair_p50_ms": at_quantile(together, 0.5),
        "pair_p95_ms": at_quantile(together, 0.95),
    }


def made(size: int) -> Iterator[str]:
    """Documents of words whose frequencies fall as their rank to the power of -1.07."""
    draw = np.random.default_rng(SEED)
    weights = np.cumsum(np.arange(1, WORDS + 1) ** -1.07)
    vocabulary = np.array([f"w{rank:x}" for rank in range(WORDS)], object)
    for start in range(0, size, DOCUMENT):
        ranks = np.searchsorted(weights, draw.random(min(DOCUMENT, size - start)) * weights[-1])
        yield " ".join(vocabulary[ranks])


def repeated(size: int, corpora: Sequence[Path]) -> Iterator[str]:
    """The documents of real corpora, from the beginning again after the last; copies share their memory."""
    texts = [text for path in corpora for _, text in read(path)]
    lengths = [len(words(text)) for text in texts]
    done = 0
    while done < size:
        for text, length in zip(texts, lengths, strict=True):
            if done >= size:
                return
            done += length
            yield text


def taken(texts: Sequence[str], count: int) -> list[str]:
    """Phrases of 1 to 5 words that occur."""
    draw = random.Random(SEED)
    found: list[str] = []
    while len(found) < count:
        held = draw.choice(texts).split()
        length = len(found) % 5 + 1
        if len(held) >= length:
            start = draw.randrange(len(held) - length + 1)
            phrase = " ".join(held[start : start + length])
            if words(phrase):
                found.append(phrase)
    return found


def timed(ask: Callable[[Any], object], asked: Sequence[object]) -> list[float]:
    milliseconds = []
    for one in asked:
        started = time.perf_counter()
        ask(one)
        milliseconds.append((time.perf_counter() - started) * 1000)
    return milliseconds


def at_quantile(values: Sequence[float], share: float) -> float:
    return round(float(np.quantile(values, share)), 3)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read(path: Path) -> Iterator[tuple[str, str]]:
    """(id, title and text) of a corpus in BEIR layout."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            text = f"{row.get('title') or ''}\n{row.get('text') or ''}".strip()
            if text:
                yield str(row["_id"]), text


# ---- the triggers


def trigger(data: Path, folder: Path) -> Iterator[dict[str, object]]:
    """QuCo-RAG's two stages on one set, counting in its own documents."""
    index = IndexDirectory(IndexSpec(path=str(folder), dense=None, sparse=None, ngrams=NgramsSpec()))
    texts = dict(read(data / "corpus.jsonl"))
    with index.writer(None) as writer:
        for id_, text in texts.items():
            writer.add(Document(id=id_, text=text), [], None, stamp="", fingerprint="")
        writer.commit()
        writer.compact()
    counts = LocalCounts(index)
    questions = [json.loads(line)["text"] for line in (data / "queries.jsonl").open(encoding="utf-8")]
    yield from before(data.name, questions, counts, index)
    yield while_writing(data.name, list(texts.values()), counts)


def before(
    name: str, questions: Sequence[str], counts: CorpusCounts, index: IndexDirectory
) -> Iterator[dict[str, object]]:
    started = time.perf_counter()
    entities = [named(question) for question in questions]
    found = time.perf_counter() - started
    counts.count("the")  # opens the files
    started = time.perf_counter()
    counted: list[list[int | None]] = [[counts.count(entity).value for entity in each] for each in entities]
    milliseconds = (time.perf_counter() - started) * 1000
    flat = [value for each in counted for value in each if value is not None]
    yield {
        "set": name,
        "stage": 1,
        "questions": len(questions),
        "naming_nothing": sum(not each for each in entities),
        "entities_a_question": round(len(flat) / len(questions), 2),
        "entities_never_occurring": round(sum(value == 0 for value in flat) / len(flat), 3),
        "median_count": float(np.median(flat)),
        "extract_ms": round(1000 * found / len(questions), 3),
        "counts_ms_a_question": round(milliseconds / len(questions), 3),
    }
    for label, tau in thresholds(counts, index):
        rates = {
            kind: round(sum(rarity(each, tau=tau, aggregate=kind).rare for each in counted) / len(counted), 3)
            for kind in ("mean", "min")
        }
        yield {"set": name, "stage": 1, "threshold": label, "tau": tau, "retrieves": rates}


def thresholds(counts: CorpusCounts, index: IndexDirectory) -> Iterator[tuple[str, float]]:
    for share in (0.0, 0.2, 0.5, 0.8):
        yield f"quantile {share}", Quantile(share, counts, index).value()
    for tau in (1, 2, 5, 10, 100, 1000):
        yield "absolute", float(tau)


def while_writing(name: str, texts: Sequence[str], counts: CorpusCounts) -> dict[str, object]:
    draw = random.Random(SEED)
    true: list[Triple] = []
    for text in draw.sample(texts, min(1000, len(texts))):
        for start, end in sentences(text)[:3]:
            true += [triple for triple in triples(text[start:end]) if triple.tail is not None][:1]
    tails = [triple.tail for triple in true]
    draw.shuffle(tails)
    false = [Triple(one.head, one.relation, tail) for one, tail in zip(true, tails, strict=True) if tail != one.tail]
    started = time.perf_counter()
    doubted = [len(flagged(some, counts)) for some in (true, false)]
    milliseconds = (time.perf_counter() - started) * 1000
    return {
        "set": name,
        "stage": 2,
        "statements": len(true),
        "of_the_corpus_doubted": round(doubted[0] / len(true), 3),
        "with_another_tail_doubted": round(doubted[1] / len(false), 3),
        "ms_a_statement": round(milliseconds / (len(true) + len(false)), 3),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
