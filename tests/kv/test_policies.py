from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rag.kv.layout import NOTHING, Layout
from rag.kv.policy.cache_craft import CacheCraft, context_impact, fix_overhead, order_penalty, overlap
from rag.kv.policy.first_k import FirstTokens
from rag.kv.policy.hkvd import HighestDeviation, highest
from rag.kv.policy.none import NoRepair
from rag.kv.policy.prefix import ExactPrefix
from rag.kv.recorder import Recorder
from rag.kv.types import Segment
from rag.kv.variant import Profile, Variant
from rag.testing.kv import IDENTITY, DictStore, chunk, engine, reference, text, tiny, tokens

A, B, C, D = b"a", b"b", b"c", b"d"


def test_first_k_computes_the_first_tokens_of_each_chunk_and_the_question() -> None:
    reusing = engine(tiny("llama"), FirstTokens(tokens=4))
    prompt = [chunk(tokens(1, 20)), text(tokens(2, 3)), chunk(tokens(3, 2)), text(tokens(4, 5))]
    cold = reusing.prefill(tokens(0, 10), prompt).report
    warm = reusing.prefill(tokens(0, 10), prompt).report
    assert (cold.hits, cold.misses, cold.encoded) == (0, 2, 32)  # the prefix and both chunks
    assert (warm.hits, warm.misses, warm.encoded) == (2, 0, 0)
    assert warm.recomputed == 4 + 3 + 2 + 5
    assert warm.reused == 10 + 16


def test_of_a_part_of_a_chunk_first_k_computes_what_stands_first_in_the_whole_chunk() -> None:
    reusing = engine(tiny("llama"), FirstTokens(tokens=4))
    ids = tuple(tokens(1, 20))
    parts = [Segment(ids, cached=True, keep=keep) for keep in (((0, 2), (3, 9)), ((2, 10),), ((10, 20),))]
    reusing.prefill(tokens(0, 10), [*parts, text(tokens(4, 5))])
    warm = reusing.prefill(tokens(0, 10), [*parts, text(tokens(4, 5))]).report
    assert warm.recomputed == 3 + 2 + 0 + 5


def test_hkvd_picks_the_rows_with_the_highest_deviation_and_the_earlier_of_equals() -> None:
    rows = torch.tensor([10, 11, 12, 20, 21])
    assert highest(rows, torch.tensor([1.0, 3.0, 2.0, 3.0, 0.0]), 3).tolist() == [11, 20, 12]


def test_hkvd_measures_deviation_against_a_plain_prefill_of_the_check_layer() -> None:
    model, prefix, chunks = tiny("llama"), tokens(0, 6), [tokens(1, 15), tokens(2, 18)]
    store = DictStore()
    reusing = engine(model, NoRepair(), store)
    spliced = reusing.prefill(prefix, [*map(chunk, chunks), text(tokens(3, 4))])
    fresh = reusing.plain(spliced.ids)
    deviation = (spliced.splice.keys[1] - fresh.splice.keys[1]).square().sum((0, 2))[:39]
    assert deviation[:21].max() < 1e-6  # the prefix and the first chunk saw all they should
    expected = set((21 + deviation[21:].topk(5).indices).tolist())
    picked: list[int] = []

    class Listening(HighestDeviation):
        def repair(self, request: object) -> list[torch.Tensor]:  # type: ignore[override]
            rows = super().repair(request)  # type: ignore[arg-type]
            picked.extend(rows[0].tolist())
            return list(rows)

    report = (
        engine(model, Listening(ratio=5 / 33, measure="keys"), store)
        .prefill(prefix, [*map(chunk, chunks), text(tokens(3, 4))])
        .report
    )
    assert set(picked) == expected
    assert (report.recomputed, report.scored) == (9, 39)
    assert report.scored_share == pytest.approx(1.3 / 3)


def test_hkvd_with_more_tokens_comes_nearer_to_a_plain_prefill() -> None:
    model, prompt = tiny("qwen2"), [*(chunk(tokens(n, 25)) for n in range(1, 5)), text(tokens(9, 4))]
    store, away = DictStore(), []
    for ratio in (0.0, 0.3, 0.7, 1.0):
        got = engine(model, HighestDeviation(ratio=ratio), store).prefill(tokens(0, 8), prompt)
        away.append(float((got.logits - reference(model, got.ids)).abs().mean()))
    assert away[0] > away[-1]
    assert away[-1] < 1e-4


def test_the_prefix_policy_reuses_up_to_the_first_difference_and_no_further() -> None:
    reusing = engine(tiny("llama"), ExactPrefix())
    one, two, three = (chunk(tokens(n, 20)) for n in (1, 2, 3))
    question = text(tokens(9, 4))
    reusing.prefill(tokens(0, 5), [one, two, three, question])
    again = reusing.prefill(tokens(0, 5), [one, two, three, question]).report
    swapped = reusing.prefill(tokens(0, 5), [one, three, two, question]).report
    other_system = reusing.prefill(tokens(7, 5), [one, two, three, question]).report
    assert (again.hits, again.recomputed) == (3, 4)
    assert (swapped.hits, swapped.recomputed) == (1, 44)
    assert (other_system.hits, other_system.recomputed) == (0, 64)


def test_chunks_of_another_access_list_are_not_shared() -> None:
    reusing = engine(tiny("llama"), NoRepair())
    passage = tokens(1, 20)
    reusing.prefill((), [chunk(passage, access="staff"), text(tokens(9, 2))])
    assert reusing.prefill((), [chunk(passage, access="staff"), text(tokens(9, 2))]).report.hits == 1
    assert reusing.prefill((), [chunk(passage, access="board"), text(tokens(9, 2))]).report.hits == 0
    assert reusing.prefill((), [chunk(passage), text(tokens(9, 2))]).report.hits == 0


def test_a_chunk_behind_the_prefix_is_another_than_one_behind_another_prefix() -> None:
    one = Layout.of(tokens(0, 3), [chunk(tokens(1, 9))], identity=IDENTITY, alone=False, in_context=False).chunks[0]
    other = Layout.of(tokens(5, 3), [chunk(tokens(1, 9))], identity=IDENTITY, alone=False, in_context=False).chunks[0]
    bare = [
        Layout.of(tokens(seed, 3), [chunk(tokens(1, 9))], identity=IDENTITY, alone=True, in_context=False).chunks[0]
        for seed in (0, 5)
    ]
    assert one.chunk != other.chunk
    assert bare[0].chunk == bare[1].chunk
    assert one.context == NOTHING


# Cache-Craft, by hand: chunks a and b stood in front, a got three quarters of the attention.
SEEN = Profile((A, B), (3.0, 1.0), outside=0.2, inside=0.1)


def test_context_impact_is_the_logistic_of_outside_over_inside_attention() -> None:
    assert context_impact(SEEN) == pytest.approx(0.8807970779)  # 1 / (1 + e^-2)


@pytest.mark.parametrize(
    ("before", "expected"), [([A, B], 1.0), ([A], 0.75), ([C, B], 0.25), ([C, D], 0.0), ([], 0.0), ([D, A, B, C], 1.0)]
)
def test_overlap_is_the_share_of_recorded_attention_whose_chunks_are_in_front_again(
    before: list[bytes], expected: float
) -> None:
    assert overlap(SEEN, before) == pytest.approx(expected)


def test_a_cache_that_saw_nothing_overlaps_only_with_nothing() -> None:
    nothing = Profile((), (), outside=0.0, inside=0.1)
    assert (overlap(nothing, []), overlap(nothing, [A])) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ([A, B, C], [A, B, C], 0.0),
        ([A, B, C], [C, B, A], 1.0),
        ([A, B, C], [A, C, B], 1 / 3),
        ([A, B, C, D], [B, A, D, C], 2 / 6),
        ([A, B], [B, C], 0.0),  # one in common
        ([A, B, C], [C, D, A], 1.0),  # two in common, turned round
    ],
)
def test_the_order_penalty_is_the_share_of_pairs_turned_round(
    then: list[bytes], now: list[bytes], expected: float
) -> None:
    assert order_penalty(then, now) == pytest.approx(expected)


@given(st.permutations([A, B, C, D]), st.permutations([A, B, C, D]))
def test_the_order_penalty_is_symmetric_and_turns_to_its_complement_when_one_side_is_reversed(
    one: list[bytes], other: list[bytes]
) -> None:
    assert order_penalty(one, other) == pytest.approx(order_penalty(other, one))
    assert order_penalty(one, other) + order_penalty(one, other[::-1]) == pytest.approx(1.0)


def test_the_fix_overhead_is_zero_in_the_same_context_and_grows_with_what_is_missing() -> None:
    cci = 0.8807970779
    assert fix_overhead(SEEN, [A, B]) == 0.0
    assert fix_overhead(SEEN, [B, A]) == pytest.approx(cci)  # all there, all turned round
    assert fix_overhead(SEEN, [A]) == pytest.approx(cci * 0.25)
    assert fix_overhead(SEEN, [A], alpha=2.0) == pytest.approx(cci * 0.5)
    assert fix_overhead(SEEN, [C], alpha=2.0) == 1.0


def test_of_several_variants_the_one_with_the_smallest_overhead_is_taken_and_none_at_one() -> None:
    behind_a = Variant(C, b"1", 10, 1.0, Profile((A,), (1.0,), 0.2, 0.1))
    behind_b = Variant(C, b"2", 10, 1.0, Profile((B,), (1.0,), 0.2, 0.1))
    bare = Variant(C, b"3", 10, 1.0)
    place = Layout.of((), [chunk(tokens(1, 9))], identity=IDENTITY, alone=False, in_context=True).chunks[0]
    behind = type(place)(place.start, place.end, place.ids, place.ranges, C, b"x", (B,))
    assert CacheCraft().choose(behind, [behind_a, behind_b, bare], unbroken=False) is behind_b
    assert CacheCraft(alpha=5.0).choose(behind, [behind_a], unbroken=False) is None
    assert CacheCraft().choose(behind, [bare], unbroken=False) is None


def test_the_recorder_adds_up_attention_by_chunk_as_the_paper_defines_it_and_takes_a_tokens_strongest_head() -> None:
    layout = Layout.of(
        tokens(0, 1),
        [chunk(tokens(1, 2)), text(tokens(2, 1)), chunk(tokens(3, 2))],
        identity=IDENTITY,
        alone=False,
        in_context=True,
    )
    first, second = layout.chunks  # rows 1-2 and 4-5
    recorder = Recorder(layout)
    one_layer = torch.zeros(2, 6, 6)
    one_layer[0, 4, :5] = torch.tensor([0.2, 0.1, 0.5, 0.1, 0.1])
    one_layer[1, 4, :5] = torch.tensor([0.6, 0.1, 0.1, 0.1, 0.1])
    one_layer[:, 5] = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.2, 0.4])
    for layer, factor in ((0, 1.0), (1, 0.5)):
        recorder(layer, torch.tensor([4]), factor * one_layer[:, 4:5, :5])
        recorder(layer, torch.tensor([5]), factor * one_layer[:, 5:6])
    profile, scores = recorder.profile(second)
    # Of the layer and the head that pay most, the first ones: 0.1 + 0.5 and 0.1 + 0.1.
    assert scores.tolist() == pytest.approx([0.6, 0.2])
    # The profile is the mean over the heads, 0.4 and 0.2, and over the layers (1 + 0.5) / 2 of it.
    assert profile.before == (first.chunk,)
    assert profile.inter == pytest.approx((0.45,))
    assert profile.outside == pytest.approx(0.45 / (2 * 2))
    assert profile.inside == pytest.approx(0.75 * (0.1 + 0.6) / 4)


def test_cache_craft_records_the_attention_that_eager_attention_reports() -> None:
    model, store = tiny("llama"), DictStore()
    prefix, one, two = tokens(0, 4), tokens(1, 12), tokens(2, 9)
    reusing = engine(model, CacheCraft(), store)
    got = reusing.prefill(prefix, [chunk(one), chunk(two), text(tokens(3, 3))])
    (variant, cache), *_ = [held for entries in store.held.values() for held in entries if held[0].tokens == 9]
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        maps = model(input_ids=torch.tensor([got.ids]), output_attentions=True).attentions
    model.config._attn_implementation = "sdpa"
    mean = torch.stack([layer[0].mean(0) for layer in maps]).mean(0)
    assert variant.profile is not None
    assert cache.scores is not None
    most = torch.stack(maps)[:, 0, :, 16:25, 4:16].sum(-1).amax((0, 1))
    torch.testing.assert_close(cache.scores, most, atol=1e-5, rtol=0)
    assert variant.profile.inside == pytest.approx(float(mean[16:25, 16:25].sum()) / 81, abs=1e-5)


def test_prefix_does_not_take_what_cache_craft_read_behind_reused_chunks_for_exact() -> None:
    model, store = tiny("llama"), DictStore()
    a, b, c, d, e = (chunk(tokens(n, 20)) for n in range(1, 6))
    prefix, question = tokens(0, 5), text(tokens(9, 4))
    craft, exact = engine(model, CacheCraft(alpha=0.1), store), engine(model, ExactPrefix(), store)
    for chunks in ([a], [c, b], [a, b, e]):  # `e` is read behind `b` as it was behind `c`
        read = craft.prefill(prefix, [*chunks, question])
    assert (read.report.hits, read.report.misses) == (2, 1)
    for chunks in ([a, b, d], [a, b, e]):
        got = exact.prefill(prefix, [*chunks, question])
        torch.testing.assert_close(got.logits, reference(model, got.ids), atol=1e-4, rtol=0)
    assert got.report.hits == 2  # `a` and `b`


def test_cache_craft_reuses_a_repeated_context_as_it_is_and_repairs_another() -> None:
    model = tiny("llama")
    reusing = engine(model, CacheCraft())
    one, two, three = (chunk(tokens(n, 20)) for n in (1, 2, 3))
    question = text(tokens(9, 4))
    reusing.prefill(tokens(0, 5), [one, two, three, question])
    again = reusing.prefill(tokens(0, 5), [one, two, three, question])
    assert (again.report.hits, again.report.recomputed) == (3, 4)
    torch.testing.assert_close(again.logits, reference(model, again.ids), atol=1e-4, rtol=0)
    turned = reusing.prefill(tokens(0, 5), [two, one, three, question])
    assert turned.report.hits == 3
    assert 4 < turned.report.recomputed < 64
