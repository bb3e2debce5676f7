"""Rankings to order, a scorer that says what it is told, and a tiny cross-encoder with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.types import Chunk, Ranking, ScoredChunk, Span

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "dog", "cat", "bark", "##s", ".", "do", "at", "night", "?"]


def chunk(name: str, text: str, *, context: str = "") -> Chunk:
    return Chunk(span=Span(name, 0, len(text)), text=text, context=context)


def ranked(*texts: str, scores: Sequence[float] | None = None) -> Ranking:
    """One chunk a text, named a, b, c, ... in this order; scores fall by 1 from 10 unless given."""
    values = scores or [10.0 - at for at in range(len(texts))]
    names = "abcdefghijklmnopqrstuvwxyz"
    return Ranking(
        tuple(
            ScoredChunk(chunk(name, text), score, "first")
            for name, text, score in zip(names, texts, values, strict=False)
        )
    )


def names(ranking: Ranking) -> str:
    """The chunks' names, one letter each."""
    return "".join(hit.chunk.document_id for hit in ranking)


class WordScorer:
    """Scores a passage by the sum of given weights of its words, 0 for others; a word is a token."""

    def __init__(self, weights: Mapping[str, float], *, window: int = 1000) -> None:
        self.weights = weights
        self.window = window
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.asked += pairs
        return np.array(
            [sum(self.weights.get(word, 0.0) for word in passage.split()) for _, passage in pairs], np.float32
        )

    def room(self, query: str) -> int:
        return self.window - len(query.split())

    def offsets(self, text: str) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at = 0
        for word in text.split():
            at = text.index(word, at)
            found.append((at, at + len(word)))
            at += len(word)
        return found


@pytest.fixture
def tiny_cross_encoder(tmp_path: Path) -> Callable[..., Path]:
    def make(*, labels: int = 1, positions: int = 24) -> Path:
        torch = pytest.importorskip("torch", reason="torch is not installed (extra hf)")
        import transformers

        folder = tmp_path / f"tiny-cross-encoder-{labels}"
        torch.manual_seed(7)
        config = transformers.BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=positions,
            initializer_range=1.0,
        )
        config.num_labels = labels
        transformers.BertForSequenceClassification(config).save_pretrained(folder)
        save_tokenizer(folder, window=positions)
        return folder

    return make


@pytest.fixture
def tiny_multi_vector(tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        torch = pytest.importorskip("torch", reason="torch is not installed (extra hf)")
        sentence_transformers = pytest.importorskip("sentence_transformers")
        import transformers

        torch.manual_seed(7)
        config = transformers.BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        )
        plain = tmp_path / "tiny-encoder"
        transformers.BertModel(config).save_pretrained(plain)
        save_tokenizer(plain, window=64)
        folder = tmp_path / "tiny-multi-vector"
        sentence_transformers.MultiVectorEncoder(str(plain), device="cpu").save_pretrained(str(folder))
        return folder

    return make


def save_tokenizer(folder: Path, *, window: int) -> None:
    """A word-piece tokenizer over `WORDS` in the layout of transformers."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, processors

    vocabulary = {word: at for at, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": window,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[UNK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
