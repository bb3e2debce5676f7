"""How well chunks match the tokens of a question: by token vectors made now, or by those that lie in the index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.index.parts import rowed
from rag.index.token_codes import best_matches_of_codes
from rag.index.token_store import FOLDER, codes_of, kept_tokens, stored_tokens
from rag.models.token_encoder import TokenEncoder, TokenVectors, best_matches
from rag.types import Chunk

if TYPE_CHECKING:
    from rag.index.parts import Kept
    from rag.index.reader import Reader
    from rag.models.token_specs import TokenEncoderOptions
    from rag.resources import Resources

Floats = NDArray[np.float64]


class TokenMatches(Protocol):
    """Compares chunks with questions, token by token."""

    def questions(self, texts: Sequence[str]) -> list[TokenVectors]:
        """The token vectors of each question."""
        ...

    def of(self, question: TokenVectors, chunks: Sequence[Chunk]) -> Floats:
        """(chunks, tokens of the question): the best inner product with a token of the chunk; NaN where it has none."""
        ...


class EncodedMatches:
    """Encodes the chunks when they are compared."""

    def __init__(self, encoder: TokenEncoder) -> None:
        self.encoder = encoder

    def questions(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self.encoder.encode_queries(texts)

    def of(self, question: TokenVectors, chunks: Sequence[Chunk]) -> Floats:
        documents = self.encoder.encode_documents([chunk.indexed_text for chunk in chunks])
        return best_matches(question, documents).astype(np.float64)


class StoredMatches:
    """Reads the chunks' token vectors from the index, where an ingest left them; only the question is encoded.

    A chunk that the index no longer has is as one without tokens: of it nothing can be told.

    Args:
        made_by: names the encoder, as `rag.models.token_specs.TokenEncoderOptions.made_by`; asked at first use.

    Raises (at first use, and where a newer generation is read):
        IndexMismatchError: a chunk of the index has no token vectors of this encoder.
    """

    def __init__(self, resources: Resources, encoder: TokenEncoder, *, made_by: Callable[[], str]) -> None:
        self.resources = resources
        self.encoder = encoder
        self.made_by = made_by
        self._lock = Lock()
        self._opened: tuple[Reader, Kept] | None = None

    def questions(self, texts: Sequence[str]) -> list[TokenVectors]:
        return self.encoder.encode_queries(texts)

    def of(self, question: TokenVectors, chunks: Sequence[Chunk]) -> Floats:
        reader = self.resources.index.reader()
        tokens = self._tokens(reader)
        rows = reader.rows_of(chunks)
        matches = np.full((len(chunks), len(question)), np.nan)
        there = rows >= 0
        matches[there] = best_matches_of_codes(question, codes_of(tokens, rows[there]))
        return matches

    def _tokens(self, reader: Reader) -> Kept:
        with self._lock:
            if self._opened is None or self._opened[0] is not reader:
                self._opened = reader, stored_tokens(rowed(reader, FOLDER, self.made_by()))
            return self._opened[1]


def keep_matches(resources: Resources, options: TokenEncoderOptions) -> None:
    """Make what `StoredMatches` reads for every chunk of the index that lacks it."""
    reader = resources.index.reader()
    if reader.size:
        kept_tokens(rowed(reader, FOLDER, options.made_by(resources)), options.token_encoder(resources))
