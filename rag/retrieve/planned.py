"""Retrieval from several indexes as a language model plans it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rag.models.batch import Ask, complete_all
from rag.models.llm import Completion, Json, LanguageModel, Sampling
from rag.models.replies import object_in
from rag.models.template import Template, as_data
from rag.retrieve.sources import Sources
from rag.types import Query, Ranking, Scalar, Usage

FIELDS = frozenset({"question", "sources", "most", "problem"})
"""What the `plan` template may use."""

LONGEST_CHARACTERS = 1000
"""A longer text is no search."""

Search = tuple[str, str]
"""A source's name and what to look for there."""


class PlannedRetriever:
    """One request gives the whole plan, which sources to search and for what; then all searches run, without another.

    A plan that names an unknown source, makes more than `most` searches or is no plan is sent back once with what is
    wrong; after that the question itself is searched in every source, and the trace says so. A source may be searched
    more than once. REAPER, arXiv 2407.18553: the plan in one call is its idea, prompt and checks are ours, and no step
    reads what another found.

    Raises:
        BackendError: the model failed.
    """

    def __init__(
        self, sources: Sources, model: LanguageModel, template: Template, *, most: int, concurrency: int
    ) -> None:
        self.sources = sources
        self.model = model
        self.template = template
        self.most = most
        self.concurrency = concurrency

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        if not queries:
            return []
        replies: list[list[Completion]] = [[] for _ in queries]
        plans: dict[int, list[Search]] = {}
        problems = dict.fromkeys(range(len(queries)), "")
        for _ in range(2):
            asks = [self._ask(queries[at], problem) for at, problem in problems.items()]
            answers = complete_all(self.model, asks, concurrency=self.concurrency)
            waiting = list(problems)
            problems = {}
            for at, reply in zip(waiting, answers, strict=True):
                replies[at].append(reply)
                read = self._plan(reply)
                if isinstance(read, str):
                    problems[at] = read
                else:
                    plans[at] = read
        every = [(name, query) for query in queries for name in self.sources.sources]
        width = len(self.sources.sources)
        searches = [
            [(name, query.rephrased(text)) for name, text in plans[at]]
            if at in plans
            else every[at * width : (at + 1) * width]
            for at, query in enumerate(queries)
        ]
        rankings = self.sources.retrieve(searches)
        return [
            replace(ranking, notes=self._notes(replies[at], plans.get(at), failed=at in problems))
            for at, ranking in enumerate(rankings)
        ]

    def _ask(self, query: Query, problem: str) -> Ask:
        listed = "\n".join(f"- {name}: {source.description}" for name, source in self.sources.sources.items())
        told = f"\n\nYour last reply was not used: {problem}" if problem else ""
        values = {"question": as_data(query.text), "sources": listed, "most": str(self.most), "problem": told}
        schema = plan_schema(list(self.sources.sources), most=self.most)
        return Ask(self.template.render(values), Sampling(temperature=0.0, schema=schema))

    def _plan(self, reply: Completion) -> list[Search] | str:
        """The searches, or what is wrong with the reply."""
        found = object_in(reply.text)
        listed = found.get("searches") if found is not None else None
        if not isinstance(listed, list) or not 1 <= len(listed) <= self.most:
            return f'expected JSON {{"searches": [...]}} with 1 to {self.most} searches'
        searches: list[Search] = []
        for each in listed:
            name, text = (each.get("source"), each.get("query")) if isinstance(each, dict) else (None, None)
            if name not in self.sources.sources:
                return f"there is no source {name!r}; known: {', '.join(self.sources.sources)}"
            if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_CHARACTERS:
                return "each search needs a `query`, a short text"
            searches.append((str(name), text.strip()))
        return list(dict.fromkeys(searches))

    def _notes(
        self, replies: Sequence[Completion], plan: Sequence[Search] | None, *, failed: bool
    ) -> dict[str, Scalar]:
        usage = sum((reply.usage for reply in replies), Usage())
        names = dict.fromkeys(name for name, _ in plan) if plan is not None else self.sources.sources
        return {
            "sources": ", ".join(names),
            "requests": len(replies),
            "malformed": len(replies) if failed else len(replies) - 1,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        }


def plan_schema(names: Sequence[str], *, most: int) -> Mapping[str, Json]:
    """The JSON Schema of a plan."""
    search: Json = {
        "type": "object",
        "properties": {"source": {"enum": [*names]}, "query": {"type": "string"}},
        "required": ["source", "query"],
        "additionalProperties": False,
    }
    listed: Json = {"type": "array", "items": search, "minItems": 1, "maxItems": most}
    return {
        "type": "object",
        "properties": {"searches": listed},
        "required": ["searches"],
        "additionalProperties": False,
    }
