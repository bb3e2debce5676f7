from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rag.errors import ModelNotFoundError
from rag.models.dual_encoder import MeanPooledEncoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "dogs", "bark", "at", "night", "cats", "."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights: 16 dimensions, a window of 12 tokens."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("tiny-bert")
    (path / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    transformers.BertModel(config).save_pretrained(path)
    transformers.BertTokenizerFast(vocab=str(path / "vocab.txt"), model_max_length=12).save_pretrained(path)
    return path


def test_a_vector_is_the_mean_of_the_last_states_over_the_text_s_tokens_and_keeps_its_length(folder: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    text = "dogs bark at night ."
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
    encoder = MeanPooledEncoder(str(folder), batch_size=2)
    vectors = encoder.encode(["cats", text, "dogs bark"])  # padded in its batch
    encoder.close()
    assert np.allclose(vectors[1], states.mean(axis=0), atol=1e-5)
    assert not np.isclose(np.linalg.norm(vectors[1]), 1.0)
    assert vectors.dtype == np.float32


def test_order_and_batches_change_no_vector(folder: Path) -> None:
    texts = ["dogs bark at night .", "cats", "dogs", "bark at night"]
    together = MeanPooledEncoder(str(folder), batch_size=3).encode(texts)
    alone = np.concatenate([MeanPooledEncoder(str(folder)).encode([text]) for text in texts])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_text_longer_than_the_window_is_cut_at_its_end(folder: Path) -> None:
    encoder = MeanPooledEncoder(str(folder))
    long, cut = encoder.encode(["dogs bark " * 10, "dogs bark " * 5])
    assert np.allclose(long, cut, atol=1e-5)


def test_weights_that_are_not_there_are_an_error_that_says_what_to_do() -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ModelNotFoundError, match="cannot load 'nobody/nothing'") as failed:
        MeanPooledEncoder("nobody/nothing").encode(["x"])
    assert "allow_download" in failed.value.hint
