"""Who answers the questions of Self-RAG: a model trained with reflection tokens, or any model that is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.errors import BackendError
from rag.models.llm import ChoosingModel, Message
from rag.trigger.asking import Asker
from rag.trigger.selfrag import Opinion
from rag.trigger.selfrag_scores import share, support, utility
from rag.types import Usage

RETRIEVE = ("[Retrieval]", "[No Retrieval]")
RELEVANT = ("[Relevant]", "[Irrelevant]")
SUPPORTED = ("[Fully supported]", "[Partially supported]", "[No support / Contradictory]")
USEFUL = tuple(f"[Utility:{mark}]" for mark in range(1, 6))


class ReflectionTokens:
    """Reads how probable the reflection tokens are, from a checkpoint that was trained with them."""

    def __init__(self, model: ChoosingModel) -> None:
        self.model = model

    def retrieve(self, question: str, draft: str) -> Opinion:
        (yes, no), usage = self._choose(question, draft, RETRIEVE)
        return Opinion(share(yes, no), usage)

    def relevance(self, question: str, draft: str, passage: str) -> Opinion:
        (yes, no), usage = self._choose(question, f"{draft}{_paragraph(passage)}", RELEVANT)
        return Opinion(share(yes, no), usage)

    def support(self, question: str, passage: str, sentence: str) -> Opinion:
        draft = f"{_paragraph(passage)}{RELEVANT[0]}{sentence}"
        (full, partial, none), usage = self._choose(question, draft, SUPPORTED)
        return Opinion(support(full, partial, none), usage)

    def utility(self, question: str, passage: str, sentence: str) -> Opinion:
        draft = f"{_paragraph(passage)}{RELEVANT[0]}{sentence}{SUPPORTED[0]}"
        marks, usage = self._choose(question, draft, USEFUL)
        return Opinion(utility(marks), usage)

    def _choose(self, question: str, draft: str, options: Sequence[str]) -> tuple[tuple[float, ...], Usage]:
        messages = [Message("user", question), *([Message("assistant", draft)] if draft else [])]
        choice = self.model.choose(messages, options)
        if not any(choice.probabilities):
            raise BackendError(
                f"the model gives none of {', '.join(options)}",
                hint="`self-rag` needs a checkpoint trained with reflection tokens; `self-rag-prompted` needs none",
            )
        return choice.probabilities, choice.usage


def _paragraph(passage: str) -> str:
    return f"{RETRIEVE[0]}<paragraph>{passage}</paragraph>"


SUPPORT: Mapping[str, float] = {"full": 1.0, "partial": 0.5, "none": 0.0}


class Prompted:
    """The same four questions put to any model in words; its answers are 0 or 1, marks, and no probabilities.

    An approximation. `askers` are for ``retrieve``, ``relevant``, ``support`` and ``useful``.
    """

    def __init__(self, askers: Mapping[str, Asker]) -> None:
        self.askers = askers

    def retrieve(self, question: str, draft: str) -> Opinion:
        return self._is_true("retrieve", {"question": question, "draft": draft})

    def relevance(self, question: str, draft: str, passage: str) -> Opinion:
        return self._is_true("relevant", {"question": question, "passage": passage})

    def support(self, question: str, passage: str, sentence: str) -> Opinion:
        said, usage = self._ask("support", {"passage": passage, "sentence": sentence})
        if said not in SUPPORT:
            raise BackendError(f"expected one of {', '.join(SUPPORT)} as support, got {said!r}")
        return Opinion(SUPPORT[str(said)], usage)

    def utility(self, question: str, passage: str, sentence: str) -> Opinion:
        said, usage = self._ask("useful", {"question": question, "sentence": sentence})
        if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= 5:
            raise BackendError(f"expected a mark from 1 to 5, got {said!r}")
        return Opinion(utility([float(mark == said) for mark in range(1, 6)]), usage)

    def _is_true(self, name: str, values: Mapping[str, str]) -> Opinion:
        said, usage = self._ask(name, values)
        if not isinstance(said, bool):
            raise BackendError(f"expected true or false as {name}, got {said!r}")
        return Opinion(float(said), usage)

    def _ask(self, name: str, values: Mapping[str, str]) -> tuple[object, Usage]:
        told = self.askers[name].ask([values])
        reply = told.replies[0]
        return (reply.get(name) if reply else None), told.usage
