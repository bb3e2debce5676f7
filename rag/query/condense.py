"""Make a follow-up question stand alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rag.models.llm import LanguageModel
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
    turns = "\n\n".join(f"Question: {as_data(asked)}\nAnswer: {as_data(answer)}" for asked, answer in history)
    values = {"question": question, "history": f"<history>\n{turns}\n</history>"}
    reply = model.complete(template.render(values)).text.strip().strip('"“”').strip()
    if not reply or "\n\n" in reply or len(reply) > max(LONGEST_CHARACTERS, 2 * len(question)):
        logger.warning("the model gave no single question (%d characters): the question is asked as it is", len(reply))
        return question
    return reply
