"""Hashed bags of words: an embedder without weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from rag.embed.base import EmbedderIdentity, Tokenizer, Vectors

_WORD = re.compile(r"\w+")


class HashEmbedder:
    """Feature hashing (Weinberger et al., ICML 2009, arXiv 0902.2206): each word adds +1 or -1 at one place.

    Texts that share words get near vectors, others vectors near zero cosine, up to collisions. It knows no synonyms: it
    is for tests, and for machines without any weights. A text without words maps to the first unit vector, so that
    every vector has length 1.
    """

    def __init__(self, *, dimension: int = 64) -> None:
        self.dimension = dimension

    @property
    def identity(self) -> EmbedderIdentity:
        return EmbedderIdentity(model="hash", revision="1", dimension=self.dimension, pooling="sum")

    @property
    def tokenizer(self) -> Tokenizer:
        return WordTokenizer()

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in _WORD.findall(text.casefold()):
                place, sign = _place(word, self.dimension)
                vector[place] += sign
            length = np.linalg.norm(vector)
            if length > 0:
                vector /= length
            else:
                vector[0] = 1.0
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        """For each word what it adds to the sum."""
        states: list[Vectors] = []
        for text in texts:
            words = _WORD.findall(text)
            rows = np.zeros((len(words), self.dimension), np.float32)
            for row, word in zip(rows, words, strict=True):
                for part in _WORD.findall(word.casefold()):  # folding can split a word: "İ" becomes an i and a mark
                    place, sign = _place(part, self.dimension)
                    row[place] += sign
            states.append(rows)
        return states

    def close(self) -> None:
        """Nothing is held."""


class WordTokenizer:
    """Words as the hash embedder reads them. Its window has no end; the figure is a practical bound for a chunk."""

    max_tokens: int = 512

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in _WORD.finditer(text)]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_WORD.findall(text)) for text in texts]


@lru_cache(maxsize=65536)
def _place(word: str, dimension: int) -> tuple[int, float]:
    digest = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
    return (digest >> 1) % dimension, 1.0 if digest & 1 else -1.0
