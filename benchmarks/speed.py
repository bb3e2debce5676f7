"""Speed, as ratios in one run: against the embedder itself, and against cold scripts of other frameworks.

    python benchmarks/speed.py [--data CORPUS.jsonl] [--peer-python PYTHON] [--parts start,cold,warm,...]

Parts: start, cold, warm, large, ingest, text, memory. `--data` is a BEIR-layout corpus (may be given several times, at
least 10,000 passages in all); without it, passages are made of random words, which is enough for time but not for
quality. `--peer-python` is an interpreter that has haystack-ai, llama-index and sentence-transformers; without it those
two comparisons are left out and a line says so. Each part prints one line; all numbers are medians unless they say
otherwise. The last line names what misses its goal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from rag import Components, Pipeline, SearchResult
from rag.embed.base import Embedder, EmbedderIdentity, Tokenizer, Vectors

HERE = Path(__file__).parent
QUESTION = "Which river flows through the city where the treaty was signed?"
Goal = tuple[str, float, str, float]  # what, figure, "<=" or ">=", goal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--parts", default="start,cold,warm,large,ingest,text,memory")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        ingest_child(Path(arguments.child))
        return
    passages = read_passages(arguments.data)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {len(passages)} passages")
    goals: list[Goal] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        work = Path(folder)
        parts = arguments.parts.split(",")
        if "start" in parts:
            goals += start()
        if {"cold", "warm"} & set(parts):
            index = build(work, passages[:10_000])
            if "cold" in parts:
                goals += cold(work, index, arguments.peer_python)
            if "warm" in parts:
                goals += warm(index, "10,000", passages)
        if "large" in parts:
            goals += large(work)
        if "ingest" in parts:
            goals += ingest(work, passages[:3000])
        if "text" in parts:
            made = (made_passages(500, seed=number) for number in range(40))
            goals += text(work / "made", "made of words that are new in each file", made)
            if arguments.data:
                real = (passages[at : at + 500] for at in range(0, len(passages), 500))
                goals += text(work / "real", "real passages", real)
        if "memory" in parts:
            goals += memory(work)
    missed = [goal for goal in goals if not (goal[1] <= goal[3] if goal[2] == "<=" else goal[1] >= goal[3])]
    for what, figure, sign, goal in goals:
        print(f"  {what}: {figure:.3g} (goal {sign} {goal:g})")
    print(f"{len(goals) - len(missed)} of {len(goals)} goals met" + "".join(f"; missed: {goal[0]}" for goal in missed))


# ---- parts


def start() -> list[Goal]:
    """Wall time of commands that load no model."""
    Path("checked.yaml").write_text("version: 1\nextends: hybrid\n", encoding="utf-8")
    seconds([rag(), "validate", "checked.yaml"])  # compiles what an installer would have compiled
    helped = [seconds([rag(), "--help"]) for _ in range(9)]
    validated = [seconds([rag(), "validate", "checked.yaml"]) for _ in range(9)]
    return [
        ("rag --help, s", statistics.median(helped), "<=", 0.3),
        ("rag validate, s", statistics.median(validated), "<=", 0.5),
    ]


def cold(work: Path, index: Pipeline, peer_python: Path | None) -> list[Goal]:
    """A question from nothing: process start, imports, model, index, answer. Interleaved with the peers."""
    ours = [rag(), "ask", QUESTION, "--set", f"ingest.index.path={index.spec.ingest.index.path}"]
    commands = {"rag ask": ours}
    if peer_python:
        reader = index.index.reader()
        chunks = [
            {"id": chunk.id, "text": chunk.text, "vector": reader.vectors(reader.rows_of([chunk]))[0].tolist()}
            for summary in reader.documents()
            for chunk in reader.chunks_of(summary.id)
        ]
        (work / "chunks.json").write_text(json.dumps(chunks), encoding="utf-8")
        for name in ("haystack", "llamaindex"):
            script = [str(peer_python), str(HERE / "cold_peers.py"), name, str(work)]
            subprocess.run([*script, "--build"], check=True)
            commands[name] = [*script, "--ask", QUESTION]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(3):
        for name, command in commands.items():
            times[name].append(seconds(command, ok=(0, 3)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("cold: " + ", ".join(f"{name} {value:.2f} s" for name, value in medians.items()))
    goals: list[Goal] = [("cold rag ask at 10,000 chunks, s", medians["rag ask"], "<=", 1.5)]
    for name in ("haystack", "llamaindex"):
        if name in medians:
            goals.append((f"cold {name} / rag ask", medians[name] / medians["rag ask"], ">=", 5))
        else:
            print(f"cold: {name} not compared (--peer-python)")
    return goals


def warm(pipeline: Pipeline, size: str, passages: Sequence[str]) -> list[Goal]:
    """Search of different questions in one process, interleaved with encoding them alone."""
    rng = random.Random(7)
    long_enough = [words for passage in passages if len(words := passage.split()[:60]) >= 9]
    questions = [" ".join(rng.sample(rng.choice(long_enough), 9)) for _ in range(300)]
    pipeline.warm_up()
    encode, search, rest = [], [], []
    for question in questions:
        alone = f"{question} ?"  # another text of the same length: the embedder remembers queries
        encode.append(timed(lambda text=alone: pipeline.embedder.embed_queries([text])))
        search.append(timed(lambda text=question: read(pipeline.search(text))))
        rest.append(timed(lambda text=question: read(pipeline.search(text))))  # its vector is remembered by now
    p50, p95 = statistics.median(search), sorted(search)[int(0.95 * len(search))]
    ratio = p50 / statistics.median(encode)
    remaining = statistics.median(rest) * 1000
    print(
        f"warm at {size} chunks: encode p50 {statistics.median(encode) * 1000:.2f} ms, search p50 {p50 * 1000:.2f} ms, "
        f"p95 {p95 * 1000:.2f} ms, all but encoding p50 {remaining:.2f} ms"
    )
    if size == "10,000":
        return [
            ("warm search p50 / encode p50 at 10,000 chunks", ratio, "<=", 1.25),
            ("warm search p95 / p50 at 10,000 chunks", p95 / p50, "<=", 2),
            ("all but encoding at 10,000 chunks, ms", remaining, "<=", 3),
        ]
    return [(f"all but encoding at {size} chunks, ms", remaining, "<=", 15)]


def read(found: SearchResult) -> list[str]:
    """The texts found: hits are made when somebody looks at them."""
    return [hit.chunk.text for hit in found.ranking]


def large(work: Path) -> list[Goal]:
    """100,000 chunks of made text with random vectors: time of exact search does not depend on what they mean."""
    passages = made_passages(100_000)
    spec = Pipeline.from_yaml("hybrid").spec
    real = Pipeline(spec).embedder
    components = Components(embedder=RandomVectors(real))
    write_corpus(work / "large.jsonl", passages)
    with Pipeline.from_yaml(
        "hybrid", overrides=overrides(work / "large.jsonl", work / "large"), components=components
    ) as pipeline:
        pipeline.ingest()
        return warm(pipeline, "100,000", passages)


def ingest(work: Path, passages: Sequence[str]) -> list[Goal]:
    """Indexing against the embedder alone on the same texts, in turns."""
    ratios = []
    for turn in range(3):
        part = passages[turn * len(passages) // 3 : (turn + 1) * len(passages) // 3]
        write_corpus(work / f"part{turn}.jsonl", part)
        with Pipeline.from_yaml(
            "hybrid", overrides=overrides(work / f"part{turn}.jsonl", work / f"part{turn}")
        ) as pipeline:
            pipeline.embedder.embed_queries(["load the model"])
            spent = timed(pipeline.ingest)
            reader = pipeline.index.reader()
            texts = [c.indexed_text for s in reader.documents() for c in reader.chunks_of(s.id)]
            alone = timed(lambda p=pipeline, t=texts: p.embedder.embed_documents(t))
            ratios.append(alone / spent)
            print(f"ingest: {len(texts) / spent:.0f} chunks/s, embedder alone {len(texts) / alone:.0f} chunks/s")
    return [("ingest / embedder alone, throughput", statistics.median(ratios), ">=", 0.9)]


def text(folder: Path, what: str, texts: Iterable[Sequence[str]]) -> list[Goal]:
    """Reading, parsing and cutting of plain text files, without embedding. Each file holds the passages of one item."""
    folder.mkdir()
    total = 0
    for number, passages in enumerate(texts):
        body = "\n\n".join(passages)
        (folder / f"{number}.txt").write_text(body, encoding="utf-8")
        total += len(body.encode())
    from rag.load.worker import ParserPool
    from rag.pipeline.build import Built

    spec = Pipeline.from_yaml(
        "hybrid", overrides=[f"ingest.load=[{{use: files, root: {json.dumps(str(folder))}}}]"]
    ).spec
    built = Built(spec, Components())
    chunker = built.ingest.chunker
    started, busy = time.perf_counter(), time.process_time()
    chunks = 0
    with ParserPool(spec.ingest.parse) as parsers:
        for connector in built.ingest.connectors:
            for _, document in parsers.parse_all(connector.load()):
                assert not isinstance(document, Exception), document
                chunks += len(chunker.chunk(document))
    rate, busy = total / 1e6 / (time.perf_counter() - started), time.process_time() - busy
    print(f"{what}: {total / 1e6:.1f} MB into {chunks} chunks, {total / 1e6 / busy:.1f} MB a second of processor time")
    return [(f"parse and chunk plain text, {what}, MB/s", rate, ">=", 5)]


def memory(work: Path) -> list[Goal]:
    """Peak memory of an ingest in a process of its own, at two sizes a factor of ten apart (hashed vectors)."""
    if not Path("/proc/self/status").exists():
        print("memory: not measured, this system does not tell a process its peak")
        return []
    peaks = []
    for count in (20_000, 200_000):  # the caches of bounded size are full at the smaller one
        corpus = work / f"memory{count}.jsonl"
        write_corpus(corpus, made_passages(count))
        out = subprocess.run(
            [sys.executable, __file__, "--child", str(corpus)], check=True, capture_output=True, text=True
        )
        peaks.append(json.loads(out.stdout.splitlines()[-1]))
        print(f"memory at {count:,} passages: {peaks[-1][0]:.0f} MiB, {peaks[-1][1]:.0f} of it pages of files")
    return [("peak memory, ten times the corpus / once", peaks[1][0] / peaks[0][0], "<=", 1.25)]


def ingest_child(corpus: Path) -> None:
    """Print the peak of this process and, at the end, the part of its memory that are pages of files, in MiB."""
    changes = [*overrides(corpus, corpus.with_suffix(".index")), "ingest.embed={use: hash, dimension: 384}"]
    with Pipeline.from_yaml("hybrid", overrides=changes) as pipeline:
        pipeline.ingest()
    # Not `ru_maxrss`: a process begins with the peak of the one that started it, here with all passages in a list.
    lines = (line.split() for line in Path("/proc/self/status").read_text("ascii").splitlines())
    status = {line[0].rstrip(":"): int(line[1]) / 1024 for line in lines if line[0] in ("VmHWM:", "RssFile:")}
    print(json.dumps([status["VmHWM"], status["RssFile"]]))


# ---- shared


class RandomVectors:
    """An embedder that gives documents random unit vectors, quickly, and queries real ones."""

    def __init__(self, real: Embedder) -> None:
        self.real = real
        self.rng = np.random.default_rng(0)

    @property
    def identity(self) -> EmbedderIdentity:
        return self.real.identity

    @property
    def tokenizer(self) -> Tokenizer:
        return self.real.tokenizer

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = self.rng.standard_normal((len(texts), self.identity.dimension), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.real.embed_queries(texts)

    def close(self) -> None:
        self.real.close()


def build(work: Path, passages: Sequence[str]) -> Pipeline:
    """An index of 10,000 chunks with real vectors."""
    write_corpus(work / "corpus.jsonl", passages)
    changes = [*overrides(work / "corpus.jsonl", work / "index"), "ingest.chunk={use: whole}"]
    pipeline = Pipeline.from_yaml("hybrid", overrides=changes)
    report = pipeline.ingest()
    print(f"built an index of {report.chunks} chunks in {report.seconds:.0f} s")
    return pipeline


def overrides(corpus: Path, index: Path) -> list[str]:
    return [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(corpus))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
    ]


def write_corpus(path: Path, passages: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as out:
        for number, passage in enumerate(passages):
            out.write(json.dumps({"_id": f"p{number:06}", "text": passage}) + "\n")


def read_passages(paths: Sequence[Path]) -> list[str]:
    if not paths:
        return made_passages(10_000)
    lines = (json.loads(line) for path in paths for line in path.open(encoding="utf-8"))
    return [f"{line.get('title', '')}\n{line['text']}".strip() for line in lines]


def made_passages(count: int, seed: int = 1) -> list[str]:
    """Passages of about 80 words whose frequencies fall as those of a language do (Zipf)."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    words = ["".join(rng.choice(letters, size=rng.integers(2, 11))) for _ in range(30_000)]
    passages = []
    for _ in range(count):
        ranks = np.minimum(rng.zipf(1.2, size=80) - 1, len(words) - 1)
        sentences = [
            " ".join(words[rank] for rank in ranks[at : at + 16]).capitalize() + "." for at in range(0, 80, 16)
        ]
        passages.append(" ".join(sentences))
    return passages


def rag() -> str:
    return str(Path(sys.executable).with_name("rag"))


def seconds(command: Sequence[str], ok: Sequence[int] = (0,)) -> float:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environ)
    spent = time.perf_counter() - started
    if done.returncode not in ok:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}: {done.stderr}")
    return spent


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
