"""An order of the kept chunks that an engine's prefix cache has seen before."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

from rag.types import Query, Ranking

Policy = Literal["served", "frequency"]


@dataclass(slots=True)
class Node:
    """A place in the tree of served orders: how many of the remembered ones go through it, and how they go on."""

    count: int = 0
    children: dict[str, Node] = field(default_factory=dict)


class CanonicalOrderReranker:
    """Orders the best `keep` chunks so that as many as can be stand first in an order that was served before.

    An engine with prefix caching computes a prompt anew from the first token that differs. After CacheWeaver (arXiv
    2606.19667) the order is found by a greedy walk over the prefix tree of the orders served so far: at each place the
    chunk that most of them had there, as long as one of them fits; then, and always with ``frequency``, the chunk that
    was served most often. That a chunk moves by at most `displacement` ranks, and that old orders are forgotten, is
    ours.

    Scores stay those of the ranking, so they do not fall along it. The notes say how many chunks stand as they were
    served before (``prefix``), and by how many ranks one moved at most (``moved``). Orders are remembered in this
    process; what the engine still holds of them it says itself, as ``cached_tokens`` of the usage.

    Args:
        displacement: how far a chunk may move from its rank; ``None``: anywhere.
        remembered: how many orders; the one not seen for longest is forgotten first.
    """

    def __init__(
        self, *, keep: int, displacement: int | None = 3, policy: Policy = "served", remembered: int = 4096
    ) -> None:
        self.keep = keep
        self.displacement = displacement
        self.policy: Policy = policy
        self.remembered = remembered
        self._root = Node()
        self._orders: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._served: Counter[str] = Counter()
        self._lock = Lock()

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        with self._lock:
            return [self._ordered(ranking) for ranking in rankings]

    def _ordered(self, ranking: Ranking) -> Ranking:
        ids = [hit.chunk.id for hit in ranking][: self.keep]
        order, prefix = self._walk(ids)
        self._remember(tuple(ids[at] for at in order))
        moved = max((abs(place - rank) for place, rank in enumerate(order)), default=0)
        return Ranking(tuple(ranking[rank] for rank in order), notes={"prefix": prefix, "moved": moved})

    def _walk(self, ids: Sequence[str]) -> tuple[list[int], int]:
        """The ranks in their new order, and how many of them stand first as they were served before."""
        left = list(range(len(ids)))
        order: list[int] = []
        node: Node | None = self._root
        prefix = 0
        for place in range(len(ids)):
            allowed = self._allowed(left, place)
            seen = {} if node is None else node.children
            again = [rank for rank in allowed if ids[rank] in seen]
            if again and self.policy == "served":
                taken = min(again, key=lambda rank: (-seen[ids[rank]].count, rank))
            else:
                taken = min(allowed, key=lambda rank: (-self._served[ids[rank]], rank))
            node = seen.get(ids[taken])
            prefix += node is not None
            left.remove(taken)
            order.append(taken)
        return order, prefix

    def _allowed(self, left: Sequence[int], place: int) -> Sequence[int]:
        """The ranks that may stand at `place`, so that every later one can still come within its bound.

        `left` rises. The first of it has to go when it cannot move down any further; bounds being equally wide, no
        other can be in need then, and there is always one that may.
        """
        if self.displacement is None:
            return left
        if left[0] + self.displacement <= place:
            return left[:1]
        return [rank for rank in left if rank <= place + self.displacement]

    def _remember(self, order: tuple[str, ...]) -> None:
        self._orders[order] = self._orders.get(order, 0) + 1
        self._orders.move_to_end(order)
        self._count(order, 1)
        if len(self._orders) > self.remembered:
            self._count(*self._forgotten())

    def _forgotten(self) -> tuple[tuple[str, ...], int]:
        order, times = self._orders.popitem(last=False)
        return order, -times

    def _count(self, order: tuple[str, ...], times: int) -> None:
        node = self._root
        for chunk in order:
            self._served[chunk] += times
            if not self._served[chunk]:
                del self._served[chunk]
            child = node.children.setdefault(chunk, Node())
            child.count += times
            if not child.count:
                del node.children[chunk]  # and with it all below: what remained went through it
            node = child
