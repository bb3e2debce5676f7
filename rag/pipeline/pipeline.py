"""The pipeline: one straight line of stages, run for a batch of questions; a single question is a batch of one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag.events import Answered, Event, Retrieved
from rag.pipeline.build import AskStages, Built, Components
from rag.pipeline.dynamic import Loop
from rag.pipeline.run import Run, Work
from rag.tracing import NoTracer, Tracer
from rag.types import Answer, Condition, Location, Query, Ranking, Span, Trace

if TYPE_CHECKING:
    from pydantic import BaseModel

    from rag.embed.base import Embedder
    from rag.index.directory import IndexDirectory
    from rag.index.reader import Reader
    from rag.models.llm import Json, LanguageModel
    from rag.pipeline.aio import AsyncPipeline
    from rag.pipeline.report import IngestPlan, IngestProgress, IngestReport
    from rag.pipeline.spec import PipelineSpec
    from rag.resources import Resources

Turn = tuple[str, str]


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

    def prepare(self) -> None:
        """Make what its stages read beside the index of every chunk that lacks it, as `ingest` does at its end."""
        from rag.pipeline.prepare import prepare

        prepare(self._built)

    def rebuild_derived(self) -> int:
        """Make what derives from texts and vectors anew: terms, approximate indexes, token vectors; the generation.

        Raises:
            IndexLockedError: another process writes.
        """
        self.index.rebuild()
        self.prepare()
        return self.index.reader().generation

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
        schema: type[BaseModel] | Mapping[str, Json] | None = None,
    ) -> Answer:
        """Answer one question from the index, with citations.

        Args:
            filter: a condition on metadata; `rag.parse_filter` reads one from text.
            principals: who asks; with any set, only documents whose access list names one of them are seen.
            history: earlier (question, answer) turns, given to a generator that writes.
            schema: a pydantic model or a JSON Schema that `Answer.data` is to fit (`rag.pipeline.structured`).

        Raises:
            ConfigError: with a schema: the generator does not write in one.
            StructureError: what the model wrote does not fit the schema, also after a second try.
        """
        query = Query(text=question, filter=filter, principals=principals, history=tuple(history))
        if schema is not None:
            from rag.pipeline.structured import answer_in

            self._open()
            with self.tracer.span("rag.ask", questions=1):
                return answer_in(Run(self._built.ask, self.tracer), Work(0, query), schema)
        for event in self._events([Work(0, query)]):
            if isinstance(event, Answered):
                return event.answer
        raise AssertionError("a stream ends with an answer for each question")

    def ask_many(
        self, questions: Sequence[str], *, filter: Condition | None = None, principals: frozenset[str] | None = None
    ) -> list[Answer]:
        """The same answers as `ask` one by one, each stage run once for all questions."""
        works = [Work(at, Query(text=text, filter=filter, principals=principals)) for at, text in _each(questions)]
        answers = {event.at: event.answer for event in self._events(works) if isinstance(event, Answered)}
        return [answers[at] for at in range(len(questions))]

    def search(
        self, question: str, *, filter: Condition | None = None, principals: frozenset[str] | None = None
    ) -> SearchResult:
        """Stop before compression: the chunks an answer would be made from, and what each retriever said."""
        self._open()
        work = Work(0, Query(text=question, filter=filter, principals=principals))
        for _ in Run(self._built.ask, self.tracer).retrieve([work]):
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
        from rag.pipeline.citing import with_citations

        works = [
            Work(at, Query(text=text, filter=filter, principals=principals, history=tuple(history)))
            for at, text in _each(questions)
        ]
        with closing(self._events(works)) as events:
            yield from with_citations(events, self._built.ask.citer.run, lambda at: works[at].given)

    def _events(self, works: Sequence[Work]) -> Generator[Event, None, None]:
        self._open()
        with self.tracer.span("rag.ask", questions=len(works)):
            run = Run(self._built.ask, self.tracer)
            for event in self._answering(run, works):
                if isinstance(event, Retrieved):
                    run.expect(works[event.at], event.ranking)
                yield event

    def _answering(self, run: Run, works: Sequence[Work]) -> Iterator[Event]:
        if run.stages.dynamic is not None:
            yield from Loop(run, run.stages.dynamic).answer(works)
            return
        yield from run.retrieve(works)
        yield from run.compress(works)
        yield from run.write(works)

    def warm_up(self) -> None:
        """Open the index and load the models now, and take into memory what pays for many questions."""
        self._open()
        if self.spec.ingest.index.dense is not None:
            self._built.resources.embedder.embed_queries(["warm up"])
        self.index.reader().warm_up()

    def _open(self) -> None:
        """Open the index, and check once a generation that it is the pipeline's."""
        reader = self.index.reader()
        if reader is not self._checked:
            self.index.check(self.embedder.identity if self.spec.ingest.index.dense else None)
            if self.spec.ingest.index.dense:
                from rag.pipeline.probe import probe

                probe(self.embedder, reader)
            self._checked = reader


def _each(questions: Sequence[str]) -> Iterator[tuple[int, str]]:
    if isinstance(questions, str):  # whose letters would be questions
        raise TypeError("expected several questions, got one text: put it into a list")
    return enumerate(questions)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The ranking of one question, and the stages that made it."""

    query: Query
    queries: tuple[Query, ...]
    ranking: Ranking
    trace: Trace
