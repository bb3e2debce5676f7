"""One request: which caches are put where, which rows are computed, what is kept afterwards."""

from __future__ import annotations

from collections import Counter
from math import nan
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from rag.kv.base import Prefilled, Store
from rag.kv.chunk import ChunkCache
from rag.kv.layout import Layout, Place
from rag.kv.policy.base import Measure, Spliced
from rag.kv.recorder import Recorder
from rag.kv.types import ReuseReport
from rag.kv.variant import Variant

if TYPE_CHECKING:
    from rag.kv.engine import ChunkEngine


class PrefillRequest:
    """The policy's view of a prompt whose chunks are in place; used once."""

    def __init__(self, engine: ChunkEngine, store: Store, layout: Layout) -> None:
        self.engine = engine
        self.store = store
        self.layout = layout
        self.chunks: list[Spliced] = []
        self._splice = engine.splice(len(layout.ids))
        self._missing: list[Place] = []
        self._encoded = self._scored = self._misses = 0
        self._scored_share = 0.0
        self._loaded: Counter[str] = Counter()
        self._found: Counter[str] = Counter()

    def run(self) -> Prefilled:
        started = perf_counter()
        ids, policy = self.layout.ids, self.engine.policy
        self._place_prefix()
        self._place_chunks()
        fresh = torch.ones(len(ids), dtype=torch.bool)
        fresh[: self.layout.prefix] = False
        for chunk in self.chunks:
            fresh[chunk.place.start : chunk.place.end] = False
        for rows in policy.repair(self):
            fresh[rows] = True
        fresh[-1] = True  # its logits are wanted
        rows = fresh.nonzero().flatten()
        recorder = Recorder(self.layout) if policy.profiles and self._missing else None
        logits = self.engine.compute(self._splice, ids, rows, observe=recorder)
        self._keep(recorder)
        report = ReuseReport(
            policy.name,
            tokens=len(ids),
            reused=len(ids) - len(rows),
            recomputed=len(rows),
            encoded=self._encoded,
            scored=self._scored,
            scored_share=self._scored_share,
            hits=len(self.layout.chunks) - self._misses,
            misses=self._misses,
            loaded=dict(self._loaded),
            found=dict(self._found),
            seconds=perf_counter() - started,
        )
        return Prefilled(ids, logits, self._splice.cache, report, self._splice)

    def deviation(self, *, layer: int, measure: Measure) -> Tensor:
        """As `rag.kv.policy.base.Request` says; rows behind the last spliced chunk are not measured (nan)."""
        upto = self.chunks[-1].place.end
        scores = torch.full((len(self.layout.ids),), nan)

        def watch(old_keys: Tensor, new_keys: Tensor, old_values: Tensor, new_values: Tensor) -> None:
            measured = _squares(new_keys, old_keys)
            if measure == "keys+values":
                deviation = _squares(new_values, old_values)
                # Keys and values differ in magnitude: each counts by its mean.
                measured = measured / self._mean(measured) + deviation / self._mean(deviation)
            scores[:upto] = measured.cpu()

        self.engine.score(self._splice, self.layout.ids, upto=upto, layer=layer, watch=watch)
        self._scored += upto
        # All of the layers in front, and of the layer itself about the third that makes queries, keys and values.
        self._scored_share = (layer + 0.3) / len(self._splice.layers)
        return scores

    def _mean(self, scores: Tensor) -> Tensor:
        rows = torch.cat([chunk.rows for chunk in self.chunks])
        return scores[rows.to(scores.device)].mean().clamp_min(torch.finfo(torch.float32).tiny)

    def _place_prefix(self) -> None:
        if not self.layout.prefix:
            return
        prefix = self.layout.ids[: self.layout.prefix]
        loaded = self.engine.prefix_cache(prefix)
        if loaded.tier == "computed":
            self._encoded += len(prefix)
        else:
            self._loaded[loaded.tier] += loaded.cache.size
        self._splice.place(loaded.cache, 0, ((0, len(prefix)),))

    def _place_chunks(self) -> None:
        policy, unbroken = self.engine.policy, True
        made: dict[bytes, ChunkCache] = {}
        for place in self.layout.chunks:
            variant = policy.choose(place, self.store.variants(place.chunk), unbroken=unbroken)
            loaded = self.store.load(variant, self.engine.device) if variant is not None else None
            if variant is not None and loaded is not None:
                self._loaded[loaded.tier] += loaded.cache.size
                self._found[loaded.tier] += 1
                cache = loaded.cache
            else:
                self._misses += 1
                unbroken = False
                if policy.encode == "in-context":
                    self._missing.append(place)
                    continue
                if place.chunk not in made:
                    made[place.chunk] = self.engine.encode(place, self.layout.ids[: self.layout.prefix])
                    self._encoded += len(place.ids)
                cache = made[place.chunk]
            self._splice.place(cache, place.start, place.ranges)
            self.chunks.append(Spliced(place, variant, cache.scores))

    def _keep(self, recorder: Recorder | None) -> None:
        for place in self._missing:
            cache = self._splice.take(place.start, place.end)
            profile = None
            if recorder is not None:
                profile, scores = recorder.profile(place)
                cache = cache.scored(scores)
            work = self.engine.work(cache.tokens, cache.base)
            self.store.put(Variant(place.chunk, place.context, cache.tokens, work, profile), cache)


def _squares(one: Tensor, other: Tensor) -> Tensor:
    """Summed over heads and channels: (rows,) float32."""
    return (one.float() - other.float()).square().sum((0, 1, 3))
