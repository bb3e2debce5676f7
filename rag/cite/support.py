"""Whether the evidence carries what a sentence says.

Three looks, each on top of the one before. Words (`rag.cite.words`) always: the share of the sentence's content words
in the evidence, and its numbers, names and negations. An embedder, where asked for: how near the nearest sentence of
the evidence is, for what is said in other words. A model of entailment, where one is set: it decides, and the words
can only lower what it says. As in SummaC (arXiv 2111.09525) it reads the sentence against single sentences of the
evidence, and the best of them counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.cite.words import Source, Wording
from rag.types import Support, Verdict

if TYPE_CHECKING:
    from rag.embed.base import Embedder
    from rag.models.entailment import Entailment, EntailmentModel

COMPARED = 4
"""How many sentences of the evidence an embedder or a model reads for one of the answer: those with most its words."""

REMEMBERED = 4096  # claims; then all are forgotten

LIKELY = 0.5
"""The probability above which a model is taken to say that the evidence implies a sentence, or rules it out."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a verdict turns: shares of content words, and the cosine that stands for the words of a paraphrase."""

    supported: float = 0.6
    weak: float = 0.4
    cosine: float = 0.7


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the answer without its markers, and the evidence it names, read as one text."""

    text: str
    source: Source


class SupportChecker:
    """Checks claims, all of an answer at once. Remembers what it found: a streamed answer is checked as it grows."""

    def __init__(
        self, *, thresholds: Thresholds, embedder: Embedder | None = None, model: EntailmentModel | None = None
    ) -> None:
        self.thresholds = thresholds
        self.embedder = embedder
        self.model = model
        self._known: dict[tuple[str, str, str], Support] = {}

    def check(self, claims: Sequence[Claim]) -> list[Support]:
        """The support of each claim, in their order."""
        keys = [(claim.text, claim.source.text, claim.source.context) for claim in claims]
        new = {key: claim for key, claim in zip(keys, claims, strict=True) if key not in self._known}
        found = dict(zip(new, self._checked(list(new.values())), strict=True))
        supports = [found[key] if key in found else self._known[key] for key in keys]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known.update(found)
        return supports

    def _checked(self, claims: Sequence[Claim]) -> list[Support]:
        if not claims:
            return []
        wordings = [claim.source.wording(claim.text) for claim in claims]
        nearest: list[list[str]] = [[]] * len(claims)
        if self.embedder is not None or self.model is not None:
            nearest = [claim.source.nearest(claim.text, COMPARED) for claim in claims]
        cosines = self._cosines(claims, nearest)
        implied = self._implied(claims, nearest)
        return [
            self._support(wording, cosine, entailment)
            for wording, cosine, entailment in zip(wordings, cosines, implied, strict=True)
        ]

    def _support(self, wording: Wording, cosine: float | None, entailment: Entailment | None) -> Support:
        return Support(
            verdict=verdict(wording, self.thresholds, cosine=cosine, entailment=entailment),
            words=wording.recall,
            missing=wording.missing,
            contrary=wording.contrary,
            swapped=wording.swapped,
            cosine=cosine,
            entailment=entailment.entailed if entailment else None,
            contradiction=entailment.contradicted if entailment else None,
        )

    def _cosines(self, claims: Sequence[Claim], nearest: Sequence[Sequence[str]]) -> list[float | None]:
        """Of each claim with the nearest of its sentences."""
        if self.embedder is None:
            return [None] * len(claims)
        texts = [text for claim, near in zip(claims, nearest, strict=True) for text in (claim.text, *near)]
        vectors = self.embedder.embed_documents([fitting(text, self.embedder) for text in texts])
        found: list[float | None] = []
        at = 0
        for near in nearest:
            own, others = vectors[at], vectors[at + 1 : at + 1 + len(near)]
            found.append(float((others @ own).max()) if len(near) else 0.0)
            at += 1 + len(near)
        return found

    def _implied(self, claims: Sequence[Claim], nearest: Sequence[Sequence[str]]) -> list[Entailment | None]:
        if self.model is None:
            return [None] * len(claims)
        pairs = [
            (premise, claim.text) for claim, near in zip(claims, nearest, strict=True) for premise in _premises(near)
        ]
        read = iter(self.model.read(pairs))
        found: list[Entailment | None] = []
        for near in nearest:
            of_claim = [next(read) for _ in _premises(near)]
            found.append(max(of_claim, key=lambda each: each.entailed))
        return found


def verdict(
    wording: Wording,
    thresholds: Thresholds,
    *,
    cosine: float | None = None,
    entailment: Entailment | None = None,
) -> Verdict:
    """What the numbers come to.

    - A number that the evidence does not give, a denial of what it says, or another name in a name's place:
      unsupported, whatever else.
    - With a model: supported where it says implied, unsupported where it says ruled out, else weak.
    - Without: supported from `Thresholds.supported` of the words (or `Thresholds.cosine`), unsupported below `weak`.
    - A name that the evidence does not have makes supported weak.
    """
    if wording.at_odds:
        return "unsupported"
    if entailment is not None:
        if entailment.entailed >= LIKELY:
            return "weak" if wording.missing else "supported"
        return "unsupported" if entailment.contradicted >= LIKELY else "weak"
    near = cosine is not None and cosine >= thresholds.cosine
    if wording.recall >= thresholds.supported or near:
        return "weak" if wording.missing else "supported"
    return "weak" if wording.recall >= thresholds.weak else "unsupported"


def fitting(text: str, embedder: Embedder) -> str:
    """The beginning of `text` that the embedder can read."""
    tokenizer = embedder.tokenizer
    offsets = tokenizer.offsets(text)
    return text if len(offsets) <= tokenizer.max_tokens else text[: offsets[tokenizer.max_tokens - 1][1]]


def _premises(near: Sequence[str]) -> list[str]:
    """Each sentence, and all of them in their order: some claims rest on two."""
    return [*near, " ".join(near)] if len(near) > 1 else list(near) or [""]
