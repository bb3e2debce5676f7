"""A question that asks several things, as the questions it is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.models.llm import Completion, Json
from rag.models.replies import object_in
from rag.query.asking import LONGEST_CHARACTERS, Asker, notes_on
from rag.query.base import Rewritten
from rag.types import Query

SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {
        "questions": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "question": {"type": "string"},
                    "depends_on": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["id", "question", "depends_on"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["questions"],
    "additionalProperties": False,
}

_REFERENCE = re.compile(r"#(\d+)\b")


@dataclass(frozen=True, slots=True)
class Node:
    """One part of a question, and the parts whose answers it stands on; its text names these as ``#id``."""

    id: int
    question: str
    depends_on: tuple[int, ...] = ()


class Decompose:
    """The question, then each of its parts as a query of its own, those first that others stand on.

    No part is answered before retrieval, so ``#1`` in a part's text becomes the question of part 1: its words are what
    the missing answer's passage is likely to share. Where the reply is no list of parts, names a part that is not
    there, goes in a circle, or has more than `most` parts or more than `depth` in a row, the question stands alone and
    the trace says so. The form follows Least-to-most prompting, Zhou et al., ICLR 2023, arXiv 2205.10625.

    Raises:
        BackendError: the model failed.
    """

    def __init__(self, asker: Asker, *, most: int, depth: int) -> None:
        self.asker = asker
        self.most = most
        self.depth = depth

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        replies = self.asker.ask(queries, [{"most": str(self.most)}])
        return [self._rewritten(query, reply) for query, [reply] in zip(queries, replies, strict=True)]

    def _rewritten(self, query: Query, reply: Completion) -> Rewritten:
        nodes = plan(object_in(reply.text), most=self.most, depth=self.depth)
        notes = notes_on([reply], malformed=int(nodes is None))
        texts = written_out(nodes or [])
        if texts == [query.text]:
            texts = []
        return Rewritten((query, *(query.rephrased(text) for text in texts)), notes)


def plan(reply: Mapping[str, Json] | None, *, most: int, depth: int) -> list[Node] | None:
    """The parts in an order in which each follows those it depends on; ``None`` if the reply is no such plan."""
    listed = reply.get("questions") if reply is not None else None
    if not isinstance(listed, list) or not 1 <= len(listed) <= most:
        return None
    nodes = [_node(each) for each in listed]
    known = {node.id: node for node in nodes if node is not None}
    if len(known) < len(nodes) or any(other not in known for node in known.values() for other in node.depends_on):
        return None
    ordered: list[Node] = []
    placed: set[int] = set()
    for _ in range(depth):
        ready = [node for node in known.values() if node.id not in placed and placed.issuperset(node.depends_on)]
        ordered += ready
        placed.update(node.id for node in ready)
    return ordered if len(ordered) == len(known) else None  # what never gets ready stands in a circle, or too deep


def written_out(nodes: Sequence[Node]) -> list[str]:
    """The text of each part, what it refers to put in its place."""
    texts: dict[int, str] = {}
    for node in nodes:
        texts[node.id] = _REFERENCE.sub(lambda found: texts.get(int(found[1]), found[0]).rstrip("?"), node.question)
    return list(dict.fromkeys(texts.values()))


def _node(value: Json) -> Node | None:
    if not isinstance(value, dict):
        return None
    number, question, depends_on = value.get("id"), value.get("question"), value.get("depends_on", [])
    if not isinstance(number, int) or not isinstance(question, str) or not isinstance(depends_on, list):
        return None
    others = [other for other in depends_on if isinstance(other, int)]
    named = {int(found) for found in _REFERENCE.findall(question)}
    if not question.strip() or len(question) > LONGEST_CHARACTERS or len(others) < len(depends_on):
        return None
    return Node(number, question.strip(), tuple(others)) if named <= set(others) else None
