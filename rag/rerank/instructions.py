"""Questions that say what they do not want."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rag.rerank.reorder import reordered
from rag.text.analyze import Analyzer
from rag.types import Chunk, Query, Ranking, Scalar

if TYPE_CHECKING:
    from rag.resources import Resources

Action = Literal["drop", "demote"]

# Only what can be nothing but an instruction. "except" and "other than" are left alone: a question for countries other
# than France is often answered by a passage that names France.
_EXCLUSION = re.compile(
    r"""\b(?:
        (?:but\s+)?(?:not|nothing)\s+(?:about|by|from|on\s+the\s+subject\s+of)
      | (?:do\s+not|don['’]t|never)\s+(?:include|mention|use|consider|cite|quote)
      | without\s+(?:mentioning|any\s+mention\s+of|including|citing)
      | (?:exclude|excluding|ignore|ignoring|leave\s+out|leaving\s+out|skip|skipping)
    )\s+(?P<what>[^.;:!?()\n]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_BETWEEN = re.compile(r"\s*,\s*(?:(?:and|or|nor)\s+)?|\s+(?:and|or|nor)\s+(?:(?:not\s+)?(?:about|by|from)\s+)?")
_FROM_HERE = re.compile(r"\s+(?:but|unless|when|where|because|if|please)\b.*$", re.IGNORECASE | re.DOTALL)


class InstructionsReranker:
    """Leaves out, or puts last, the chunks that have what the question or a standing instruction excludes.

    Instruction following for models that were not trained for it: exclusions become filters. Only plain English
    exclusions are understood (`exclusions`). A chunk has one if its words stand one after the other in the chunk's
    text, by the index's own terms, or if one of `fields` of its metadata equals it. Where everything is excluded,
    nothing is left. Scores stay as they were.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        keep: int,
        instruction: str = "",
        action: Action = "drop",
        fields: Sequence[str] = (),
    ) -> None:
        self.resources = resources
        self.keep = keep
        self.instruction = instruction
        self.action: Action = action
        self.fields = fields

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        sparse = self.resources.index.spec.sparse
        analyzer = sparse.analyzer() if sparse is not None else Analyzer()
        return [self._one(query, ranking, analyzer) for query, ranking in zip(queries, rankings, strict=True)]

    def _one(self, query: Query, ranking: Ranking, analyzer: Analyzer) -> Ranking:
        excluded = exclusions(f"{query.text}\n{self.instruction}")
        if not excluded or not ranking:
            return Ranking(ranking.hits[: self.keep])
        phrases = [(phrase.casefold(), terms) for phrase in excluded if (terms := analyzer.terms(phrase))]
        bad = {
            at
            for at, hit in enumerate(ranking)
            if any(self._has(hit.chunk, phrase, terms, analyzer) for phrase, terms in phrases)
        }
        notes: dict[str, Scalar] = {"exclusions": ", ".join(excluded), "excluded": len(bad)}
        scores = {at: hit.score for at, hit in enumerate(ranking) if at not in bad}
        if self.action == "drop":
            return Ranking(tuple(ranking[at] for at in sorted(scores))[: self.keep], notes=notes)
        return reordered(ranking, scores, keep=self.keep, origin=None, notes=notes)

    def _has(self, chunk: Chunk, phrase: str, terms: Sequence[str], analyzer: Analyzer) -> bool:
        if any(str(chunk.meta.get(field, "")).casefold() == phrase for field in self.fields):
            return True
        return _stands_in(terms, analyzer.terms(chunk.indexed_text))


def exclusions(text: str) -> list[str]:
    """What a text asks to leave out, in its own words, each once.

    >>> exclusions("How do banks lend? Not about Austria or Swiss banks, and do not mention crypto please.")
    ['Austria', 'Swiss banks', 'crypto']
    """
    found: dict[str, None] = {}
    match = _EXCLUSION.search(text)
    while match:
        # What is excluded ends where the next exclusion begins.
        following = _EXCLUSION.search(text, match.start("what"))
        what = text[match.start("what") : min(match.end(), following.start() if following else len(text))]
        for phrase in _BETWEEN.split(_FROM_HERE.sub("", what)):
            if phrase := phrase.strip(" \t,'\"“”"):
                found.setdefault(phrase, None)
        match = following
    return list(found)


def _stands_in(phrase: Sequence[str], terms: Sequence[str]) -> bool:
    """Whether the phrase's terms stand in `terms` one after the other."""
    size, first = len(phrase), phrase[0]
    wanted = list(phrase)
    return any(term == first and list(terms[at : at + size]) == wanted for at, term in enumerate(terms))
