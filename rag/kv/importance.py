"""Keep of a prompt only the blocks of tokens that the question looks at: a smaller cache to decode from.

Like SnapKV (arXiv 2404.14469) the question's tokens are the window that votes; like CRITIC (arXiv 2504.01281) a layer's
votes are scaled to [0, 1] before layers are added up, of its three terms the attention alone, read as attention
received; like TokenSelect (arXiv 2411.02886) heads vote together. Ours: one choice for all layers and heads, in blocks,
and what is kept is moved together. Not a paper's method as it stands, and never exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

import torch
from torch import Tensor

from rag.kv.base import Prefilled
from rag.kv.engine import ChunkEngine
from rag.kv.types import TokenRange


class Importance:
    """An observer of a question pass: how much the first `tokens` of the prompt are attended to."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._layers: dict[int, Tensor] = {}

    def __call__(self, layer: int, positions: Tensor, attention: Tensor) -> None:
        received = attention[:, :, : self.tokens].sum((0, 1)).cpu()
        self._layers[layer] = self._layers.get(layer, torch.zeros(self.tokens)) + received

    def scores(self) -> Tensor:
        """(tokens,), each layer scaled so that its most attended token has 1; summed."""
        return torch.stack([received / received.max() for received in self._layers.values()]).sum(0)


def compressed(
    engine: ChunkEngine, prefilled: Prefilled, question: Sequence[int], *, keep: float, head: int, block: int = 16
) -> Prefilled:
    """The prompt without the blocks that the question attends to least; go on from it with `question_pass`.

    Args:
        keep: the share of the tokens behind the head that stay, at most.
        head: how many leading tokens stay in any case: the instructions, and the attention sink.
    """
    importance = Importance(len(prefilled.ids))
    engine.question_pass(prefilled, question, observe=importance)
    return engine.select(prefilled, best_blocks(importance.scores(), keep=keep, head=head, block=block))


def best_blocks(scores: Tensor, *, keep: float, head: int, block: int) -> list[TokenRange]:
    """The head and the blocks behind it with the highest mean score, as many whole ones as `keep` allows, in order.

    >>> best_blocks(torch.tensor([0.0, 1.0, 3.0, 2.0, 0.0, 9.0]), keep=0.8, head=1, block=2)
    [(0, 1), (3, 6)]
    """
    ends = range(head, len(scores), block)
    blocks = [(start, min(start + block, len(scores))) for start in ends]
    left = floor(keep * (len(scores) - head))
    chosen: list[TokenRange] = []
    for start, end in sorted(blocks, key=lambda each: (-float(scores[each[0] : each[1]].mean()), each)):
        if end - start <= left:
            left -= end - start
            chosen.append((start, end))
    kept: list[TokenRange] = [(0, head)] if head else []
    for start, end in sorted(chosen):
        if kept and kept[-1][1] == start and kept[-1][1] > head:
            kept[-1] = (kept[-1][0], end)
        else:
            kept.append((start, end))
    return kept
