"""The prompt in which a model's attention to documents is asked for: all of them, and a question behind."""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter

from rag.errors import PromptError
from rag.models.attention import AttentionPrompt
from rag.models.passages import NO_ANSWER, SEPARATOR, Block, earlier_turns
from rag.models.template import Template, as_data

FIELDS = frozenset({"question", "documents", "evidence", "history", "no_answer"})
"""What a template may use: ``{documents}``, or ``{evidence}`` as a template of the generate stage has it."""

BLANK = "N/A"
"""The query without content, against which attention is calibrated."""

BETWEEN = "\n\n"
"""What stands between two of ``{documents}``."""


def attention_prompt(
    template: Template,
    questions: Sequence[str],
    texts: Sequence[str],
    *,
    history: Sequence[tuple[str, str]] = (),
    access: tuple[str, ...] = (),
) -> AttentionPrompt:
    """The prompt that shows `texts` in their order, with a tail for each of `questions`.

    With a template of the generate stage it begins as the answer's own prompt does, so a model that keeps what it read
    reads it once for both.

    Args:
        access: for each text who may see it (`rag.models.passages.access_keys`).

    Raises:
        PromptError: the template does not name the documents once and the question behind them.
    """
    field, before, after = _halves(template)
    values = {"history": earlier_turns(history), "no_answer": NO_ANSWER, "question": ""}
    shared = before.format_map(values)
    documents: list[tuple[int, int]] = []
    passages: list[tuple[int, int]] = []
    for number, text in enumerate(texts, 1):
        start = len(shared)
        if field == "evidence":
            block = Block.of(number, text)
            passages.append((start + block.start, start + block.end))
            documents.append(passages[-1])
            shared += block.text + (SEPARATOR if number < len(texts) else "")
        else:
            shared += f"[{number}] {as_data(text)}"
            documents.append((start, len(shared)))
            shared += BETWEEN
    if field == "documents":
        after = after.lstrip("\n")
    tails = tuple(after.format_map({**values, "question": asked}) for asked in map(as_data, questions))
    system = template.system.format_map(values)
    return AttentionPrompt(
        shared, tuple(documents), tails, system, tuple(passages), access if field == "evidence" else ()
    )


def _halves(template: Template) -> tuple[str, str, str]:
    """By which field documents come in, what stands before it, and what behind."""
    named = [field for part in (template.system, template.user) for _, field, _, _ in Formatter().parse(part) if field]
    [*fields] = {"documents", "evidence"} & set(named)
    if len(fields) == 1 and named.count(fields[0]) == 1:
        field = fields[0]
        before, found, after = template.user.partition(f"{{{field}}}")
        if found and "{question}" not in template.system + before and "{question}" in after:
            return field, before, after
    raise PromptError(
        f"prompt {template.name!r}: expected {{documents}} or {{evidence}} once and {{question}} behind it"
    )
