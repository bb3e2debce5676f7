"""The data model: immutable values that carry character offsets from the source document to the citation.

Offsets are half-open ranges ``[start, end)`` in Unicode code points of `Document.text`, that is, what
``text[start:end]`` means in Python. One invariant runs through everything: the text of every chunk, every piece of
evidence and every citation is the document's text at its span.

Only the standard library is imported here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from hashlib import blake2b
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Literal, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Meta: TypeAlias = Mapping[str, Scalar]
Verdict: TypeAlias = Literal["supported", "weak", "unsupported"]
PartKind: TypeAlias = Literal["page", "slide", "sheet", "chapter", "heading", "table", "code", "row"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range ``[start, end)`` of one document's text, in code points."""

    document_id: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a span needs 0 <= start <= end, got [{self.start}, {self.end}) in {self.document_id!r}")

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a document that its format names: page "12", slide "3", sheet "Prices", a heading, a table.

    `name` is the page or slide number as text, the sheet's name, or the heading's text. `level` is 1 to 6 for headings.
    A heading's range is the heading line itself, not the section under it.
    """

    kind: PartKind
    start: int
    end: int
    name: str = ""
    level: int = 0


@dataclass(frozen=True, slots=True)
class Box:
    """Where a stretch of text stands on a page: points (1/72 inch) from the page's top left corner."""

    start: int
    end: int
    page: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The structure a parser found. `lines` is true where line n of the text is line n of the source file."""

    parts: tuple[Part, ...] = ()
    boxes: tuple[Box, ...] = ()
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """What a span resolves to in the source's own terms; empty where the format has no such thing."""

    pages: tuple[int, int] | None = None
    slides: tuple[int, int] | None = None
    sheet: str | None = None
    lines: tuple[int, int] | None = None
    headings: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()

    def __str__(self) -> str:
        """The short form people read: ``page 12``, ``slides 3-4``, ``sheet Prices``, ``lines 40-43``."""
        if self.pages:
            return _numbers("page", self.pages)
        if self.slides:
            return _numbers("slide", self.slides)
        if self.sheet is not None:
            return f"sheet {self.sheet}"
        if self.lines:
            return _numbers("line", self.lines)
        return f'section "{self.headings[-1]}"' if self.headings else ""


def _range(numbers: tuple[int, int]) -> str:
    first, last = numbers
    return str(first) if first == last else f"{first}-{last}"


def _numbers(word: str, numbers: tuple[int, int]) -> str:
    return f"{word}{'' if numbers[0] == numbers[1] else 's'} {_range(numbers)}"


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed source. `text` is final: every offset in the system points into it.

    `id` is stable across runs (a path relative to the connector's root, a URL), `source` is what a person opens.
    `access` names the principals who may see it; ``None`` means that no access list was set, which a query with
    principals treats as forbidden.
    """

    id: str
    text: str
    source: str = ""
    meta: Meta = field(default_factory=dict)
    access: tuple[str, ...] | None = None
    layout: Layout = Layout()

    @cached_property
    def content_hash(self) -> str:
        """BLAKE2b-128 of the text, hexadecimal."""
        return blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @cached_property
    def _line_starts(self) -> list[int]:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def locate(self, start: int, end: int) -> Location:
        """Resolve ``[start, end)`` to pages, slides, sheet, lines, the headings above it, and boxes."""
        last = max(start, end - 1)
        pages: list[int] = []
        slides: list[int] = []
        sheet: str | None = None
        trail: list[Part] = []
        for part in self.layout.parts:
            if part.kind == "heading":
                if part.start <= start:
                    trail = [p for p in trail if p.level < part.level] + [part]
            elif part.start <= last and part.end > start:
                if part.kind == "page":
                    pages.append(int(part.name))
                elif part.kind == "slide":
                    slides.append(int(part.name))
                elif part.kind == "sheet" and sheet is None:
                    sheet = part.name
        lines = None
        if self.layout.lines:
            lines = (bisect_right(self._line_starts, start), bisect_right(self._line_starts, last))
        return Location(
            pages=(min(pages), max(pages)) if pages else None,
            slides=(min(slides), max(slides)) if slides else None,
            sheet=sheet,
            lines=lines,
            headings=tuple(part.name for part in trail),
            boxes=tuple(box for box in self.layout.boxes if box.start < end and box.end > start),
        )


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A stretch of one document, the unit that is indexed and ranked.

    `context` is text that enrichment prepends for indexing only (a heading path, a summary): it is never cited and
    never part of the span. The id comes from document, offsets and text alone, so metadata, enrichment and models
    never change it. `access` is its document's.
    """

    span: Span
    text: str
    context: str = ""
    meta: Meta = field(default_factory=dict)
    access: tuple[str, ...] | None = field(default=None, compare=False)

    @property
    def document_id(self) -> str:
        return self.span.document_id

    @cached_property
    def id(self) -> str:
        digest = blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        return f"{self.span.document_id}#{self.span.start}-{self.span.end}-{digest}"

    @property
    def key(self) -> tuple[Span, str]:
        """Equal for the same chunks as `id`, and quick to compare: nothing is hashed that Python does not remember."""
        return self.span, self.text

    @property
    def indexed_text(self) -> str:
        """What the retrievers see: the context, a line break, the text."""
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question as the retrievers see it.

    `filter` is a condition on metadata (`rag.index.filters`). `principals` are the identities of who asks: ``None``
    applies no access control (a local, trusted caller); any set, even an empty one, returns only documents whose access
    list names one of them.

    What a transform adds for one kind of retrieval alone: `keywords` are searched beside the words of `text`;
    `passages` are imagined answers, whose vectors are averaged with that of `text`. They are never shown as evidence.
    `weight` is how much the query counts beside the others of its question when rankings are fused. `history` holds the
    earlier (question, answer) turns.
    """

    text: str
    filter: Condition | None = None
    principals: frozenset[str] | None = None
    keywords: str = ""
    passages: tuple[str, ...] = ()
    weight: float = 1.0
    history: tuple[tuple[str, str], ...] = ()

    def rephrased(self, text: str, *, weight: float = 1.0) -> Query:
        """Another text for the same asker, without what was made for this one; `weight` counts on top of its own."""
        return replace(self, text=text, keywords="", passages=(), weight=self.weight * weight)

    @property
    def words(self) -> str:
        """What sparse retrieval looks for."""
        return f"{self.text} {self.keywords}" if self.keywords else self.text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Condition:
    """A typed condition on metadata: a comparison of one `field`, or a combination of `parts`.

    ``eq`` and ``in`` compare with `values`; ``range`` is ``values[0] <= x <= values[1]`` with ``None`` for an open end;
    ``exists`` asks for a value that is not null. ``contains`` asks for one item of a text that lists several with
    ``; `` between them. Values of another type than the stored one never match, so conditions on ``1`` and on ``True``
    are different, though Python holds these equal.
    """

    op: Literal["eq", "in", "range", "exists", "contains", "and", "or", "not"]
    field: str = ""
    values: tuple[Scalar, ...] = ()
    parts: tuple[Condition, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk and its score, higher is better.

    `origin` is who scored: scores of different origins are never compared.
    """

    chunk: Chunk
    score: float
    origin: str


@dataclass(frozen=True, slots=True)
class Background:
    """How one query's scores are distributed over the whole collection it was allowed to see.

    `mean` and `deviation` (population) are over all `size` chunks, those that score zero included; `score` gives this
    retriever's score of any chunks of the collection. With it a fuser can standardise scores and complete the lists.
    """

    mean: float
    deviation: float
    size: int
    score: Callable[[Sequence[Chunk]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Chunks best first, equal scores in the order of chunk ids, no chunk twice.

    `weight` is that of the query that was retrieved for; fusers multiply what the ranking adds by it. `notes` is what
    its maker has to say about it in the trace: how many were scored, why nothing was.
    """

    hits: tuple[ScoredChunk, ...] = ()
    background: Background | None = None
    weight: float = 1.0
    notes: Meta = field(default_factory=dict, compare=False)

    def __iter__(self) -> Iterator[ScoredChunk]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, at: int) -> ScoredChunk:
        return self.hits[at]

    @staticmethod
    def of(scored: Sequence[ScoredChunk], *, keep: int | None = None, background: Background | None = None) -> Ranking:
        """Sort by falling score, then chunk id; keep the first `keep`."""
        score = attrgetter("score")
        ordered = sorted(scored, key=score, reverse=True)
        # Ids are hashes of texts: only equal scores are worth making them.
        if any(one.score == other.score for one, other in pairwise(ordered)):
            ordered = [hit for _, run in groupby(ordered, score) for hit in _by_id(list(run))]
        return Ranking(tuple(ordered[:keep]), background)


def _by_id(tied: list[ScoredChunk]) -> list[ScoredChunk]:
    return tied if len(tied) == 1 else sorted(tied, key=lambda hit: hit.chunk.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What compression keeps for the answer: always ``document.text[span.start:span.end] == text``.

    `access` is its document's.
    """

    span: Span
    text: str
    score: float
    chunk_id: str
    source: str = ""
    location: Location = Location()
    access: tuple[str, ...] | None = field(default=None, compare=False)

    @property
    def where(self) -> str:
        """``handbook.pdf, page 12``: the source and the place in it."""
        place = str(self.location)
        return f"{self.source}, {place}" if place else self.source


@dataclass(frozen=True, slots=True)
class Dropped:
    """A sentence that compression looked at and left out, with the score it got."""

    span: Span
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How far the cited evidence carries a sentence, and what that rests on (`rag.cite.support`).

    Attributes:
        words: share of the sentence's content words that the evidence has, 0 to 1.
        quoted: the evidence has the sentence word for word; nothing else was looked at.
        missing: numbers and names of the sentence that the evidence does not give for this.
        contrary: content words that one of the two denies and the other does not.
        swapped: names that stand where the evidence has another name.
        cosine: with the nearest sentence of the evidence; ``None`` where no embedder was asked.
        entailment: the probability that the evidence implies the sentence; ``None`` without such a model.
        contradiction: the probability that it rules the sentence out.
    """

    verdict: Verdict
    words: float
    quoted: bool = False
    missing: tuple[str, ...] = ()
    contrary: tuple[str, ...] = ()
    swapped: tuple[str, ...] = ()
    cosine: float | None = None
    entailment: float | None = None
    contradiction: float | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """The range ``[start, end)`` of the answer's text that the numbered evidence supports (numbers from 1).

    `spans` says, for each number, where in the source: the sentence itself where the answer quotes it word for word,
    else the whole of that evidence. `support` is ``None`` where nobody checked. `moved_from` are the numbers that the
    answer named before it was found to rest on others.
    """

    start: int
    end: int
    evidence: tuple[int, ...]
    spans: tuple[Span, ...] = ()
    support: Support | None = None
    moved_from: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldCitation:
    """What a value of a structured answer rests on.

    `path` is where the value is (``people.0.name``); `evidence` are the numbers that name it as a source, from 1, with
    a span each: the value itself where the evidence has it word for word (`quoted`), else all of that evidence.
    """

    path: str
    evidence: tuple[int, ...]
    spans: tuple[Span, ...]
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a model in this program spared by keeping the keys and values of passages (``llm.reuse``), in tokens.

    `reused` and `recomputed` are those of the prompts. On top of these, `read_alone` are those of passages that were
    not kept yet, `measured` those that ran through the first layers only, to find which to compute again. `from_memory`
    and `from_disk` count passages by where they were. `from_prompt` are those of the reused that stood in the prompt
    read before, the same passages in the same order or parts of them; `questions` counts questions that had been read
    behind it, so that they were not read again. `apart` says why that prompt did not serve, where it did not.
    """

    reused: int = 0
    recomputed: int = 0
    read_alone: int = 0
    measured: int = 0
    from_memory: int = 0
    from_disk: int = 0
    from_prompt: int = 0
    questions: int = 0
    apart: str = ""

    @staticmethod
    def of(notes: Meta) -> Reuse | None:
        """From the notes of a stage; ``None`` where it asked no model that keeps passages."""
        names = [each.name for each in fields(Reuse)]
        return Reuse(**{name: notes[name] for name in names}) if names[0] in notes else None  # type: ignore[arg-type]  # as `Usage.reuse_notes` gave them

    def __add__(self, other: Reuse) -> Reuse:
        return Reuse(
            self.reused + other.reused,
            self.recomputed + other.recomputed,
            self.read_alone + other.read_alone,
            self.measured + other.measured,
            self.from_memory + other.from_memory,
            self.from_disk + other.from_disk,
            self.from_prompt + other.from_prompt,
            self.questions + other.questions,
            self.apart or other.apart,
        )


@dataclass(frozen=True, slots=True)
class CacheKept:
    """What stayed of prompts' keys and values while replies were written (``llm.compress_cache``).

    `cache_entries` are those of the whole prompts, over all layers and key heads, `kept_entries` what stayed of them;
    both in bytes too.
    """

    cache_method: str
    cache_entries: int
    kept_entries: int
    cache_bytes: int
    kept_bytes: int

    def __add__(self, other: CacheKept) -> CacheKept:
        return CacheKept(
            self.cache_method,
            self.cache_entries + other.cache_entries,
            self.kept_entries + other.kept_entries,
            self.cache_bytes + other.cache_bytes,
            self.kept_bytes + other.kept_bytes,
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation cost, in the generator's own tokens; `estimated` where a server did not count them.

    `cached_tokens` are those of the prompt that the engine found in its cache and did not compute again. `price` is in
    the currency of the pipeline's price table, 0 without one.
    `reuse` says more of `cached_tokens` where a model keeps passages, `kept` what was written from where a model drops
    a part of its cache.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    estimated: bool = False
    cached_tokens: int = 0
    price: float = 0.0
    reuse: Reuse | None = None
    kept: CacheKept | None = None

    @property
    def kept_notes(self) -> Meta:
        """`kept` for a stage's notes; nothing where everything is."""
        return {} if self.kept is None else asdict(self.kept)

    @property
    def reuse_notes(self) -> Meta:
        """`reuse` for a stage's notes; nothing where no passages are kept."""
        return {} if self.reuse is None else asdict(self.reuse)

    def __add__(self, other: Usage) -> Usage:
        both = [each.reuse for each in (self, other) if each.reuse is not None]
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.requests + other.requests,
            self.estimated or other.estimated,
            self.cached_tokens + other.cached_tokens,
            self.price + other.price,
            sum(both, Reuse()) if both else None,
            self.kept + other.kept if self.kept and other.kept else self.kept or other.kept,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What one stage did for one question.

    `taken` and `given` count candidates; `rankings` are what it gave (one for each retriever), to show rank moves.
    """

    stage: str
    use: str
    seconds: float
    taken: int
    given: int
    rankings: tuple[Ranking, ...] = ()
    notes: Meta = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """The stages of one question, in the order they ran."""

    stages: tuple[StageRecord, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer, the evidence it was given, and which sentence rests on which evidence.

    `mode` is ``"extractive"`` where the text is quoted from the sources and ``"generated"`` where a language model
    wrote it. An abstained answer has a `reason` and keeps the best evidence found. `dropped_citations` counts markers
    that named no given source; `uncited` are the ranges of sentences that state something and name no source, where
    the citer looks for them. `prompt` is the name and version of the template that a model was asked with. `data` is
    the value of an answer that was asked for in a schema, an object of that model or plain JSON, and `fields` say what
    its values rest on; `text` is then its JSON. `signals` say by name how sure the generator was, and what
    ``ask.abstain`` measured.
    """

    query: str
    text: str
    evidence: tuple[Evidence, ...] = ()
    citations: tuple[Citation, ...] = ()
    mode: Literal["extractive", "generated"] = "generated"
    usage: Usage = Usage()
    abstained: bool = False
    reason: str = ""
    dropped_citations: int = 0
    uncited: tuple[tuple[int, int], ...] = ()
    prompt: str = ""
    data: object = None
    fields: tuple[FieldCitation, ...] = ()
    signals: Mapping[str, float] = field(default_factory=dict)
    trace: Trace = field(default=Trace(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a generator is given, in parts, so that an unchanged part keeps its cached keys and values.

    `evidence` is in the order of its numbers, which count from 1. `history` holds earlier (question, answer) turns.
    `draft` is what stands of the answer already; the generator continues it and does not give it again.
    """

    question: str
    evidence: tuple[Evidence, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of generated text. `logprob` and `entropy` (nats) are ``None`` where the engine does not give them."""

    text: str
    logprob: float | None = None
    entropy: float | None = None
