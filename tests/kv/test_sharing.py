from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rag.kv.base import Stretch
from rag.kv.policy.first_k import FirstTokens
from rag.kv.policy.none import NoRepair
from rag.testing.kv import chunk, engine, reference, text, tiny, tokens

CLOSE = {"atol": 1e-4, "rtol": 0.0}
PREFIX, CHUNKS, TAIL, OTHER = tokens(0, 7), [tokens(n, 20) for n in range(1, 5)], tokens(8, 6), tokens(9, 3)


@pytest.mark.parametrize("name", ["llama", "qwen3", "mistral"])
def test_several_tails_run_over_the_same_chunks_which_stay_as_they_are(name: str) -> None:
    model = tiny(name)
    reusing = engine(model, FirstTokens(tokens=100))
    chunks = reusing.prefill(PREFIX, [*map(chunk, CHUNKS)])
    before = chunks.splice.keys[:, :, :87].clone()
    question = reusing.question_pass(chunks, TAIL)
    other = reusing.question_pass(chunks, OTHER)
    again = reusing.question_pass(chunks, TAIL)
    torch.testing.assert_close(question.logits, reference(model, chunks.ids + TAIL), **CLOSE)
    torch.testing.assert_close(other.logits, reference(model, chunks.ids + OTHER), **CLOSE)
    assert torch.equal(question.logits, again.logits)
    assert torch.equal(chunks.splice.keys[:, :, :87], before)
    assert (question.report.reused, question.report.recomputed) == (87, 6)
    with torch.no_grad():  # and the first can still be decoded from
        following = model(input_ids=torch.tensor([[5]]), past_key_values=question.cache).logits[0, -1]
    torch.testing.assert_close(following, reference(model, [*question.ids, 5]), **CLOSE)


@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3-partial"])
def test_the_tails_attention_is_that_of_eager_attention_layer_by_layer(name: str) -> None:
    model = tiny(name)
    reusing = engine(model, FirstTokens(tokens=100))
    chunks = reusing.prefill(PREFIX, [*map(chunk, CHUNKS)])
    tail = tokens(5, 150)  # more rows than a block has
    seen: dict[int, Tensor] = {}

    def observe(layer: int, positions: Tensor, attention: Tensor) -> None:
        rows = seen.setdefault(layer, torch.zeros(attention.shape[0], 150, 237))
        rows[:, positions - 87, : attention.shape[2]] = attention

    got = reusing.question_pass(chunks, tail, observe=observe)
    before = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        maps = model(input_ids=torch.tensor([got.ids]), output_attentions=True).attentions
    model.config._attn_implementation = before
    assert sorted(seen) == [0, 1, 2]
    for layer, rows in seen.items():
        torch.testing.assert_close(rows, maps[layer][0, :, 87:].float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(got.logits, reference(model, got.ids), **CLOSE)


def test_what_is_selected_moves_together_and_keeps_what_it_had_read() -> None:
    model = tiny("llama")
    reusing = engine(model, NoRepair())
    chunks = reusing.prefill(PREFIX, [*map(chunk, CHUNKS)])
    keep = ((0, 7), (27, 47), (50, 60))  # the prefix, the second chunk, half of the third
    selected = reusing.select(chunks, keep)
    assert selected.ids == chunks.ids[:7] + chunks.ids[27:47] + chunks.ids[50:60]
    assert selected.logits is None
    assert selected.report.recomputed == 0
    shift = reusing.capability.shifts[1]
    torch.testing.assert_close(
        selected.splice.keys[1, :, 7:27], shift.moved(chunks.splice.keys[1, :, 27:47], -20), atol=1e-5, rtol=1e-5
    )
    assert torch.equal(selected.splice.values[2, :, 27:37], chunks.splice.values[2, :, 50:60])
    # Chunks without repair have seen the prefix alone, so those that are left are as in a prompt of them alone.
    fresh = reusing.prefill(PREFIX, [chunk(CHUNKS[1]), chunk(CHUNKS[2], keep=((3, 13),)), text(TAIL)])
    going_on = reusing.question_pass(selected, TAIL)
    torch.testing.assert_close(going_on.logits, fresh.logits, atol=2e-4, rtol=0)


def test_selecting_everything_changes_nothing_and_keeps_the_logits() -> None:
    reusing = engine(tiny("llama"), NoRepair())
    whole = reusing.prefill(PREFIX, [*map(chunk, CHUNKS), text(TAIL)])
    same = reusing.select(whole, ((0, len(whole.ids)),))
    assert same.ids == whole.ids
    assert same.logits is whole.logits
    assert torch.equal(same.splice.view().keys, whole.splice.view().keys)


def test_stretches_that_stand_behind_what_they_saw_make_a_plain_prefill() -> None:
    model = tiny("llama")
    reusing = engine(model, FirstTokens(tokens=100))
    chunks = reusing.prefill(PREFIX, [*map(chunk, CHUNKS)])
    asked = reusing.question_pass(chunks, TAIL)
    tail = Stretch(asked.splice.take(87, 93), 0, 6, TAIL)
    sources = Stretch(chunks.splice.view(), 0, 87, chunks.ids)
    same = reusing.joined([sources, tail])
    torch.testing.assert_close(same.logits, asked.logits, **CLOSE)
    assert (same.ids, same.report.reused, same.report.recomputed) == (asked.ids, 92, 1)
    longer = reusing.joined([sources, tail, text(OTHER)])
    torch.testing.assert_close(longer.logits, reference(model, [*asked.ids, *OTHER]), **CLOSE)
    assert longer.report.recomputed == 3


def test_stretches_move_together_around_new_tokens_which_alone_are_computed() -> None:
    reusing = engine(tiny("llama"), NoRepair())
    chunks = reusing.prefill(PREFIX, [*map(chunk, CHUNKS)])
    view = chunks.splice.view()
    ranges = ((0, 7), (27, 47))  # the prefix, the second chunk
    head, second = (Stretch(view, start, end, chunks.ids[start:end]) for start, end in ranges)
    joined = reusing.joined([head, text(OTHER), second, text(TAIL)])
    assert joined.ids == PREFIX + OTHER + CHUNKS[1] + TAIL
    assert (joined.report.reused, joined.report.recomputed) == (27, 9)
    # Chunks without repair have seen the prefix alone, so this is the prompt as it is read from the store.
    fresh = reusing.prefill(PREFIX, [text(OTHER), chunk(CHUNKS[1]), text(TAIL)])
    torch.testing.assert_close(joined.logits, fresh.logits, atol=2e-4, rtol=0)


@pytest.mark.parametrize("keep", [((5, 3),), ((0, 9), (4, 12)), ((0, 99),)])
def test_ranges_that_overlap_or_lie_outside_are_refused(keep: tuple[tuple[int, int], ...]) -> None:
    reusing = engine(tiny("llama"), NoRepair())
    with pytest.raises(ValueError, match="ranges to keep"):
        reusing.select(reusing.plain(tokens(1, 20)), keep)
