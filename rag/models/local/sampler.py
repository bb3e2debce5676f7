"""How the next token is drawn from a model's logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from rag.models.local.grammar import Grammar


@dataclass(frozen=True, slots=True)
class Drawn:
    """A token; with how probable it was and the entropy in nats, before temperature, where these were asked for."""

    token: int
    logprob: float | None = None
    entropy: float | None = None


class Sampler:
    """Draws the tokens of one reply. Temperature 0 takes the most probable one, of equals the first.

    Args:
        top_p: of the distribution after temperature, the least set of most probable tokens that has this share.
        seed: the same one draws the same reply from the same logits.
        grammar: allows at each step only what keeps to it.
    """

    def __init__(
        self,
        *,
        temperature: float,
        top_p: float = 1.0,
        seed: int | None = None,
        logprobs: bool = False,
        grammar: Grammar | None = None,
    ) -> None:
        self.temperature = temperature
        self.top_p = top_p
        self.seed = seed
        self.logprobs = logprobs
        self.grammar = grammar
        self._generator: Generator | None = None

    @property
    def finished(self) -> bool:
        """Whether the reply is whole, by its grammar."""
        return self.grammar is not None and self.grammar.finished

    def draw(self, logits: Tensor) -> Drawn:
        """The next token.

        Args:
            logits: (vocabulary,).
        """
        logits = logits.float()
        allowed = logits if self.grammar is None else self.grammar.masked(logits)
        token = int(allowed.argmax()) if self.temperature == 0 else self._sampled(allowed)
        if self.grammar is not None:
            self.grammar.take(token)
        if not self.logprobs:
            return Drawn(token)
        known = torch.log_softmax(logits, -1)
        entropy = float(torch.special.entr(known.exp()).sum())
        return Drawn(token, float(known[token]), entropy)

    def _sampled(self, logits: Tensor) -> int:
        # Drawn on the processor, so that a seed means the same on every device.
        probabilities = torch.softmax(logits / self.temperature, -1).cpu()
        if self.top_p < 1:
            ordered, tokens = probabilities.sort(descending=True)
            dropped = ordered.cumsum(0) - ordered >= self.top_p  # the one that reaches the share stays
            probabilities[tokens[dropped]] = 0
        return int(torch.multinomial(probabilities, 1, generator=self._drawing()))

    def _drawing(self) -> Generator:
        if self._generator is None:
            self._generator = Generator()
            if self.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(self.seed)
        return self._generator
