"""Options of the chunk stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import Field, model_validator

from rag.config.spec import Spec
from rag.embed.specs import EmbedderSpec

if TYPE_CHECKING:
    from rag.chunk.base import Chunker
    from rag.config.problems import Path
    from rag.config.view import Conflict, View
    from rag.resources import Resources

Unit: TypeAlias = Literal["tokens", "characters", "words"]
Breakpoints: TypeAlias = Literal["percentile", "deviation", "interquartile", "gradient"]


class ChunkerSpec(Spec):
    """The base of every chunker's options.

    Whatever a chunker is asked for, none of its chunks is longer than the encoder's window: a larger one is split.
    Without vectors (``ingest.index.dense: null``) the window does not count.
    """

    use: str

    def build(self, resources: Resources) -> Chunker:
        """Make the chunker. Every subclass overrides this."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is built")


class SizedSpec(ChunkerSpec):
    """The size of a chunk, in exactly one unit."""

    tokens: int | None = Field(200, ge=1)
    """Largest chunk in the encoder's own tokens."""
    characters: int | None = Field(None, ge=1)
    """Largest chunk in characters (code points), instead of tokens."""
    words: int | None = Field(None, ge=1)
    """Largest chunk in words (runs without white space), instead of tokens."""

    @model_validator(mode="before")
    @classmethod
    def _another_unit_replaces_tokens(cls, data: object) -> object:
        if not isinstance(data, Mapping) or "tokens" in data:
            return data
        other_unit = data.get("characters") is not None or data.get("words") is not None
        return {**data, "tokens": None} if other_unit else data

    @model_validator(mode="after")
    def _one_unit(self) -> SizedSpec:
        if sum(size is not None for size in (self.tokens, self.characters, self.words)) != 1:
            raise ValueError("give exactly one of tokens, characters and words")
        return self

    @property
    def unit(self) -> Unit:
        return "characters" if self.characters is not None else "words" if self.words is not None else "tokens"

    @property
    def size(self) -> int:
        """The largest chunk, in `unit`."""
        size = self.characters or self.words or self.tokens
        assert size is not None  # by _one_unit
        return size

    def conflicts(self, pipeline: View, path: Path) -> Iterator[Conflict]:
        if self.tokens is None or pipeline.value("ingest.index.dense") is None:
            return
        embedder = pipeline.get("ingest.embed", EmbedderSpec)
        window = embedder.window() if embedder is not None else None
        if window is not None and self.tokens > window:
            message = f"expected at most {window}, the window of the embedder, got {self.tokens}"
            yield (*path, "tokens"), message


class OverlapSpec(SizedSpec):
    """A size, and how much of a chunk the next one repeats."""

    overlap: int = Field(0, ge=0)
    """How much of a chunk the next one repeats, in the unit of the size."""

    @model_validator(mode="after")
    def _overlap_fits(self) -> OverlapSpec:
        if self.overlap >= self.size:
            raise ValueError(f"overlap must be less than the size, {self.size}, got {self.overlap}")
        return self


class FixedSpec(OverlapSpec):
    """Windows of a fixed size, cut wherever the size says."""

    use: Literal["fixed"] = "fixed"

    def build(self, resources: Resources) -> Chunker:
        from rag.chunk.fixed import FixedChunker
        from rag.chunk.window import tokenizer

        return FixedChunker(tokenizer(resources), unit=self.unit, size=self.size, overlap=self.overlap)


class RecursiveSpec(OverlapSpec):
    """As much text as fits, cut at the coarsest border there is: paragraph, line, sentence, word."""

    use: Literal["recursive"] = "recursive"

    def build(self, resources: Resources) -> Chunker:
        from rag.chunk.recursive import RecursiveChunker
        from rag.chunk.window import tokenizer

        return RecursiveChunker(tokenizer(resources), unit=self.unit, size=self.size, overlap=self.overlap)


class HeadingsSpec(SizedSpec):
    """Whole sections under their headings; long ones are cut like `recursive`, tables and code kept whole if they fit.

    Documents without headings are cut like `recursive`.
    """

    use: Literal["headings"] = "headings"
    merge: bool = True
    """Put short neighbouring sections under the same heading together, up to the size."""

    def build(self, resources: Resources) -> Chunker:
        from rag.chunk.headings import HeadingsChunker
        from rag.chunk.window import tokenizer

        return HeadingsChunker(tokenizer(resources), unit=self.unit, size=self.size, merge=self.merge)


class SentencesSpec(ChunkerSpec):
    """One sentence a chunk, or a few: found exactly, and widened again by ``ask.expand: [{use: window}]``."""

    use: Literal["sentences"] = "sentences"
    sentences: int = Field(1, ge=1)
    """Sentences in a chunk."""
    overlap: int = Field(0, ge=0)
    """How many of them the next one repeats."""

    @model_validator(mode="after")
    def _overlap_fits(self) -> SentencesSpec:
        if self.overlap >= self.sentences:
            raise ValueError(f"overlap must be less than sentences, {self.sentences}, got {self.overlap}")
        return self

    def build(self, resources: Resources) -> Chunker:
        from rag.chunk.sentence import SentenceChunker
        from rag.chunk.window import tokenizer

        return SentenceChunker(tokenizer(resources), sentences=self.sentences, overlap=self.overlap)


class LeastSpec(SizedSpec):
    """A size, and how small a chunk may be before it is put to a neighbour."""

    least: int = Field(50, ge=0)
    """Chunks smaller than this are put to the neighbour they are nearer to, if both fit; in the unit of the size."""


class SemanticSpec(LeastSpec):
    """Cut where a sentence means something else than the one before, by the pipeline's embedder.

    Embeds every sentence, so ingest takes several times as long. What is then too long is cut like `recursive`.
    """

    use: Literal["semantic"] = "semantic"
    breakpoints: Breakpoints = "percentile"
    """How far is far, in this document: above a percentile of its distances, so many standard deviations or
    interquartile ranges above their mean, or where their gradient is above its percentile."""
    threshold: float | None = Field(None, ge=0)
    """What `breakpoints` compares with; empty for its own default: 95, 3, 1.5 and 95."""
    buffer: int = Field(1, ge=0, le=20)
    """Sentences on either side that are embedded with each one."""

    @model_validator(mode="after")
    def _percentile_is_one(self) -> SemanticSpec:
        if self.breakpoints in ("percentile", "gradient") and self.threshold is not None and self.threshold > 100:
            raise ValueError(f"threshold is a percentile for {self.breakpoints!r}, at most 100, got {self.threshold}")
        return self

    def build(self, resources: Resources) -> Chunker:
        from rag.chunk.semantic import SemanticChunker

        return SemanticChunker(
            resources.embedder,
            unit=self.unit,
            size=self.size,
            least=self.least,
            buffer=self.buffer,
            breakpoints=self.breakpoints,
            threshold=self.threshold,
        )


class TopicSpec(LeastSpec):
    """Cut where the topic changes, told by the words alone (TextTiling); no model.

    What is then too long is cut like `recursive`.
    """

    use: Literal["topic"] = "topic"
    block: int = Field(60, ge=1)
    """Terms that are compared on either side of a sentence border."""
    cutoff: float = 0.5
    """A valley of similarity is cut if it is deeper than the mean less this many standard deviations; a smaller value
    cuts less."""
    language: str = "auto"
    """What stems words in Latin script, as ``german``; ``auto`` is English. Other scripts have their own rules."""

    def build(self, resources: Resources) -> Chunker:
        from rag.chunk.topic import TopicChunker
        from rag.chunk.window import tokenizer

        return TopicChunker(
            tokenizer(resources),
            unit=self.unit,
            size=self.size,
            least=self.least,
            block=self.block,
            cutoff=self.cutoff,
            language=self.language,
        )


class WholeSpec(ChunkerSpec):
    """One chunk a document where it fits the encoder's window (or there are no vectors); else as `recursive`."""

    use: Literal["whole"] = "whole"

    def build(self, resources: Resources) -> Chunker:
        from rag.chunk.whole import WholeChunker
        from rag.chunk.window import tokenizer

        return WholeChunker(tokenizer(resources))


BUILT_IN: tuple[type[ChunkerSpec], ...] = (
    RecursiveSpec,
    HeadingsSpec,
    FixedSpec,
    SentencesSpec,
    SemanticSpec,
    TopicSpec,
    WholeSpec,
)
