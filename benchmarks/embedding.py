"""The built-in encoder against torch: start, throughput, and what 8 bits cost.

    python benchmarks/embedding.py DATA_DIR [DATA_DIR ...] [--texts 400] [--rounds 3] [--threads 2]

Each DATA_DIR is in the BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv). Throughput is measured on chunks of the
first one's documents, in rounds that take turns, so that a slow moment of the machine hits all. nDCG@10 is of exact
search over all chunks, a document scored by its best. Prints one JSON line a measurement; numbers are medians. Needs
the extra `hf` for the comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from math import log2
from pathlib import Path

import numpy as np

from rag.chunk.recursive import RecursiveChunker
from rag.embed.base import Vectors
from rag.embed.onnx import OnnxEmbedder
from rag.types import Document

QUESTION = "Which river flows through the city where the treaty was signed?"
OURS = f"from rag.embed.onnx import OnnxEmbedder; OnnxEmbedder(precision=%r).embed_queries([{QUESTION!r}])"
TORCH = (
    "import sys; from sentence_transformers import SentenceTransformer;"
    f"SentenceTransformer(sys.argv[1], device='cpu').encode([{QUESTION!r}])"
)
Encode = Callable[[Sequence[str]], Vectors]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    packages = {name: version(name) for name in ("onnxruntime", "torch", "sentence-transformers")}
    show(bench="machine", cpu=f"{os.cpu_count()} x {platform.machine()}", python=platform.python_version(), **packages)
    ours = {name: OnnxEmbedder(precision=name, threads=arguments.threads) for name in ("fp32", "int8")}
    folder = str(ours["fp32"]._checkpoint.folder)
    cold_start(folder, arguments.rounds)
    one_query(ours["fp32"], rounds=200)
    systems: dict[str, Encode] = {name: embedder.embed_documents for name, embedder in ours.items()}
    systems["torch"] = torch_encoder(folder, arguments.threads)
    _, chunks, _, _ = read(arguments.data[0], ours["fp32"])
    throughput(systems, chunks[: arguments.texts], arguments.rounds, arguments.threads)
    for data in arguments.data:
        quality(data, ours)


def show(**values: object) -> None:
    print(json.dumps(values), flush=True)


def torch_encoder(folder: str, threads: int) -> Encode:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(folder, device="cpu")
    return lambda texts: np.asarray(model.encode(list(texts), normalize_embeddings=True), np.float32)


def cold_start(folder: str, rounds: int) -> None:
    programs = {"fp32": [OURS % "fp32"], "int8": [OURS % "int8"], "torch": [TORCH, folder], "python": ["pass"]}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for round_ in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", *program], check=True, capture_output=True)
            if round_:  # the first one exports, and reads the files from disk
                seconds[name].append(time.perf_counter() - start)
    show(
        bench="cold_first_query_seconds", **{name: round(statistics.median(all_), 3) for name, all_ in seconds.items()}
    )


def one_query(embedder: OnnxEmbedder, *, rounds: int) -> None:
    milliseconds = []
    for at in range(rounds):
        start = time.perf_counter()
        embedder.embed_queries([f"{QUESTION} {at}"])  # a new one each time: known ones are remembered
        milliseconds.append((time.perf_counter() - start) * 1000)
    milliseconds.sort()
    show(bench="query_ms", p50=round(milliseconds[rounds // 2], 2), p95=round(milliseconds[rounds * 95 // 100], 2))


def throughput(systems: dict[str, Encode], texts: Sequence[str], rounds: int, threads: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, encode in systems.items():
            start = time.perf_counter()
            encode(texts)
            rates[name].append(len(texts) / (time.perf_counter() - start))
    middle = {name: statistics.median(all_) for name, all_ in rates.items()}
    show(
        bench="throughput",
        texts=len(texts),
        threads=threads,
        texts_per_second={name: round(rate, 1) for name, rate in middle.items()},
        spread={name: [round(min(all_), 1), round(max(all_), 1)] for name, all_ in rates.items()},
        ratio_to_torch={name: round(rate / middle["torch"], 2) for name, rate in middle.items() if name != "torch"},
    )


def quality(data: Path, ours: dict[str, OnnxEmbedder]) -> None:
    owners, chunks, queries, qrels = read(data, ours["fp32"])
    vectors = {name: embedder.embed_documents(chunks) for name, embedder in ours.items()}
    cosines = (vectors["fp32"] * vectors["int8"]).sum(axis=1)
    result = {}
    for name, embedder in ours.items():
        scores = embedder.embed_queries([text for _, text in queries]) @ vectors[name].T
        result[name] = round(ndcg_at_10(scores, owners, [qrels[query] for query, _ in queries]), 4)
    show(
        bench="int8_loss",
        data=data.name,
        chunks=len(chunks),
        queries=len(queries),
        ndcg_at_10=result,
        cosine_mean=round(float(cosines.mean()), 4),
        cosine_min=round(float(cosines.min()), 4),
    )


def ndcg_at_10(scores: Vectors, owners: Sequence[str], relevant: Sequence[dict[str, int]]) -> float:
    """The mean over the rows of `scores` (queries, chunks), a document scored by its best chunk, ties by id."""
    total = 0.0
    for row, judged in zip(scores, relevant, strict=True):
        best: dict[str, float] = {}
        for owner, score in zip(owners, row.tolist(), strict=True):
            best[owner] = max(score, best.get(owner, -1.0))
        ranking = sorted(best, key=lambda owner: (-best[owner], owner))[:10]
        gain = sum(judged.get(owner, 0) / log2(rank + 1) for rank, owner in enumerate(ranking, 1))
        ideal = sorted(judged.values(), reverse=True)[:10]
        total += gain / sum(grade / log2(rank + 1) for rank, grade in enumerate(ideal, 1))
    return total / len(relevant)


def read(
    folder: Path, embedder: OnnxEmbedder
) -> tuple[list[str], list[str], list[tuple[str, str]], dict[str, dict[str, int]]]:
    """The document of each chunk, the chunks, the judged queries, the judgements."""
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines():
        query, document, score = line.split("\t")
        if score.lstrip("-").isdecimal() and int(score) > 0:
            qrels.setdefault(query, {})[document] = int(score)
    queries = [(row["_id"], row["text"]) for row in rows(folder / "queries.jsonl") if row["_id"] in qrels]
    chunker = RecursiveChunker(embedder.tokenizer, unit="tokens", size=200)
    owners, chunks = [], []
    for row in rows(folder / "corpus.jsonl"):
        document = Document(id=row["_id"], text=f"{row.get('title') or ''}\n{row['text']}")
        for chunk in chunker.chunk(document):
            owners.append(row["_id"])
            chunks.append(chunk.text)
    return owners, chunks, queries, qrels


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
