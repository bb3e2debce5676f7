"""Citations that are checked against what they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.cite.base import Cited
from rag.cite.markers import MarkedSentence, certain, quote, read, spans_of
from rag.cite.support import Claim, SupportChecker
from rag.cite.words import Source
from rag.text.analyze import Analyzer
from rag.types import Citation, Evidence, Support

QUOTED = Support(verdict="supported", words=1.0, quoted=True)

STATES = 2
"""How many content words a sentence without a citation needs to be taken for a statement."""


class CheckedCiter:
    """Resolves markers as `rag.cite.markers.MarkerCiter` does, and says of each citation how far it carries.

    A sentence that one of its sources has word for word is supported, and nothing is computed. Sentences that state
    something and cite nothing are listed.

    Args:
        reattribute: let an unsupported sentence name the source that supports it best, if one of those given does.
            Its markers have to stand together; the text changes.
    """

    def __init__(self, checker: SupportChecker, *, reattribute: bool = False) -> None:
        self.checker = checker
        self.reattribute = reattribute
        self.analyzer = Analyzer()

    def cite(self, text: str, evidence: Sequence[Evidence], *, given: Collection[int] | None = None) -> Cited:
        numbers = sorted(range(1, len(evidence) + 1) if given is None else given)
        marked = read(text, numbers)
        sources = _Sources(evidence, self.analyzer)
        cited = [part for part in marked.sentences if part.markers]
        found = {
            part: _Judged(part.numbers, support)
            for part, support in zip(cited, self._supports(cited, sources), strict=True)
        }
        if self.reattribute:
            found |= self._moved(found, marked.text, numbers, sources)
        edited = _Edited(marked.text, [_edit(part, judged) for part, judged in found.items() if judged.moved])
        citations = tuple(
            Citation(
                edited.at(part.start),
                edited.at(part.end),
                judged.numbers,
                spans_of(part.text, judged.numbers, evidence),
                judged.support,
                part.numbers if judged.moved else (),
            )
            for part, judged in found.items()
        )
        uncited = tuple(
            (edited.at(part.start), edited.at(part.end))
            for part in marked.sentences
            if not part.markers and self._states(part.text)
        )
        return Cited(edited.text, citations, marked.dropped, uncited)

    def certain(self, text: str, given: Collection[int]) -> int:
        """Nothing where citations may move: to a source that is still to come."""
        return 0 if self.reattribute else certain(text, given)

    def _supports(self, cited: Sequence[MarkedSentence], sources: _Sources) -> list[Support]:
        quoted = [sources.quoted(part.text, part.numbers) for part in cited]
        unclear = [part for part, is_quote in zip(cited, quoted, strict=True) if not is_quote]
        checked = iter(self.checker.check([Claim(part.text, sources.of(part.numbers)) for part in unclear]))
        return [QUOTED if is_quote else next(checked) for is_quote in quoted]

    def _moved(
        self, found: Mapping[MarkedSentence, _Judged], text: str, given: Sequence[int], sources: _Sources
    ) -> dict[MarkedSentence, _Judged]:
        """The unsupported sentences that a source given supports, with that source."""
        moved = {}
        for part, judged in found.items():
            if judged.support.verdict != "unsupported" or not _stand_together(part, text):
                continue
            others = [number for number in given if number not in part.numbers]
            quoting = [number for number in others if sources.quoted(part.text, [number])]
            supports = [QUOTED] * len(quoting)
            if not quoting:
                supports = self.checker.check([Claim(part.text, sources.of([number])) for number in others])
            ranked = sorted(zip(quoting or others, supports, strict=True), key=lambda pair: _strength(pair[1]))
            if ranked and ranked[-1][1].verdict == "supported":
                moved[part] = _Judged((ranked[-1][0],), ranked[-1][1], moved=True)
        return moved

    def _states(self, text: str) -> bool:
        """Whether a sentence says something that a source would be wanted for: no question, no line before a list."""
        return not text.endswith(("?", "？", "؟", ":", "：")) and len(self.analyzer.terms(text)) >= STATES


@dataclass(frozen=True, slots=True)
class _Judged:
    numbers: tuple[int, ...]
    support: Support
    moved: bool = False


class _Sources:
    """The evidence as texts to check against, each combination of numbers read once."""

    def __init__(self, evidence: Sequence[Evidence], analyzer: Analyzer) -> None:
        self.evidence = evidence
        self.analyzer = analyzer
        self._known: dict[tuple[int, ...], Source] = {}

    def of(self, numbers: Sequence[int]) -> Source:
        key = tuple(numbers)
        if key not in self._known:
            parts = [self.evidence[number - 1] for number in key]
            context = "\n".join(heading for part in parts for heading in part.location.headings)
            self._known[key] = Source("\n\n".join(part.text for part in parts), self.analyzer, context=context)
        return self._known[key]

    def quoted(self, text: str, numbers: Sequence[int]) -> bool:
        return any(quote(text, self.evidence[number - 1]) for number in numbers)


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    text: str


class _Edited:
    """A text with stretches replaced, and where its offsets went. No offset asked for lies within a stretch."""

    def __init__(self, text: str, edits: Sequence[_Edit]) -> None:
        self.edits = sorted(edits, key=lambda edit: edit.start)
        pieces, last = [], 0
        for edit in self.edits:
            pieces += [text[last : edit.start], edit.text]
            last = edit.end
        self.text = "".join([*pieces, text[last:]])

    def at(self, offset: int) -> int:
        return offset + sum(len(edit.text) - (edit.end - edit.start) for edit in self.edits if edit.end <= offset)


def _edit(part: MarkedSentence, judged: _Judged) -> _Edit:
    return _Edit(part.markers[0].start, part.markers[-1].end, "".join(f"[{number}]" for number in judged.numbers))


def _stand_together(part: MarkedSentence, text: str) -> bool:
    """Whether nothing of the sentence stands between its markers."""
    return all(not text[one.end : other.start].strip() for one, other in pairwise(part.markers))


def _strength(support: Support) -> tuple[float, float, float]:
    rank = {"unsupported": 0, "weak": 1, "supported": 2}[support.verdict]
    return rank, support.entailment or support.cosine or 0.0, support.words
