"""A chat is tokenised in two parts and gives the ids of the whole, whatever the tokenizer does to texts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from rag.models.llm import Message
from rag.models.vllm_prompt import REMEMBERED, ChatEncoder

TEXTS = ["Answer from the sources. Dogs bark at night, ﬁne owls hunt mice.", "Who barks? Why?"]
MARKS = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]


class Chat:
    """A tokenizer with a chat format, as transformers wraps one; counts what it encodes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.backend_tokenizer = tokenizer

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, add_generation_prompt: bool, **options: object
    ) -> str:
        turns = "".join(f"<|{turn['role']}|>\n{turn['content'].strip()} <|end|>\n" for turn in conversation)
        return turns + ("<|assistant|>\n" if add_generation_prompt else "")


def trained(pre: pre_tokenizers.PreTokenizer, normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", *MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "bytes": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "bytes, a space before": lambda: trained(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "a mark before the first word": lambda: trained(pre_tokenizers.Metaspace(prepend_scheme="first")),
    "a mark before every part": lambda: trained(pre_tokenizers.Metaspace(prepend_scheme="always")),
    "normalised": lambda: trained(
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        normalizers.Sequence([normalizers.NFKC(), normalizers.Prepend("_")]),
    ),
}
ENCODERS = {kind: ChatEncoder(Chat(make())) for kind, make in KINDS.items()}
"""Made once: what they remember of one example meets the next."""


def whole(encoder: ChatEncoder, chat: list[Message]) -> list[int]:
    turns = [{"role": message.role, "content": message.content} for message in chat]
    text = encoder.tokenizer.apply_chat_template(
        turns,
        chat_template=None,
        tokenize=False,
        add_generation_prompt=chat[-1].role != "assistant",
        continue_final_message=False,
    )
    return encoder.tokenizer.encode(text, add_special_tokens=False)


words = st.text(alphabet="aeé ﬁ\n<|>ends_", max_size=12) | st.sampled_from(["<|end|>", " <|user|> ", "<|", "", "Dogs."])


@pytest.mark.parametrize("kind", KINDS)
@given(system=words, question=words, draft=words)
def test_a_chat_in_two_parts_has_the_ids_of_the_whole(kind: str, system: str, question: str, draft: str) -> None:
    asked = [Message("system", system), Message("user", question)]
    for chat in (asked, asked[1:], [*asked, Message("assistant", draft)]):
        assert ENCODERS[kind].prompt(chat) == whole(ENCODERS[kind], chat)


def test_what_the_system_says_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = ChatEncoder(Chat(KINDS["bytes"]()))
    encoded: list[str] = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda text: encoded.append(text) or encode(text))
    for question in ("Who?", "Why?"):
        encoder.prompt([Message("system", "Be brief."), Message("user", question)])
    assert encoded == [
        "<|system|>\nBe brief. ",
        "<|end|>\n<|user|>\nWho? <|end|>\n<|assistant|>\n",
        "<|end|>\n<|user|>\nWhy? <|end|>\n<|assistant|>\n",
    ]


def test_a_prompt_is_not_cut_before_a_token_that_takes_the_space_in_front_of_it() -> None:
    tokenizer = KINDS["bytes"]()
    tokenizer.add_special_tokens([AddedToken("<|end|>", lstrip=True, special=True, normalized=False)])
    encoder = ChatEncoder(Chat(tokenizer))
    chat = [Message("system", "Be brief."), Message("user", "Why?")]
    assert encoder.prompt(chat) == whole(encoder, chat)


def test_beginnings_are_remembered_in_bounded_number() -> None:
    encoder = ChatEncoder(Chat(KINDS["bytes"]()))
    for number in range(2 * REMEMBERED):
        encoder.prompt([Message("system", f"Be brief, {number}."), Message("user", "Why?")])
    assert len(encoder._begun) == REMEMBERED
