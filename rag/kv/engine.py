"""Prefill of prompts whose chunks were read before: splice their caches, compute what the policy says, in one pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from time import perf_counter

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from rag.errors import ModelError
from rag.kv.attention import NAME, Observe, RowPlan, attend_rows
from rag.kv.base import Loaded, Prefilled, Store, Stretch
from rag.kv.capability import Capability, capability, tolerance_of
from rag.kv.chunk import ChunkCache
from rag.kv.layout import NOTHING, Layout, Place, chunk_key
from rag.kv.policy.base import Policy
from rag.kv.prefill import PrefillRequest
from rag.kv.splice import Splice, Watch
from rag.kv.types import ModelIdentity, ReuseReport, Segment, TokenRange, as_ids
from rag.kv.variant import Variant

AttentionInterface.register(NAME, attend_rows)


class ChunkEngine:
    """One for each loaded model; its calls are serialised. It never changes the model beyond a call.

    Raises:
        ModelError: at the first call, an architecture whose caches cannot be moved; or a prompt longer than the sliding
            window.
    """

    def __init__(
        self, model: PreTrainedModel, *, identity: ModelIdentity, policy: Policy, store: Store | None = None
    ) -> None:
        self.model = model
        self.identity = identity
        self.policy = policy
        self.store = store
        self._lock = threading.RLock()
        self._prefix: tuple[tuple[int, ...], ChunkCache] | None = None

    @property
    def device(self) -> torch.device:
        return self.model.device

    @cached_property
    def capability(self) -> Capability:
        """What the model was found to be able to; held to a plain prefill before it is first relied on."""
        with self._lock:
            found = capability(self.model)
            self.__dict__["capability"] = found  # the test below runs on it
            try:
                self._test()
            except ModelError:
                del self.__dict__["capability"]
                raise
            return found

    def plain(self, ids: Sequence[int]) -> Prefilled:
        """A prompt without any reuse."""
        started = perf_counter()
        prompt = as_ids(ids)
        splice = self.splice(len(prompt))
        logits = self.compute(splice, prompt, torch.arange(len(prompt)))
        report = ReuseReport("full", len(prompt), 0, len(prompt), seconds=perf_counter() - started)
        return Prefilled(prompt, logits, splice.cache, report, splice)

    def prefill(self, prefix: Sequence[int], segments: Sequence[Segment]) -> Prefilled:
        """Read a prompt, with what the store has and the policy allows; put what was missing into the store.

        The last token is always computed. Without a store, or with the policy `full`, this is `plain`.
        """
        if self.store is None or self.policy.name == "full":
            return self.plain([*prefix, *(id for segment in segments for id in segment.kept)])
        with self._lock:
            return PrefillRequest(self, self.store, self._layout(prefix, segments)).run()

    def warm(self, prefix: Sequence[int], segments: Sequence[Segment]) -> int:
        """Encode the chunks that are not in the store yet, on their own; how many these were.

        Policies that read chunks in their place have nothing to warm: 0.
        """
        if self.store is None or self.policy.encode == "in-context":
            return 0
        made = 0
        with self._lock:
            for place in self._layout(prefix, segments).chunks:
                variants = self.store.variants(place.chunk)
                if self.policy.choose(place, variants, unbroken=True) is None:
                    self.encode(place, as_ids(prefix))
                    made += 1
        return made

    def preload(self, prefix: Sequence[int], segments: Sequence[Segment]) -> None:
        """Ask the store to bring the chunks' caches nearer while something else runs; returns at once."""
        if self.store is None:
            return
        wanted = []
        for place in self._layout(prefix, segments).chunks:
            variant = self.policy.choose(place, self.store.variants(place.chunk), unbroken=True)
            if variant is not None:
                wanted.append(variant)
        self.store.preload(wanted, self.device)

    def question_pass(self, prefilled: Prefilled, tail: Sequence[int], *, observe: Observe | None = None) -> Prefilled:
        """Go on from a prompt with `tail`, which alone is computed; `prefilled` stays as it is for the next tail.

        Args:
            observe: is shown the attention of the tail's rows, layer by layer, never a whole map.
        """
        started = perf_counter()
        ids, known = prefilled.ids + as_ids(tail), len(prefilled.ids)
        splice = self.splice(len(ids))
        splice.place(prefilled.splice.view(), 0, ((0, known),))
        logits = self.compute(splice, ids, torch.arange(known, len(ids)), observe=observe, observed_from=known)
        seconds = perf_counter() - started
        report = ReuseReport(self.policy.name, len(ids), known, len(ids) - known, seconds=seconds)
        return Prefilled(ids, logits, splice.cache, report, splice)

    def select(self, prefilled: Prefilled, keep: Sequence[TokenRange]) -> Prefilled:
        """The prompt with only the token ranges `keep` (ascending, disjoint), moved together; nothing is computed.

        What is left was computed when the dropped tokens could still be seen, so this is not a plain prefill of it.
        """
        started = perf_counter()
        ids = Segment(prefilled.ids, cached=False, keep=tuple(keep)).kept
        splice = self.splice(len(ids))
        splice.place(prefilled.splice.view(), 0, keep)
        last = bool(keep) and keep[-1][1] == len(prefilled.ids)
        report = ReuseReport(self.policy.name, len(ids), len(ids), 0, seconds=perf_counter() - started)
        return Prefilled(ids, prefilled.logits if last else None, splice.cache, report, splice)

    def joined(self, parts: Sequence[Stretch | Segment]) -> Prefilled:
        """A prompt of stretches that were read, moved to where they stand in it, and of new tokens, which are computed.

        The last token is computed in any case. It is a plain prefill where each stretch stands behind what it had
        stood behind when it was read.
        """
        started = perf_counter()
        ids = tuple(token for part in parts for token in (part.ids if isinstance(part, Stretch) else part.kept))
        splice = self.splice(len(ids))
        fresh = torch.zeros(len(ids), dtype=torch.bool)
        at = 0
        for part in parts:
            if isinstance(part, Stretch):
                splice.place(part.cache, at, ((part.start, part.end),))
                at += part.end - part.start
            else:
                fresh[at : at + len(part.kept)] = True
                at += len(part.kept)
        fresh[-1] = True
        rows = fresh.nonzero().flatten()
        logits = self.compute(splice, ids, rows)
        seconds = perf_counter() - started
        report = ReuseReport(self.policy.name, len(ids), len(ids) - len(rows), len(rows), seconds=seconds)
        return Prefilled(ids, logits, splice.cache, report, splice)

    def encode(self, place: Place, prefix: tuple[int, ...]) -> ChunkCache:
        """Read one chunk on its own, as the policy says, and put it into the store."""
        behind = self.prefix_cache(prefix) if self.policy.encode == "behind-prefix" and prefix else None
        head = prefix if behind is not None else ()
        splice = self.splice(len(head) + len(place.ids), room=0)
        if behind is not None:
            splice.place(behind.cache, 0, ((0, len(head)),))
        self.compute(splice, head + place.ids, torch.arange(len(head), splice.length))
        made = splice.take(len(head), splice.length)
        if self.store is not None:
            self.store.put(Variant(place.chunk, NOTHING, made.tokens, self.work(made.tokens, made.base)), made)
        return made

    def prefix_cache(self, prefix: tuple[int, ...]) -> Loaded:
        """The shared prefix, exact wherever it is used; the last one is remembered, others are in the store.

        The tier is ``"computed"`` where it was nowhere.
        """
        if self._prefix is not None and self._prefix[0] == prefix:
            return Loaded(self._prefix[1], "engine")
        key = Variant(chunk_key(self.identity, (), prefix, ""), NOTHING, len(prefix), self.work(len(prefix), 0))
        loaded: Loaded | None = None
        if self.store is not None and key in self.store.variants(key.chunk):
            loaded = self.store.load(key, self.device)
        if loaded is None:
            splice = self.splice(len(prefix), room=0)
            self.compute(splice, prefix, torch.arange(len(prefix)))
            loaded = Loaded(splice.take(0, len(prefix)), "computed")
            if self.store is not None:
                self.store.put(key, loaded.cache)
        self._prefix = (prefix, loaded.cache)
        return loaded

    def work(self, tokens: int, base: int) -> float:
        """Floating-point operations to read `tokens` behind `base` others, without the embedding and the head."""
        config = self.model.config.get_text_config(decoder=True)
        weights, width = self._weights
        pairs = tokens * base + tokens * (tokens + 1) / 2
        return float(2 * weights * tokens + 4 * config.num_hidden_layers * width * pairs)

    @cached_property
    def _weights(self) -> tuple[int, int]:
        """The number of weights in the layers, and the width of all heads together."""
        config = self.model.config.get_text_config(decoder=True)
        layers = self.model.get_decoder().layers  # type: ignore[no-untyped-call]  # transformers'
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return sum(weight.numel() for weight in layers.parameters()), config.num_attention_heads * head

    def _layout(self, prefix: Sequence[int], segments: Sequence[Segment]) -> Layout:
        encode = self.policy.encode
        return Layout.of(
            prefix,
            segments,
            identity=self.identity,
            alone=encode == "alone",
            in_context=encode == "in-context",
            exact=self.policy.exact,
        )

    def splice(self, length: int, *, room: int = 128) -> Splice:
        found = self.capability
        if found.window is not None and length > found.window:
            raise ModelError(f"a prompt of {length} tokens is longer than the model's sliding window of {found.window}")
        like = torch.empty(0, dtype=self.model.dtype, device=self.device)
        return Splice(found.shifts, length=length, shape=found.shape, like=like, room=room)

    @torch.no_grad()
    def compute(
        self,
        splice: Splice,
        ids: Sequence[int],
        rows: Tensor,
        *,
        observe: Observe | None = None,
        observed_from: int = 0,
    ) -> Tensor:
        """Run the model over `rows` (ascending) of the prompt; their keys and values go to their places."""
        device = self.device
        with self._lock, self._attending():
            splice.overwrite(rows)
            try:
                out = self.model(
                    input_ids=torch.tensor(ids)[rows][None].to(device),
                    position_ids=rows[None].to(device),
                    past_key_values=splice.cache,
                    use_cache=True,
                    logits_to_keep=1,
                    rows=RowPlan(rows, observe, observed_from),
                )
            finally:
                splice.overwrite(None)
        return out.logits[0, -1]  # type: ignore[no-any-return]  # (vocabulary,)

    def score(self, splice: Splice, ids: Sequence[int], *, upto: int, layer: int, watch: Watch) -> None:
        """Run rows [0, upto) through the layers up to `layer`, there as far as keys and values, shown to `watch`."""

        def stop(*seen: Tensor) -> None:
            watch(*seen)
            raise _Measured

        splice.layers[layer].watch = stop
        try:
            self.compute(splice, ids, torch.arange(upto))
        except _Measured:
            pass
        finally:
            splice.layers[layer].watch = None

    @contextmanager
    def _attending(self) -> Iterator[None]:
        config = self.model.config.get_text_config(decoder=True)
        before = config._attn_implementation
        config._attn_implementation = NAME
        try:
            yield
        finally:
            config._attn_implementation = before

    def _test(self) -> None:
        """Hold a pass in pieces to one plain call of the model.

        Raises:
            ModelError: they differ.
        """
        generator = torch.Generator().manual_seed(1)
        vocabulary = self.model.config.get_text_config(decoder=True).vocab_size
        ids = torch.randint(0, vocabulary, (40,), generator=generator)
        with torch.no_grad():
            plain = self.model(input_ids=ids[None].to(self.device), logits_to_keep=1).logits[0, -1].float()
        prompt = tuple(ids.tolist())
        splice = self.splice(40, room=0)
        for rows in (range(12), range(12, 40), (3, 9, 10, *range(25, 40))):
            logits = self.compute(splice, prompt, torch.tensor(rows)).float()
        error = float((logits - plain).abs().max() / plain.abs().max().clamp_min(1e-9))
        if not error <= tolerance_of(self.model):
            raise ModelError(
                f"chunk caches do not support model type {self.model.config.model_type!r}: "
                f"logits of a spliced prompt differ from a plain prefill's by {error:.1e} of the largest"
            )


class _Measured(Exception):
    """Ends a pass where the layers behind are not needed."""
