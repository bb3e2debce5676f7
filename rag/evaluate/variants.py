"""A pipeline with one stage left out at a time, all on the same index, models and results.

Each stage runs once for each distinct input: what stands before the missing stage is not computed again, costs nothing
again (a language model is asked once), and gives the same, so that two variants differ by their one stage alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from rag.cite.base import Cited
from rag.compress.specs import WholeChunksSpec
from rag.generate.base import Outcome
from rag.pipeline.build import AskStages, Stage
from rag.types import Background, Evidence, Prompt, Query, Ranking, ScoredChunk, Token

if TYPE_CHECKING:
    from rag.compress.base import Compression, Compressor
    from rag.expand.base import Expander
    from rag.generate.base import Decoding, Generator
    from rag.pipeline.pipeline import Pipeline
    from rag.query.base import QueryTransform, Rewritten
    from rag.rerank.base import Reranker
    from rag.retrieve.base import Fuser, Retriever

Kind: TypeAlias = Literal["transform", "retrieve", "fuse", "rerank", "expand", "compress"]
"""The stages that can be left out, as a trace names them."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Variant:
    """A pipeline without the stage at position `at` of its kind.

    `instead` is the position of the retriever that took the fuser's place; ``None`` for every other stage.
    """

    kind: Kind
    at: int
    pipeline: Pipeline
    instead: int | None = None


def variants(pipeline: Pipeline, *, write: bool) -> tuple[Pipeline, tuple[Variant, ...]]:
    """The pipeline with its results kept, and a variant for each stage that can be left out, in the order they run.

    A transform, a reranker or an expander is taken out. One of several retrievers finds nothing. The fuser gives way to
    each single retriever, cut where the fuser cuts. The compressor gives way to `none`. All work until `pipeline` is
    closed.

    Args:
        write: whether they also write answers; else nothing is generated and the answers are empty.
    """
    stages = _remembered(pipeline.stages, write=write)
    found: list[Variant] = []

    def add(kind: Kind, at: int, changed: AskStages, instead: int | None = None) -> None:
        found.append(Variant(kind, at, pipeline.variant(changed), instead))

    several = range(len(stages.retrievers) if len(stages.retrievers) > 1 else 0)
    for at in range(len(stages.transforms)):
        add("transform", at, replace(stages, transforms=_without(stages.transforms, at)))
    for at in several:
        # Silent, not gone: a fuser may hold a weight for each retriever by its position.
        silent = _Nothing(stages.retrievers[at].run)
        retrievers = [
            Stage(stage.use, silent if stage is stages.retrievers[at] else stage.run) for stage in stages.retrievers
        ]
        add("retrieve", at, replace(stages, retrievers=retrievers))
    for at in several:
        single = _Single(stages.fuser.run, at=at, of=len(stages.retrievers))
        add("fuse", 0, replace(stages, fuser=Stage("single", single)), at)
    for at in range(len(stages.rerankers)):
        add("rerank", at, replace(stages, rerankers=_without(stages.rerankers, at)))
    for at in range(len(stages.expanders)):
        add("expand", at, replace(stages, expanders=_without(stages.expanders, at)))
    whole = WholeChunksSpec()
    if stages.compressor.use != whole.use:
        add("compress", 0, replace(stages, compressor=Stage(whole.use, whole.build(pipeline.resources))))
    return pipeline.variant(stages), tuple(found)


def _without(stages: Sequence[Stage[T]], at: int) -> list[Stage[T]]:
    return [*stages[:at], *stages[at + 1 :]]


def _remembered(stages: AskStages, *, write: bool) -> AskStages:
    """The same stages, each of which computes one input once; without `write`, none that writes.

    None of them retrieves in mid-answer: variants would then differ by what they wrote.
    """
    generator: Generator = _Generator(stages.generator.run) if write else _Silent(stages.generator.run.mode)
    return replace(
        stages,
        transforms=[Stage(stage.use, _Transform(stage.run)) for stage in stages.transforms],
        retrievers=[Stage(stage.use, _Retriever(stage.run)) for stage in stages.retrievers],
        fuser=Stage(stages.fuser.use, _Fuser(stages.fuser.run)),
        rerankers=[Stage(stage.use, _Reranker(stage.run)) for stage in stages.rerankers],
        expanders=[Stage(stage.use, _Expander(stage.run)) for stage in stages.expanders],
        compressor=Stage(stages.compressor.use, _Compressor(stages.compressor.run)),
        generator=Stage(stages.generator.use, generator),
        citer=stages.citer if write else Stage(stages.citer.use, _NoCiter()),
        dynamic=None,
    )


# ---- stages that remember


class _Memory(Generic[T]):
    """What was made for each key."""

    def __init__(self) -> None:
        self.made: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


def _key(ranking: Ranking) -> Hashable:
    spread = ranking.background
    facts = (spread.mean, spread.deviation, spread.size) if spread else None
    return ranking.weight, facts, tuple((hit.chunk.id, hit.score, hit.origin) for hit in ranking)


def _asked(prompt: Prompt) -> Hashable:
    # Scores of different makers are not comparable, so only their order counts for a generator.
    order = sorted(range(len(prompt.evidence)), key=lambda at: -prompt.evidence[at].score)
    return prompt.question, prompt.history, tuple(part.span for part in prompt.evidence), tuple(order)


class _Transform:
    def __init__(self, run: QueryTransform) -> None:
        self.run = run
        self.memory: _Memory[list[Rewritten]] = _Memory()

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        return self.memory.get(tuple(queries), lambda: self.run.transform(queries))


class _Retriever:
    def __init__(self, run: Retriever) -> None:
        self.run = run
        self.memory: _Memory[list[Ranking]] = _Memory()

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        return self.memory.get(tuple(queries), lambda: self.run.retrieve(queries))


class _Fuser:
    def __init__(self, run: Fuser) -> None:
        self.run = run
        self.memory: _Memory[Ranking] = _Memory()

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        return self.memory.get(tuple(map(_key, rankings)), lambda: self.run.fuse(rankings))


class _Reranker:
    def __init__(self, run: Reranker) -> None:
        self.run = run
        self.memory: _Memory[list[Ranking]] = _Memory()

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        key = (tuple(queries), tuple(map(_key, rankings)))
        return self.memory.get(key, lambda: self.run.rerank(queries, rankings))


class _Expander:
    def __init__(self, run: Expander) -> None:
        self.run = run
        self.memory: _Memory[list[Ranking]] = _Memory()

    def expand(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        key = (tuple(queries), tuple(map(_key, rankings)))
        return self.memory.get(key, lambda: self.run.expand(queries, rankings))


class _Compressor:
    def __init__(self, run: Compressor) -> None:
        self.run = run
        self.memory: _Memory[list[Compression]] = _Memory()

    def compress(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Compression]:
        key = (tuple(queries), tuple(map(_key, rankings)))
        return self.memory.get(key, lambda: self.run.compress(queries, rankings))


@dataclass(frozen=True, slots=True)
class _Written:
    """A decoding that is over."""

    tokens: Sequence[tuple[int, Token]]
    outcomes: Sequence[Outcome]

    def __iter__(self) -> Iterator[tuple[int, Token]]:
        return iter(self.tokens)

    def stop(self, at: int) -> None:
        """Nothing is left to give."""

    def outcome(self, at: int) -> Outcome:
        return self.outcomes[at]


class _Generator:
    def __init__(self, run: Generator) -> None:
        self.run = run
        self.memory: _Memory[_Written] = _Memory()

    @property
    def mode(self) -> Literal["extractive", "generated"]:
        return self.run.mode

    def start(self, prompts: Sequence[Prompt], *, logprobs: bool = False) -> Decoding:
        asked = (logprobs, *map(_asked, prompts))
        return self.memory.get(asked, lambda: self._write(prompts, logprobs=logprobs))

    def _write(self, prompts: Sequence[Prompt], *, logprobs: bool) -> _Written:
        decoding = self.run.start(prompts, logprobs=logprobs)
        return _Written(list(decoding), [decoding.outcome(at) for at in range(len(prompts))])


# ---- what stands in for a stage


@dataclass(frozen=True, slots=True)
class _Nothing:
    """A retriever that finds nothing and, like one to which all chunks are alike, tells none apart."""

    run: Retriever

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        return [replace(ranking, hits=(), background=_flat(ranking)) for ranking in self.run.retrieve(queries)]


def _flat(ranking: Ranking) -> Background | None:
    if ranking.background is None:
        return None
    return replace(ranking.background, mean=0.0, deviation=0.0, score=lambda chunks: [0.0] * len(chunks))


class _Single:
    """One retriever's ranking in the place of a fused one, cut where `fuser` cuts.

    Where a question became several queries, chunks come by their best rank in any of them.
    """

    def __init__(self, fuser: Fuser, *, at: int, of: int) -> None:
        self.fuser = fuser
        self.at = at
        self.of = of

    def fuse(self, rankings: Sequence[Ranking]) -> Ranking:
        keep = len(self.fuser.fuse(rankings))
        mine = rankings[self.at :: self.of]  # query by query, in the order of the retrievers
        if len(mine) == 1:
            return Ranking(mine[0].hits[:keep])
        best: dict[str, ScoredChunk] = {}
        for ranking in mine:
            for rank, hit in enumerate(ranking, 1):
                known = best.get(hit.chunk.id)
                if known is None or 1 / rank > known.score:
                    best[hit.chunk.id] = ScoredChunk(hit.chunk, 1 / rank, hit.origin)
        return Ranking.of(list(best.values()), keep=keep)


@dataclass(frozen=True, slots=True)
class _Silent:
    """A generator that writes nothing, so that looking at the evidence costs no generation."""

    mode: Literal["extractive", "generated"]

    def start(self, prompts: Sequence[Prompt], *, logprobs: bool = False) -> Decoding:
        return _Written((), [Outcome() for _ in prompts])


class _NoCiter:
    """Cites nothing, since nothing was written."""

    def cite(self, text: str, evidence: Sequence[Evidence], *, given: Collection[int] | None = None) -> Cited:
        return Cited(text, ())
