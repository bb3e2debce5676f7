"""RECOMP, extractive: the sentences nearest to the question by an encoder trained for it (arXiv 2310.04408)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rag.compress.budget import Selection
from rag.compress.nearness import sentence_vectors
from rag.compress.passages import Sentence
from rag.types import Chunk, Query

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.models.dual_encoder import DualEncoder, TextVectors
    from rag.resources import Resources


class RecompSentences:
    """Keeps the `count` sentences whose vectors have the largest inner product with the question's.

    Xu, Shi and Choi, arXiv 2310.04408: the encoder is Contriever, fine-tuned so that sentences which help a language
    model to the answer are near; vectors are not normalised. Sentences come in the order of their documents, where the
    authors' script sorts by score. Equal scores: the earlier sentence.
    """

    def __init__(self, encoder: DualEncoder, *, count: int) -> None:
        self.encoder = encoder
        self.count = count

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        vectors = self.encoder.encode([query.text, *(sentence.text for sentence in sentences)])
        scores = (vectors[1:] @ vectors[0]).astype(np.float64)
        return Selection(scores, set(np.argsort(-scores, kind="stable")[: self.count].tolist()))


class EmbedderAsDualEncoder:
    """The pipeline's embedder in place of an encoder trained for it; its vectors have unit length.

    Meant for encoders that treat questions and passages alike: no prompt is put before the question.
    """

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def encode(self, texts: Sequence[str]) -> TextVectors:
        return sentence_vectors(texts, self.resources.embedder)
