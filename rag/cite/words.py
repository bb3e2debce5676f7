"""How far the words of a text carry a sentence, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property

from rag.cite.facts import denied, initials, names, numbers, numbers_to_meet, without_numbers, words
from rag.text.analyze import Analyzer
from rag.text.sentences import sentences

NEAR = 0.5
"""What share of the best sentence's words another sentence needs for its numbers to count as said of the same thing."""


LONGEST_NAME = 5  # words; longer stretches are another way of saying it


@dataclass(frozen=True, slots=True)
class Wording:
    """What a text has of a sentence.

    Attributes:
        recall: share of the sentence's content words that the text has, its numbers aside, 0 to 1; 1 where there are
            none.
        missing: numbers and names of the sentence that the text does not have, or has only where it speaks of
            something else.
        contrary: content words that one of the two denies and the other does not.
        swapped: names in the place of other ones: "Owls" where the text has "Dogs bark" for "Owls bark".
    """

    recall: float
    missing: tuple[str, ...] = ()
    contrary: tuple[str, ...] = ()
    swapped: tuple[str, ...] = ()

    @property
    def at_odds(self) -> bool:
        """Whether the text says something else of the same thing, or does not give a number."""
        return bool(self.contrary or self.swapped or any(fact[0].isdigit() for fact in self.missing))


class Source:
    """A text that sentences are held against, taken apart once.

    Args:
        context: what stands over the text, its headings: words, names and numbers may come from there too.
    """

    def __init__(self, text: str, analyzer: Analyzer, *, context: str = "") -> None:
        self.text = text
        self.context = context
        self.analyzer = analyzer

    def wording(self, sentence: str) -> Wording:
        """What this text has of the sentence."""
        terms = frozenset(self.analyzer.terms(without_numbers(sentence)))
        near = self._near(frozenset(self.analyzer.terms(sentence)))
        best = near[0][0] if near else ""
        return Wording(
            len(terms & self.terms) / len(terms) if terms else 1.0,
            (*self._missing_numbers(sentence, near), *self._missing_names(sentence)),
            tuple(sorted(self._contrary(sentence, best))),
            tuple(self._swapped(sentence, best)),
        )

    def nearest(self, sentence: str, count: int) -> list[str]:
        """The sentences that share most words with `sentence`, in their order; the first ones where none does."""
        terms = frozenset(self.analyzer.terms(sentence))
        ranked = sorted(range(len(self.sentences)), key=lambda at: -len(terms & self.sentences[at][1]))
        return [self.sentences[at][0] for at in sorted(ranked[:count])]

    @cached_property
    def terms(self) -> frozenset[str]:
        return frozenset(self.analyzer.terms(f"{self.context}\n{self.text}"))

    @cached_property
    def sentences(self) -> list[tuple[str, frozenset[str]]]:
        """Its sentences, each with its terms."""
        pieces = [self.text[start:end] for start, end in sentences(self.text)]
        return [(piece, frozenset(self.analyzer.terms(piece))) for piece in pieces]

    @cached_property
    def _initials(self) -> frozenset[str]:
        return initials(f"{self.context}\n{self.text}")

    def _near(self, terms: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
        """The sentences that speak of what a sentence with these terms speaks of; the best one first."""
        shared = [(len(terms & own), piece, own) for piece, own in self.sentences]
        most = max((count for count, _, _ in shared), default=0)
        near = [each for each in shared if each[0] >= NEAR * most]
        return [(piece, own) for _, piece, own in sorted(near, key=lambda each: -each[0])]

    def _missing_numbers(self, sentence: str, near: list[tuple[str, frozenset[str]]]) -> list[str]:
        wanted = numbers(sentence)
        if not wanted:
            return []
        found = numbers_to_meet("\n".join([self.context, *(piece for piece, _ in near)]))
        return [f"{value:f}" for value in sorted(wanted - found)]

    def _missing_names(self, sentence: str) -> list[str]:
        written = names(sentence)
        own = initials(sentence) & self.terms
        missing = []
        for name in written:
            terms = self.analyzer.terms(name)
            short = name.replace(".", "").lower()
            known = any(term in self.terms for term in terms) or short in self._initials
            if terms and not known and not any(name[0].lower() in acronym for acronym in own):
                missing.append(name)
        return missing

    def _contrary(self, sentence: str, best: str) -> frozenset[str]:
        said, read = denied(sentence, self.analyzer), denied(best, self.analyzer)
        if said == read:
            return frozenset()
        return (said & set(self.analyzer.terms(best)) - read) | (read & set(self.analyzer.terms(sentence)) - said)

    def _swapped(self, sentence: str, best: str) -> Iterator[str]:
        """Names of the sentence where `best`, laid beside it, has other names between the same words.

        A first name that became a title, or a name that grew by a word, is no other name: where the next word that
        both have is a name too, the stretch is passed over.
        """
        ours, theirs = self._aligned(sentence), self._aligned(best)
        mine, other = {each.key for each in ours}, {each.key for each in theirs}
        matcher = SequenceMatcher(None, [each.key for each in ours], [each.key for each in theirs], autojunk=False)
        for tag, first, last, start, end in matcher.get_opcodes():
            if tag != "replace" or last - first > LONGEST_NAME or end - start > LONGEST_NAME:
                continue
            said = [each for each in ours[first:last] if each.is_name]
            read = [each for each in theirs[start:end] if each.is_name or (each.opens and start == 0)]
            same_name = any(each.is_name for each in (*ours[max(0, first - 1) : first], *ours[last : last + 1]))
            apart = not any(each.key in other for each in said) and not any(each.key in mine for each in read)
            if said and read and apart and not same_name:
                yield " ".join(each.text for each in said)

    def _aligned(self, sentence: str) -> list[_Word]:
        known = frozenset(names(sentence))
        return [
            _Word(word, " ".join(terms) or word.lower(), word in known, at == 0 and bool(terms) and word[0].isupper())
            for at, word in enumerate(words(sentence))
            for terms in [self.analyzer.terms(word)]
        ]


@dataclass(frozen=True, slots=True)
class _Word:
    """A word and what it compares by; `opens`: it may be a name, but its capital may be that of the sentence."""

    text: str
    key: str
    is_name: bool
    opens: bool
