"""How probable a reply's tokens are, as an OpenAI-compatible server lists them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log

from rag.models.llm import Json
from rag.types import Token

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
            found[token] = found.get(token, 0.0) + exp(min(0.0, logprob))
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


def listed_tokens(choice: Mapping[str, Json]) -> list[Token]:
    """The tokens of one choice of a reply, or of one piece of a stream; none where it lists none.

    `entropy` is an estimate from below (`listed_entropy`); ``None`` where only the token itself is listed.
    """
    logprobs = choice.get("logprobs")
    places = logprobs.get("content") if isinstance(logprobs, dict) else None
    found: list[Token] = []
    for place in places if isinstance(places, list) else []:
        text, logprob = (place.get("token"), place.get("logprob")) if isinstance(place, dict) else (None, None)
        if not isinstance(place, dict) or not isinstance(text, str) or not isinstance(logprob, int | float):
            continue
        top = place.get("top_logprobs")
        values = [
            value
            for other in (top if isinstance(top, list) else [])
            if isinstance(other, dict) and isinstance(value := other.get("logprob"), int | float)
        ]
        found.append(Token(text, float(logprob), listed_entropy(values) if len(values) > 1 else None))
    return found


def listed_entropy(logprobs: Iterable[float]) -> float:
    """The entropy, in nats, of a distribution of which only the most probable outcomes are known.

    All others are counted as one outcome, which makes it a lower bound, exact where they have no share.

    >>> round(listed_entropy([log(0.5), log(0.25)]), 4)  # and 0.25 on the others
    1.0397
    """
    shares = [exp(min(0.0, value)) for value in logprobs]  # rounding, or nonsense, may put one above 0
    rest = 1.0 - sum(shares)
    return -sum(share * log(share) for share in (*shares, rest) if share > 1e-12)
