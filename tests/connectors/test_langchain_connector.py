from __future__ import annotations

from collections.abc import Iterator

import pytest
from rag.connectors.langchain import from_loader

from rag.errors import SourceError
from rag.types import Document

documents = pytest.importorskip("langchain_core.documents")
loaders = pytest.importorskip("langchain_core.document_loaders")


class Loader(loaders.BaseLoader):  # type: ignore[misc, name-defined]  # imported where it is installed
    def __init__(self, *given: object, fails: bool = False) -> None:
        self.given = given
        self.fails = fails

    def lazy_load(self) -> Iterator[object]:
        yield from self.given
        if self.fails:
            raise RuntimeError("the database is gone")


def test_documents_keep_text_and_scalar_metadata() -> None:
    given = documents.Document(page_content="Words\0.", metadata={"source": "a.pdf", "page": 3, "tags": ["x"]})
    (source,) = from_loader(Loader(given), access=("staff",)).load()
    document = source.read()
    assert isinstance(document, Document)
    assert (document.id, document.text, document.source) == ("a.pdf", "Words .", "a.pdf")
    assert dict(document.meta) == {"source": "a.pdf", "page": 3}
    assert document.access == ("staff",)


def test_ids_are_the_documents_own_or_their_sources_numbered() -> None:
    given = [
        documents.Document(page_content="1", metadata={"source": "a.pdf"}),
        documents.Document(page_content="2", metadata={"source": "a.pdf"}),
        documents.Document(page_content="3", id="own"),
        documents.Document(page_content="4"),
    ]
    assert [source.id for source in from_loader(Loader(*given), name="db").load()] == ["a.pdf", "a.pdf#2", "own", "db"]


def test_the_stamp_follows_text_and_metadata() -> None:
    def stamp(text: str, page: int) -> str:
        given = documents.Document(page_content=text, metadata={"page": page})
        return next(from_loader(Loader(given)).load()).stamp

    assert len({stamp("a", 1), stamp("b", 1), stamp("a", 2), stamp("a", 1)}) == 3


def test_a_loader_that_fails_is_an_error_after_what_it_gave() -> None:
    sources = from_loader(Loader(documents.Document(page_content="1"), fails=True), name="db").load()
    assert next(sources).id == "db"
    with pytest.raises(SourceError, match="db: the loader failed: RuntimeError: the database is gone"):
        next(sources)


def test_an_empty_document_is_an_error_of_its_own() -> None:
    (source,) = from_loader(Loader(documents.Document(page_content=" "))).load()
    with pytest.raises(SourceError, match="no text"):
        source.read()
