from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pytest

from rag.errors import ModelError
from rag.kv.base import Stretch
from rag.kv.specs import FirstTokensSpec, FullSpec, NoneSpec, PolicySpec, PrefixSpec, ReuseSpec
from rag.models.attention import AttentionPrompt, Head
from rag.models.llm import Message, Sampling
from rag.models.local.chat import ChatText
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.models.local.pieces import Pieces
from rag.models.passages import Block, joined
from rag.types import Reuse, Usage

TEXTS = ["Dogs bark at night. They sleep by day.", "Cats sleep all day long.", "Rain falls in the north."]
SYSTEM = "Answer from the sources."


def question(texts: list[str], asked: str = "Who barks?", draft: str = "") -> list[Message]:
    sources, passages = joined([Block.of(number, text) for number, text in enumerate(texts, 1)])
    user = Message("user", f"{sources}\n\nQuestion: {asked}", tuple(passages))
    return [Message("system", SYSTEM), user, *([Message("assistant", draft)] if draft else [])]


def attention(texts: list[str], asked: tuple[str, ...] = ("N/A", "Who barks?")) -> AttentionPrompt:
    sources, passages = joined([Block.of(number, text) for number, text in enumerate(texts, 1)])
    tails = tuple(f"\n\nQuestion: {each}" for each in asked)
    return AttentionPrompt(sources, tuple(passages), tails, SYSTEM, tuple(passages))


class Make(Protocol):
    def __call__(self, policy: PolicySpec, question: Literal["again", "kept"] = "again") -> TransformersModel: ...


@pytest.fixture
def make(weights: Path) -> Iterator[Make]:
    made: list[TransformersModel] = []

    def reusing(policy: PolicySpec, question: Literal["again", "kept"] = "again") -> TransformersModel:
        reuse = ReuseSpec(policy=policy, question=question)  # type: ignore[arg-type]
        made.append(TransformersModel(Loader(str(weights), device="cpu"), max_tokens=16, reuse=reuse))
        return made[-1]

    yield reusing
    for each in made:
        each.close()


def pieces_of(model: TransformersModel, messages: list[Message]) -> tuple[ChatText, Pieces]:
    text = model.chat.text(messages)
    assert model.reuse is not None
    return text, model.worker.run(lambda: model._reusing(model.reuse).pieces(text))  # type: ignore[arg-type]


def test_a_prompt_is_cut_at_its_passages_and_nothing_is_lost(make: Make) -> None:
    model = make(NoneSpec())
    text, pieces = pieces_of(model, question(TEXTS))
    # The line that names the first source is no part of what all prompts begin with.
    assert model.chat.decode(pieces.prefix) == f"\n{SYSTEM}\n\n"
    cached = [segment for segment in pieces.segments if segment.cached]
    assert [model.chat.decode(segment.ids) for segment in cached] == TEXTS
    assert pieces.encoded.ids == model.chat.ids(text.text)  # here no token reaches over a seam
    for (start, end), (low, high) in zip(
        text.passages, [pieces.encoded.within(*each) for each in text.passages], strict=True
    ):
        assert model.chat.decode(pieces.encoded.ids[low:high]) == text.text[start:end]


@pytest.mark.parametrize("policy", [FullSpec(), PrefixSpec()])
def test_exact_policies_write_what_is_written_without_reuse(
    make: Make, model: TransformersModel, policy: PolicySpec
) -> None:
    reusing = make(policy)
    for texts in (TEXTS, TEXTS, TEXTS[:2], TEXTS[::-1]):
        for draft in ("", "Dogs"):
            expected = model.complete(question(texts, draft=draft), Sampling(max_tokens=16))
            assert reusing.complete(question(texts, draft=draft)).text == expected.text


def test_attention_over_reused_passages_is_the_plain_one_where_the_policy_is_exact(
    make: Make, model: TransformersModel
) -> None:
    reusing = make(PrefixSpec())
    for heads in (None, [Head(0, 1)], [Head(1, 0), Head(0, 1)]):
        for _ in range(2):
            given, expected = (each.attend(attention(TEXTS), heads=heads) for each in (reusing, model))
            for tails, plain_tails in zip(given.tails, expected.tails, strict=True):
                for one, other in zip(tails, plain_tails, strict=True):
                    np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_was_read_once_is_not_read_again_in_another_order_and_for_another_question(make: Make) -> None:
    model = make(NoneSpec())
    first = model.complete(question(TEXTS)).usage
    assert first.cached_tokens == 0
    again = model.complete(question(TEXTS[::-1], "Where does rain fall?")).usage
    passages = sum(len(model.chat.ids(text)) for text in TEXTS)
    _, pieces = pieces_of(model, question(TEXTS[::-1], "Where does rain fall?"))
    # The last token of the last passage is computed in any case, its logits might be wanted.
    assert again.cached_tokens == len(pieces.prefix) + passages - 1
    assert again.prompt_tokens == len(pieces.encoded.ids)


def test_some_tokens_are_read_again_where_the_policy_says_so(make: Make) -> None:
    model = make(FirstTokensSpec(tokens=4))
    model.complete(question(TEXTS))
    usage = model.complete(question(TEXTS[::-1])).usage
    passages = sum(len(model.chat.ids(text)) for text in TEXTS)
    _, pieces = pieces_of(model, question(TEXTS[::-1]))
    assert usage.cached_tokens == len(pieces.prefix) + passages - 4 * 3 - 1


def test_another_question_behind_the_same_passages_is_all_that_is_read_and_of_a_draft_its_own_tokens(
    make: Make,
) -> None:
    model = make(FirstTokensSpec(tokens=4))
    model.complete(question(TEXTS))
    asked = [question(TEXTS, "Where does rain fall?"), question(TEXTS, draft="Dogs")]
    other, draft = (model.complete(messages).usage for messages in asked)
    _, pieces = pieces_of(model, asked[0])
    assert other.cached_tokens == len(pieces.shared)
    assert draft.prompt_tokens - draft.cached_tokens == len(model.chat.ids("Dogs"))
    _, pieces = pieces_of(model, asked[1])
    assert draft.prompt_tokens == len(pieces.encoded.ids)


def test_attention_and_the_answer_share_what_was_read(make: Make) -> None:
    model = make(NoneSpec())
    ranked = model.attend(attention(TEXTS)).usage
    assert ranked.requests == 2
    assert ranked.cached_tokens > 0  # the second tail reads its own tokens alone
    _, pieces = pieces_of(model, question(TEXTS[:2]))
    usage = model.complete(question(TEXTS[:2])).usage
    assert usage.cached_tokens >= len(pieces.prefix) + sum(len(model.chat.ids(text)) for text in TEXTS[:2]) - 1


def reuse_of(usage: Usage) -> Reuse:
    assert usage.reuse is not None
    return usage.reuse


@pytest.mark.parametrize("policy", [PrefixSpec(), FirstTokensSpec(tokens=4)])
def test_a_question_asked_again_over_the_same_sources_is_not_read_again(make: Make, policy: PolicySpec) -> None:
    reusing, apart = make(policy), make(policy)
    first = reusing.attend(attention(TEXTS))
    again = reusing.attend(attention(TEXTS, ("Who barks?",)), heads=[Head(1, 0)])
    assert (reuse_of(first.usage).questions, reuse_of(again.usage).questions) == (0, 1)
    assert reuse_of(again.usage).recomputed == 0
    assert again.usage.cached_tokens == again.usage.prompt_tokens
    expected = apart.attend(attention(TEXTS, ("Who barks?",)), heads=[Head(1, 0)])
    for one, other in zip(again.tails[0], expected.tails[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_question_that_was_looked_at_in_the_first_layers_alone_is_read_again_for_the_others(make: Make) -> None:
    model = make(PrefixSpec())
    model.attend(attention(TEXTS), heads=[Head(0, 0)])
    assert reuse_of(model.attend(attention(TEXTS), heads=[Head(0, 1)]).usage).questions == 2
    deeper = model.attend(attention(TEXTS), heads=[Head(1, 1)]).usage
    assert reuse_of(deeper).questions == 0
    model.attend(attention(TEXTS), heads=[Head(0, 0)])
    assert reuse_of(model.complete(question(TEXTS)).usage).questions == 1  # all layers were run meanwhile


def test_the_answer_to_a_question_that_attention_was_asked_of_computes_one_token(
    make: Make, model: TransformersModel
) -> None:
    reusing = make(PrefixSpec())
    reusing.attend(attention(TEXTS))
    answer = reusing.complete(question(TEXTS))
    assert answer.text == model.complete(question(TEXTS), Sampling(max_tokens=16)).text
    assert (reuse_of(answer.usage).questions, reuse_of(answer.usage).recomputed) == (1, 1)
    drafted = reusing.complete(question(TEXTS, draft="Dogs"))
    assert drafted.text == model.complete(question(TEXTS, draft="Dogs"), Sampling(max_tokens=16)).text


def test_a_kept_question_goes_on_from_what_is_left_and_computes_the_lines_between_alone(make: Make) -> None:
    model = make(FirstTokensSpec(tokens=4), "kept")
    model.attend(attention(TEXTS))
    left = ["Rain falls in the north.", "They sleep by day."]
    usage = model.complete(question(left)).usage
    _, pieces = pieces_of(model, question(left))
    lines = sum(len(segment.ids) for segment in pieces.segments if not segment.cached)
    assert reuse_of(usage).recomputed == lines + 1  # and the last token, whose logits are wanted
    assert reuse_of(usage).questions == 1
    assert usage.prompt_tokens == len(pieces.encoded.ids)


def test_of_a_kept_question_the_rows_are_those_that_were_read(make: Make) -> None:
    model = make(NoneSpec(), "kept")
    model.attend(attention(TEXTS))
    chunks = model.worker.run(lambda: model._reusing(model.reuse))  # type: ignore[arg-type]
    assert chunks._last is not None
    parts = chunks._last.continued(pieces_of(model, question(TEXTS[1:]))[1], cut=True)
    assert parts is not None
    shown = [model.chat.decode(part.ids) for part in parts]
    assert shown == [
        f"\n{SYSTEM}\n\n",
        '<source id="1">\n',
        TEXTS[1],
        '\n</source>\n<source id="2">\n',
        TEXTS[2],
        "\n</source>\n\nQuestion: Who barks?\n\n",
    ]
    assert [isinstance(part, Stretch) for part in parts] == [True, False, True, False, True, True]


@pytest.mark.parametrize("asked", ["Who barks?", "Who sleeps?"])
def test_what_a_compressor_left_is_read_behind_its_own_question_unless_it_is_kept(make: Make, asked: str) -> None:
    again, kept = make(NoneSpec()), make(NoneSpec(), "kept")
    texts = []
    for model in (again, kept):
        model.attend(attention(TEXTS, (asked,)))
        answer = model.complete(question(TEXTS[1:]))
        texts.append(answer.text)
        same = model is kept and asked == "Who barks?"
        assert reuse_of(answer.usage).questions == (1 if same else 0)
        assert reuse_of(answer.usage).apart == ("" if same else "sources left out")
    if asked == "Who sleeps?":
        assert texts[0] == texts[1]


def test_why_a_prompt_was_read_anew_is_said(make: Make) -> None:
    model = make(NoneSpec())
    assert reuse_of(model.attend(attention(TEXTS)).usage).apart == ""  # there was none before
    assert reuse_of(model.attend(attention(TEXTS[::-1])).usage).apart == "another order of sources"
    assert reuse_of(model.attend(attention([*TEXTS, "Hens lay eggs."])).usage).apart == "other sources"
    other = replace(attention(TEXTS), system="Be brief.")
    assert reuse_of(model.attend(other).usage).apart == "other instructions"


def test_keeping_questions_is_not_exact() -> None:
    assert ReuseSpec().exact
    assert not ReuseSpec(question="kept").exact


def test_a_part_of_a_passage_uses_the_rows_of_the_whole(make: Make) -> None:
    model = make(NoneSpec())
    model.complete(question(TEXTS))
    part = "They sleep by day."
    _, pieces = pieces_of(model, question([part]))
    [segment] = [segment for segment in pieces.segments if segment.cached]
    assert segment.ids == model.chat.ids(TEXTS[0])
    assert model.chat.decode(segment.kept).strip() == part
    usage = model.complete(question([part])).usage
    assert usage.cached_tokens == len(pieces.prefix) + len(segment.kept) - 1


def test_exact_policies_do_not_use_rows_that_saw_what_was_left_out(make: Make, model: TransformersModel) -> None:
    reusing = make(PrefixSpec())
    reusing.complete(question(TEXTS))
    part = ["They sleep by day."]
    assert reusing.complete(question(part)).text == model.complete(question(part), Sampling(max_tokens=16)).text


def test_replies_over_reused_passages_written_together_are_those_written_alone(make: Make) -> None:
    model = make(NoneSpec())
    asked = [question(TEXTS[:count], f"Who {verb}?") for count in (1, 2, 3) for verb in ("barks", "sleeps")]
    for messages in asked:
        model.complete(messages)  # from here on every passage is in the store
    alone = [model.complete(messages) for messages in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(model.complete, asked))
    assert [each.text for each in together] == [each.text for each in alone]


def seen_by(messages: list[Message], access: str, *others: str) -> list[Message]:
    system, user = messages
    return [system, replace(user, access=(access, *(others or (access,) * (len(user.passages) - 1))))]


def test_a_passage_that_others_may_see_is_read_anew_and_then_kept_apart(make: Make) -> None:
    model = make(NoneSpec())
    asked = [seen_by(question(TEXTS), who) for who in ('["ann"]', '["bob"]', '["ann"]')]
    read = [reuse_of(model.complete(messages).usage) for messages in asked]
    passages = sum(len(model.chat.ids(text)) for text in TEXTS)
    assert [each.read_alone for each in read][1:] == [passages, 0]
    assert [each.apart for each in read] == ["", "other sources", "other sources"]
    assert read[2].from_memory == 3
    mixed = seen_by(question(TEXTS), '["ann"]', '["bob"]', "")  # the last one is anybody's, and was never read
    assert reuse_of(model.complete(mixed).usage).read_alone == len(model.chat.ids(TEXTS[2]))


def test_a_part_of_a_passage_does_not_use_the_rows_of_one_that_others_may_see(make: Make) -> None:
    model = make(NoneSpec(), "kept")
    model.complete(seen_by(question(TEXTS), '["ann"]'))
    part = question(["They sleep by day."])
    usage = model.complete(seen_by(part, '["bob"]')).usage
    assert reuse_of(usage).read_alone == len(model.chat.ids("They sleep by day."))
    assert reuse_of(usage).questions == 0


def test_a_passage_without_text_is_no_part_of_another(make: Make, model: TransformersModel) -> None:
    reusing = make(PrefixSpec())
    for texts in (TEXTS, ["", *TEXTS], ["", " ", TEXTS[0]]):
        expected = model.complete(question(texts), Sampling(max_tokens=16))
        assert reusing.complete(question(texts)).text == expected.text


def test_half_a_word_is_no_part_of_a_passage(make: Make) -> None:
    model = make(NoneSpec())
    model.complete(question(["Watchdogs bark at night."]))
    for text in ("dogs bark at night.", "Watchdogs ba"):
        _, pieces = pieces_of(model, question([text]))
        [segment] = pieces.passages
        assert model.chat.decode(segment.kept) == text


def test_the_same_source_twice_in_one_prompt_is_read_once(make: Make, model: TransformersModel) -> None:
    texts = [TEXTS[0], TEXTS[1], TEXTS[0]]
    usage = make(NoneSpec()).complete(question(texts)).usage
    counts = [len(model.chat.ids(text)) for text in TEXTS]
    prefix = len(model.chat.ids(f"<|system|>\n{SYSTEM}<|end|>\n<|user|>\n"))
    assert reuse_of(usage).read_alone == counts[0] + counts[1] + prefix
    assert (
        make(PrefixSpec()).complete(question(texts)).text
        == model.complete(question(texts), Sampling(max_tokens=16)).text
    )


def test_caches_of_a_model_whose_rotation_was_changed_in_its_folder_are_not_used(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(weights, folder)
    reuse = ReuseSpec(policy=NoneSpec(), path=tmp_path / "kv")

    def read_alone() -> int:
        model = TransformersModel(Loader(str(folder), device="cpu"), max_tokens=1, reuse=reuse)
        given = reuse_of(model.complete(question(TEXTS)).usage)
        model.close()
        return given.read_alone

    first = read_alone()
    assert first > 0
    assert read_alone() == 0
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] *= 2  # the weights, the name and the tokenizer stay
    (folder / "config.json").write_text(json.dumps(config))
    assert read_alone() == first


def test_rounded_caches_in_the_same_folder_are_not_for_who_keeps_them_as_computed(
    weights: Path, tmp_path: Path
) -> None:
    found = []
    for precision in ("int8", "model", "int8", "model"):
        spec = ReuseSpec(policy=NoneSpec(), path=tmp_path, precision=precision)  # type: ignore[arg-type]
        model = TransformersModel(Loader(str(weights), device="cpu"), max_tokens=1, reuse=spec)
        found.append(reuse_of(model.complete(question(TEXTS)).usage).from_disk)
        model.close()
    assert found == [0, 0, 3, 3]


def test_a_reply_longer_than_the_window_is_cut_where_the_window_ends(weights: Path) -> None:
    loader = Loader(str(weights), device="cpu", context_tokens=100)
    model = TransformersModel(loader, max_tokens=10**6, reuse=ReuseSpec(policy=NoneSpec()))
    try:
        usage = model.complete(question(TEXTS[:1])).usage
        assert usage.prompt_tokens < 100
        assert usage.prompt_tokens + usage.completion_tokens <= 100
        with pytest.raises(ModelError, match="does not fit into the 100"):
            model.complete(question(TEXTS * 3))
    finally:
        model.close()


def test_access_lists_name_every_passage_or_none() -> None:
    with pytest.raises(ValueError, match="1 access lists for 2 passages"):
        Message("user", "ab", ((0, 1), (1, 2)), ("x",))


def test_what_was_announced_is_in_memory_when_it_is_asked_for(weights: Path, tmp_path: Path) -> None:
    reuse = ReuseSpec(policy=NoneSpec(), path=tmp_path)
    asked = seen_by(question(TEXTS), '["ann"]')

    def found(*, announced: list[Message] | None) -> Reuse:
        model = TransformersModel(Loader(str(weights), device="cpu"), max_tokens=1, reuse=reuse)
        if announced is not None:
            model.preload(announced)
            model._ahead.settle()
            assert model._chunks is not None
            model._chunks.store.settle()
        given = reuse_of(model.complete(asked).usage)
        model.close()
        return given

    assert found(announced=None).read_alone > 0  # nothing was kept yet
    assert found(announced=None).from_disk == 3
    assert found(announced=question(TEXTS)).from_disk == 3  # others may see those
    announced = found(announced=seen_by(question([*TEXTS[::-1], "Hens lay eggs."], "?"), '["ann"]'))
    assert (announced.from_memory, announced.from_disk, announced.read_alone) == (3, 0, 0)


def test_without_a_store_on_disk_there_is_nothing_to_announce(make: Make) -> None:
    model = make(NoneSpec())
    model.preload(question(TEXTS))
    assert model._ahead._pool is None
    assert model._chunks is None
