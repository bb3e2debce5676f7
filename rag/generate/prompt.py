"""From a prompt's parts to the messages a chat model reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rag.errors import ConfigError
from rag.models.llm import Message
from rag.models.passages import NO_ANSWER, Block, access_keys, earlier_turns, joined
from rag.models.template import Template, as_data
from rag.models.tokens import message_tokens
from rag.types import Evidence, Prompt

FIELDS = frozenset({"question", "evidence", "history", "no_answer"})
"""What a template of the generate stage may use."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """The most tokens a block may have; ``None``: what the window leaves."""

    evidence: int | None = None
    history: int | None = None


UNBOUNDED = Budgets()


def render(
    prompt: Prompt,
    template: Template,
    *,
    tokens: int,
    count: Callable[[str], int],
    measure: Callable[[Sequence[Message]], int] | None = None,
    budgets: Budgets = UNBOUNDED,
    more: Mapping[str, str] | None = None,
) -> tuple[list[Message], tuple[int, ...]]:
    """The messages, and the numbers of the evidence that is in them.

    Where the prompt with all evidence has at most `tokens`, all is taken: one count of the whole. Otherwise evidence is
    taken whole, best score first, as much as fits beside the rest, each piece counted apart. What is taken stands in
    the given order under its number, so that a number always means the same source. What documents say is framed as
    data and cannot break out of its frame; nor can a question. A draft is the last message. Of the earlier turns the
    newest are taken that fit their budget.

    Args:
        measure: how many tokens messages have as a prompt; by `count` where it is not given.
        more: fields of the template beside `FIELDS`.

    Raises:
        ConfigError: not even one piece of evidence fits.
    """
    values = {
        "question": as_data(prompt.question),
        "history": earlier_turns(_newest(prompt.history, budgets.history, count)),
        "no_answer": NO_ANSWER,
        "evidence": "",
        **(more or {}),
    }
    draft = [Message("assistant", prompt.draft)] if prompt.draft else []
    blocks = [_block(number, part) for number, part in enumerate(prompt.evidence, 1)]

    def laid_out(taken: Sequence[int]) -> tuple[list[Message], tuple[int, ...]]:
        evidence, passages = joined([blocks[at] for at in taken])
        access = access_keys([prompt.evidence[at].access for at in taken])
        messages = template.render({**values, "evidence": evidence}, {"evidence": passages})
        shown = [replace(message, access=access) if message.passages else message for message in messages]
        return [*shown, *draft], tuple(at + 1 for at in taken)

    whole = laid_out(range(len(blocks)))
    if not blocks or (_within(budgets.evidence, blocks, count) and (measure or _measured(count))(whole[0]) <= tokens):
        return whole
    left = tokens - message_tokens([*template.render(values), *draft], count)
    left = left if budgets.evidence is None else min(left, budgets.evidence)
    costs = [count(block.text) + 1 for block in blocks]
    taken = _fitting(costs, prompt.evidence, tokens=left)
    if not taken:
        raise ConfigError(
            f"llm.context_tokens: {max(0, left)} tokens are left for sources, the smallest needs {min(costs) - 1}",
            hint="raise it to the model's window, lower ask.generate.max_tokens, or make chunks smaller",
        )
    return laid_out(taken)


def _measured(count: Callable[[str], int]) -> Callable[[Sequence[Message]], int]:
    return lambda messages: message_tokens(messages, count)


def _within(budget: int | None, blocks: Sequence[Block], count: Callable[[str], int]) -> bool:
    return budget is None or count(joined(blocks)[0]) <= budget


def _newest(
    turns: Sequence[tuple[str, str]], tokens: int | None, count: Callable[[str], int]
) -> Sequence[tuple[str, str]]:
    """The last turns, as many as fit; half a turn is none."""
    if tokens is None:
        return turns
    first = len(turns)
    while first and count(earlier_turns(turns[first - 1 :])) <= tokens:
        first -= 1
    return turns[first:]


def _fitting(costs: Sequence[int], evidence: Sequence[Evidence], *, tokens: int) -> list[int]:
    taken: list[int] = []
    for at in sorted(range(len(costs)), key=lambda at: (-evidence[at].score, at)):
        if costs[at] <= tokens:
            tokens -= costs[at]
            taken.append(at)
    return sorted(taken)


def _block(number: int, part: Evidence) -> Block:
    # The document's id, not its source: a model server has no business with the paths of this machine.
    place = str(part.location)
    named = f"{part.span.document_id}, {place}" if place else part.span.document_id
    return Block.of(number, part.text, named=named)
