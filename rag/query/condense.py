"""Make a follow-up question stand alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rag.models.llm import LanguageModel, Message
from rag.models.template import Template, as_data

logger = logging.getLogger(__name__)

FIELDS = frozenset({"question", "history"})
"""What the `condense` template may use."""

LONGEST_CHARACTERS = 1000


def condense(question: str, history: Sequence[tuple[str, str]], model: LanguageModel, *, prompt: str) -> str:
    """The question with what it leaves to the earlier (question, answer) turns put in, written by `model`.

    Without turns the model is not asked. A reply that cannot be a question (empty, several paragraphs, over 1000
    characters) is not used: the question comes back as it was, with a warning in the log.

    Raises:
        PromptError: `prompt`, the text of the template, asks for an unknown field.
        BackendError: the model failed.
    """
    if not history:
        return question
    template = Template.parse(prompt, name="condense", fields=FIELDS)
    return standalone(model.complete(request(question, history, template)).text, question) or question


def request(question: str, history: Sequence[tuple[str, str]], template: Template) -> list[Message]:
    """What the model is asked about a follow-up; answers cannot leave the tags around the history."""
    turns = "\n\n".join(f"Question: {as_data(asked)}\nAnswer: {as_data(answer)}" for asked, answer in history)
    return template.render({"question": question, "history": f"<history>\n{turns}\n</history>"})


def standalone(reply: str, question: str) -> str | None:
    """The question that a reply consists of; ``None``, and a warning in the log, where it cannot be one."""
    text = reply.strip().strip('"“”').strip()
    if not text or "\n\n" in text or len(text) > max(LONGEST_CHARACTERS, 2 * len(question)):
        logger.warning("the model gave no single question (%d characters): the question is asked as it is", len(text))
        return None
    return text
