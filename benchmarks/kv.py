"""Reuse of chunks' keys and values: time to first token, answers, tokens computed, one prefill, the store.

    python benchmarks/kv.py ttft [--contexts 1024,2048,4096,8192] [--rounds 5] [--policy "hkvd 15 %"]
    python benchmarks/kv.py store [--folder DIR]
    python benchmarks/kv.py quality [--model DIR] [--contexts 60] [--svg FILE]
    python benchmarks/kv.py zipf INDEX_DIR DATA_DIR [--requests 1000] [--exponent 1.0]
    python benchmarks/kv.py one-prefill [--rounds 5] [--policies none,first_k,hkvd] [--attended 300]

`ttft`: a random Llama of about 100 million parameters on one thread of the processor, 8 chunks behind a prefix of 32
tokens, a question of 32; each policy against a plain prefill of the same prompt, interleaved in random order, medians
of the ratios within a round, in processor time (the machine may be shared). Caches are warm in memory, or on disk.
`store`: the disk tier against plain reads and writes of the same bytes, what rounding costs, a lookup among many
caches, and how long a load takes while others are preloaded.
`quality`: see kv_quality.py; `zipf`: see kv_zipf.py; `one-prefill`: see kv_one_prefill.py. The last line of each sums
up.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from rag.kv.chunk import ChunkCache
from rag.kv.engine import ChunkEngine
from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Policy, Request, only
from rag.kv.policy.first_k import FirstTokens
from rag.kv.policy.hkvd import HighestDeviation
from rag.kv.policy.none import NoRepair
from rag.kv.specs import ReuseSpec
from rag.kv.store.disk import DiskTier
from rag.kv.store.index import CacheIndex
from rag.kv.types import ModelIdentity, Segment
from rag.kv.variant import Variant

GOALS = {"none": 25.0, "first 16": 12.0, "15 % chosen": 4.5, "hkvd 15 %": 3.0}
IDENTITY = ModelIdentity("random-llama-100m", "seed 0", "float32", "none")
PREFIX, QUESTION, CHUNKS, VOCABULARY = 32, 32, 8, 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    ttft = commands.add_parser("ttft")
    ttft.add_argument("--contexts", default="1024,2048,4096,8192")
    ttft.add_argument("--rounds", type=int, default=5)
    ttft.add_argument("--policy", action="append", default=[], metavar="NAME", help="these alone, in memory alone")
    store = commands.add_parser("store")
    store.add_argument("--folder", type=Path, help="where to write; a temporary folder if not given")
    store.add_argument("--caches", type=int, default=1_000_000, help="rows of the index for the lookups")
    answers = commands.add_parser("quality")
    answers.add_argument("--model", type=Path, default=Path(__file__).parent / "microlm" / "model")
    answers.add_argument("--contexts", type=int, default=60)
    answers.add_argument("--svg", type=Path, help="draw accuracy against tokens computed into this file")
    requests = commands.add_parser("zipf")
    requests.add_argument("index", type=Path, help="an index made by the pipeline `hybrid`; it is not written to")
    requests.add_argument("data", type=Path, help="the folder with its corpus.jsonl and queries.jsonl")
    requests.add_argument("--requests", type=int, default=1000)
    requests.add_argument("--exponent", type=float, default=1.0)
    three = commands.add_parser("one-prefill")
    three.add_argument("--rounds", type=int, default=5)
    three.add_argument("--policies", default="none,first_k,hkvd", help="with their defaults, separated by commas")
    three.add_argument("--attended", type=int, default=300, help="tokens whose sentences compression keeps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "ttft":
        contexts = [int(length) for length in arguments.contexts.split(",")]
        times_to_first_token(contexts, arguments.rounds, arguments.policy)
    elif arguments.what == "quality":
        from kv_quality import quality

        quality(arguments.model, arguments.contexts, arguments.svg)
    elif arguments.what == "zipf":
        from kv_zipf import zipf

        zipf(arguments.index, arguments.data, arguments.requests, arguments.exponent)
    elif arguments.what == "one-prefill":
        from kv_one_prefill import one_prefill

        one_prefill(arguments.policies.split(","), arguments.rounds, arguments.attended)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            store_figures(arguments.folder or Path(temporary), arguments.caches)


@dataclass(frozen=True)
class ChosenInAdvance:
    """A share of all chunks' tokens drawn at random: what a policy costs that knows its tokens without looking."""

    ratio: float
    name: str = "chosen"
    encode: Encode = "behind-prefix"
    exact: bool = False
    profiles: bool = False

    def choose(self, place: Place, variants: Sequence[Variant], *, unbroken: bool) -> Variant | None:
        return only(variants)

    def repair(self, request: Request) -> Sequence[Tensor]:
        rows = torch.cat([chunk.rows for chunk in request.chunks])
        return [rows[torch.randperm(len(rows))[: ceil(self.ratio * len(rows))]]]


def times_to_first_token(contexts: Sequence[int], rounds: int, only_named: Sequence[str]) -> None:
    model = random_llama()
    millions = sum(weight.numel() for weight in model.parameters()) / 1e6
    print(f"Llama, {millions:.0f} M parameters, float32, 1 thread, {CHUNKS} chunks; times faster than a plain prefill")
    summary = []
    for context in contexts:
        with tempfile.TemporaryDirectory() as folder:
            ratios, seconds, megabytes = compared(model, context, rounds, Path(folder), only_named)
        print(f"{context} tokens: plain prefill {seconds:.2f} s, caches {megabytes:.0f} MB")
        for name, values in ratios.items():
            low, high = min(values), max(values)
            print(f"  {name:<24} {statistics.median(values):6.1f}  ({low:.1f} to {high:.1f})", flush=True)
        summary.append(
            f"{context}: "
            + ", ".join(f"{name} {statistics.median(ratios[name]):.1f}" for name in GOALS if name in ratios)
        )
    goals = ", ".join(f"{name} {goal}" for name, goal in GOALS.items())
    print(f"times faster, caches in memory, at {'; '.join(summary)} (goals at 4096: {goals})")


def compared(
    model: LlamaForCausalLM, context: int, rounds: int, folder: Path, only_named: Sequence[str]
) -> tuple[dict[str, list[float]], float, float]:
    """By job the ratios of the rounds; seconds of a plain prefill; megabytes of the caches.

    With `only_named`, of the policies of these names alone, in memory.
    """
    draw = random.Random(context)
    length = (context - PREFIX - QUESTION) // CHUNKS
    prefix = tuple(draw.choices(range(5, VOCABULARY), k=PREFIX))
    prompt = [Segment(tuple(draw.choices(range(5, VOCABULARY), k=length)), cached=True) for _ in range(CHUNKS)]
    prompt.append(Segment(tuple(draw.choices(range(5, VOCABULARY), k=QUESTION)), cached=False))
    whole = [*prefix, *(token for segment in prompt for token in segment.ids)]
    every: dict[str, Policy] = {
        "none": NoRepair(),
        "first 16": FirstTokens(tokens=16),
        "15 % chosen": ChosenInAdvance(0.15),
        "hkvd 15 %": HighestDeviation(ratio=0.15),
        "hkvd 15 %, check 2": HighestDeviation(ratio=0.15, check=2),
    }
    policies = {name: policy for name, policy in every.items() if not only_named or name in only_named}
    memory = ReuseSpec().store(IDENTITY)
    jobs: dict[str, Callable[[], object]] = {}
    for name, policy in policies.items():
        engine = ChunkEngine(model, identity=IDENTITY, policy=policy, store=memory)
        jobs[name] = lambda engine=engine: engine.prefill(prefix, prompt)
    for precision in ("model", "bf16", "int8") if not only_named else ():
        spec = ReuseSpec(path=folder / precision, memory_mb=0, precision=precision)
        disk = spec.store(IDENTITY)
        engine = ChunkEngine(model, identity=IDENTITY, policy=NoRepair(), store=disk)
        jobs[f"none, disk {precision}"] = lambda engine=engine: engine.prefill(prefix, prompt)
        engine.warm(prefix, prompt)
        disk.close()
    plain = ChunkEngine(model, identity=IDENTITY, policy=NoRepair())
    for job in jobs.values():
        job()  # makes the caches, and opens what is opened once
    ratios: dict[str, list[float]] = {name: [] for name in jobs}
    seconds = []
    for number in range(rounds):
        times = {}
        order = ["plain", *jobs]
        random.Random(number).shuffle(order)
        for name in order:
            started = time.process_time()
            if name == "plain":
                plain.plain(whole)
            else:
                jobs[name]()
            times[name] = time.process_time() - started
        seconds.append(times["plain"])
        for name in jobs:
            ratios[name].append(times["plain"] / times[name])
    return ratios, statistics.median(seconds), memory.memory.size / 2**20


def random_llama(layers: int = 12) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=layers,
        num_attention_heads=12,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=16384,
        bos_token_id=1,
        eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
    )
    return LlamaForCausalLM(config).eval()


def store_figures(folder: Path, caches: int) -> None:
    """Wall time; what is read cold is dropped from the page cache before, where that is possible."""
    chunk = real_cache(512)
    count = 24
    tier = DiskTier(folder / "tier", 10**12, model="bench", variants=4)
    content = b"".join(tensor.numpy().tobytes() for tensor in chunk.tensors().values())
    raw = folder / "raw"
    raw.mkdir()
    variants = [Variant(number.to_bytes(16, "big"), b"", 512, 1.0) for number in range(count)]
    megabytes = count * chunk.size / 2**20
    raw_write = timed(lambda: [(raw / str(number)).write_bytes(content) for number in range(count)])
    write = timed(lambda: [tier.add(variant, chunk) for variant in variants])
    files, tier_files = sorted(raw.iterdir()), sorted((folder / "tier").glob("??/*"))
    buffer = torch.empty_like(chunk.keys)

    def load(source: DiskTier) -> None:
        for variant in variants:
            cache = source.get(variant)
            assert cache is not None
            buffer.copy_(cache.keys)
            buffer.copy_(cache.values)

    drop(files)
    raw_read = timed(lambda: [path.read_bytes() for path in files])
    drop(tier_files)
    first = timed(lambda: load(DiskTier(folder / "tier", 10**12, model="bench", variants=4)))
    warm_read = timed(lambda: [path.read_bytes() for path in files])
    checked = DiskTier(folder / "tier", 10**12, model="bench", variants=4)
    load(checked)
    again = timed(lambda: load(checked))
    print(f"{count} caches of 512 tokens, {megabytes:.0f} MB; MB/s, in brackets those of plain files")
    print(f"  write {megabytes / write:.0f} ({megabytes / raw_write:.0f})")
    print(f"  first load of a process, checksum, cold {megabytes / first:.0f} ({megabytes / raw_read:.0f})")
    print(f"  later load, warm {megabytes / again:.0f} ({megabytes / warm_read:.0f})")
    for precision in ("bf16", "int8"):
        kept = chunk.rounded(precision)
        keys, values = (part.float() for part in kept.slice(0, 512))
        errors = [float((a - b).norm() / b.norm()) for a, b in ((keys, chunk.keys), (values, chunk.values))]
        share = kept.size / chunk.size
        print(f"  {precision}: {share:.2f} of the bytes, keys off by {errors[0]:.1e}, values {errors[1]:.1e}")
    stall, alone = preload_stall(folder / "tier", variants)
    print(f"  load from memory {alone * 1e6:.0f} us, while others are preloaded {stall * 1e6:.0f} us (medians)")
    lookup, size = lookups(folder / "index.sqlite", caches)
    times = f"write {write / raw_write:.1f}, first load {first / raw_read:.1f}, later load {again / warm_read:.1f}"
    metadata = f"{size / 2**20:.0f} MB of metadata, {lookup * 1e6:.0f} us a lookup"
    print(f"times of plain files' time: {times}; {caches} caches: {metadata}")


def real_cache(tokens: int) -> ChunkCache:
    draw = random.Random(0)
    engine = ChunkEngine(random_llama(), identity=IDENTITY, policy=NoRepair())
    return engine.plain(draw.choices(range(5, VOCABULARY), k=tokens)).splice.take(0, tokens)


def preload_stall(folder: Path, variants: Sequence[Variant]) -> tuple[float, float]:
    """Seconds of a load from memory while the others come from disk in the background, and while nothing does."""
    store = ReuseSpec(path=folder).store(IDENTITY)
    device = torch.device("cpu")
    store.preload(variants[:1], device)
    store.settle()
    alone = statistics.median(timed(lambda: store.load(variants[0], device)) for _ in range(200))
    store.preload(variants[1:], device)
    busy = statistics.median(timed(lambda: store.load(variants[0], device)) for _ in range(200))
    store.close()
    return busy, alone


def lookups(path: Path, caches: int) -> tuple[float, int]:
    """Median seconds of a lookup among so many caches, each with a recorded profile; bytes of the index."""
    index = CacheIndex(path, model="bench", variants=4)
    index.variants(b"")
    index.close()
    draw = random.Random(0)
    profile = bytes(16 + 4 * 24)  # as of four chunks in front
    with sqlite3.connect(path) as database:
        rows = ((draw.randbytes(16), draw.randbytes(16), draw.random(), profile) for _ in range(caches))
        database.executemany("INSERT INTO caches VALUES (?, ?, 100, 1.0, 1000, 7, 1, ?, 1, ?)", rows)
        wanted = [row[0] for row in database.execute("SELECT chunk FROM caches LIMIT 5000")]
    draw.shuffle(wanted)
    seconds = statistics.median(timed(lambda chunk=chunk: index.variants(chunk)) for chunk in wanted)
    index.close()
    return seconds, sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


def timed(job: Callable[[], object]) -> float:
    started = time.perf_counter()
    job()
    return time.perf_counter() - started


def drop(files: Sequence[Path]) -> None:
    """From the page cache, where the system knows how."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
