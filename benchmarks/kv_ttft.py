"""Time to first token by policy against a plain prefill.

A random Llama of about 100 million parameters on one thread of the processor, 8 chunks behind a prefix of 32 tokens, a
question of 32; each policy against a plain prefill of the same prompt, interleaved in random order, medians of the
ratios within a round, in processor time (the machine may be shared). Caches are warm in memory, or on disk.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from kv_goals import Goal
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from rag.kv.engine import ChunkEngine
from rag.kv.layout import Place
from rag.kv.policy.base import Encode, Policy, Request, only
from rag.kv.policy.first_k import FirstTokens
from rag.kv.policy.hkvd import HighestDeviation
from rag.kv.policy.none import NoRepair
from rag.kv.specs import ReuseSpec
from rag.kv.types import ModelIdentity, Segment
from rag.kv.variant import Variant

GOALS = {"none": 25.0, "first 16": 12.0, "15 % chosen": 4.5, "hkvd 15 %": 3.0}
"""Times faster, at so many tokens:"""
GOALS_AT = 4096
IDENTITY = ModelIdentity("random-llama-100m", "seed 0", "float32", "none")
PREFIX, QUESTION, CHUNKS, VOCABULARY = 32, 32, 8, 8192


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


def times_to_first_token(contexts: Sequence[int], rounds: int, only_named: Sequence[str] = ()) -> list[Goal]:
    """Print one line a policy and length; with `only_named`, of these policies alone, in memory alone."""
    model = random_llama()
    millions = sum(weight.numel() for weight in model.parameters()) / 1e6
    print(f"Llama, {millions:.0f} M parameters, float32, 1 thread, {CHUNKS} chunks; times faster than a plain prefill")
    told, goals = [], []
    for context in contexts:
        with tempfile.TemporaryDirectory() as folder:
            ratios, seconds, megabytes = compared(model, context, rounds, Path(folder), only_named)
        print(f"{context} tokens: plain prefill {seconds:.2f} s, caches {megabytes:.0f} MB")
        for name, values in ratios.items():
            low, high = min(values), max(values)
            print(f"  {name:<24} {statistics.median(values):6.1f}  ({low:.1f} to {high:.1f})", flush=True)
        medians = {name: statistics.median(ratios[name]) for name in GOALS if name in ratios}
        told.append(f"{context}: " + ", ".join(f"{name} {median:.1f}" for name, median in medians.items()))
        if context == GOALS_AT:
            goals = [
                Goal(f"{name}, times faster at {context}", median, "at least", GOALS[name])
                for name, median in medians.items()
            ]
    print(f"times faster, caches in memory, at {'; '.join(told)}")
    return goals


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
