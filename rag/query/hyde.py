"""HyDE: search with imagined answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rag.query.asking import Asker, notes_on
from rag.query.base import Rewritten
from rag.types import Query


class Hyde:
    """Imagines `count` passages that answer the question; dense retrieval goes by the mean of their and its vectors.

    Passages are embedded as documents, the question as a query, and all ``count + 1`` vectors count the same. Sparse
    retrieval still goes by the question alone, and no passage is ever evidence. With `beside`, the question is also
    searched as it is and the rankings are fused. An empty reply is left out and counted.

    HyDE, Gao, Ma, Lin and Callan, ACL 2023, arXiv 2212.10496: 8 passages of at most 512 tokens at temperature 0.7.
    Where the model knows nothing of the collection's subject it leads astray.

    Raises:
        BackendError: the model failed.
    """

    def __init__(self, asker: Asker, *, count: int, seed: int | None, beside: bool) -> None:
        self.asker = asker
        self.count = count
        self.seed = seed
        self.beside = beside

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        sampling = self.asker.sampling
        # The same prompt each time: only another seed makes another passage.
        drawn = [replace(sampling, seed=None if self.seed is None else self.seed + at) for at in range(self.count)]
        made: list[Rewritten] = []
        asked = self.asker.ask(queries, [{}] * self.count, samplings=drawn)
        for query, replies in zip(queries, asked, strict=True):
            passages = tuple(text for reply in replies if (text := reply.text.strip()))
            notes = notes_on(replies, malformed=len(replies) - len(passages))
            imagined = replace(query, passages=query.passages + passages)
            made.append(Rewritten((query, imagined) if self.beside and passages else (imagined,), notes))
        return made
