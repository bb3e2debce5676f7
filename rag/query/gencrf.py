"""GenCRF: generate reformulations, cluster them by intent, weigh the clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rag.embed.base import Embedder
from rag.models.llm import Completion, Json
from rag.models.replies import object_in
from rag.models.template import as_data
from rag.query.asking import LONGEST_CHARACTERS, Asker, notes_on, texts_in
from rag.query.base import Rewritten, together
from rag.types import Query, Scalar

INSTRUCTIONS: tuple[str, ...] = (
    "Widen the question: say the setting, the field or the background that it takes for granted.",
    "Go into detail: name the particulars that a precise answer would speak of.",
    "Turn to one aspect of the question that another reader might have meant.",
)
"""Ways to reformulate that differ on purpose: context, detail, aspect."""

FURTHEST = 0.25
"""Cosine distance up to which two clusters are one."""

GROUP_SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "intents": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"query": {"type": "string"}, "relevance": {"type": "number"}},
                "required": ["query", "relevance"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["intents"],
    "additionalProperties": False,
}


class GenCrf:
    """The question at weight 1, and one query for each of up to `intents` intents, whose weights add up to 1.

    Each of three instructions gives `variants` reformulations. The model groups them and names one query for each
    intent with how relevant it is to the question (0 to 10); with `group` ``embeddings``, or where its reply is
    malformed, average-link clusters of the reformulations up to a cosine distance of 0.25 stand in, each as its medoid,
    and the trace says so. `weigh` ``similarity`` (SimDW): the cosine with the question, 0 under `floor`, normalised;
    ``relevance`` (ScoreDW): the model's figures, normalised.

    GenCRF, arXiv 2409.10909; prompts, floor and clustering are ours, the rounds of its reward model left out.

    Raises:
        BackendError: the model failed.
    """

    def __init__(
        self,
        asker: Asker,
        grouper: Asker,
        embedder: Embedder,
        *,
        variants: int,
        intents: int,
        group: Literal["llm", "embeddings"],
        weigh: Literal["similarity", "relevance"],
        floor: float,
    ) -> None:
        self.asker = asker
        self.grouper = grouper
        self.embedder = embedder
        self.variants = variants
        self.intents = intents
        self.group = group
        self.weigh = weigh
        self.floor = floor

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        values = [{"instruction": instruction, "count": str(self.variants)} for instruction in INSTRUCTIONS]
        generated = self.asker.ask(queries, values)
        found = [self._different(query, replies) for query, replies in zip(queries, generated, strict=True)]
        grouped = self._asked_to_group(queries, found) if self.group == "llm" else {}
        made: list[Rewritten] = []
        for at, (query, replies) in enumerate(zip(queries, generated, strict=True)):
            notes = notes_on(replies, malformed=sum(not self._texts(reply) for reply in replies))
            made.append(self._rewritten(query, found[at], grouped.get(at), notes))
        return made

    def _texts(self, reply: Completion) -> list[str]:
        found = object_in(reply.text)
        return (texts_in(found.get("queries"), most=self.variants) if found is not None else None) or []

    def _different(self, query: Query, replies: Sequence[Completion]) -> list[str]:
        """The reformulations in all replies, without repetitions and the question itself."""
        found: dict[str, str] = {}
        for text in (text for reply in replies for text in self._texts(reply)):
            found.setdefault(text.casefold(), text)
        found.pop(query.text.strip().casefold(), None)
        return list(found.values())

    def _asked_to_group(self, queries: Sequence[Query], found: Sequence[Sequence[str]]) -> dict[int, Completion]:
        """The model's reply by the place of its query, for queries that have reformulations."""
        places = [at for at, texts in enumerate(found) if texts]
        numbered = ["\n".join(f"{n}. {as_data(text)}" for n, text in enumerate(found[at], 1)) for at in places]
        values = [{"queries": text, "most": str(self.intents)} for text in numbered]
        return dict(zip(places, self.grouper.ask_each([queries[at] for at in places], values), strict=True))

    def _rewritten(
        self, query: Query, found: Sequence[str], grouping: Completion | None, notes: Mapping[str, Scalar]
    ) -> Rewritten:
        if not found:
            return Rewritten((query,), notes)
        intents = _named(grouping, most=self.intents) if grouping is not None else None
        if grouping is not None:
            notes = together([notes, notes_on([grouping], malformed=int(intents is None))])
        if intents is not None:
            texts = [text for text, _ in intents]
        else:
            rows = medoids(self.embedder.embed_queries(found), furthest=FURTHEST)
            texts = [found[at] for at in rows[: self.intents]]
        if intents is not None and self.weigh == "relevance":
            weights = shares([relevance for _, relevance in intents], floor=0.0)
        else:
            weights = shares(self._similarities(query, texts), floor=self.floor)
        weighed = [(text, weight) for text, weight in zip(texts, weights, strict=True) if weight > 0]
        others = (query.rephrased(text, weight=weight) for text, weight in weighed)
        return Rewritten((query, *others), {**notes, "grouped_by": "embeddings" if intents is None else "llm"})

    def _similarities(self, query: Query, texts: Sequence[str]) -> list[float]:
        vectors = self.embedder.embed_queries([query.text, *texts])
        return [float(value) for value in vectors[1:] @ vectors[0]]


def shares(scores: Sequence[float], *, floor: float) -> list[float]:
    """Scores as shares of 1, those under `floor` as 0; all 0 where none is left.

    >>> shares([0.9, 0.6, 0.3], floor=0.5)
    [0.6, 0.4, 0.0]
    """
    kept = [score if score >= floor and score > 0 else 0.0 for score in scores]
    total = sum(kept)
    return [score / total for score in kept] if total > 0 else kept


def medoids(vectors: NDArray[np.float32], *, furthest: float) -> list[int]:
    """The row nearest to all of its cluster, for each cluster, the largest cluster first, then by row.

    Agglomerative: the two clusters of the smallest mean cosine distance become one, while that is at most `furthest`.
    O(n³) for n rows; there are about ten.
    """
    distances = 1.0 - vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    clusters = [[row] for row in range(len(vectors))]
    while len(clusters) > 1:
        pairs = [(a, b) for a in range(len(clusters)) for b in range(a + 1, len(clusters))]
        a, b = min(pairs, key=lambda pair: float(distances[np.ix_(clusters[pair[0]], clusters[pair[1]])].mean()))
        if distances[np.ix_(clusters[a], clusters[b])].mean() > furthest:
            break
        clusters[a] = sorted(clusters[a] + clusters.pop(b))
    clusters.sort(key=lambda rows: (-len(rows), rows[0]))
    return [rows[int(np.argmin(distances[np.ix_(rows, rows)].sum(axis=1)))] for rows in clusters]


def _named(reply: Completion, *, most: int) -> list[tuple[str, float]] | None:
    """The model's intents; ``None`` if the reply is no such list."""
    found = object_in(reply.text)
    listed = found.get("intents") if found is not None else None
    if not isinstance(listed, list) or not listed:
        return None
    intents: list[tuple[str, float]] = []
    for each in listed[:most]:
        text, score = (each.get("query"), each.get("relevance")) if isinstance(each, dict) else (None, None)
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_CHARACTERS:
            return None
        if not isinstance(score, int | float) or not 0 <= score <= 10:
            return None
        intents.append((text.strip(), float(score)))
    return intents
