from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rag.kv.policy.base import Policy
from rag.kv.policy.cache_craft import CacheCraft
from rag.kv.policy.first_k import FirstTokens
from rag.kv.policy.full import Full
from rag.kv.policy.hkvd import HighestDeviation
from rag.kv.policy.none import NoRepair
from rag.kv.policy.prefix import ExactPrefix
from rag.kv.types import Segment
from rag.testing.kv import MODELS, DictStore, chunk, engine, generated, reference, text, tiny, tokens

CLOSE = {"atol": 1e-4, "rtol": 0.0}


@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_whose_chunks_are_all_computed_again_has_the_logits_of_a_plain_prefill(name: str) -> None:
    model = tiny(name)
    prefix, chunks, question = tokens(0, 9), [tokens(n, 12 + 5 * n) for n in range(1, 5)], tokens(9, 6)
    expected = reference(model, sum((*chunks, question), prefix))
    for policy in (FirstTokens(tokens=1000), HighestDeviation(ratio=1.0)):
        reusing = engine(model, policy)
        for _ in ("cold", "warm"):
            got = reusing.prefill(prefix, [*map(chunk, chunks), text(question)])
            torch.testing.assert_close(got.logits, expected, **CLOSE)
    assert got.report.hits == 4
    naive = engine(model, NoRepair()).prefill(prefix, [*map(chunk, chunks), text(question)])
    assert naive.logits is not None
    assert (naive.logits - expected).abs().max() > 1e-2  # reuse without repair does differ here


@pytest.mark.parametrize("name", MODELS)
def test_a_single_chunk_in_its_own_place_needs_no_repair(name: str) -> None:
    model = tiny(name)
    prefix, passage, question = tokens(0, 9), tokens(1, 33), tokens(2, 6)
    reusing = engine(model, NoRepair())
    reusing.prefill(prefix, [chunk(passage), text(question)])
    got = reusing.prefill(prefix, [chunk(passage), text(question)])
    assert (got.report.hits, got.report.recomputed, got.report.reused) == (1, 6, 42)
    torch.testing.assert_close(got.logits, reference(model, prefix + passage + question), **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_keys_moved_by_fifty_positions_are_those_the_model_computes_there(name: str) -> None:
    model = tiny(name)
    passage = tokens(1, 33)
    reusing = engine(model, NoRepair(encode="alone"))
    made = reusing.plain(passage)
    far = [shift.moved(made.splice.keys[n, :, :33], 50) for n, shift in enumerate(reusing.capability.shifts)]
    with torch.no_grad():
        cache = reusing.model(
            input_ids=torch.tensor([passage]), position_ids=torch.arange(50, 83)[None], use_cache=True
        ).past_key_values
    for layer, keys in zip(cache.layers, far, strict=True):
        torch.testing.assert_close(keys, layer.keys[0], atol=1e-4, rtol=1e-4)


@dataclass
class Chosen:
    """Computes the given share of rows again, drawn at random."""

    share: float
    seed: int
    encode: str = "behind-prefix"
    name: str = "chosen"
    exact: bool = False
    profiles: bool = False

    def choose(self, place: object, variants: list[object], *, unbroken: bool) -> object:
        return next(iter(variants), None)

    def repair(self, request: object) -> list[Tensor]:
        rows = torch.cat([spliced.rows for spliced in request.chunks])  # type: ignore[attr-defined]
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed))
        return [rows[order[: round(self.share * len(rows))]]]


segments = st.lists(st.tuples(st.booleans(), st.integers(0, 150), st.integers(0, 5)), min_size=1, max_size=6)


@given(prefix=st.integers(0, 40), parts=segments, question=st.integers(1, 9), exact=st.booleans())
@settings(max_examples=15, deadline=None)
def test_exact_policies_equal_a_plain_prefill_over_any_order_and_lengths(
    prefix: int, parts: list[tuple[bool, int, int]], question: int, exact: bool
) -> None:
    model, policy = tiny("llama-llama3"), ExactPrefix() if exact else FirstTokens(tokens=1000)
    prompt: list[Segment] = [Segment(tokens(seed, count), cached=cached) for cached, count, seed in parts]
    prompt.append(text(tokens(7, question)))
    reusing = engine(model, policy)
    ids = tokens(99, prefix) + sum((segment.ids for segment in prompt), ())
    for _ in ("cold", "warm"):
        got = reusing.prefill(tokens(99, prefix), prompt)
        assert got.ids == ids
        assert got.report.reused + got.report.recomputed == len(ids)
        torch.testing.assert_close(got.logits, reference(model, ids), **CLOSE)
    reordered = list(reversed(prompt[:-1])) + prompt[-1:]
    got = reusing.prefill(tokens(99, prefix), reordered)
    torch.testing.assert_close(got.logits, reference(model, got.ids), **CLOSE)


POLICIES = (
    Full(),
    ExactPrefix(),
    NoRepair(),
    NoRepair(encode="alone"),
    FirstTokens(tokens=3),
    HighestDeviation(ratio=0.2),
    HighestDeviation(ratio=0.2, check=2, measure="keys+values"),
    CacheCraft(),
)
odd = st.lists(st.tuples(st.sampled_from([0, 1, 2, 9]), st.integers(0, 2)), min_size=1, max_size=7)


@given(policy=st.sampled_from(POLICIES), parts=odd, prefix=st.sampled_from([0, 1, 9]), asked=st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_policy_minds_empty_chunks_chunks_of_a_token_the_same_one_twice_or_one_that_is_the_prefix(
    policy: Policy, parts: list[tuple[int, int]], prefix: int, asked: bool
) -> None:
    model = tiny("llama")
    prompt = [chunk(tokens(seed, count)) for count, seed in parts]
    if asked or not prefix + sum(count for count, _ in parts):
        prompt.append(text(tokens(7, 2)))
    head = tokens(0, prefix)  # as a chunk of that length is
    ids = head + sum((segment.ids for segment in prompt), ())
    reusing = engine(model, policy)
    for order in (prompt, prompt, prompt[::-1], prompt):
        got = reusing.prefill(head, order)
        assert got.ids == head + sum((segment.ids for segment in order), ())
        assert got.logits is not None
        assert got.report.reused + got.report.recomputed == len(ids)
        if policy.name != "full":
            assert got.report.hits + got.report.misses == sum(bool(count) for count, _ in parts)
        assert got.logits.isfinite().all()
        if policy.exact:
            torch.testing.assert_close(got.logits, reference(model, got.ids), **CLOSE)


lengths_of_chunks = st.lists(st.integers(1, 70), min_size=1, max_size=4)


def masked_by_hand(model: object, prompt: tuple[int, ...], rows: list[int], keys: Tensor, values: Tensor) -> Tensor:
    """One row after the other, each over a cache cut to what it may see: no block, no mask."""
    from transformers.cache_utils import DynamicCache

    with torch.no_grad():
        for row in rows:
            cache = DynamicCache()
            for layer in range(len(keys)):
                cache.update(keys[layer][None, :, :row].clone(), values[layer][None, :, :row].clone(), layer)
            out = model(  # type: ignore[operator]
                input_ids=torch.tensor([[prompt[row]]]), position_ids=torch.tensor([[row]]), past_key_values=cache
            )
            for layer, held in enumerate(out.past_key_values.layers):
                keys[layer][:, row], values[layer][:, row] = held.keys[0, :, row], held.values[0, :, row]
    return out.logits[0, -1]


@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.0, 0.1, 0.5, 0.9]), lengths=lengths_of_chunks)
@settings(max_examples=6, deadline=None)
def test_scattered_rows_attend_like_one_row_after_the_other(seed: int, share: float, lengths: list[int]) -> None:
    model = tiny("qwen3")
    prefix, question = tokens(seed, 5), tokens(seed + 1, 4)
    chunks = [chunk(tokens(seed + 2 + n, length)) for n, length in enumerate(lengths)]
    policy: Policy = Chosen(share, seed)  # type: ignore[assignment]
    store = DictStore()
    engine(model, policy, store).prefill(prefix, [*chunks, text(question)])
    got = engine(model, policy, store).prefill(prefix, [*chunks, text(question)])
    before = engine(model, NoRepair(), store).prefill(prefix, [*chunks, text(question)])
    places = torch.arange(5, 5 + sum(lengths))
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    picked = places[order[: round(share * len(places))]].tolist()
    rows = sorted({*picked, *range(len(got.ids) - 4, len(got.ids))})
    known = before.splice.view()
    expected = masked_by_hand(model, got.ids, rows, known.keys.clone(), known.values.clone())
    torch.testing.assert_close(got.logits, expected, **CLOSE)
    assert got.report.recomputed == len(rows)


@pytest.mark.parametrize("policy", [Full(), ExactPrefix(), FirstTokens(tokens=1000)])
def test_decoding_goes_on_from_the_cache_as_from_the_whole_prompt(policy: Policy) -> None:
    model = tiny("llama")
    prefix, chunks, question = tokens(0, 7), [tokens(n, 20) for n in range(1, 4)], tokens(9, 5)
    reusing = engine(model, policy)
    reusing.prefill(prefix, [*map(chunk, chunks), text(question)])
    got = reusing.prefill(prefix, [*map(chunk, chunks), text(question)])
    assert got.logits is not None
    answer = [int(got.logits.argmax())]
    with torch.no_grad():
        for _ in range(150):  # more than the room behind the prompt
            out = model(input_ids=torch.tensor([[answer[-1]]]), past_key_values=got.cache, use_cache=True)
            answer.append(int(out.logits[0, -1].argmax()))
    assert answer[:20] == generated(model, got.ids, 20)
    torch.testing.assert_close(out.logits[0, -1], reference(model, [*got.ids, *answer[:-1]]), **CLOSE)


def test_generate_of_transformers_takes_the_cache() -> None:
    model = tiny("llama")
    got = engine(model, Full()).plain(tokens(1, 30))
    ids = torch.tensor([got.ids])
    got.cache.crop(-1)
    out = model.generate(ids, past_key_values=got.cache, max_new_tokens=8, min_new_tokens=8, do_sample=False)  # type: ignore[operator]
    assert out[0, 30:].tolist() == generated(model, got.ids, 8)


def test_the_models_own_attention_is_left_as_it_was() -> None:
    model = tiny("llama")
    before = model.config._attn_implementation
    engine(model, NoRepair()).prefill(tokens(0, 5), [chunk(tokens(1, 20)), text(tokens(2, 3))])
    assert model.config._attn_implementation == before


def test_kept_ranges_of_a_chunk_are_moved_together() -> None:
    """With everything computed again the prompt is that of the kept tokens alone."""
    model = tiny("llama")
    prefix, passage, question = tokens(0, 5), tokens(1, 30), tokens(2, 4)
    kept = chunk(passage, keep=((2, 9), (20, 30)))
    ids = prefix + passage[2:9] + passage[20:30] + question
    for policy in (FirstTokens(tokens=1000), ExactPrefix()):
        reusing = engine(model, policy)
        for _ in ("cold", "warm"):
            got = reusing.prefill(prefix, [kept, text(question)])
            assert got.ids == ids
            torch.testing.assert_close(got.logits, reference(model, ids), **CLOSE)
