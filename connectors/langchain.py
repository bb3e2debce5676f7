"""Any LangChain document loader, from Python.

There is no ``use: langchain`` in YAML: naming a class to import would let a pipeline file run code of its choosing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

from rag.errors import SourceError
from rag.load.base import Source
from rag.load.decode import clean
from rag.types import Document, Scalar

if TYPE_CHECKING:
    from langchain_core.document_loaders import BaseLoader
    from langchain_core.documents import Document as LangChainDocument


def from_loader(
    loader: BaseLoader, *, name: str = "langchain", access: tuple[str, ...] | None = None
) -> LoaderConnector:
    """A connector that gives what `loader` loads; `name` is put before the ids of documents without id and source."""
    return LoaderConnector(loader, name=name, access=access)


class LoaderConnector:
    """Loads lazily. Ids are the documents' own, or their ``source``; the second of one source gets ``#2``."""

    def __init__(self, loader: BaseLoader, *, name: str, access: tuple[str, ...] | None) -> None:
        self.loader = loader
        self.name = name
        self.access = access

    def load(self) -> Iterator[Source]:
        """Raises `SourceError` when the loader fails; what it gave until then is kept."""
        seen: Counter[str] = Counter()
        documents = self.loader.lazy_load()
        while True:
            try:
                document = next(documents)
            except StopIteration:
                return
            except Exception as error:  # a foreign loader may raise anything; the type stays in the message and cause
                raise SourceError(f"the loader failed: {type(error).__name__}: {error}", source=self.name) from error
            source = document.metadata.get("source")
            origin = document.id or (source if isinstance(source, str) and source else self.name)
            seen[origin] += 1
            yield self._source(document, origin if seen[origin] == 1 else f"{origin}#{seen[origin]}")

    def _source(self, document: LangChainDocument, identifier: str) -> Source:
        meta = _scalars(document.metadata)
        uri = str(meta.get("source") or identifier)
        text = clean(document.page_content)
        stamp = blake2b(repr((text, sorted(meta.items()))).encode("utf-8", "replace"), digest_size=16).hexdigest()

        def read() -> Document:
            if not text.strip():
                raise SourceError("there is no text in it", source=uri)
            return Document(id=identifier, text=text, source=uri, meta=meta, access=self.access)

        return Source(id=identifier, uri=uri, name=uri, read=read, stamp=stamp, meta=meta, access=self.access)


def _scalars(metadata: Mapping[str, object]) -> dict[str, Scalar]:
    """The metadata that can be filtered on; lists and objects are left out."""
    return {
        key: value for key, value in metadata.items() if value is None or isinstance(value, str | int | float | bool)
    }
