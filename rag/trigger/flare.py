"""FLARE: retrieve where a token of the sentence was improbable (Jiang et al., arXiv 2305.06983)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp

from rag.errors import ModelError
from rag.text.markers import unmarked
from rag.trigger.base import Decision, Moment, MomentName, Written
from rag.types import Token


class Flare:
    """In doubt if any token of the sentence has a probability of at most `threshold`.

    Words with a token of at most `mask` are in doubt themselves and left out of the query; where nothing is left,
    nothing is retrieved. Tokens of citation markers are not looked at: their probability is about which source, not
    about what is said.

    Raises:
        ModelError: the generator gives no probabilities.
    """

    moments: frozenset[MomentName] = frozenset({"written"})
    reads_tokens = True

    def __init__(self, *, threshold: float = 0.8, mask: float = 0.4) -> None:
        self.threshold = threshold
        self.mask = mask

    def decide(self, moment: Moment) -> Decision:
        assert isinstance(moment, Written)
        known = list(probabilities(moment.sentence, moment.tokens))
        if not known:
            return Decision(retrieve=False, why="no words")
        least = min(probability for _, probability in known)
        doubts = tuple(place for place, probability in known if probability <= self.mask)
        unsure = least <= self.threshold
        return Decision(
            retrieve=unsure,
            why="an improbable token" if unsure else "all tokens are probable",
            numbers={"least": least, "threshold": self.threshold},
            doubts=doubts,
        )


def probabilities(sentence: str, tokens: Sequence[Token]) -> Iterator[tuple[tuple[int, int], float]]:
    """The range in the sentence and the probability of each token that has a word or a part of one."""
    words, start = unmarked(sentence), 0
    for token in tokens:
        end = start + len(token.text)
        if any(character.isalnum() for character in words[start:end]):
            if token.logprob is None:
                raise ModelError(
                    "the generator does not say how probable its tokens are", hint="use a server that gives `logprobs`"
                )
            yield (start, end), exp(token.logprob)
        start = end
