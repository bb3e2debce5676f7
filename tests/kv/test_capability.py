from __future__ import annotations

import pytest
import torch
import transformers

from rag.errors import ModelError
from rag.kv.capability import capability
from rag.kv.policy.none import NoRepair
from rag.testing.kv import SHAPE, WITHOUT_HEAD_DIM, chunk, engine, make, reference, rope, text, tiny, tokens

MLA = {
    **{key: value for key, value in WITHOUT_HEAD_DIM.items() if key != "num_key_value_heads"},
    "num_key_value_heads": 6,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 32,
    "kv_lora_rank": 32,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "first_k_dense_replace": 3,
}
OPT = {
    "vocab_size": 300,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "word_embed_proj_dim": 48,
}
REFUSED = {
    "learned positions": ("OPT", OPT, "rotary"),
    "latent attention": ("DeepseekV3", MLA, "latent"),
    "length-dependent rotation": (
        "Llama",
        {**SHAPE, "max_position_embeddings": 64, "rope_parameters": rope(rope_type="dynamic", factor=4.0)},
        "length",
    ),
    "capped logits": ("Gemma2", SHAPE, "caps the logits"),
    "attention biased by distance": (
        "Bloom",
        {"vocab_size": 300, "hidden_size": 48, "n_layer": 2, "n_head": 4},
        "rotary",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_architecture_that_cannot_be_spliced_is_refused_with_the_reason(case: str) -> None:
    family, options, reason = REFUSED[case]
    with pytest.raises(ModelError, match=reason):
        capability(make(family, options))


def test_attention_sinks_are_refused_by_the_attention_itself() -> None:
    options = {**SHAPE, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 512}
    with pytest.raises(ModelError, match="s_aux"):
        engine(make("GptOss", options), NoRepair()).plain(tokens(0, 9))


def test_a_prompt_within_the_sliding_window_is_exact_and_a_longer_one_is_refused() -> None:
    model = make("Mistral", {**SHAPE, "sliding_window": 50, "rope_parameters": rope()})
    reusing = engine(model, NoRepair())
    ids = tokens(0, 50)
    torch.testing.assert_close(reusing.plain(ids).logits, reference(model, ids), atol=1e-4, rtol=0)
    with pytest.raises(ModelError, match="sliding window of 50"):
        reusing.prefill(ids, [text(tokens(1, 1))])


def test_each_layer_moves_by_its_own_rotation() -> None:
    found = capability(tiny("smollm3"))  # every fourth layer without positions: none of three
    assert [shift.width for shift in found.shifts] == [8, 8, 8]
    partial = capability(tiny("phi3-partial")).shifts[0]
    assert (partial.width, partial.pairs) == (4, "halves")  # half of 8 channels
    assert capability(tiny("glm4-interleaved")).shifts[0].pairs == "interleaved"
    four = capability(make("SmolLM3", {**WITHOUT_HEAD_DIM, "num_hidden_layers": 4, "rope_parameters": rope()}))
    assert [shift.width for shift in four.shifts] == [8, 8, 8, 0]


def test_a_model_that_computes_something_else_in_pieces_is_refused_by_the_self_test() -> None:
    class Odd(transformers.LlamaForCausalLM):
        def forward(self, *args: object, **kwargs: object) -> object:
            out = super().forward(*args, **kwargs)  # type: ignore[arg-type]
            out.logits = out.logits + kwargs["position_ids"].float().mean() if "position_ids" in kwargs else out.logits
            return out

    model = Odd(transformers.LlamaConfig(**SHAPE, rope_parameters=rope())).eval()
    with pytest.raises(ModelError, match="differ from a plain prefill"):
        engine(model, NoRepair()).prefill((), [chunk(tokens(0, 5)), text(tokens(1, 2))])


def test_bfloat16_models_pass_the_probe() -> None:
    model = make("Llama", {**SHAPE, "rope_parameters": rope()}).to(torch.bfloat16)
    got = engine(model, NoRepair()).prefill(tokens(0, 5), [chunk(tokens(1, 30)), text(tokens(2, 3))])
    assert got.logits is not None
    assert got.cache.layers[0].keys.dtype == torch.bfloat16
