"""GenQREnsemble and GenQRFusion: keywords for a question by many instructions that say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rag.models.llm import Completion
from rag.query.asking import LONGEST_CHARACTERS, Asker, notes_on
from rag.query.base import Rewritten
from rag.types import Query

INSTRUCTIONS: tuple[str, ...] = (
    "Improve the search by suggesting terms that expand the question.",
    "Suggest words that, added to the question, would find more of the right documents.",
    "List helpful keywords with which the question becomes more effective.",
    "Name synonyms and related terms for the most important words of the question.",
    "Give terms that a document which answers the question is likely to contain.",
    "Offer further words that make clear what the question is looking for.",
    "Extend the question by words of the same subject to raise the number of relevant hits.",
    "Recommend expressions an expert in the subject would search for in place of the question.",
    "Come up with names, technical terms and abbreviations that belong to the question.",
    "Provide keywords that describe the information which is wanted.",
)
"""One instruction, put in ten ways; fixed, so that a run repeats."""

_SEPARATORS = re.compile(r"(?:[^\w]|_)+")


class GenQREnsemble:
    """One query, its sparse side longer by the keywords of every instruction; a word as often as it was given.

    Repetition is meant: BM25 counts a term of the query as often as it stands there. Dense retrieval goes by the
    question alone, since a long list of words blurs its vector. A reply that is empty or longer than 1000 characters is
    left out and counted.

    GenQREnsemble, Dhole and Agichtein, ECIR 2024, arXiv 2404.03746.

    Raises:
        BackendError: the model failed.
    """

    def __init__(self, asker: Asker, *, instructions: int) -> None:
        self.asker = asker
        self.instructions = instructions

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        made: list[Rewritten] = []
        for query, replies in zip(queries, _asked(self.asker, queries, self.instructions), strict=True):
            found = [words for reply in replies if (words := keywords(reply.text))]
            notes = notes_on(replies, malformed=len(replies) - len(found))
            made.append(Rewritten((replace(query, keywords=" ".join([query.keywords, *found]).strip()),), notes))
        return made


class GenQRFusion:
    """The question, and for each instruction a query of the question and its keywords, searched and fused.

    Both retrievers see the longer text. Generative query reformulation with document fusion, Dhole, Chandradevan and
    Agichtein, arXiv 2405.17658.

    Raises:
        BackendError: the model failed.
    """

    def __init__(self, asker: Asker, *, instructions: int) -> None:
        self.asker = asker
        self.instructions = instructions

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        made: list[Rewritten] = []
        for query, replies in zip(queries, _asked(self.asker, queries, self.instructions), strict=True):
            found = [words for reply in replies if (words := keywords(reply.text))]
            notes = notes_on(replies, malformed=len(replies) - len(found))
            others = (query.rephrased(f"{query.text} {words}") for words in found)
            made.append(Rewritten((query, *others), notes))
        return made


def keywords(reply: str) -> str:
    """The words of a reply, everything else a space; nothing of one that is too long to be a list of keywords.

    >>> keywords("b; c")
    'b c'
    """
    return "" if len(reply) > LONGEST_CHARACTERS else _SEPARATORS.sub(" ", reply).strip()


def _asked(asker: Asker, queries: Sequence[Query], instructions: int) -> list[list[Completion]]:
    return asker.ask(queries, [{"instruction": instruction} for instruction in INSTRUCTIONS[:instructions]])
