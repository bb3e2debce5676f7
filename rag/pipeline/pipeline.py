"""The pipeline: one straight line of stages, run for a batch of questions; a single question is a batch of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from rag.events import Answered, Compressed, Event, Expanded, Reranked, Retrieved, Wrote
from rag.pipeline.build import AskStages, Built, Components
from rag.query.base import together
from rag.tracing import NoTracer, Tracer
from rag.types import Answer, Condition, Evidence, Location, Prompt, Query, Ranking, Scalar, Span, StageRecord, Trace

if TYPE_CHECKING:
    from rag.embed.base import Embedder
    from rag.index.directory import IndexDirectory
    from rag.index.reader import Reader
    from rag.models.llm import LanguageModel
    from rag.pipeline.aio import AsyncPipeline
    from rag.pipeline.report import IngestPlan, IngestProgress, IngestReport
    from rag.pipeline.spec import PipelineSpec
    from rag.resources import Resources

Turn = tuple[str, str]


@dataclass(slots=True)
class Work:
    """One question on its way through the stages."""

    at: int
    query: Query
    queries: list[Query] = field(default_factory=list)
    found: list[tuple[Ranking, ...]] = field(default_factory=list)
    ranking: Ranking = field(default_factory=Ranking)
    evidence: tuple[Evidence, ...] = ()
    written: list[str] = field(default_factory=list)
    records: list[StageRecord] = field(default_factory=list)


@dataclass(slots=True)
class Clock:
    """How long the block under it took; set when the block ends."""

    seconds: float = 0.0


class Pipeline:
    """A built pipeline. Stages are made at first use; a pipeline may be asked from many threads.

    Args:
        spec: what to run.
        components: objects to use instead of what the spec names.
        tracer: opened around each stage call.

    >>> with Pipeline.from_yaml("hybrid") as pipeline:                                   # doctest: +SKIP
    ...     pipeline.ingest()
    ...     print(pipeline.ask("Do dogs bark?").text)
    """

    def __init__(
        self, spec: PipelineSpec, components: Components | None = None, *, tracer: Tracer | None = None
    ) -> None:
        self.spec = spec
        self.tracer: Tracer = tracer or NoTracer()
        self._built = Built(spec, components or Components())
        self._checked: Reader | None = None

    @classmethod
    def from_yaml(
        cls,
        source: str | Path = "hybrid",
        *,
        overrides: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        components: Components | None = None,
        tracer: Tracer | None = None,
    ) -> Pipeline:
        """Read a pipeline file, or a pipeline that ships, by path or name.

        Args:
            overrides: ``ask.fuse.keep=20`` and the like, as on the command line.
            environ: where ``${VAR}`` and ``RAG__...`` come from; the process's environment if ``None``.

        Raises:
            ConfigError: with every problem of the file.
        """
        from rag.pipeline.spec import load_spec

        return cls(load_spec(source, overrides=overrides, environ=environ).spec, components, tracer=tracer)

    def to_yaml(self) -> str:
        """The pipeline as YAML that loads to an equal spec."""
        return self.spec.to_yaml()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index and unload the models."""
        self._built.close()

    @property
    def index(self) -> IndexDirectory:
        """The index directory (``ingest.index``)."""
        return self._built.resources.index

    @property
    def embedder(self) -> Embedder:
        """The embedder (``ingest.embed``)."""
        return self._built.resources.embedder

    @property
    def language_model(self) -> LanguageModel | None:
        """The chat model that stages ask (`llm`); ``None`` where there is none."""
        has_one = self._built.components.llm or self.spec.llm
        return self._built.resources.llm if has_one else None

    @property
    def resources(self) -> Resources:
        """What the stages share: index, embedder, language model."""
        return self._built.resources

    @property
    def stages(self) -> AskStages:
        """The stages of ``ask``, built; for `variant`."""
        return self._built.ask

    def variant(self, stages: AskStages) -> Pipeline:
        """This pipeline with other stages of ``ask``, on the same index and models; works until this one is closed."""
        other = copy(self)
        other._built = self._built.variant(stages)
        return other

    def prompt(self, name: str) -> str:
        """The text of a prompt template by name."""
        return self._built.resources.prompt(name)

    def locate(self, span: Span) -> Location:
        """Where a span stands in its source's own terms: pages, slides, sheet, lines, headings, boxes."""
        return self.index.reader().document(span.document_id).locate(span.start, span.end)

    @property
    def aio(self) -> AsyncPipeline:
        """The same pipeline for ``async`` code."""
        from rag.pipeline.aio import AsyncPipeline

        return AsyncPipeline(self)

    # ---- ingest

    def ingest(
        self,
        *,
        prune: bool = False,
        strict: bool = False,
        force: bool = False,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestReport:
        """Bring the index up to date with the sources. See `rag.pipeline.ingest.ingest`."""
        from rag.pipeline.ingest import ingest

        report = ingest(self._built, prune=prune, strict=strict, force=force, progress=progress)
        self.refresh()
        return report

    def plan(self, *, force: bool = False) -> IngestPlan:
        """What `ingest` would do. Writes nothing; documents are read only where enriching them would cost something."""
        from rag.pipeline.plan import plan

        return plan(self._built, force=force)

    def reembed(self) -> IngestReport:
        """Compute every vector again with the pipeline's embedder, from the texts the index holds; one commit.

        Raises:
            ModelError: a chunk is longer than the embedder's window; ingest again with smaller chunks.
        """
        from rag.pipeline.ingest import reembed

        report = reembed(self._built)
        self.refresh()
        return report

    def refresh(self) -> bool:
        """Move to the newest generation of the index; true if there was a newer one."""
        return self.index.refresh()

    # ---- ask

    def ask(
        self,
        question: str,
        *,
        filter: Condition | None = None,
        principals: frozenset[str] | None = None,
        history: Sequence[Turn] = (),
    ) -> Answer:
        """Answer one question from the index, with citations.

        Args:
            filter: a condition on metadata; `rag.parse_filter` reads one from text.
            principals: who asks; with any set, only documents whose access list names one of them are seen.
            history: earlier (question, answer) turns, given to a generator that writes.
        """
        for event in self.stream([question], filter=filter, principals=principals, history=history):
            if isinstance(event, Answered):
                return event.answer
        raise AssertionError("a stream ends with an answer for each question")

    def ask_many(
        self, questions: Sequence[str], *, filter: Condition | None = None, principals: frozenset[str] | None = None
    ) -> list[Answer]:
        """The same answers as `ask` one by one, each stage run once for all questions."""
        events = self.stream(questions, filter=filter, principals=principals)
        return [event.answer for event in events if isinstance(event, Answered)]

    def search(
        self, question: str, *, filter: Condition | None = None, principals: frozenset[str] | None = None
    ) -> SearchResult:
        """Stop before compression: the chunks an answer would be made from, and what each retriever said."""
        self._open()
        work = Work(0, Query(text=question, filter=filter, principals=principals))
        for _ in self._retrieve([work]):
            pass
        return SearchResult(work.query, tuple(work.queries), work.ranking, Trace(tuple(work.records)))

    def stream(
        self,
        questions: Sequence[str],
        *,
        filter: Condition | None = None,
        principals: frozenset[str] | None = None,
        history: Sequence[Turn] = (),
    ) -> Iterator[Event]:
        """The events of a batch of questions, as they happen; the last for each question is `Answered`."""
        self._open()
        works = [
            Work(at, Query(text=text, filter=filter, principals=principals, history=tuple(history)))
            for at, text in enumerate(questions)
        ]
        with self.tracer.span("rag.ask", questions=len(works)):
            yield from self._retrieve(works)
            yield from self._compress(works)
            yield from self._write(works)

    def warm_up(self) -> None:
        """Open the index and load the models now rather than at the first question."""
        self._open()
        if self.spec.ingest.index.dense is not None:
            self._built.resources.embedder.embed_queries(["warm up"])

    # ---- stages

    def _open(self) -> None:
        """Open the index, and check once a generation that it is the pipeline's."""
        reader = self.index.reader()
        if reader is not self._checked:
            self.index.check(self.embedder.identity if self.spec.ingest.index.dense else None)
            if self.spec.ingest.index.dense:
                from rag.pipeline.probe import probe

                probe(self.embedder, reader)
            self._checked = reader

    def _retrieve(self, works: list[Work]) -> Iterator[Event]:
        stages = self._built.ask
        for work in works:
            work.queries = [work.query]
        for stage in stages.transforms:
            taken = [len(work.queries) for work in works]
            flat = [query for work in works for query in work.queries]
            with self._clock("rag.transform", stage.use) as clock:
                given = iter(stage.run.transform(flat))
            for work, count in zip(works, taken, strict=True):
                rewritten = [next(given) for _ in range(count)]
                work.queries = [query for each in rewritten for query in each.queries]
                seconds, notes = clock.seconds / len(works), together(each.notes for each in rewritten)
                self._record(work, "transform", stage.use, seconds, count, len(work.queries), notes=notes)
        flat = [query for work in works for query in work.queries]
        for retriever in stages.retrievers:
            with self._clock("rag.retrieve", retriever.use) as clock:
                rankings = iter(retriever.run.retrieve(flat))
            for work in works:
                mine = tuple(replace(next(rankings), weight=query.weight) for query in work.queries)
                work.found.append(mine)
                seconds, notes = clock.seconds / len(works), together(ranking.notes for ranking in mine)
                self._record(work, "retrieve", retriever.use, seconds, 0, sum(map(len, mine)), mine, notes)
        fuser = stages.fuser
        for work in works:
            # Query by query, in the order of the retrievers: weights by position repeat with each query.
            found = [ranking for of_query in zip(*work.found, strict=True) for ranking in of_query]
            with self._clock("rag.fuse", fuser.use) as clock:
                work.ranking = fuser.run.fuse(found)
            taken_chunks, given_chunks = sum(map(len, found)), len(work.ranking)
            self._record(work, "fuse", fuser.use, clock.seconds, taken_chunks, given_chunks, (work.ranking,))
            yield Retrieved(work.at, tuple(work.queries), work.ranking)
        questions = [work.queries[0] for work in works]
        for reranker in stages.rerankers:
            before = [work.ranking for work in works]
            with self._clock("rag.rerank", reranker.use) as clock:
                after = reranker.run.rerank(questions, before)
            for work, old, new in zip(works, before, after, strict=True):
                work.ranking = new
                seconds = clock.seconds / len(works)
                self._record(work, "rerank", reranker.use, seconds, len(old), len(new), (new,), notes=new.notes)
                yield Reranked(work.at, new)
        for expander in stages.expanders:
            before = [work.ranking for work in works]
            with self._clock("rag.expand", expander.use) as clock:
                after = expander.run.expand(questions, before)
            for work, old, new in zip(works, before, after, strict=True):
                work.ranking = new
                sizes: dict[str, Scalar] = {
                    **new.notes,
                    "characters_in": sum(len(hit.chunk.text) for hit in old),
                    "characters_out": sum(len(hit.chunk.text) for hit in new),
                }
                seconds = clock.seconds / len(works)
                self._record(work, "expand", expander.use, seconds, len(old), len(new), (new,), notes=sizes)
                yield Expanded(work.at, new)

    def _compress(self, works: list[Work]) -> Iterator[Event]:
        stage = self._built.ask.compressor
        with self._clock("rag.compress", stage.use) as clock:
            kept = stage.run.compress([work.queries[0] for work in works], [work.ranking for work in works])
        for work, compression in zip(works, kept, strict=True):
            work.evidence = compression.evidence
            notes: dict[str, Scalar] = {
                "characters_in": sum(len(hit.chunk.text) for hit in work.ranking),
                "characters_out": sum(len(part.text) for part in compression.evidence),
                **compression.notes,
            }
            seconds, given = clock.seconds / len(works), len(compression.evidence)
            self._record(work, "compress", stage.use, seconds, len(work.ranking), given, notes=notes)
            yield Compressed(work.at, compression.evidence, compression.dropped)

    def _write(self, works: list[Work]) -> Iterator[Event]:
        generator, citer = self._built.ask.generator, self._built.ask.citer
        prompts = [
            Prompt(question=work.query.text, evidence=work.evidence, history=work.query.history) for work in works
        ]
        started = perf_counter()
        with self.tracer.span("rag.generate", prompts=len(prompts), use=generator.use):
            decoding = generator.run.start(prompts)
            for at, token in decoding:
                works[at].written.append(token.text)
                yield Wrote(works[at].at, token.text)
        seconds = (perf_counter() - started) / max(1, len(works))
        for at, work in enumerate(works):
            outcome = decoding.outcome(at)
            notes: dict[str, Scalar] = {
                "prompt_tokens": outcome.usage.prompt_tokens,
                "completion_tokens": outcome.usage.completion_tokens,
            }
            self._record(work, "generate", generator.use, seconds, len(work.evidence), 1, notes=notes)
            with self._clock("rag.cite", citer.use) as clock:
                cited = citer.run.cite("".join(work.written), work.evidence, given=outcome.given)
            kept, dropped = len(cited.citations), cited.dropped
            self._record(work, "cite", citer.use, clock.seconds, kept + dropped, kept, notes={"dropped": dropped})
            yield Answered(
                work.at,
                Answer(
                    query=work.query.text,
                    text=cited.text,
                    evidence=work.evidence,
                    citations=cited.citations,
                    mode=generator.run.mode,
                    usage=outcome.usage,
                    abstained=outcome.abstained,
                    reason=outcome.reason,
                    dropped_citations=cited.dropped,
                    trace=Trace(tuple(work.records)),
                ),
            )

    @contextmanager
    def _clock(self, name: str, use: str) -> Iterator[Clock]:
        clock = Clock()
        started = perf_counter()
        with self.tracer.span(name, use=use):
            yield clock
        clock.seconds = perf_counter() - started

    @staticmethod
    def _record(
        work: Work,
        stage: str,
        use: str,
        seconds: float,
        taken: int,
        given: int,
        rankings: tuple[Ranking, ...] = (),
        notes: Mapping[str, Scalar] | None = None,
    ) -> None:
        work.records.append(
            StageRecord(
                stage=stage, use=use, seconds=seconds, taken=taken, given=given, rankings=rankings, notes=notes or {}
            )
        )


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The ranking of one question, and the stages that made it."""

    query: Query
    queries: tuple[Query, ...]
    ranking: Ranking
    trace: Trace
