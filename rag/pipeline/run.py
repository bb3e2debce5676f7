"""The stages of ``ask``, each run once for a batch of questions, with their trace and their events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING

from rag.cite.base import Cited
from rag.events import Answered, Compressed, Event, Expanded, Reranked, Retracted, Retrieved, Wrote
from rag.generate.abstain import SENTENCE
from rag.generate.base import ExpectingGenerator, Selective
from rag.pipeline.doubt import OF_TOKENS, of_citations, of_ranking, of_tokens
from rag.query.base import together
from rag.types import (
    Answer,
    Evidence,
    Prompt,
    Query,
    Ranking,
    Scalar,
    ScoredChunk,
    Span,
    StageRecord,
    Token,
    Trace,
)

if TYPE_CHECKING:
    from rag.generate.base import Decoding, Outcome
    from rag.pipeline.build import AskStages
    from rag.pipeline.doubt import Doubt
    from rag.tracing import Tracer


EXPECTED = 32
"""How many chunks of a fused ranking a generator is told of."""


@dataclass(slots=True)
class Work:
    """One question on its way through the stages.

    `focus` is what reranking and compression go by. `evidence` only grows; `most` is how much of it a compression may
    add. `given` are the numbers of the evidence that the generator sees, where it does not see all.
    """

    at: int
    query: Query
    queries: list[Query] = field(default_factory=list)
    focus: Query = field(default_factory=lambda: Query(text=""))
    found: list[tuple[Ranking, ...]] = field(default_factory=list)
    ranking: Ranking = field(default_factory=Ranking)
    evidence: tuple[Evidence, ...] = ()
    most: int | None = None
    given: frozenset[int] | None = None
    records: list[StageRecord] = field(default_factory=list)

    def prompt(self, draft: str = "") -> Prompt:
        return Prompt(question=self.query.text, evidence=self.evidence, history=self.query.history, draft=draft)

    def see(self, decoding: Decoding, at: int) -> None:
        """Note what the generator sees, from one that says it while it writes."""
        if isinstance(decoding, Selective):
            given = decoding.given(at)
            self.given = None if given is None else frozenset(given) | (self.given or frozenset())

    def record(
        self,
        stage: str,
        use: str,
        seconds: float,
        taken: int,
        given: int,
        rankings: tuple[Ranking, ...] = (),
        notes: Mapping[str, Scalar] | None = None,
    ) -> None:
        # Whoever keeps a trace does not keep the index and the scores of all its chunks, which backgrounds hold.
        shown = tuple(Ranking(each.hits, None, each.weight, each.notes) for each in rankings)
        self.records.append(
            StageRecord(
                stage=stage, use=use, seconds=seconds, taken=taken, given=given, rankings=shown, notes=notes or {}
            )
        )


class Clock:
    """How long the block under it took, which is a span of the trace; set when the block ends."""

    __slots__ = ("_span", "_started", "seconds")

    def __init__(self, span: AbstractContextManager[object]) -> None:
        self._span = span

    def __enter__(self) -> Clock:
        self._started = perf_counter()
        self._span.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.__exit__(kind, error, trace)
        self.seconds = perf_counter() - self._started


class Run:
    """Runs stages for many works at a time; what each did is in the works and comes as events."""

    def __init__(self, stages: AskStages, tracer: Tracer) -> None:
        self.stages = stages
        self.tracer = tracer

    # ---- from a question to a ranking

    def retrieve(self, works: Sequence[Work]) -> Iterator[Event]:
        """Make queries of the questions and search for them."""
        for work in works:
            work.queries = [work.query]
        for stage in self.stages.transforms:
            taken = [len(work.queries) for work in works]
            flat = [query for work in works for query in work.queries]
            with self.clock("rag.transform", stage.use) as clock:
                given = iter(stage.run.transform(flat))
            for work, count in zip(works, taken, strict=True):
                rewritten = [next(given) for _ in range(count)]
                work.queries = [query for each in rewritten for query in each.queries]
                seconds, notes = clock.seconds / len(works), together(each.notes for each in rewritten)
                work.record("transform", stage.use, seconds, count, len(work.queries), notes=notes)
        for work in works:
            work.focus = work.queries[0]
        yield from self.search(works)

    def search(self, works: Sequence[Work], *, apart: bool = False) -> Iterator[Event]:
        """Retrieve with the works' queries, fuse, rerank, expand.

        Args:
            apart: the queries ask for different things: each has a ranking of its own, and they take turns.
        """
        flat = [query for work in works for query in work.queries]
        for work in works:
            work.found = []
        for retriever in self.stages.retrievers:
            with self.clock("rag.retrieve", retriever.use) as clock:
                rankings = iter(retriever.run.retrieve(flat))
            for work in works:
                mine = tuple(next(rankings).weighing(query.weight) for query in work.queries)
                work.found.append(mine)
                seconds, notes = clock.seconds / len(works), together(ranking.notes for ranking in mine)
                work.record("retrieve", retriever.use, seconds, 0, sum(map(len, mine)), mine, notes)
        fuser = self.stages.fuser
        for work in works:
            by_query = [*zip(*work.found, strict=True)]
            # Query by query, in the order of the retrievers: weights by position repeat with each query.
            found = [ranking for of_query in by_query for ranking in of_query]
            with self.clock("rag.fuse", fuser.use) as clock:
                if apart:
                    work.ranking = _in_turns([fuser.run.fuse(of_query) for of_query in by_query])
                else:
                    work.ranking = fuser.run.fuse(found)
            taken_chunks, given_chunks = sum(map(len, found)), len(work.ranking)
            work.record("fuse", fuser.use, clock.seconds, taken_chunks, given_chunks, (work.ranking,))
            yield Retrieved(work.at, tuple(work.queries), work.ranking)
        yield from self._order(works)

    def search_elsewhere(self, works: Sequence[Work]) -> Iterator[Event]:
        """Retrieve with the works' queries, apart, from the second source, rerank, expand."""
        retriever = self.stages.dynamic.elsewhere if self.stages.dynamic is not None else None
        assert retriever is not None, "asked for only where there is one"
        with self.clock("rag.retrieve", retriever.use) as clock:
            rankings = iter(retriever.run.retrieve([query for work in works for query in work.queries]))
        for work in works:
            mine = tuple(next(rankings) for _ in work.queries)
            work.ranking = _in_turns(mine)
            seconds, notes = clock.seconds / len(works), together(ranking.notes for ranking in mine)
            work.record("retrieve", retriever.use, seconds, 0, sum(map(len, mine)), mine, notes)
            yield Retrieved(work.at, tuple(work.queries), work.ranking)
        yield from self._order(works)

    def _order(self, works: Sequence[Work]) -> Iterator[Event]:
        focuses = [work.focus for work in works]
        for reranker in self.stages.rerankers:
            before = [work.ranking for work in works]
            with self.clock("rag.rerank", reranker.use) as clock:
                after = reranker.run.rerank(focuses, before)
            for work, old, new in zip(works, before, after, strict=True):
                work.ranking = new
                seconds = clock.seconds / len(works)
                work.record("rerank", reranker.use, seconds, len(old), len(new), (new,), notes=new.notes)
                yield Reranked(work.at, new)
        for expander in self.stages.expanders:
            before = [work.ranking for work in works]
            with self.clock("rag.expand", expander.use) as clock:
                after = expander.run.expand(focuses, before)
            for work, old, new in zip(works, before, after, strict=True):
                work.ranking = new
                sizes: dict[str, Scalar] = {
                    **new.notes,
                    "characters_in": sum(len(hit.chunk.text) for hit in old),
                    "characters_out": sum(len(hit.chunk.text) for hit in new),
                }
                seconds = clock.seconds / len(works)
                work.record("expand", expander.use, seconds, len(old), len(new), (new,), notes=sizes)
                yield Expanded(work.at, new)

    def expect(self, work: Work, ranking: Ranking) -> None:
        """Tell a generator that can get ready what may come of a fused ranking, before it is reranked and cut down."""
        generator = self.stages.generator.run
        if isinstance(generator, ExpectingGenerator):
            chunks = [(hit.score, hit.chunk) for hit in ranking.hits[:EXPECTED]]
            evidence = tuple(
                Evidence(span=chunk.span, text=chunk.text, score=score, chunk_id=chunk.id, access=chunk.access)
                for score, chunk in chunks
            )
            generator.expect(replace(work.prompt(), evidence=evidence))

    # ---- from a ranking to evidence

    def compress(self, works: Sequence[Work]) -> Iterator[Event]:
        """Append what compression keeps of the rankings, without what the works have as evidence already."""
        stage = self.stages.compressor
        rankings = [_without(work.ranking, work.evidence) for work in works]
        with self.clock("rag.compress", stage.use) as clock:
            kept = stage.run.compress([work.focus for work in works], rankings)
        for work, ranking, compression in zip(works, rankings, kept, strict=True):
            held = work.evidence
            new = [part for part in compression.evidence if not _inside(part.span, held)][: work.most]
            work.evidence = (*held, *new)
            notes: dict[str, Scalar] = {
                "characters_in": sum(len(hit.chunk.text) for hit in ranking),
                "characters_out": sum(len(part.text) for part in new),
                **compression.notes,
            }
            work.record("compress", stage.use, clock.seconds / len(works), len(ranking), len(new), notes=notes)
            yield Compressed(work.at, work.evidence, compression.dropped)

    # ---- from evidence to an answer

    def write(self, works: Sequence[Work]) -> Iterator[Event]:
        """Write the answers, each in one go."""
        generator = self.stages.generator
        written: list[list[Token]] = [[] for _ in works]
        prompts = [work.prompt() for work in works]
        doubt = self.stages.doubt
        reads_tokens = doubt is not None and not OF_TOKENS.isdisjoint(doubt.signals)
        started = perf_counter()
        with self.tracer.span("rag.generate", prompts=len(works), use=generator.use):
            decoding = generator.run.start(prompts, logprobs=True) if reads_tokens else generator.run.start(prompts)
            for at, token in decoding:
                works[at].see(decoding, at)
                written[at].append(token)
                yield Wrote(works[at].at, token.text, provisional=self.withholds)
        seconds = (perf_counter() - started) / max(1, len(works))
        for at, work in enumerate(works):
            outcome = decoding.outcome(at)
            self.record_writing(work, outcome, seconds)
            if reads_tokens and not outcome.abstained:
                outcome = replace(outcome, signals={**outcome.signals, **of_tokens(written[at])})
            yield from self.answered(work, "".join(token.text for token in written[at]), outcome)

    def record_writing(self, work: Work, outcome: Outcome, seconds: float) -> None:
        usage = outcome.usage
        notes: dict[str, Scalar] = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
            "price": usage.price,
            **usage.reuse_notes,
            **usage.kept_notes,
        }
        work.record("generate", self.stages.generator.use, seconds, len(work.evidence), 1, notes=notes)

    @property
    def withholds(self) -> bool:
        """Whether a finished answer may still be taken back."""
        return self.stages.doubt is not None

    def answered(self, work: Work, text: str, outcome: Outcome) -> Iterator[Event]:
        """Check the markers of a finished text and resolve its citations; take it back if it is in doubt."""
        citer = self.stages.citer
        with self.clock("rag.cite", citer.use) as clock:
            cited = citer.run.cite(text, work.evidence, given=outcome.given)
        if outcome.abstained:
            cited = replace(cited, uncited=())  # that there is no answer needs no source
        kept, dropped = len(cited.citations), cited.dropped
        work.record("cite", citer.use, clock.seconds, kept + dropped, kept, notes=cited.notes)
        if self.stages.doubt is not None and not outcome.abstained:
            outcome = self._judged(work, outcome, cited, self.stages.doubt)
            if outcome.abstained:
                cited = Cited(SENTENCE, (), dropped)
                yield Retracted(work.at, 0)
                yield Wrote(work.at, SENTENCE)
        yield Answered(
            work.at,
            Answer(
                query=work.query.text,
                text=cited.text,
                evidence=work.evidence,
                citations=cited.citations,
                mode=self.stages.generator.run.mode,
                usage=outcome.usage,
                abstained=outcome.abstained,
                reason=outcome.reason,
                dropped_citations=cited.dropped,
                uncited=cited.uncited,
                prompt=outcome.prompt,
                signals=outcome.signals,
                trace=Trace(tuple(work.records)),
            ),
        )

    def _judged(self, work: Work, outcome: Outcome, cited: Cited, doubt: Doubt) -> Outcome:
        """The outcome with what was measured of it; abstained if the answer is withheld."""
        with self.clock("rag.abstain", doubt.use) as clock:
            measured = {**of_ranking(work.ranking), **outcome.signals, **of_citations(cited)}
            signals = {name: measured[name] for name in (*outcome.signals, *doubt.signals) if name in measured}
            verdict = doubt.judge(signals)
        notes: dict[str, Scalar] = {**signals, "reason": verdict.reason}
        work.record("abstain", doubt.use, clock.seconds, 1, 0 if verdict.abstains else 1, notes=notes)
        return replace(outcome, abstained=verdict.abstains, reason=verdict.reason, signals=signals)

    def clock(self, name: str, use: str) -> Clock:
        return Clock(self.tracer.span(name, use=use))


def _in_turns(rankings: Sequence[Ranking]) -> Ranking:
    """The best of each, then the second of each, and so on; none twice. One alone stays as it is.

    Scores of different queries do not compare, so they become 1 / rank.
    """
    if len(rankings) == 1:
        return rankings[0]
    rank_of: dict[tuple[Span, str], tuple[int, ScoredChunk]] = {}
    for rank in range(1, max(map(len, rankings), default=0) + 1):
        for ranking in rankings:
            if rank <= len(ranking):
                hit = ranking[rank - 1]
                rank_of.setdefault(hit.chunk.key, (rank, hit))
    return Ranking(tuple(ScoredChunk(hit.chunk, 1 / rank, "turns") for rank, hit in rank_of.values()))


def _without(ranking: Ranking, evidence: Sequence[Evidence]) -> Ranking:
    """The ranking without the chunks that the evidence holds whole."""
    if not evidence:
        return ranking
    return replace(ranking, hits=tuple(hit for hit in ranking if not _inside(hit.chunk.span, evidence)))


def _inside(span: Span, evidence: Iterable[Evidence]) -> bool:
    return any(
        part.span.document_id == span.document_id and part.span.start <= span.start and span.end <= part.span.end
        for part in evidence
    )
