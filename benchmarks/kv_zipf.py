"""Prefill tokens computed on a Zipf-distributed workload, by policy, against computing everything and prefix caching.

Real: the questions, the chunks that `hybrid` retrieves for each request (8, in their order), their token ids (of the
encoder's tokenizer), the engine's layout, keys, choice of variants, and the store's eviction. Questions are drawn with
frequency ``1 / rank ** exponent``; `reworded` leaves one random word out of each request's question, so that the same
topic comes back with other chunks in another order, `verbatim` does not.
Simulated: no model runs. Tokens are counted; a cache's size is its tokens, the work to make one that of a model of 7
billion weights and 32 layers. The attention that `cache_craft` records is taken as even over the chunks in front, by
their length, and its context impact as the smallest and the largest that the formula allows, 0.5 and 1: a range.

The store holds a share of the tokens of all chunks that the questions retrieve; as many requests as are measured run
first, so that it is full. The first token of an answer needs `computed`; `hkvd` adds what it scores (1.3 of 32 layers).
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import cast

from kv_goals import Goal

from rag import Pipeline
from rag.kv.chunk import ChunkCache
from rag.kv.layout import NOTHING, Layout, Place
from rag.kv.policy.base import Policy
from rag.kv.policy.cache_craft import CacheCraft, fix_overhead
from rag.kv.policy.first_k import FirstTokens
from rag.kv.policy.hkvd import HighestDeviation
from rag.kv.policy.none import NoRepair
from rag.kv.policy.prefix import ExactPrefix
from rag.kv.store.memory import MemoryTier
from rag.kv.types import ModelIdentity, Segment
from rag.kv.variant import Profile, Variant

IDENTITY = ModelIdentity("simulated", "", "bfloat16", "minilm")
PREFIX = 60  # tokens of instructions
CHUNKS = 8
WEIGHTS, LAYERS, WIDTH = 7e9, 32, 4096
SHARES = (0.1, 0.25, 1.0)
Request = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]


@dataclass(frozen=True)
class Tokens:
    """Stands for a cache of so many tokens."""

    size: int


def zipf(index: Path, data: Path, count: int, exponent: float) -> list[Goal]:
    """Print the share of prompt tokens computed, and the saving against full and against prefix caching.

    The goals are what Cache-Craft (arXiv 2502.15734) has published of its own workload.
    """
    questions = [json.loads(line)["text"] for line in (data / "queries.jsonl").open(encoding="utf-8")]
    common = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(data / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
    ]
    summary, goals = [], []
    with Pipeline.from_yaml("hybrid", overrides=common) as pipeline:
        for wording in ("verbatim", "reworded"):
            requests = list(drawn(pipeline, questions, 2 * count, exponent, reworded=wording == "reworded"))
            held = sum(len(ids) for ids in {ids for chunks, _ in requests for ids in chunks})
            lengths = [PREFIX + sum(map(len, chunks)) + len(question) for chunks, question in requests]
            print(f"{data.name}, {wording}: {len(questions)} questions, {held} tokens of distinct chunks, ", end="")
            print(f"{sum(lengths) / len(lengths):.0f} tokens a prompt")
            for share in SHARES:
                figures = {
                    name: computed(requests, count, policy, int(share * held), impact)
                    for name, (policy, impact) in POLICIES.items()
                }
                print(f"  store of {share:.0%}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
                if share == 0.25:
                    against = figures["prefix"]
                    savings = ", ".join(
                        f"{name} -{1 - value:.0%} of all, {value / against - 1:+.0%} of prefix caching"
                        for name, value in figures.items()
                        if name != "prefix"
                    )
                    summary.append(f"{wording}: prefix -{1 - against:.0%} of all, {savings}")
                    most = figures["cache_craft, impact 1"]
                    of = f"share that cache_craft computes, {data.name}, {wording}, of"
                    goals.append(Goal(f"{of} all", most, "at most", 1 - 0.75))
                    goals.append(Goal(f"{of} prefix caching", most / against, "at most", 1 - 0.51))
    print(f"{data.name}, steady state, store of 25 %, exponent {exponent}: " + "; ".join(summary))
    return goals


POLICIES: dict[str, tuple[Policy, float]] = {
    "prefix": (ExactPrefix(), 0.0),
    "none": (NoRepair(), 0.0),
    "first_k 16": (FirstTokens(tokens=16), 0.0),
    "hkvd 15 %": (HighestDeviation(ratio=0.15), 0.0),
    "cache_craft, impact 0.5": (CacheCraft(), 0.0),
    "cache_craft, impact 1": (CacheCraft(), 1e3),
}
"""And for `cache_craft` the attention outside over inside, whose logistic is the context impact."""


def drawn(
    pipeline: Pipeline, questions: Sequence[str], count: int, exponent: float, *, reworded: bool
) -> Iterator[Request]:
    draw = random.Random(7)
    topics = list(questions)
    draw.shuffle(topics)
    weights = [1 / rank**exponent for rank in range(1, len(topics) + 1)]
    tokenizer = pipeline.embedder.tokenizer
    known: dict[str, tuple[int, ...]] = {}

    def ids(text: str) -> tuple[int, ...]:
        if text not in known:
            known[text] = tuple(hash_of(text[start:end]) for start, end in tokenizer.offsets(text))
        return known[text]

    found: dict[str, tuple[tuple[int, ...], ...]] = {}
    for topic in draw.choices(topics, weights, k=count):
        words = topic.split()
        if reworded and len(words) > 3:
            del words[draw.randrange(len(words))]
        question = " ".join(words)
        if question not in found:
            found[question] = tuple(ids(hit.chunk.text) for hit in pipeline.search(question).ranking.hits[:CHUNKS])
        yield found[question], ids(question)


def hash_of(token: str) -> int:
    """An id for a token; which does not matter, equal ones must be equal."""
    return int.from_bytes(token.lower().encode()[:7], "little")


def computed(requests: Sequence[Request], count: int, policy: Policy, budget: int, ratio: float) -> float:
    """Tokens computed by the last `count` requests over the tokens of their prompts."""
    store = MemoryTier(budget, variants=4)
    done = Counter[str]()
    for number, (chunks, question) in enumerate(requests):
        spent, total = one(store, policy, chunks, question, ratio)
        if number >= len(requests) - count:
            done.update(spent=spent, total=total)
    return done["spent"] / done["total"]


def one(
    store: MemoryTier, policy: Policy, chunks: Sequence[tuple[int, ...]], question: tuple[int, ...], ratio: float
) -> tuple[float, int]:
    """Tokens computed for one request, and those of its prompt; as `rag.kv.prefill` decides, without a model."""
    segments = [*(Segment(ids, cached=True) for ids in chunks), Segment(question, cached=False)]
    in_context = policy.encode == "in-context"
    layout = Layout.of(range(PREFIX), segments, identity=IDENTITY, alone=False, in_context=in_context)
    spent = float(len(question))
    unbroken = True
    made = []
    for place in layout.chunks:
        variant = policy.choose(place, store.variants(place.chunk), unbroken=unbroken)
        length = place.end - place.start
        if variant is not None:
            store.get(variant)
        else:
            unbroken = False
            spent += length
            made.append(entry(place, policy, layout, ratio))
        if variant is not None or not in_context:
            spent += repaired(policy, variant, place, length)
    if isinstance(policy, HighestDeviation):
        spent += layout.chunks[-1].end * (policy.check + 0.3) / LAYERS
    for variant in made:
        store.add(variant, cast(ChunkCache, Tokens(variant.tokens)))
    return spent, len(layout.ids)


def repaired(policy: Policy, variant: Variant | None, place: Place, length: int) -> int:
    match policy:
        case FirstTokens(tokens=tokens):
            return min(tokens, length)
        case HighestDeviation(ratio=ratio):
            return ceil(ratio * length)
        case CacheCraft(alpha=alpha) if variant is not None and variant.profile is not None:
            return ceil(fix_overhead(variant.profile, place.before, alpha=alpha) * length)
    return 0


def entry(place: Place, policy: Policy, layout: Layout, ratio: float) -> Variant:
    """What would be stored of a chunk that was computed."""
    in_context = policy.encode == "in-context"
    tokens = place.end - place.start
    base = place.start if in_context else PREFIX
    work = 2 * WEIGHTS * tokens + 4 * LAYERS * WIDTH * (tokens * base + tokens * (tokens + 1) / 2)
    variant = Variant(place.chunk, place.context if in_context else NOTHING, tokens, work)
    if not policy.profiles:
        return variant
    lengths = {other.chunk: float(other.end - other.start) for other in layout.chunks}
    inter = tuple(lengths[chunk] for chunk in place.before)
    return replace(variant, profile=Profile(place.before, inter, outside=ratio if inter else 0.0, inside=1.0))
