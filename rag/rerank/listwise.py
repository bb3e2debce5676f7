"""Listwise reranking: a language model puts numbered passages into an order, a window at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.models.batch import Ask, complete_all
from rag.models.llm import Completion, LanguageModel, Sampling
from rag.models.template import Template, as_data
from rag.rerank.reorder import in_order, is_sure, unchanged
from rag.types import Query, Ranking, Scalar, ScoredChunk, Usage

FIELDS = frozenset({"question", "passages", "count"})
"""What the `rank` template may use."""

REPEATABLE = Sampling(temperature=0.0)

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_BRACKETED = re.compile(r"\[\s*(\d{1,4})\s*\]")
_NUMBER = re.compile(r"\d{1,4}")


@dataclass(frozen=True, slots=True)
class Permutation:
    """The order of a window's positions, every one exactly once, and how many of them the reply named."""

    order: tuple[int, ...]
    named: int


class ListwiseReranker:
    """RankGPT (Sun et al., arXiv 2304.09542): windows slide from the end of the ranking to its front.

    The window that starts at the first candidate is always run; the published loop leaves it out where steps do not end
    there. A position that a reply does not name keeps its place behind the named ones, so nothing is lost; a reply that
    names none leaves its window as it was. Both are counted in the notes. The windows of one question build on each
    other, those of several questions are asked at the same time.

    Raises:
        BackendError: the model failed.
    """

    def __init__(
        self,
        model: LanguageModel,
        template: Template,
        *,
        keep: int,
        depth: int = 20,
        window: int = 20,
        step: int = 10,
        words: int = 300,
        margin: float | None = None,
        sampling: Sampling = REPEATABLE,
        concurrency: int = 4,
    ) -> None:
        self.model = model
        self.template = template
        self.keep = keep
        self.depth = depth
        self.window = window
        self.step = step
        self.words = words
        self.margin = margin
        self.sampling = sampling
        self.concurrency = concurrency

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        works = {
            at: _Work(query, ranking, windows(min(self.depth, len(ranking)), size=self.window, step=self.step))
            for at, (query, ranking) in enumerate(zip(queries, rankings, strict=True))
            if not is_sure(ranking, self.margin)
        }
        while asking := [work for work in works.values() if work.left]:
            replies = complete_all(self.model, [self._ask(work) for work in asking], concurrency=self.concurrency)
            for work, reply in zip(asking, replies, strict=True):
                work.take(reply)
        return [
            in_order(ranking, works[at].order, keep=self.keep, origin="listwise", notes=works[at].notes())
            if at in works
            else unchanged(ranking, keep=self.keep, why="margin")
            for at, ranking in enumerate(rankings)
        ]

    def _ask(self, work: _Work) -> Ask:
        shown = [work.ranking[at] for at in work.current()]
        values = {
            "question": as_data(work.query.text),
            "passages": "\n".join(passage(number, hit, words=self.words) for number, hit in enumerate(shown, 1)),
            "count": str(len(shown)),
        }
        return Ask(self.template.render(values), self.sampling)


class _Work:
    """One ranking on its way: the order so far, as positions, and the windows that are left."""

    def __init__(self, query: Query, ranking: Ranking, left: Sequence[tuple[int, int]]) -> None:
        self.query = query
        self.ranking = ranking
        self.order = list(range(len(ranking)))
        self.left = list(left)
        self.usages: list[Usage] = []
        self.malformed = 0
        self.incomplete = 0

    def current(self) -> list[int]:
        start, end = self.left[0]
        return self.order[start:end]

    def take(self, reply: Completion) -> None:
        """Put the current window into the order of the reply, and go on to the next."""
        shown = self.current()
        found = permutation(reply.text, len(shown))
        self.malformed += found.named == 0
        self.incomplete += 0 < found.named < len(shown)
        self.usages.append(reply.usage)
        start, end = self.left.pop(0)
        self.order[start:end] = [shown[at] for at in found.order]

    def notes(self) -> dict[str, Scalar]:
        usage = sum(self.usages, Usage())
        return {
            "requests": len(self.usages),
            "malformed": self.malformed,
            "incomplete": self.incomplete,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        }


def windows(count: int, *, size: int, step: int) -> list[tuple[int, int]]:
    """The windows over so many candidates, half open, from the last to the one that starts at 0, which is always there.

    >>> windows(25, size=20, step=10), windows(12, size=20, step=10)
    ([(5, 25), (0, 15)], [(0, 12)])
    """
    found: list[tuple[int, int]] = []
    end = count
    while count > 0:
        found.append((max(0, end - size), end))
        if found[-1][0] == 0:
            break
        end -= step
    return found


def permutation(reply: str, count: int) -> Permutation:
    """Read an order like ``[2] > [1]`` of `count` passages numbered from 1.

    What a model thinks aloud is left out. Numbers in brackets count if there are any, else all numbers. Repeated and
    impossible ones are left out, missing ones follow in their old order.

    >>> permutation("[3] > [1] > [3] > [9]", 4)
    Permutation(order=(2, 0, 1, 3), named=2)
    """
    text = _THOUGHT.sub("", reply)
    numbers = [int(number) - 1 for number in _BRACKETED.findall(text) or _NUMBER.findall(text)]
    named = [at for at in dict.fromkeys(numbers) if 0 <= at < count]
    rest = [at for at in range(count) if at not in named]
    return Permutation((*named, *rest), len(named))


def passage(number: int, hit: ScoredChunk, *, words: int) -> str:
    """A numbered passage as data, cut at so many words."""
    text = hit.chunk.indexed_text
    parts = text.split()
    if len(parts) > words:
        text = " ".join(parts[:words])
    return f'<source id="{number}">\n{as_data(text)}\n</source>'
