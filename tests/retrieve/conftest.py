"""A tiny model of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "fish", "bird", "bark", "dogs", "leave", "the")


@pytest.fixture(scope="session")
def masked_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model with random weights, and its tokenizer: a base for encoders of tokens and of terms."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra hf)")
    transformers = pytest.importorskip("transformers")
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("masked-lm")
    tokenizer = tokenizers.Tokenizer(models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=32, **{f"{name}_token": word for name, word in names.items()}
    ).save_pretrained(folder)
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=1.0,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return folder
