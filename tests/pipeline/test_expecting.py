"""A generator that can get ready is told what was retrieved before the other stages choose from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from rag import Components
from rag.load.base import Source
from rag.models.llm import Message
from rag.models.passages import access_key
from rag.pipeline.run import EXPECTED
from rag.testing.models import ScriptedModel
from rag.types import Query, Ranking


class Keeping(ScriptedModel):
    """Notes what it is told to preload among what else happens."""

    def __init__(self, replies: Sequence[str], happened: list[str]) -> None:
        super().__init__(replies)
        self.happened = happened
        self.told: list[Message] = []

    def preload(self, messages: Sequence[Message]) -> None:
        self.happened.append("told")
        self.told.append(messages[-1])


class Backwards:
    def __init__(self, happened: list[str]) -> None:
        self.happened = happened

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        self.happened.append("ranked")
        return [Ranking.of([replace(hit, score=-hit.score) for hit in ranking]) for ranking in rankings]


class Streets:
    def load(self) -> Iterator[Source]:
        for name, access in STREETS.items():
            text = f"Dogs of {name} bark.".encode()
            yield Source(id=name, uri=name, name=f"{name}.txt", read=lambda text=text: text, access=access)


STREETS = {f"street {number}": None if number % 2 else ("ann", str(number)) for number in range(EXPECTED + 8)}


def test_what_was_retrieved_is_announced_before_it_is_reranked_with_who_may_see_it(make) -> None:
    happened: list[str] = []
    model = Keeping(["They bark. [1]"], happened)
    components = Components(llm=model, rerankers=[Backwards(happened)], connectors=[Streets()])
    pipeline = make(
        "llm={use: given}",
        "ask.generate={use: llm}",
        "ask.fuse.keep=40",
        "ask.compress={use: none, keep: 4}",
        components=components,
    )
    pipeline.ingest()
    answer = pipeline.ask("Which dogs bark?")
    assert happened == ["told", "ranked"]
    [told] = model.told
    texts = [told.content[start:end] for start, end in told.passages]
    assert len(texts) == EXPECTED
    access = {f"Dogs of {name} bark.": access_key(who) for name, who in STREETS.items()}
    assert told.access == tuple(access[text] for text in texts)
    # The answer's prompt begins alike, and its passages say who may see them too.
    [asked] = [message for message in model.asked[0] if message.passages]
    assert asked.access == tuple(access_key(part.access) for part in answer.evidence)
    before = asked.content[: asked.passages[0][0]].splitlines()[:-1]
    assert told.content.splitlines()[: len(before)] == before


@pytest.mark.parametrize("searched", [True, False])
def test_nothing_is_announced_where_nothing_is_written(make, searched: bool) -> None:
    happened: list[str] = []
    model = Keeping(["They bark. [1]"], happened)
    components = Components(llm=model, connectors=[Streets()])
    pipeline = make("llm={use: given}", "ask.generate={use: llm}", components=components)
    pipeline.ingest()
    if searched:
        pipeline.search("Which dogs bark?")
    else:
        pipeline.ask("Which dogs bark?", principals=frozenset({"nobody"}))
    assert happened == []
