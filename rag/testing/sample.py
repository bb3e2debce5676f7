"""A small indexed collection to run components against."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from rag.errors import ConfigError
from rag.types import Chunk, Document, Span

if TYPE_CHECKING:
    from rag.embed.base import Embedder
    from rag.index.directory import IndexDirectory
    from rag.models.llm import LanguageModel

T = TypeVar("T")

TEXTS: Mapping[str, str] = {
    "animals.md": "Dogs bark at night. Cats meow at dawn.\n\nA dog that barks seldom bites.",
    "birds.md": "Owls hoot after dark. They hunt mice.\n\nA robin sings before sunrise.",
    "leave.md": "Employees have 27 days of annual leave a year. Unused days lapse in March.",
    "小猫.md": "小猫喜欢吃鱼。小狗喜欢骨头。",
    "mañana.md": "El perro ladra por la noche 🐕‍🦺. El gato duerme.",
    "twin-a.md": "The same sentence stands here.",
    "twin-b.md": "The same sentence stands here.",
}
"""What the sample holds, by document id: several languages, an emoji sequence, and two equal texts."""

QUESTIONS = (
    "Do dogs bark at night?",
    "How many days of annual leave are there?",
    "The same sentence",
    "小猫喜欢什么？",
)
"""Questions that the sample has something to say about."""


@dataclass(frozen=True, slots=True)
class SampleResources:
    """`rag.resources.Resources` made of given parts."""

    embedder: Embedder
    index: IndexDirectory
    prompts: Mapping[str, str]
    model: LanguageModel | None = None
    objects: dict[Hashable, object] = field(default_factory=dict)

    @property
    def llm(self) -> LanguageModel:
        if self.model is None:
            raise ConfigError("llm: the sample was made without a language model", hint="sample(..., llm=...)")
        return self.model

    @property
    def reads_pictures(self) -> bool:
        return False

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self.objects:
            self.objects[key] = make()
        return cast("T", self.objects[key])

    def prompt(self, name: str) -> str:
        return self.prompts[name]


@dataclass(frozen=True, slots=True)
class Sample:
    """Documents, their chunks (paragraphs), and resources whose index holds them."""

    documents: Mapping[str, Document]
    chunks: tuple[Chunk, ...]
    resources: SampleResources


@contextmanager
def sample(
    folder: Path,
    texts: Mapping[str, str] = TEXTS,
    *,
    embedder: Embedder | None = None,
    prompts: Mapping[str, str] | None = None,
    llm: LanguageModel | None = None,
) -> Iterator[Sample]:
    """Index `texts`, one chunk a paragraph, into a new index under `folder`.

    Args:
        embedder: the hash embedder if ``None``: shared words make near vectors, no weights are needed.
        prompts: templates by name.
        llm: the language model that components ask.
    """
    from rag.embed.hash import HashEmbedder
    from rag.index.directory import IndexDirectory
    from rag.index.specs import IndexSpec

    embedder = embedder or HashEmbedder(dimension=256)
    index = IndexDirectory(IndexSpec(path=str(folder / "index")))
    documents = {key: Document(id=key, text=text, source=key) for key, text in texts.items()}
    chunks: list[Chunk] = []
    with index.writer(embedder.identity) as writer:
        for document in documents.values():
            cut = paragraphs(document)
            vectors = embedder.embed_documents([chunk.indexed_text for chunk in cut])
            writer.add(document, cut, vectors, stamp="", fingerprint="sample")
            chunks += cut
        writer.commit()
    try:
        yield Sample(documents, tuple(chunks), SampleResources(embedder, index, prompts or {}, llm))
    finally:
        index.close()
        embedder.close()


def paragraphs(document: Document) -> list[Chunk]:
    """The document cut at empty lines."""
    chunks: list[Chunk] = []
    at = 0
    for part in document.text.split("\n\n"):
        if part.strip():
            chunks.append(Chunk(span=Span(document.id, at, at + len(part)), text=part))
        at += len(part) + 2
    return chunks
