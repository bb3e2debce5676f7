"""Chunks in the order of a reasoning chain that a language model lays out of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.models.batch import Ask, complete_all
from rag.models.llm import Completion, LanguageModel, Sampling
from rag.models.template import Template, as_data
from rag.rerank.listwise import passage
from rag.rerank.reorder import in_order
from rag.types import Query, Ranking, Scalar

FIELDS = frozenset({"question", "passages"})
"""What the `reasoning-chain` template may use."""

_STEP = re.compile(r"^\W*step\s*\d+\s*[:.)]\W*(?P<text>.*\S)\s*$", re.IGNORECASE | re.MULTILINE)
_SOURCES = re.compile(r"\[\s*(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\s*\]")
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a chain, and the positions of the passages it rests on; none if it named none that was shown."""

    text: str
    sources: tuple[int, ...]


class ChainsReranker:
    """Reasoning chains of LiR3AG (arXiv 2512.18329), as an order of the chunks and a record of the steps.

    One request a question asks for numbered steps, each a fact and its use. Different from the paper, each step must
    name its sources, which are checked, and the steps do not replace the chunks: these come in the order in which the
    steps first rest on them, so every citation is of a document. Where no step names a source the ranking stays as it
    is. The notes hold the steps with the ids of their chunks, and count the steps without a source.

    Raises:
        BackendError: the model failed.
    """

    def __init__(
        self,
        model: LanguageModel,
        template: Template,
        *,
        keep: int,
        sampling: Sampling,
        depth: int = 5,
        words: int = 300,
        only_cited: bool = False,
        concurrency: int = 4,
    ) -> None:
        self.model = model
        self.template = template
        self.keep = keep
        self.sampling = sampling
        self.depth = depth
        self.words = words
        self.only_cited = only_cited
        self.concurrency = concurrency

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        full = [at for at, ranking in enumerate(rankings) if ranking]
        asks = [self._ask(queries[at], rankings[at]) for at in full]
        replies = complete_all(self.model, asks, concurrency=self.concurrency)
        chained = {at: self._chained(rankings[at], reply) for at, reply in zip(full, replies, strict=True)}
        return [chained.get(at, Ranking()) for at in range(len(rankings))]

    def _ask(self, query: Query, ranking: Ranking) -> Ask:
        shown = ranking.hits[: self.depth]
        passages = "\n".join(passage(number, hit, words=self.words) for number, hit in enumerate(shown, 1))
        return Ask(self.template.render({"question": as_data(query.text), "passages": passages}), self.sampling)

    def _chained(self, ranking: Ranking, reply: Completion) -> Ranking:
        steps = parse_steps(reply.text, shown=min(self.depth, len(ranking)))
        cited = list(dict.fromkeys(at for step in steps for at in step.sources))
        rest = [at for at in range(len(ranking)) if at not in cited]
        notes: dict[str, Scalar] = {
            "requests": 1,
            "malformed": int(not cited),
            "unsourced": sum(not step.sources for step in steps),
            "prompt_tokens": reply.usage.prompt_tokens,
            "completion_tokens": reply.usage.completion_tokens,
        }
        sourced = [step for step in steps if step.sources]
        for number, step in enumerate(sourced, 1):
            ids = ", ".join(ranking[at].chunk.id for at in step.sources)
            notes[f"step {number}"] = f"{step.text} [{ids}]"
        order = cited if self.only_cited and cited else [*cited, *rest]
        return in_order(ranking, order, keep=self.keep, origin="chains", notes=notes)


def parse_steps(reply: str, *, shown: int) -> list[Step]:
    """The steps of a reply, each with the positions of its sources; numbers that were not shown are left out.

    >>> parse_steps("Step 1: Ng led Rook [2].\\nStep 2: Rook is in Rome [1][9].\\nSo: Rome", shown=3)
    [Step(text='Ng led Rook.', sources=(1,)), Step(text='Rook is in Rome.', sources=(0,))]
    """
    steps: list[Step] = []
    for line in _STEP.finditer(_THOUGHT.sub("", reply)):
        text = line["text"]
        numbers = [int(number) for group in _SOURCES.findall(text) for number in re.findall(r"\d+", group)]
        sources = tuple(dict.fromkeys(number - 1 for number in numbers if 1 <= number <= shown))
        steps.append(Step(re.sub(r"\s+(?=[.,;:]|$)", "", _SOURCES.sub("", text)).strip(), sources))
    return steps
