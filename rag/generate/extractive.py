"""Answers quoted from the sources, without a language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from rag.generate.abstain import SENTENCE, Reason
from rag.generate.base import Outcome
from rag.generate.choose import choose
from rag.generate.select import Candidate, by_words, with_nearness
from rag.generate.terms import QuestionTerms
from rag.types import Prompt, Token

if TYPE_CHECKING:
    from rag.resources import Resources

JUDGED = 3
"""How many sentences the confidence is of, however many are quoted."""

THRESHOLD = 0.395
"""Confidence below which the answer is that the sources do not say.

With it, and MiniLM, this declines 1 % of the questions that nine sets answer (4 % of MultiHop-RAG's, at most 2 % of any
other's), 95 % of those on another subject, 20 % where only the chunks that answer are missing, 86 % of MultiHop-RAG's
questions without an answer, and 4 % of SQuAD 2's, which are near misses on purpose.
"""


class ExtractiveGenerator:
    """Quotes the sentences that support an answer best, each with its source.

    The best sentence is quoted (`rag.generate.select` says how they score), and up to `sentences` in all that go with
    it (`rag.generate.choose`). Where the confidence in them is below `threshold`, it abstains. That tells questions the
    collection is not about. It cannot tell a passage that speaks of the very thing and leaves the answer out: for that
    a model has to read.
    """

    mode: Literal["extractive"] = "extractive"

    def __init__(self, resources: Resources, *, sentences: int = 3, threshold: float | None = None) -> None:
        self.resources = resources
        self.sentences = sentences
        self.threshold = THRESHOLD if threshold is None else threshold

    def start(self, prompts: Sequence[Prompt], *, logprobs: bool = False) -> ExtractiveDecoding:
        return ExtractiveDecoding(self, prompts)

    def answer(self, prompt: Prompt) -> tuple[str, Outcome]:
        """The quoted answer with its markers, or the sentence that says there is none; and how it ended.

        Behind a draft: further quotes alone, up to `sentences` in all, or nothing.
        """
        if not prompt.evidence:
            return _abstained("no-evidence", prompt)
        reader = self.resources.index.reader()
        terms = QuestionTerms(prompt.question, reader)
        candidates = by_words(prompt, terms, reader)
        if reader.dense is not None:
            candidates = with_nearness(candidates, prompt.question, self.resources.embedder, reader.dense)
        if not candidates:
            return _abstained("weak-evidence", prompt)
        ranked = sorted(candidates, key=lambda candidate: -candidate.score)
        chosen = choose(ranked, prompt, terms, most=max(self.sentences, JUDGED))
        sure = confidence(chosen[:JUDGED], terms)
        if sure < self.threshold:
            return _abstained("weak-evidence", prompt)
        chosen = chosen[: self.sentences]
        return _written([each for each in chosen if each.quote.shown not in prompt.draft]), Outcome(
            signals={"confidence": sure}
        )


class ExtractiveDecoding:
    """One token an answer: there is nothing to wait for between its words."""

    def __init__(self, generator: ExtractiveGenerator, prompts: Sequence[Prompt]) -> None:
        self.generator = generator
        self.prompts = prompts
        self._outcomes: dict[int, Outcome] = {}

    def __iter__(self) -> Iterator[tuple[int, Token]]:
        for at, prompt in enumerate(self.prompts):
            text, self._outcomes[at] = self.generator.answer(prompt)
            if text:
                yield at, Token(text)

    def stop(self, at: int) -> None:
        """Nothing is left to give."""

    def outcome(self, at: int) -> Outcome:
        return self._outcomes[at]


def confidence(chosen: Sequence[Candidate], terms: QuestionTerms) -> float:
    """How sure it is that the best of `chosen` answers: ``.6 nearness + .3 coverage of all + .1 of its passage``.

    What has the words of the question next to what is quoted, but not in it, says little.
    """
    said = frozenset[str]().union(*(each.terms for each in chosen))
    return 0.6 * chosen[0].nearness + 0.3 * terms.share(said) + 0.1 * chosen[0].passage_coverage


def _abstained(reason: Reason, prompt: Prompt) -> tuple[str, Outcome]:
    return ("", Outcome()) if prompt.draft else (SENTENCE, Outcome(abstained=True, reason=reason))


def _written(chosen: Sequence[Candidate]) -> str:
    """The quotes with their markers: the best source first, the sentences of one source in its order."""
    first = {number: at for at, number in reversed(list(enumerate(each.quote.evidence for each in chosen)))}
    ordered = sorted(chosen, key=lambda each: (first[each.quote.evidence], each.quote.start))
    text = ""
    for candidate in ordered:
        markers = "".join(f"[{number}]" for number in (candidate.quote.evidence, *candidate.also_in))
        text += f"{candidate.quote.shown} {markers}" + (" " if candidate.quote.ends else "\n")
    return text.rstrip()
