from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import floor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.cache_utils import DynamicCache

from rag.errors import ModelError
from rag.kv.compress.base import CacheCompressor, ReadPrompt, budget
from rag.kv.compress.critic import Critic
from rag.kv.compress.draft import Draft
from rag.kv.compress.heads import RetrievalHeads
from rag.kv.compress.kept import HeadGroup, HeadGroups, KeptCache, decoding
from rag.kv.compress.razor import Razor
from rag.kv.compress.snapkv import SnapKV
from rag.kv.compress.tokenselect import SelectingLayer, TokenSelect
from rag.kv.policy.first_k import FirstTokens
from rag.models.local.compressing import smaller
from rag.models.local.watching import read
from rag.models.local.worker import Prompt
from rag.testing.kv import MODELS, chunk, engine, reference, step, tiny, tokens
from rag.types import CacheKept, Usage

LAYERS, HEADS, GROUP, WIDTH = 3, 2, 3, 16  # of the tiny models
RANKING = tuple((layer, head) for layer in (1, 2, 0) for head in (1, 0))


def even(ids: Sequence[int], question: int) -> Tensor:
    return torch.ones(1, 1, question)


def methods(keep: float) -> list[CacheCompressor]:
    return [
        SnapKV(keep, minimum=0),
        Critic(keep, minimum=0),
        TokenSelect(keep, minimum=0),
        RetrievalHeads(RANKING, keep, sinks=4, recent=8, minimum=0),
        Razor(RANKING, keep, sinks=4, recent=8, minimum=0),
        Draft(even, keep, minimum=0),
    ]


def read_compressed(model: PreTrainedModel, ids: tuple[int, ...], question: int, compressor: CacheCompressor) -> Prompt:
    cache = DynamicCache()
    logits = read(model, ids, cache)
    assert logits is not None
    return smaller(model, Prompt(ids, logits[-1], cache, Usage(len(ids))), question, compressor)


def kept(prompt: Prompt) -> CacheKept:
    assert prompt.usage.kept is not None
    return prompt.usage.kept


def continued(model: PreTrainedModel, got: Prompt, reply: Sequence[int]) -> Tensor:
    """The logits behind `reply`, read token by token."""
    for at, token in enumerate(reply):
        assert isinstance(got.cache, KeptCache)
        logits = step(model, got.cache, token, len(got.ids) + at)
    return logits


@pytest.mark.parametrize("name", MODELS)
def test_a_cache_of_which_everything_is_kept_goes_on_like_the_whole_prompt(name: str) -> None:
    model, ids, reply = tiny(name), tokens(1, 60), tokens(2, 5)
    for compressor in methods(1.0):
        got = read_compressed(model, ids, 50, compressor)
        torch.testing.assert_close(got.logits, reference(model, ids), atol=1e-4, rtol=0)
        torch.testing.assert_close(continued(model, got, reply), reference(model, ids + reply), atol=1e-4, rtol=0)
        assert kept(got).kept_entries == kept(got).cache_entries == LAYERS * HEADS * 60
        assert kept(got).kept_bytes == kept(got).cache_bytes


def test_the_first_token_is_exact_whatever_is_dropped_and_what_follows_is_not() -> None:
    model, ids, reply = tiny("llama"), tokens(1, 80), tokens(2, 3)
    for compressor in methods(0.25):
        got = read_compressed(model, ids, 70, compressor)
        torch.testing.assert_close(got.logits, reference(model, ids), atol=1e-4, rtol=0)
        away = (continued(model, got, reply) - reference(model, ids + reply)).abs().max()
        assert away > 1e-3


@given(keep=st.floats(0, 1), count=st.integers(2, 90), part=st.floats(0.01, 0.99))
def test_no_more_stays_than_is_to_be_kept_but_for_the_question(keep: float, count: int, part: float) -> None:
    question = max(1, floor(part * count))
    keys = torch.zeros(LAYERS, HEADS, count, 4)
    prompt = ReadPrompt(tuple(range(count)), question, keys, keys, torch.rand(LAYERS, HEADS * GROUP, question))
    for compressor in methods(keep):
        entries = sum(layer.entries for layer in compressor.compress(prompt))
        if compressor.name == "tokenselect":
            assert entries == LAYERS * HEADS * count  # it spares reading, not memory
            continue
        always = count - question  # entries a head; streaming heads: sinks, window, and the one that stands for others
        if compressor.name in ("heads", "razor"):
            always = min(count, 4 + max(8, always) + 1)
        assert entries <= LAYERS * HEADS * max(keep * count, always) + 1e-6


@pytest.mark.parametrize(
    ("keep", "minimum", "expected"),
    [(0.5, 0, 40), (0.1, 0, 0), (0.05, 0, 0), (0.1, 30, 20), (1.0, 0, 90), (0, 500, 90)],
)
def test_the_question_and_the_minimum_count_into_what_is_kept(keep: float, minimum: int, expected: int) -> None:
    keys = torch.zeros(1, 1, 100, 1)
    assert budget(ReadPrompt(tuple(range(100)), 90, keys, keys), keep, minimum) == expected


# ---- chosen sets, by hand: each entry's key is its position


def numbered(votes: list[list[list[float]]] | None, *, count: int, question: int, heads: int = 1) -> ReadPrompt:
    layers = 1 if votes is None else len(votes)
    keys = torch.arange(count, dtype=torch.float32).expand(layers, heads, count)[..., None]
    return ReadPrompt(tuple(range(count)), question, keys, keys + 100, None if votes is None else torch.tensor(votes))


def positions(layer: object) -> dict[int, list[float]]:
    """By key head the positions of what it kept."""
    assert isinstance(layer, HeadGroups)
    found = {}
    for group in layer.groups:
        torch.testing.assert_close(group.values, group.keys + 100)  # values come along with their keys
        for head, keys in zip(group.heads.tolist(), group.keys, strict=True):
            found[head] = keys[:, 0].tolist()
    return found


def test_snapkv_keeps_for_each_key_head_what_its_query_heads_attend_to_with_neighbours() -> None:
    # Two key heads of two query heads each; the question is the last token of eight.
    votes = [
        [
            [0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 0.1],  # mean of the first two: position 2 with .4, then 6
            [0.0, 0.0, 0.6, 0.0, 0.0, 0.0, 0.1],
            [0.1, 0.0, 0.0, 0.0, 0.0, 0.9, 0.0],
            [0.0, 0.3, 0.0, 0.0, 0.0, 0.1, 0.0],
        ]
    ]
    prompt = numbered(votes, count=8, question=7, heads=2)
    [layer] = SnapKV(0.5, neighbours=1, minimum=0).compress(prompt)
    assert positions(layer) == {0: [1, 2, 3, 7], 1: [4, 5, 6, 7]}
    [layer] = SnapKV(0.5, neighbours=0, minimum=0).compress(prompt)
    assert positions(layer) == {0: [0, 2, 6, 7], 1: [0, 1, 5, 7]}  # of equal ones the earlier


def test_critic_scales_layers_before_it_adds_them_up_and_all_keep_the_same() -> None:
    # Unscaled, the first layer alone would decide.
    votes = [[[9.0, 1.0, 3.0, 1.0]], [[0.1, 0.2, 0.1, 0.1]]]  # scaled: 1 0 .25 0 and 0 1 0 0
    prompt = numbered(votes, count=5, question=4)
    for layer in Critic(0.6, minimum=0).compress(prompt):
        assert positions(layer) == {0: [0, 1, 4]}


def test_draft_keeps_what_the_small_model_looks_at() -> None:
    seen: list[tuple[Sequence[int], int]] = []

    def look(ids: Sequence[int], question: int) -> Tensor:
        seen.append((ids, question))
        return torch.tensor([[[0.0, 0.1, 0.7, 0.0, 0.2, 0.0]]])

    [layer] = Draft(look, 0.5, minimum=0).compress(numbered(None, count=8, question=6))
    assert positions(layer) == {0: [2, 4, 6, 7]}
    assert seen == [(tuple(range(8)), 6)]


def test_a_model_that_drafts_for_itself_chooses_what_critic_chooses() -> None:
    model, ids = tiny("llama"), tokens(3, 60)

    def look(ids: Sequence[int], question: int) -> Tensor:
        return maps(model, ids)[:, :, question:, :question].sum(2)

    one, other = (
        read_compressed(model, ids, 50, each) for each in (Critic(0.4, minimum=0), Draft(look, 0.4, minimum=0))
    )
    assert isinstance(one.cache, KeptCache)
    assert isinstance(other.cache, KeptCache)
    for layer, expected in zip(one.cache.kept, other.cache.kept, strict=True):
        torch.testing.assert_close(layer.groups[0].keys, expected.groups[0].keys)  # type: ignore[attr-defined]


def test_retrieval_heads_keep_all_and_the_others_the_first_and_the_latest() -> None:
    ranking = ((0, 1), (0, 0))
    prompt = numbered(None, count=20, question=17, heads=2)
    # 40 entries; a streaming head keeps 2 + 4, so one head whole makes 26.
    [layer] = RetrievalHeads(ranking, 26 / 40, sinks=2, recent=4, minimum=0).compress(prompt)
    assert positions(layer) == {0: [0, 1, 16, 17, 18, 19], 1: list(range(20))}
    [layer] = RetrievalHeads(ranking, 25 / 40, sinks=2, recent=4, minimum=0).compress(prompt)
    assert set(map(len, positions(layer).values())) == {6}
    [layer] = RetrievalHeads(ranking, 0.0, sinks=2, recent=1, minimum=0).compress(prompt)
    assert positions(layer)[0] == [0, 1, 17, 18, 19]  # the question stays
    [layer] = RetrievalHeads(ranking, 0.0, sinks=8, recent=14, minimum=0).compress(prompt)
    assert positions(layer)[0] == list(range(20))  # sinks and window meet


def test_razor_puts_the_mean_of_what_is_dropped_in_its_place_counted_as_often() -> None:
    """Where all that is dropped is alike, attention is what it was."""
    torch.manual_seed(0)
    keys, values, query = torch.randn(2, 30, 8), torch.randn(2, 30, 8), torch.randn(2, 3, 8)
    keys[:, 4:22], values[:, 4:22] = keys[:, 4:5].clone(), values[:, 4:5].clone()
    prompt = ReadPrompt(tuple(range(30)), 28, keys[None], values[None])
    expected = torch.softmax(query @ keys.transpose(1, 2) * 0.3, -1) @ values
    [layer] = Razor(((0, 0), (0, 1)), 0.0, sinks=4, recent=8, minimum=0).compress(prompt)
    assert layer.entries == 2 * 13
    torch.testing.assert_close(layer.attend(query, 0.3), expected, atol=1e-5, rtol=0)
    [without] = RetrievalHeads(((0, 0), (0, 1)), 0.0, sinks=4, recent=8, minimum=0).compress(prompt)
    assert (without.attend(query, 0.3) - expected).abs().max() > 0.01


def test_tokenselect_reads_what_all_heads_of_a_layer_vote_for_and_chooses_anew_when_the_query_turns() -> None:
    keys = 9 * torch.eye(6).expand(2, 6, 6)
    layer = SelectingLayer(keys, torch.eye(6).expand(2, 6, 6), question=5, count=2, similarity=0.9)
    query = torch.zeros(2, 1, 6)
    query[0, 0, 1] = query[1, 0, 3] = 1.0  # one head asks for position 1, the other for 3
    out = layer.attend(query, 1.0)
    assert (out.sum((0, 1)) > 0).tolist() == [False, True, False, True, False, True]  # and the question, 5
    nearly = query + 0.1 * torch.eye(6)[2]
    assert (layer.attend(nearly, 1.0).sum((0, 1)) > 0).tolist() == [False, True, False, True, False, True]
    assert layer.selections == 1
    turned = torch.zeros(2, 1, 6)
    turned[:, 0, 0], turned[:, 0, 4] = 1.0, 0.9
    assert (layer.attend(turned, 1.0).sum((0, 1)) > 0).tolist() == [True, False, False, False, True, True]
    assert layer.selections == 2


# ---- against the model's own attention with everything else masked


def maps(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """(layers, heads, n, n), by the model's own plain attention."""
    before, model.config._attn_implementation = model.config._attn_implementation, "eager"
    try:
        with torch.no_grad():
            found = model(input_ids=torch.tensor([list(ids)]), output_attentions=True).attentions
    finally:
        model.config._attn_implementation = before
    return torch.stack(found)[:, 0]


@contextmanager
def seeing(model: PreTrainedModel, seen: Tensor) -> Iterator[None]:
    """Plain attention in which key head h of layer l sees the positions where seen[l, h], and what is newer."""

    def plain(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: object, **options: object
    ) -> object:
        allowed = torch.ones(key.shape[1], key.shape[2], dtype=torch.bool)
        allowed[:, : seen.shape[2]] = seen[module.layer_idx]  # type: ignore[index]
        keys, values, allowed = (part.repeat_interleave(GROUP, 0) for part in (key[0], value[0], allowed))
        scores = (query[0] @ keys.transpose(1, 2)) * options["scaling"]  # type: ignore[operator]
        weights = torch.softmax(scores.masked_fill(~allowed[:, None], -torch.inf), -1)
        return (weights @ values).transpose(0, 1)[None], None

    AttentionInterface.register("seeing", plain)
    before, model.config._attn_implementation = model.config._attn_implementation, "seeing"
    try:
        yield
    finally:
        model.config._attn_implementation = before


def test_dropped_entries_are_never_attended_to() -> None:
    model, ids, reply, question = tiny("llama"), tokens(1, 60), tokens(2, 4), 52
    votes = maps(model, ids)[:, :, question:, :question].sum(2)
    seen = torch.zeros(LAYERS, HEADS, 60, dtype=torch.bool)
    seen[:, :, question:] = True
    for layer in range(LAYERS):
        for head in range(HEADS):
            mean = votes[layer, GROUP * head : GROUP * (head + 1)].mean(0)
            best = sorted(range(question), key=lambda at, mean=mean: -float(mean[at]))[: 24 - 8]
            seen[layer, head, best] = True
    assert not torch.equal(seen[0, 0], seen[0, 1])  # heads do choose for themselves
    cache = DynamicCache()
    with torch.no_grad():
        model(input_ids=torch.tensor([ids]), past_key_values=cache)
        with seeing(model, seen):
            for token in reply:
                expected = model(input_ids=torch.tensor([[token]]), past_key_values=cache).logits[0, -1]
    got = read_compressed(model, ids, question, SnapKV(0.4, neighbours=0, minimum=0))
    torch.testing.assert_close(continued(model, got, reply), expected, atol=1e-4, rtol=0)
    assert kept(got).kept_entries == LAYERS * HEADS * 24


# ---- beside chunk reuse, and the model's own attention


def test_a_prompt_of_reused_chunks_is_made_smaller_as_one_that_was_read() -> None:
    model, prefix, chunks, question = tiny("llama"), tokens(0, 7), [tokens(n, 20) for n in range(1, 4)], tokens(9, 5)
    reusing = engine(model, FirstTokens(tokens=100))  # computes all again, so that both are exact
    ids, reply = prefix + sum(chunks, ()) + question, tokens(4, 3)
    read_before = reusing.prefill(prefix, [*map(chunk, chunks)])
    for compressor in methods(0.5):
        whole = reusing.question_pass(read_before, question)
        assert whole.logits is not None
        got = smaller(model, Prompt(ids, whole.logits, whole.cache, Usage()), len(ids) - 5, compressor)
        plain = read_compressed(model, ids, len(ids) - 5, compressor)
        assert kept(got) == kept(plain)
        torch.testing.assert_close(continued(model, got, reply), continued(model, plain, reply), atol=1e-4, rtol=0)
    # The chunks are still whole for the next question.
    torch.testing.assert_close(
        reusing.question_pass(read_before, question).logits, reference(model, ids), atol=1e-4, rtol=0
    )


def test_long_replies_outgrow_the_room_behind_the_entries() -> None:
    model, ids, reply = tiny("llama"), tokens(1, 30), tokens(2, 150)
    for compressor in methods(1.0):
        got = read_compressed(model, ids, 25, compressor)
        torch.testing.assert_close(continued(model, got, reply), reference(model, ids + reply), atol=1e-4, rtol=0)


def test_the_models_own_attention_is_back_after_a_step() -> None:
    model = tiny("llama")
    before = model.config._attn_implementation
    got = read_compressed(model, tokens(1, 30), 25, Critic(0.5, minimum=0))
    assert isinstance(got.cache, KeptCache)
    step(model, got.cache, 5, 30)
    assert model.config._attn_implementation == before
    with pytest.raises(ValueError, match="one token at a time"), decoding(model, got.cache) as options:
        model(input_ids=torch.tensor([[5, 6]]), past_key_values=got.cache, **options)
    assert model.config._attn_implementation == before


def test_short_prompts_and_those_that_are_all_question_stay_as_they_are() -> None:
    model, ids = tiny("llama"), tokens(1, 30)
    for question, minimum in ((20, 30), (0, 0)):
        got = read_compressed(model, ids, question, Critic(0.5, minimum=minimum))
        assert isinstance(got.cache, DynamicCache)
        assert got.usage.kept is None


def test_other_caches_are_none_of_its_business() -> None:
    model = tiny("llama")
    with decoding(model, DynamicCache()) as options:
        assert options == {}
        assert model.config._attn_implementation == "sdpa"


def test_a_group_of_heads_appends_its_own_heads_rows_alone() -> None:
    group = HeadGroup(torch.tensor([1]), torch.zeros(1, 2, 1), torch.zeros(1, 2, 1))
    group.append(torch.tensor([[[5.0]], [[6.0]]]), torch.tensor([[[7.0]], [[8.0]]]))
    assert (group.keys[0, :, 0].tolist(), group.values[0, :, 0].tolist()) == ([0, 0, 6], [0, 0, 8])


def test_attention_that_is_not_plain_is_refused() -> None:
    from rag.kv.compress.kept import attend_kept

    cache = KeptCache([HeadGroups([])], tokens=0)
    with pytest.raises(ModelError, match="softcap"):
        attend_kept(torch.nn.Module(), *[torch.zeros(1, 1, 1, 1)] * 3, None, kept=cache, scaling=1.0, softcap=5.0)
