"""The store the engine works with: device, memory and disk, each optional; slow work happens in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from rag.errors import StoreError
from rag.kv.base import Loaded
from rag.kv.chunk import ChunkCache, Precision
from rag.kv.store.disk import DiskTier
from rag.kv.store.memory import MemoryTier
from rag.kv.variant import Variant

logger = logging.getLogger(__name__)

HOST = torch.device("cpu")


@dataclass(slots=True)
class Counts:
    """Since the store was made: loads by tier, loads that found nothing, and caches that were not written because more
    were waiting to be than memory may hold."""

    device: int = 0
    memory: int = 0
    disk: int = 0
    lost: int = 0
    unwritten: int = 0


class TieredStore:
    """Caches are found in the nearest tier and brought nearer. Thread-safe.

    The caller never waits for the disk to be written, nor for a preload: only `load` reads the disk, by mapping it.
    """

    def __init__(self, *, device: MemoryTier, memory: MemoryTier, disk: DiskTier | None, precision: Precision) -> None:
        self.device = device
        self.memory = memory
        self.disk = disk
        self.precision = precision
        self.counts = Counts()
        self._lock = threading.Lock()
        self._worker: ThreadPoolExecutor | None = None
        self._unwritten: dict[bytes, tuple[Variant, ChunkCache]] = {}
        self._coming: set[bytes] = set()

    def variants(self, chunk: bytes) -> Sequence[Variant]:
        with self._lock:
            waiting = [variant for variant, _ in self._unwritten.values() if variant.chunk == chunk]
        tiers = [self.device.variants(chunk), self.memory.variants(chunk), waiting]
        if self.disk is not None:
            tiers.append(self.disk.index.variants(chunk))
        return list({variant.context: variant for tier in tiers for variant in tier}.values())

    def load(self, variant: Variant, device: torch.device) -> Loaded | None:
        near = self.device.get(variant)
        if near is not None:
            self.counts.device += 1
            return Loaded(near, "device")
        cache, tier = self.memory.get(variant), "memory"
        if cache is None:
            with self._lock:
                cache = self._unwritten[variant.key][1] if variant.key in self._unwritten else None
        if cache is None and self.disk is not None:
            cache, tier = self.disk.get(variant), "disk"
            if cache is not None:
                self._bring(variant, device)
        if cache is None:
            self.counts.lost += 1
            return None
        if tier == "memory":
            self.counts.memory += 1
        else:
            self.counts.disk += 1
        cache = cache.to(device)
        if device != HOST:
            self.device.add(variant, cache)
        return Loaded(cache, tier)

    def put(self, variant: Variant, cache: ChunkCache) -> None:
        kept = cache.rounded(self.precision)
        if kept.keys.device != HOST:
            self.device.add(variant, kept)
        host = kept.to(HOST)
        self.memory.add(variant, host)
        if self.disk is None:
            return
        with self._lock:
            waiting = sum(held.size for _, held in self._unwritten.values())
            if waiting > max(self.memory.eviction.budget, 64 << 20):
                self.counts.unwritten += 1
                return
            self._unwritten[variant.key] = (variant, host)
        self._start(self._write, variant)

    def preload(self, variants: Sequence[Variant], device: torch.device) -> None:
        for variant in variants:
            self._bring(variant, device)

    def settle(self) -> None:
        """Wait until all that was begun in the background is done."""
        with self._lock:
            worker = self._worker
        if worker is not None:
            worker.submit(int).result()

    def close(self) -> None:
        """Write what is waiting, and close the files. What cannot be written is said in the log."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.shutdown(wait=True)
        if self.disk is not None:
            try:
                self.disk.index.close()
            except StoreError as error:
                logger.warning("how often chunk caches were used could not be written: %s", error)

    def _bring(self, variant: Variant, device: torch.device) -> None:
        with self._lock:
            nowhere = not self.memory.eviction.budget and (device == HOST or not self.device.eviction.budget)
            if nowhere or variant.key in self._coming:
                return
            self._coming.add(variant.key)
        self._start(lambda wanted: self._fetch(wanted, device), variant)

    def _fetch(self, variant: Variant, device: torch.device) -> None:
        try:
            cache = self.memory.get(variant)
            if cache is None and self.disk is not None:
                mapped = self.disk.get(variant)
                if mapped is None:
                    return
                cache = mapped.copied()  # read now, so that its pages are not fetched in the middle of a prefill
                self.memory.add(variant, cache)
            if cache is not None and device != HOST:
                self.device.add(variant, cache.to(device))
        finally:
            with self._lock:
                self._coming.discard(variant.key)

    def _write(self, variant: Variant) -> None:
        with self._lock:
            _, cache = self._unwritten[variant.key]
        try:
            if self.disk is not None:
                self.disk.add(variant, cache)
        finally:
            with self._lock:
                self._unwritten.pop(variant.key, None)

    def _start(self, work: Callable[[Variant], None], variant: Variant) -> None:
        with self._lock:
            if self._worker is None:
                self._worker = ThreadPoolExecutor(1, thread_name_prefix="rag-kv")
            self._worker.submit(work, variant).add_done_callback(_report)


def _report(done: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        logger.warning("a chunk cache could not be moved in the background: %s", error)
