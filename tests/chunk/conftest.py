from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from rag.embed.base import Tokenizer
from rag.embed.hash import WordTokenizer
from rag.embed.tokenizer import FileTokenizer

WINDOW = 32


def wordpiece() -> tokenizers.Tokenizer:
    """Like BERT's: lower case, no accents, punctuation apart; single letters and a few longer pieces."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?()-。！今天日本語абв"
    pieces = ["[UNK]", "[CLS]", "[SEP]", "the", "token", "ing", "##ing", "##ization", *letters]
    vocabulary = {piece: at for at, piece in enumerate([*pieces, *(f"##{letter}" for letter in letters)])}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def bytelevel() -> tokenizers.Tokenizer:
    """Like GPT-2's without merges: every byte is a token, and a space belongs to the word after it."""
    vocabulary = {char: at for at, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture(scope="session")
def tokenizer_by_name(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tokenizer]:
    folder: Path = tmp_path_factory.mktemp("tokenizers")
    found: dict[str, Tokenizer] = {"words": WordTokenizer()}
    for name, tokenizer in (("wordpiece", wordpiece()), ("bytelevel", bytelevel())):
        tokenizer.save(str(folder / f"{name}.json"))
        found[name] = FileTokenizer(folder / f"{name}.json", window=WINDOW)
    return found
