"""An order of the kept chunks that an engine's prefix cache has seen before."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from copy import copy
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


@dataclass(frozen=True, slots=True)
class Way:
    """Chunks in an order that was served, as ranks; `served` adds up how often each place of it was."""

    length: int = 0
    served: int = 0
    ranks: tuple[int, ...] = ()


def _worth(way: Way) -> tuple[int, int]:
    return way.length, way.served


class CanonicalOrderReranker:
    """Orders the best `keep` chunks so that as many as can be stand first in an order that was served before.

    An engine with prefix caching computes a prompt anew from the first token that differs. The orders served so far are
    kept as a prefix tree, as in CacheWeaver (arXiv 2606.19667). That walks the tree greedily; a prompt has few chunks,
    so here the longest way through it is searched whole, of equally long ones the one served more often. What is not on
    the way follows, most often served first. That a chunk moves by at most `displacement` ranks, and that old orders
    are forgotten, is ours too. The policy ``frequency`` orders by how often a chunk was served alone.

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
        self._learns = True

    def frozen(self) -> CanonicalOrderReranker:
        """The same with the orders served so far; what it lays out is not remembered."""
        other = copy(self)
        other._learns = False
        return other

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        with self._lock:
            return [self._ordered(ranking) for ranking in rankings]

    def _ordered(self, ranking: Ranking) -> Ranking:
        ids = [hit.chunk.id for hit in ranking][: self.keep]
        order, prefix = self._walk(ids)
        if self._learns:
            self._remember(tuple(ids[at] for at in order))
        moved = max((abs(place - rank) for place, rank in enumerate(order)), default=0)
        return Ranking(tuple(ranking[rank] for rank in order), notes={"prefix": prefix, "moved": moved})

    def _walk(self, ids: Sequence[str]) -> tuple[list[int], int]:
        """The ranks in their new order, and how many of them stand first as they were served before."""
        left = list(range(len(ids)))
        order = list(self._way(ids, self._root, left).ranks) if self.policy == "served" else []
        left = [rank for rank in left if rank not in order]
        while left:
            allowed = self._allowed(left, len(order))
            taken = min(allowed, key=lambda rank: (-self._served[ids[rank]], rank))
            left.remove(taken)
            order.append(taken)
        return order, self._known([ids[rank] for rank in order])

    def _way(self, ids: Sequence[str], node: Node, left: Sequence[int]) -> Way:
        """The best way from `node` on through chunks that are left."""
        best = Way()
        for rank in self._allowed(left, len(ids) - len(left)) if left else ():
            child = node.children.get(ids[rank])
            if child is not None:
                rest = self._way(ids, child, [other for other in left if other != rank])
                best = max(best, Way(1 + rest.length, child.count + rest.served, (rank, *rest.ranks)), key=_worth)
        return best

    def _known(self, order: Sequence[str]) -> int:
        node: Node | None = self._root
        for length, chunk in enumerate(order):
            node = node.children.get(chunk) if node is not None else None
            if node is None:
                return length
        return len(order)

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
