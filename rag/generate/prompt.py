"""From a prompt's parts to the messages a chat model reads."""

from __future__ import annotations

from collections.abc import Sequence

from rag.errors import ConfigError
from rag.generate.abstain import MARK
from rag.models.llm import Message
from rag.models.template import Template, as_data
from rag.models.tokens import estimated_message_tokens, estimated_tokens
from rag.types import Evidence, Prompt

FIELDS = frozenset({"question", "evidence", "history", "no_answer"})
"""What a template of the generate stage may use."""


def render(prompt: Prompt, template: Template, *, tokens: int) -> tuple[list[Message], tuple[int, ...]]:
    """The messages, and the numbers of the evidence that is in them.

    Evidence is taken whole, best score first, as much as fits into `tokens` (estimated) beside the rest; what is taken
    stands in the given order under its number, so that a number always means the same source. What documents say is
    framed as data and cannot break out of its frame.

    Raises:
        ConfigError: not even one piece of evidence fits.
    """
    values = {
        "question": prompt.question,
        "history": _history(prompt.history),
        "no_answer": MARK,
        "evidence": "",
    }
    left = tokens - estimated_message_tokens(template.render(values))
    blocks = [_block(number, part) for number, part in enumerate(prompt.evidence, 1)]
    taken = _fitting(blocks, prompt.evidence, tokens=left)
    if blocks and not taken:
        smallest = min(map(estimated_tokens, blocks))
        raise ConfigError(
            f"ask.generate.context_tokens: {max(0, left)} tokens are left for sources, the smallest needs {smallest}",
            hint="raise context_tokens to the model's window, lower max_tokens, or make chunks smaller",
        )
    messages = template.render({**values, "evidence": "\n".join(blocks[at] for at in taken)})
    return messages, tuple(at + 1 for at in taken)


def _fitting(blocks: Sequence[str], evidence: Sequence[Evidence], *, tokens: int) -> list[int]:
    taken: list[int] = []
    for at in sorted(range(len(blocks)), key=lambda at: (-evidence[at].score, at)):
        cost = estimated_tokens(blocks[at]) + 1
        if cost <= tokens:
            tokens -= cost
            taken.append(at)
    return sorted(taken)


def _block(number: int, part: Evidence) -> str:
    # The document's id, not its source: a model server has no business with the paths of this machine.
    place = str(part.location)
    named = f"{part.span.document_id}, {place}" if place else part.span.document_id
    where = " ".join(named.replace('"', "'").replace("<", "‹").replace(">", "›").split())
    return f'<source id="{number}" from="{where}">\n{as_data(part.text)}\n</source>'


def _history(turns: Sequence[tuple[str, str]]) -> str:
    if not turns:
        return ""
    lines = [f"Question: {as_data(question)}\nAnswer: {as_data(answer)}" for question, answer in turns]
    return "<history>\n" + "\n\n".join(lines) + "\n</history>"
