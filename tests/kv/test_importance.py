from __future__ import annotations

import pytest
import torch

from rag.kv.importance import Importance, best_blocks, compressed
from rag.kv.policy.first_k import FirstTokens
from rag.testing.kv import chunk, engine, reference, tiny, tokens


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (0.0, [(0, 2)]),
        (0.34, [(0, 2), (4, 6)]),  # two of six tokens: the block with 5 + 1
        (0.67, [(0, 2), (2, 6)]),
        (1.0, [(0, 2), (2, 8)]),
    ],
)
def test_the_blocks_with_the_highest_mean_stay_in_order_behind_the_head(
    keep: float, expected: list[tuple[int, int]]
) -> None:
    scores = torch.tensor([9.0, 9.0, 2.0, 3.0, 5.0, 1.0, 0.0, 1.0])
    assert best_blocks(scores, keep=keep, head=2, block=2) == expected


def test_a_short_last_block_counts_by_its_mean_and_its_own_length() -> None:
    assert best_blocks(torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0]), keep=0.2, head=0, block=2) == [(4, 5)]


def test_importance_adds_up_layers_each_scaled_by_its_most_attended_token() -> None:
    importance = Importance(3)
    importance(0, torch.tensor([3]), torch.tensor([[[0.1, 0.3, 0.1, 0.5]], [[0.1, 0.1, 0.3, 0.5]]]))
    importance(1, torch.tensor([3]), torch.tensor([[[0.2, 0.0, 0.1, 0.7]]]))
    importance(1, torch.tensor([4]), torch.tensor([[[0.2, 0.1, 0.0, 0.3, 0.4]]]))
    assert importance.scores().tolist() == pytest.approx([0.5 + 1.0, 1.0 + 0.25, 1.0 + 0.25])


def test_a_compressed_prompt_is_what_is_left_and_everything_kept_is_exact() -> None:
    model = tiny("llama")
    reusing = engine(model, FirstTokens(tokens=100))
    whole = reusing.prefill(tokens(0, 7), [chunk(tokens(n, 20)) for n in range(1, 5)])
    question = tokens(9, 5)
    half = compressed(reusing, whole, question, keep=0.5, head=7, block=4)
    assert len(half.ids) == 7 + 40
    assert half.ids[:7] == whole.ids[:7]
    everything = compressed(reusing, whole, question, keep=1.0, head=7, block=4)
    assert everything.ids == whole.ids
    logits = reusing.question_pass(everything, question).logits
    torch.testing.assert_close(logits, reference(model, whole.ids + question), atol=1e-4, rtol=0)
