"""Attention of a local model, held to the whole maps that transformers gives of tiny models of several families."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rag.errors import ModelError
from rag.models.attention import AttendingModel, AttentionPrompt, Head, ReadingModel
from rag.models.llm import Message, Sampling
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.types import Usage

LAYERS, HEADS = 3, 4
SIZES = {
    "vocab_size": 384,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "initializer_range": 0.3,
}
FAMILIES: dict[str, tuple[type[PreTrainedModel], object]] = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SIZES)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SIZES)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=8)),
    "mistral": (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=None)),
    "mistral with a window": (MistralForCausalLM, MistralConfig(**SIZES, sliding_window=24)),
}
DOGS, CATS = "Dogs bark at night.", "Cats sleep all day."
SHARED = f"Some facts:\n\n{DOGS}\n\n{CATS}\n\n"
DOCUMENTS = ((13, 13 + len(DOGS)), (34, 34 + len(CATS)))
PROMPT = AttentionPrompt(SHARED, DOCUMENTS, ("Query: N/A", "Query: who sleeps?"))


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, weights: Path, tmp_path: Path) -> Iterator[TransformersModel]:
    made, config = FAMILIES[request.param]
    torch.manual_seed(0)
    made(config).save_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    AutoTokenizer.from_pretrained(weights).save_pretrained(tmp_path)
    local = TransformersModel(Loader(str(tmp_path), device="cpu"))
    yield local
    local.close()


def whole_maps(model: TransformersModel, ids: list[int]) -> NDArray[np.float32]:
    """(layers, heads, n, n) as the plain implementation gives them."""
    made = model.loader.load().model
    made.set_attn_implementation("eager")
    with torch.no_grad():
        maps = made(torch.tensor([ids]), output_attentions=True).attentions
    made.set_attn_implementation("sdpa")
    return np.stack([layer[0].numpy() for layer in maps])


def expected(model: TransformersModel, tail: str) -> list[NDArray[np.float32]]:
    """(layers * heads, tokens) of each document, from whole maps; tokens are found by hand in the text."""
    text = f"<|user|>\n{SHARED}{tail}<|end|>\n<|assistant|>\n"
    found = model.chat.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    maps = whole_maps(model, found["input_ids"])
    offsets = found["offset_mapping"]
    start = len("<|user|>\n")
    rows = [at for at, (_, end) in enumerate(offsets) if end > start + len(SHARED)]
    mean = maps[:, :, rows].mean(axis=2).reshape(LAYERS * HEADS, -1)
    documents = []
    for low, high in DOCUMENTS:
        tokens = [at for at, (s, e) in enumerate(offsets) if s < e and s < start + high and e > start + low]
        documents.append(mean[:, tokens])
    return documents


def test_attention_is_that_of_whole_maps(model: TransformersModel) -> None:
    assert isinstance(model, AttendingModel)
    attended = model.attend(PROMPT)
    for tail, documents in zip(PROMPT.tails, attended.tails, strict=True):
        for given, wanted in zip(documents, expected(model, tail), strict=True):
            np.testing.assert_allclose(given, wanted, atol=1e-5)
            assert given.dtype == np.float32


def test_some_heads_are_given_in_their_order_and_no_layer_behind_them_is_run(model: TransformersModel) -> None:
    ran: list[int] = []
    made = model.loader.load().model
    handles = [
        layer.mlp.register_forward_hook(lambda *_, at=at: ran.append(at))
        for at, layer in enumerate(made.get_decoder().layers)
    ]
    heads = [Head(1, 2), Head(0, 3), Head(1, 0)]
    some = model.attend(PROMPT, heads=heads)
    for handle in handles:
        handle.remove()
    assert set(ran) == {0}  # of layer 1 attention alone is run, layer 2 is not
    every = model.attend(PROMPT)
    rows = [head.layer * HEADS + head.head for head in heads]
    for given, whole in zip(some.tails, every.tails, strict=True):
        for one, other in zip(given, whole, strict=True):
            np.testing.assert_allclose(one, other[rows], atol=1e-6)


def test_the_shared_part_is_read_once_whatever_the_number_of_tails(model: TransformersModel) -> None:
    lengths = [len(model.chat.ids(f"<|user|>\n{SHARED}{tail}<|end|>\n<|assistant|>\n")) for tail in PROMPT.tails]
    usage = model.attend(PROMPT).usage
    assert usage.prompt_tokens == sum(lengths)
    shared = len(model.chat.ids(f"<|user|>\n{SHARED}"))
    assert usage == Usage(sum(lengths), 0, 2, cached_tokens=usage.cached_tokens)
    assert shared - 1 <= usage.cached_tokens <= shared + 4  # both tails begin alike


def test_a_text_is_read_with_what_was_expected_and_attended_to(model: TransformersModel) -> None:
    assert isinstance(model, ReadingModel)
    text = f"{SHARED}{DOGS}" * 8  # more than one piece
    ids = list(model.chat.ids(text, marked=True))
    reading = model.read(text, layers=(-1, 0))
    maps = whole_maps(model, ids)
    np.testing.assert_allclose(reading.attention, maps[[LAYERS - 1, 0]], atol=1e-5)
    with torch.no_grad():
        known = torch.log_softmax(model.loader.load().model(torch.tensor([ids])).logits[0].double(), -1)
    assert np.isnan(reading.logprobs[0])
    assert np.isnan(reading.entropies[0])
    np.testing.assert_allclose(reading.logprobs[1:], known[range(len(ids) - 1), ids[1:]], atol=1e-3)
    np.testing.assert_allclose(reading.entropies[1:], -(known.exp() * known).sum(1)[:-1], atol=1e-3)
    assert "".join(text[start:end] for start, end in reading.offsets).replace(" ", "") == text.replace(" ", "")


def test_what_is_not_there_or_too_long_is_refused(model: TransformersModel) -> None:
    with pytest.raises(ModelError, match=r"3 layers of 4 heads, not the head 3-0"):
        model.attend(PROMPT, heads=[Head(3, 0)])
    with pytest.raises(ModelError, match="does not fit into the 4096"):
        model.attend(AttentionPrompt("dogs " * 9000, ((0, 4),), ("?",)))
    with pytest.raises(ModelError, match="does not fit into the 2048"):
        model.read("dogs " * 3000)
    with pytest.raises(ModelError, match="layers 0 to 2, not 3"):
        model.read("dogs", layers=[3])


def test_what_each_head_looks_at_while_writing_is_that_of_whole_maps(model: TransformersModel) -> None:
    text = f"Repeat: {DOGS}"
    writing = model.write_watched([Message("user", text, ((8, len(text)),))], max_tokens=6)
    prompt = list(model.chat.ids(model.chat.text([Message("user", text)]).text))
    assert writing.prompt.tolist() == prompt
    assert writing.text == model.complete([Message("user", text)], Sampling(max_tokens=6)).text
    assert model.chat.decode(prompt[slice(*writing.passages[0])]).strip() == DOGS
    maps = whole_maps(model, prompt + writing.written.tolist())
    for step in range(len(writing.written)):
        row = maps[:, :, len(prompt) - 1 + step, : len(prompt) + step]
        top = np.take_along_axis(row, writing.looks[step][..., None], -1)[..., 0]
        np.testing.assert_allclose(top, row.max(-1), atol=1e-5)  # the greatest, or one as great
