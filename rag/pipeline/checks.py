"""What the stages of one pipeline must agree on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag.chunk.specs import SizedSpec
from rag.config.dump import components, use_name
from rag.config.problems import Path, dotted
from rag.embed.specs import LateSpec
from rag.enrich.specs import Doc2QuerySpec
from rag.generate.specs import ExtractiveSpec, LlmSpec
from rag.index.specs import Bm25Spec
from rag.models.specs import BUILT_IN
from rag.rerank.specs import CanonicalOrderSpec, LateInteractionSpec, OrderSpec
from rag.retrieve.encoded_specs import MultiVectorSpec
from rag.retrieve.feedback_specs import Rm3Spec
from rag.retrieve.sources_specs import SourcesSpec
from rag.retrieve.specs import DbsfSpec, LogOddsSpec, RrfSpec, SingleSpec, WeightedSpec, ZScoreSpec
from rag.trigger.query_specs import SAME_AGAIN
from rag.trigger.simple_specs import MarginSpec, NeverSpec
from rag.trigger.trigger_spec import TriggerSpec

if TYPE_CHECKING:
    from rag.pipeline.spec import AskSpec, IngestSpec, PipelineSpec

_INDEXES = "ingest.index."
_ON_REQUEST = "ingest.index.ngrams"  # null by default, so its place is in no file

_SHOWN = {"logprobs": "how probable tokens are", "attention": "a model's attention"}
"""What a tier of language models shows."""


def conflicts(pipeline: PipelineSpec) -> Iterator[tuple[Path, str]]:
    """What does not fit together, each with the path of the value that should change. No model is loaded for it."""
    ingest = pipeline.ingest
    yield from _needs(pipeline)
    if missing := ingest.parse.missing():
        yield ("ingest", "parse", "ocr"), missing
    yield from _fusing(pipeline.ask)
    yield from _enriching(ingest)
    yield from _token_states(pipeline)
    yield from _late(ingest)
    yield from _feedback(pipeline)
    yield from _without_effect(pipeline.ask)
    yield from _several_indexes(pipeline.ask)
    yield from _layout(pipeline.ask)
    yield from _dynamic(pipeline.ask)
    window = ingest.embed.window() if ingest.index.dense is not None else None
    if window is not None and isinstance(ingest.chunk, SizedSpec) and (ingest.chunk.tokens or 0) > window:
        message = f"expected at most {window}, the window of the embedder, got {ingest.chunk.tokens}"
        yield ("ingest", "chunk", "tokens"), message


def _needs(pipeline: PipelineSpec) -> Iterator[tuple[Path, str]]:
    llm = pipeline.llm
    for path, spec in components(pipeline):
        missing = spec.missing()
        if missing is not None:
            yield (*path, "use"), missing
        for needed in spec.needs:
            names = tuple(needed.split("."))
            if needed == "llm":
                if llm is None:
                    message = f"{use_name(spec)!r} asks a language model, the pipeline names none: set `llm`"
                    yield (*path, "use"), f"{message}, such as {{use: openai, base_url: ..., model: ...}}"
            elif needed in _SHOWN:
                if llm is not None and needed not in llm.offers:
                    message = f"{use_name(spec)!r} reads {_SHOWN[needed]}, which the language model {llm.use!r}"
                    yield (*path, "use"), f"{message} does not show: set `llm` to {_shows(needed)}"
            elif needed == _ON_REQUEST and _value(pipeline, names) is None:
                message = f"{use_name(spec)!r} counts phrases in the pipeline's own documents"
                yield (*path, "use"), f"{message}: set `{needed}: {{}}`"
            elif _value(pipeline, names) is None:
                # Null has to be written, so the message has a place; the component that needs it may be a default.
                yield names, f"is null, but {dotted(path)} ({use_name(spec)}) needs it"


def _shows(tier: str) -> str:
    """The language models that ship and show a tier."""
    return " or ".join(repr(spec.model_fields["use"].default) for spec in BUILT_IN if tier in spec.offers)


def _value(pipeline: PipelineSpec, names: Path) -> object:
    value: object = pipeline
    for name in names:
        value = getattr(value, str(name))
    return value


def _token_states(pipeline: PipelineSpec) -> Iterator[tuple[Path, str]]:
    embed = pipeline.ingest.embed
    for at, spec in enumerate(pipeline.ask.rerank):
        if isinstance(spec, LateInteractionSpec) and spec.model is None and not embed.has_token_states():
            message = f"'late-interaction' needs token states, which {embed.use!r} as set in ingest.embed does not give"
            yield ("ask", "rerank", at, "use"), f"{message}: set its `model`"
    for at, retriever in enumerate(pipeline.ask.retrieve):
        if isinstance(retriever, MultiVectorSpec) and retriever.model is None and not embed.has_token_states():
            message = f"'multivector' needs token states, which {embed.use!r} as set in ingest.embed does not give"
            yield ("ask", "retrieve", at, "use"), f"{message}: set its `model`"


def _feedback(pipeline: PipelineSpec) -> Iterator[tuple[Path, str]]:
    sparse = pipeline.ingest.index.sparse
    for at, spec in enumerate(pipeline.ask.retrieve):
        if isinstance(spec, Rm3Spec) and sparse is not None and not isinstance(sparse, Bm25Spec):
            message = f"'rm3' weighs the terms of 'bm25', ingest.index.sparse is {sparse.use!r}"
            yield ("ask", "retrieve", at, "use"), message


def _without_effect(ask: AskSpec) -> Iterator[tuple[Path, str]]:
    """A transform that changes one kind of retrieval alone, where every retriever is known to be of the other kind."""
    used = [{need for need in spec.needs if need.startswith(_INDEXES)} for spec in ask.retrieve]
    for at, spec in enumerate(ask.transform):
        for need in spec.needs:
            if need.startswith(_INDEXES) and all(known and need not in known for known in used):
                kind = need.removeprefix(_INDEXES)
                message = f"{spec.use!r} changes what {kind} retrieval searches for, ask.retrieve has none"
                yield ("ask", "transform", at, "use"), message


def _several_indexes(ask: AskSpec) -> Iterator[tuple[Path, str]]:
    retrievers = (*ask.retrieve, ask.dynamic.elsewhere if ask.dynamic else None)
    routing = [spec.use for spec in retrievers if isinstance(spec, SourcesSpec)]
    for at, spec in enumerate(ask.rerank):
        if routing and "ingest.index.dense" in spec.needs:
            message = f"{spec.use!r} compares vectors of the pipeline's own index"
            yield ("ask", "rerank", at, "use"), f"{message}, {routing[0]!r} gives chunks of others"


def _dynamic(ask: AskSpec) -> Iterator[tuple[Path, str]]:
    """Triggers that the rest of ``ask`` gives nothing to go by, or leaves no answer."""
    if ask.dynamic is None:
        return
    place: Path = ("ask", "dynamic", "trigger")
    quotes = isinstance(ask.generate, ExtractiveSpec)
    parts = [(path, spec) for path, spec in components(ask.dynamic.trigger, place) if isinstance(spec, TriggerSpec)]
    for path, spec in [(place, ask.dynamic.trigger), *parts]:
        if spec.writes and quotes:
            message = f"{spec.use!r} looks at how the language model writes, ask.generate is 'extractive'"
            yield (*path, "use"), f"{message}: set it to llm"
        if isinstance(spec, MarginSpec) and spec.elsewhere and ask.dynamic.elsewhere is None:
            yield (*path, "elsewhere"), "ask.dynamic.elsewhere is null: there is no second source to look in"
        if isinstance(spec, MarginSpec) and not spec.elsewhere and ask.dynamic.query.use in SAME_AGAIN:
            message = f"'margin' would search for the same again with the query builder {ask.dynamic.query.use!r}"
            yield ("ask", "dynamic", "query", "use"), f"{message}: set it to llm-asked, or the trigger's `elsewhere`"
    silent = quotes or (isinstance(ask.generate, LlmSpec) and ask.generate.without_evidence == "abstain")
    if isinstance(ask.dynamic.trigger, NeverSpec) and silent:
        message = "'never' gives no evidence, and without any ask.generate abstains from every answer"
        yield (*place, "use"), f"{message}: set ask.generate to {{use: llm, without_evidence: answer}}"


def _late(ingest: IngestSpec) -> Iterator[tuple[Path, str]]:
    if isinstance(ingest.embed, LateSpec) and ingest.represent.by == "prefix":
        message = "'late' embeds documents, without what is put before a chunk: 'prefix' would change no vector"
        yield ("ingest", "represent", "by"), message


def _layout(ask: AskSpec) -> Iterator[tuple[Path, str]]:
    for at, spec in enumerate(ask.rerank):
        if not isinstance(spec, OrderSpec | CanonicalOrderSpec):
            continue
        if at < len(ask.rerank) - 1:
            yield ("ask", "rerank", at, "use"), f"{spec.use!r} must be the last of ask.rerank: what follows undoes it"
        elif (kept := getattr(ask.compress, "keep", spec.keep)) < spec.keep:
            message = f"ask.compress keeps {kept} chunks and would cut from the end, where {spec.use!r} puts good ones"
            yield ("ask", "rerank", at, "keep"), f"expected at most {kept}, got {spec.keep}: {message}"


def _enriching(ingest: IngestSpec) -> Iterator[tuple[Path, str]]:
    sparse = ingest.index.sparse
    for at, spec in enumerate(ingest.enrich):
        if isinstance(spec, Doc2QuerySpec) and isinstance(sparse, Bm25Spec) and spec.field not in sparse.fields:
            message = f"{spec.field!r} is not among ingest.index.sparse.fields: nothing would search the questions"
            yield ("ingest", "enrich", at, "field"), message
    if ingest.represent.by == "tfidf-weighted" and ingest.index.dense is None:
        yield ("ingest", "represent", "by"), "'tfidf-weighted' is a way to make vectors, ingest.index.dense is null"


def _fusing(ask: AskSpec) -> Iterator[tuple[Path, str]]:
    retrievers = len(ask.retrieve)
    if isinstance(ask.fuse, SingleSpec) and retrievers > 1:
        yield ("ask", "fuse", "use"), f"'single' takes one retriever, ask.retrieve has {retrievers}"
    if isinstance(ask.fuse, SingleSpec) and (several := [spec.use for spec in ask.transform if spec.several]):
        yield ("ask", "fuse", "use"), f"'single' takes one query, {', '.join(map(repr, several))} makes several"
    if (
        isinstance(ask.fuse, ZScoreSpec | LogOddsSpec | RrfSpec | WeightedSpec | DbsfSpec)
        and ask.fuse.weights is not None
    ):
        weights = len(ask.fuse.weights)
        if weights != retrievers:
            yield ("ask", "fuse", "weights"), f"expected one weight for each of {retrievers} retrievers, got {weights}"
