"""The disk tier against plain reads and writes of the same bytes, what rounding costs, a lookup among many caches, and
how long a load takes while others are preloaded.
"""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from kv_goals import Goal
from kv_ttft import IDENTITY, VOCABULARY, random_llama

from rag.kv.chunk import ChunkCache
from rag.kv.engine import ChunkEngine
from rag.kv.policy.none import NoRepair
from rag.kv.specs import ReuseSpec
from rag.kv.store.disk import DiskTier
from rag.kv.store.index import CacheIndex
from rag.kv.variant import Variant


def store_figures(folder: Path, caches: int) -> list[Goal]:
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
    return [
        Goal("ms to load from memory during a preload", stall * 1e3, "at most", 1.0),
        Goal(f"ms a lookup among {caches} caches", lookup * 1e3, "at most", 1.0),
        Goal(f"MB of metadata of {caches} caches", size / 2**20, "at most", 1000.0),
    ]


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
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            database.execute(f"PRAGMA {setting}")  # to fill it in a minute; the index opens it with its own
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
