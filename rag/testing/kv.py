"""Tiny random models of each family, and a store that is a dictionary."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from rag.kv.base import Loaded, Store
from rag.kv.chunk import ChunkCache
from rag.kv.compress.kept import decoding
from rag.kv.engine import ChunkEngine
from rag.kv.policy.base import Policy
from rag.kv.types import ModelIdentity, Segment, TokenRange
from rag.kv.variant import Variant

VOCABULARY = 300
IDENTITY = ModelIdentity("tiny", "1", "float32", "none")
SHAPE: dict[str, object] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WITHOUT_HEAD_DIM = {key: value for key, value in SHAPE.items() if key != "head_dim"}


def rope(**options: object) -> dict[str, object]:
    return {"rope_type": "default", "rope_theta": 10000.0, **options}


LLAMA3 = rope(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)
YARN = rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("Llama", {**SHAPE, "rope_parameters": rope()}),
    "llama-llama3": ("Llama", {**SHAPE, "rope_parameters": LLAMA3}),
    "llama-yarn": ("Llama", {**SHAPE, "rope_parameters": YARN}),
    "llama-linear": ("Llama", {**SHAPE, "rope_parameters": rope(rope_type="linear", factor=4.0)}),
    "qwen2": ("Qwen2", {**WITHOUT_HEAD_DIM, "rope_parameters": rope()}),
    "qwen3": ("Qwen3", {**SHAPE, "rope_parameters": rope()}),
    "mistral": ("Mistral", {**SHAPE, "sliding_window": None, "rope_parameters": rope()}),
    "phi3-partial": ("Phi3", {**WITHOUT_HEAD_DIM, "rope_parameters": rope(partial_rotary_factor=0.5)}),
    "glm4-interleaved": ("Glm4", {**SHAPE, "rope_parameters": rope(partial_rotary_factor=0.5)}),
    "smollm3": ("SmolLM3", {**WITHOUT_HEAD_DIM, "rope_parameters": rope()}),
    "olmo2": ("Olmo2", {**WITHOUT_HEAD_DIM, "rope_parameters": rope()}),
    "granite": ("Granite", {**WITHOUT_HEAD_DIM, "rope_parameters": rope()}),
}


def make(family: str, options: dict[str, object]) -> PreTrainedModel:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**options)
    model: PreTrainedModel = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3.0)  # so that attention is not nearly uniform
    return model


_made: dict[str, PreTrainedModel] = {}


def tiny(name: str) -> PreTrainedModel:
    if name not in _made:
        _made[name] = make(*MODELS[name])
    return _made[name]


class DictStore:
    def __init__(self) -> None:
        self.held: dict[bytes, list[tuple[Variant, ChunkCache]]] = defaultdict(list)

    def variants(self, chunk: bytes) -> Sequence[Variant]:
        return [variant for variant, _ in self.held[chunk]]

    def load(self, variant: Variant, device: torch.device) -> Loaded | None:
        found = [cache for held, cache in self.held[variant.chunk] if held.key == variant.key]
        return Loaded(found[0], "memory") if found else None

    def put(self, variant: Variant, cache: ChunkCache) -> None:
        others = [(held, old) for held, old in self.held[variant.chunk] if held.key != variant.key]
        self.held[variant.chunk] = [*others, (variant, cache)]

    def preload(self, variants: Sequence[Variant], device: torch.device) -> None:
        pass


def engine(model: PreTrainedModel, policy: Policy, store: Store | None = None) -> ChunkEngine:
    return ChunkEngine(model, identity=IDENTITY, policy=policy, store=DictStore() if store is None else store)


def tokens(seed: int, count: int) -> tuple[int, ...]:
    draw = random.Random(seed)
    return tuple(draw.randrange(3, VOCABULARY) for _ in range(count))


def chunk(ids: Sequence[int], *, access: str = "", keep: tuple[TokenRange, ...] | None = None) -> Segment:
    return Segment(tuple(ids), cached=True, access=access, keep=keep)


def text(ids: Sequence[int]) -> Segment:
    return Segment(tuple(ids), cached=False)


def reference(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """Logits of the last token by the model's own attention, without a cache."""
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
    return logits


def generated(model: PreTrainedModel, ids: Sequence[int], count: int) -> list[int]:
    """Greedy, each token by a whole pass without a cache."""
    prompt = list(ids)
    for _ in range(count):
        prompt.append(int(reference(model, prompt).argmax()))
    return prompt[len(ids) :]


def step(model: PreTrainedModel, cache: Cache, token: int, position: int) -> Tensor:
    """The logits behind one more token, which the cache takes in."""
    with torch.no_grad(), decoding(model, cache) as options:
        logits: Tensor = model(
            input_ids=torch.tensor([[token]]),
            position_ids=torch.tensor([[position]]),
            past_key_values=cache,
            use_cache=True,
            **options,
        ).logits[0, -1]
    return logits
