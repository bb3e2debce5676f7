"""Single judgements of a language model: one prompt, one JSON reply, checked against what was asked.

Temperature 0 and a fixed seed. A prompt that was asked before is not asked again: the claims of a reference answer are
the same for every system.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from rag.models.llm import Json, LanguageModel, Message, Sampling
from rag.models.replies import object_in
from rag.models.template import Template, as_data
from rag.types import Usage

QUESTIONS = 3  # generated from an answer, as in ragas

_TEXTS: Json = {"type": "array", "items": {"type": "string"}}
_TRUTHS: Json = {"type": "array", "items": {"type": "boolean"}}
_TRUTH: Json = {"type": "boolean"}


class UnreadableVerdict(Exception):
    """The judge replied with something else than what it was asked for."""


class Verdicts:
    """What a language model says about one answer, passage or list of claims; may be asked from many threads.

    Every method raises `UnreadableVerdict`, and `BackendError` where the model fails.

    Args:
        prompt: gives the text of a template by name.
    """

    def __init__(self, model: LanguageModel, *, prompt: Callable[[str], str], seed: int = 0) -> None:
        self.model = model
        self.prompt = prompt
        self.seed = seed
        self.usage = Usage()
        self._replies: dict[tuple[Message, ...], str] = {}
        self._lock = Lock()

    def claims(self, question: str, answer: str) -> list[str]:
        """The claims of an answer, each to be understood alone; none for a refusal."""
        values = {"question": question, "answer": answer}
        return _texts(self._ask("judge-claims", values, {"claims": _TEXTS}), "claims")

    def supported(self, claims: Sequence[str], sources: Sequence[str]) -> list[bool]:
        """For each claim, whether the sources together support it."""
        values = {"claims": _numbered(claims), "sources": "\n\n".join(sources)}
        return _truths(self._ask("judge-support", values, {"supported": _TRUTHS}), "supported", len(claims))

    def questions(self, answer: str) -> tuple[list[str], bool]:
        """Questions that the answer would answer, and whether it is evasive."""
        schema: Mapping[str, Json] = {"questions": _TEXTS, "noncommittal": _TRUTH}
        reply = self._ask("judge-questions", {"answer": answer, "count": str(QUESTIONS)}, schema)
        questions = _texts(reply, "questions")
        if not questions:
            raise UnreadableVerdict("it gave no question")
        return questions, _truth(reply, "noncommittal")

    def compared(self, question: str, claims: Sequence[str], reference: Sequence[str]) -> tuple[list[bool], list[bool]]:
        """Which claims of the answer are right, and which of the reference are covered."""
        values = {"question": question, "answer": _numbered(claims), "reference": _numbered(reference)}
        reply = self._ask("judge-statements", values, {"right": _TRUTHS, "covered": _TRUTHS})
        return _truths(reply, "right", len(claims)), _truths(reply, "covered", len(reference))

    def useful(self, question: str, answer: str, passage: str) -> bool:
        """Whether a passage helps to arrive at the reference answer."""
        values = {"question": question, "answer": answer, "passage": passage}
        return _truth(self._ask("judge-passage", values, {"useful": _TRUTH}), "useful")

    def _ask(self, name: str, values: Mapping[str, str], fields: Mapping[str, Json]) -> Mapping[str, Json]:
        template = Template.parse(self.prompt(name), name=name, fields=set(values))
        messages = tuple(template.render({field: as_data(value) for field, value in values.items()}))
        with self._lock:
            text = self._replies.get(messages)
        if text is None:
            schema: Mapping[str, Json] = {
                "type": "object",
                "properties": dict(fields),
                "required": list(fields),
                "additionalProperties": False,
            }
            reply = self.model.complete(messages, Sampling(temperature=0.0, seed=self.seed, schema=schema))
            text = reply.text
            with self._lock:
                self.usage += reply.usage
                self._replies[messages] = text
        found = object_in(text)
        if found is None:
            raise UnreadableVerdict(f"{name}: it gave no JSON object: {text[:80]!r}")
        return found


def _numbered(claims: Sequence[str]) -> str:
    return "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, 1)) or "(none)"


def _texts(reply: Mapping[str, Json], field: str) -> list[str]:
    value = reply.get(field)
    if not isinstance(value, list):
        raise UnreadableVerdict(f"{field}: expected a list of texts, got {value!r:.80}")
    found = [item.strip() for item in value if isinstance(item, str)]
    if len(found) != len(value):
        raise UnreadableVerdict(f"{field}: expected a list of texts, got {value!r:.80}")
    return [item for item in found if item]


def _truths(reply: Mapping[str, Json], field: str, count: int) -> list[bool]:
    value = reply.get(field)
    if not isinstance(value, list) or len(value) != count:
        raise UnreadableVerdict(f"{field}: expected {count} verdicts, got {value!r:.80}")
    found = [item for item in value if isinstance(item, bool)]
    if len(found) != count:
        raise UnreadableVerdict(f"{field}: expected true or false, got {value!r:.80}")
    return found


def _truth(reply: Mapping[str, Json], field: str) -> bool:
    value = reply.get(field)
    if not isinstance(value, bool):
        raise UnreadableVerdict(f"{field}: expected true or false, got {value!r:.80}")
    return value
