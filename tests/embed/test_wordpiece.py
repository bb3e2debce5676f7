"""Counting without the library is counting with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, models, normalizers, pre_tokenizers

from rag.embed.tokenizer import FileTokenizer
from rag.embed.wordpiece import WordPieceCounter

LETTERS = "abcdefghijklmnopqrstuvwxyABCDEFGH0123456789.,!?()-[]'今天日бвé"  # no z: words with one are unknown
PIECES = ["the", "token", "THE", "ing", "##ing", "##ization", "##th", "##HE", "word", "##s"]
VOCABULARY = {
    piece: at
    for at, piece in enumerate(
        ["[UNK]", "[CLS]", "[SEP]", *PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS if letter != "y")]
    )
}


def bert(
    *, lowercase: bool = True, strip_accents: bool | None = None, added: tuple[AddedToken, ...] = (), longest: int = 100
) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.WordPiece(VOCABULARY, unk_token="[UNK]", max_input_chars_per_word=longest))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    tokenizer.add_tokens(list(added))
    return tokenizer


TOKENIZERS = {
    "uncased": bert(),
    "cased": bert(lowercase=False, strip_accents=False),
    "short words": bert(longest=5),
    "added": bert(added=(AddedToken("the-token"), AddedToken("xy", single_word=True), AddedToken("<Q>", lstrip=True))),
    "added as written": bert(added=(AddedToken("ThE", normalized=False, rstrip=True),)),
}

words = st.one_of(
    st.text(max_size=12),  # anything, surrogates apart
    st.text("abcxyzTHE019.,-'[]", max_size=8),
    st.text("ae\u0301\u00e9\u00df\u0130今天бв\u00ad\u200b\x1c\x7f\u2028\u3000.a ", max_size=8),
    st.sampled_from([*PIECES, "[SEP]", "[sep]", "[CLS]s", "xy", "axy", "<q>", "the-token", "The-Tokens", "z" * 101]),
    st.integers(90, 110).map(lambda length: "a" * length),
)
texts = st.lists(st.tuples(words, st.sampled_from([" ", "", "\n", "\t", "\r\n", "  ", "\xa0", "\x1c"]))).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(texts=st.lists(texts, max_size=4))
def test_every_text_has_as_many_tokens_as_the_library_makes_of_it(name: str, texts: list[str]) -> None:
    tokenizer = TOKENIZERS[name]
    assert WordPieceCounter.fits(tokenizer)
    made = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    assert WordPieceCounter(tokenizer).count(texts) == made


def test_counts_of_plain_words_are_those_worked_out_by_hand() -> None:
    # "tokenization" is token ##ization, "The" the, "(" and ")" one each; "zoo" and 101 letters are unknown: one each.
    texts = ["tokenization", "(The)", "zoo", "a" * 101, "a" * 100, "", " \n", "[SEP]", "[sep]"]
    assert WordPieceCounter(TOKENIZERS["uncased"]).count(texts) == [2, 3, 1, 1, 100, 0, 0, 1, 5]


def test_counts_stay_right_when_more_pieces_come_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.embed.wordpiece.REMEMBERED", 3)
    counter = WordPieceCounter(TOKENIZERS["uncased"])
    assert counter.count(["a b c d e tokenization a b", "the tokens"]) == [9, 3]
    assert len(counter._sizes) <= 3


@pytest.mark.parametrize(
    "change",
    [
        lambda tokenizer: setattr(tokenizer, "normalizer", normalizers.NFC()),
        lambda tokenizer: setattr(tokenizer, "pre_tokenizer", pre_tokenizers.Whitespace()),
        lambda tokenizer: setattr(tokenizer, "model", models.BPE(VOCABULARY, [])),
        lambda tokenizer: tokenizer.add_tokens(["two words"]),
        lambda tokenizer: tokenizer.add_tokens(["é"]),  # found in text where the normaliser has made an e of it
    ],
)
def test_a_tokenizer_of_other_parts_does_not_fit(change: Callable[[tokenizers.Tokenizer], object]) -> None:
    tokenizer = bert()
    change(tokenizer)
    assert not WordPieceCounter.fits(tokenizer)


def test_a_tokenizer_file_counts_either_way(tmp_path: Path) -> None:
    other = bert()
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    for name, tokenizer in (("bert", bert()), ("other", other)):  # BERT leaves U+FFFD out
        tokenizer.save(str(tmp_path / name))
        assert FileTokenizer(tmp_path / name, window=32).count(["tokenization \ud800 the"]) == [
            3
        ]  # BERT leaves U+FFFD out
