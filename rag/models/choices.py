"""The probabilities of a reply's first token, as an OpenAI-compatible server lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

from rag.models.llm import Json

MOST_TOKENS = 20
"""How many tokens OpenAI lists at most; vLLM's own limit is the same unless raised."""


def first_token(reply: Mapping[str, Json]) -> dict[str, float] | None:
    """The probability of each listed token at the first place of a whole reply; ``None`` where it lists none."""
    place: Json = dict(reply)
    for step in ("choices", 0, "logprobs", "content", 0, "top_logprobs"):
        if isinstance(step, str) and isinstance(place, dict):
            place = place.get(step)
        elif isinstance(step, int) and isinstance(place, list) and place:
            place = place[step]
        else:
            return None
    if not isinstance(place, list):
        return None
    found: dict[str, float] = {}
    for listed in place:
        token, logprob = (listed.get("token"), listed.get("logprob")) if isinstance(listed, dict) else (None, None)
        if isinstance(token, str) and isinstance(logprob, int | float):
            found[token] = found.get(token, 0.0) + exp(logprob)
    return found or None


def probabilities(tokens: Mapping[str, float], options: Sequence[str]) -> tuple[float, ...]:
    """What of `tokens` begins each option: a token counts for the option that it, without space, is a prefix of.

    A vocabulary may have a word with and without a space before it, or only its first letters, so several tokens can
    count for one option; one that begins more than one option counts for none.

    >>> probabilities({"Yes": 0.5, " Yes": 0.125, "No": 0.25, "Maybe": 0.0625}, ["Yes", "No"])
    (0.625, 0.25)
    """
    sums = [0.0] * len(options)
    for token, probability in tokens.items():
        begins = [at for at, option in enumerate(options) if token.strip() and option.startswith(token.strip())]
        if len(begins) == 1:
            sums[begins[0]] += probability
    return tuple(sums)
