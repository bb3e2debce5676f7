"""Self-consistency: several samples of an answer, and the one that most of them agree on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Literal

from rag.generate.agreement import Agreement
from rag.generate.base import Outcome, Structured
from rag.generate.llm import LanguageModelDecoding, LanguageModelGenerator
from rag.generate.shape import Shape
from rag.models.llm import Sampling
from rag.types import Prompt, Token, Usage


class ConsistentGenerator:
    """Has `generator` answer each prompt `samples` times and gives the answer that most samples agree on.

    Self-consistency (arXiv 2203.11171). The answer is one of the samples as it was written, so its citations are those
    that the model set. Of groups of one size the one whose tokens were more probable wins, where that is known, else
    the first. The share of the samples that agree is the outcome's signal ``agreement``. Samples that say the sources
    do not answer are a group like any other.

    All samples of a question have the same prompt and are asked for together, so that an engine may write them in one
    batch and read the prompt once. Nothing is given before all are there. Answers in a schema are written once.

    Args:
        temperature: at which samples are drawn.
        seed: of the first sample; each further one has the next.
    """

    mode: Literal["generated"] = "generated"

    def __init__(
        self,
        generator: LanguageModelGenerator,
        agreement: Agreement,
        *,
        samples: int = 5,
        temperature: float = 0.7,
        seed: int = 0,
    ) -> None:
        self.generator = generator
        self.agreement = agreement
        self.samples = samples
        self.temperature = temperature
        self.seed = seed

    def start(self, prompts: Sequence[Prompt], *, logprobs: bool = False) -> ConsistentDecoding:
        return ConsistentDecoding(self, prompts, logprobs=logprobs)

    def expect(self, prompt: Prompt) -> None:
        """As the generator does that is sampled from."""
        self.generator.expect(prompt)

    def structure(self, prompt: Prompt, shape: Shape) -> Structured:
        """Answer one question with a value of `shape`, as the generator does that is sampled from."""
        return self.generator.structure(prompt, shape)


class ConsistentDecoding:
    """The chosen answers, once every sample of every prompt is written."""

    def __init__(self, generator: ConsistentGenerator, prompts: Sequence[Prompt], *, logprobs: bool) -> None:
        self.generator = generator
        self.prompts = prompts
        drawn = [
            Sampling(
                max_tokens=generator.generator.max_tokens,
                temperature=generator.temperature,
                seed=generator.seed + sample,
                logprobs=logprobs,
            )
            for sample in range(generator.samples)
        ]
        each = [prompt for prompt in prompts for _ in drawn]
        self._samples = LanguageModelDecoding(generator.generator, each, drawn * len(prompts))
        self._outcomes: dict[int, Outcome] = {}
        self._stopped: set[int] = set()

    def __iter__(self) -> Iterator[tuple[int, Token]]:
        count = self.generator.samples
        written: list[list[Token]] = [[] for _ in range(count * len(self.prompts))]
        with closing(iter(self._samples)) as samples:
            for at, token in samples:
                written[at].append(token)
        for at in range(len(self.prompts)):
            mine = range(at * count, (at + 1) * count)
            chosen = self._chosen(mine.start, [written[sample] for sample in mine])
            for token in written[chosen]:
                if at in self._stopped:
                    break
                yield at, token

    def stop(self, at: int) -> None:
        self._stopped.add(at)

    def given(self, at: int) -> tuple[int, ...] | None:
        return self._samples.given(at * self.generator.samples)

    def outcome(self, at: int) -> Outcome:
        return self._outcomes[at]

    def _chosen(self, first: int, samples: Sequence[Sequence[Token]]) -> int:
        """The position of the sample that is given; its outcome is noted, with what all of them cost."""
        groups = self.generator.agreement.groups(["".join(token.text for token in tokens) for tokens in samples])
        probable = [_mean_logprob([samples[at] for at in group]) for group in groups]
        known = [each for each in probable if each is not None]
        weights = known if len(known) == len(groups) else [0.0] * len(groups)
        # Of equals, `max` takes the first.
        best, _ = max(zip(groups, weights, strict=True), key=lambda each: (len(each[0]), each[1]))
        outcomes = [self._samples.outcome(first + at) for at in range(len(samples))]
        usage = sum((outcome.usage for outcome in outcomes), Usage())
        signals = {"agreement": len(best) / len(samples)}
        self._outcomes[first // len(samples)] = replace(outcomes[best[0]], usage=usage, signals=signals)
        return first + best[0]


def _mean_logprob(samples: Sequence[Sequence[Token]]) -> float | None:
    """The mean over the samples of the mean log-probability of their tokens; ``None`` where one has none."""
    means: list[float] = []
    for tokens in samples:
        known = [token.logprob for token in tokens if token.logprob is not None]
        if not known:
            return None
        means.append(sum(known) / len(known))
    return sum(means) / len(means)
