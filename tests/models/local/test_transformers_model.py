from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from rag.errors import BackendError, ModelError, ModelNotFoundError
from rag.models.caller import CALLER, Caller
from rag.models.llm import ChoosingModel, CountingModel, Json, Message, Sampling
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.models.local_specs import TransformersModelSpec
from rag.testing.tiny_llama import make_tiny_llama
from rag.types import Token, Usage

QUESTIONS = ["Do dogs bark?", "What is a cat?", "Tell me about rain.", "Warum?", "Ein längerer Satz mit Umlauten: äöü."]


def user(text: str) -> list[Message]:
    return [Message("system", "Be brief."), Message("user", text)]


def plain_greedy(model: TransformersModel, messages: Sequence[Message], count: int) -> list[int]:
    """What the model writes, token by token, each time reading everything anew."""
    loaded = model.loader.load()
    ids = list(model.chat.ids(model.chat.text(messages).text))
    start = len(ids)
    with torch.no_grad():
        for _ in range(count):
            token = int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
            if token in loaded.ends:
                break
    return ids[start:]


def text_of(pieces: Sequence[Token | Usage]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Token))


def usage_of(pieces: Sequence[Token | Usage]) -> Usage:
    [usage] = [piece for piece in pieces if isinstance(piece, Usage)]
    return usage


def test_greedy_replies_are_those_of_reading_everything_anew(model: TransformersModel) -> None:
    for question in QUESTIONS:
        expected = plain_greedy(model, user(question), 24)
        completion = model.complete(user(question))
        assert completion.text == model.chat.decode(expected)
        assert completion.usage.completion_tokens == len(expected)
        assert completion.usage.prompt_tokens == len(model.chat.ids(model.chat.text(user(question)).text))


def test_replies_written_together_are_those_written_alone(model: TransformersModel) -> None:
    alone = [model.complete(user(question)) for question in QUESTIONS * 3]
    with ThreadPoolExecutor(len(QUESTIONS) * 3) as pool:
        together = list(pool.map(lambda question: model.complete(user(question)), QUESTIONS * 3))
    assert together == alone


def test_streamed_pieces_joined_are_the_whole_text(model: TransformersModel) -> None:
    pieces = list(model.stream(user(QUESTIONS[0])))
    assert text_of(pieces) == model.complete(user(QUESTIONS[0])).text
    assert isinstance(pieces[-1], Usage)
    assert sum(isinstance(piece, Usage) for piece in pieces) == 1


def test_logprobs_and_entropies_are_those_of_the_whole_distribution(model: TransformersModel) -> None:
    loaded = model.loader.load()
    prompt = list(model.chat.ids(model.chat.text(user("Do dogs bark?")).text))
    ids = plain_greedy(model, user("Do dogs bark?"), 8)
    with torch.no_grad():
        logits = loaded.model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].double()
    known = torch.log_softmax(logits, -1)
    tokens = [
        piece
        for piece in model.stream(user("Do dogs bark?"), Sampling(max_tokens=8, logprobs=True))
        if isinstance(piece, Token)
    ]
    shown = [token for token in tokens if token.logprob is not None]
    assert len(shown) == 8
    np.testing.assert_allclose([t.logprob for t in shown], known[range(8), ids], atol=1e-4)
    np.testing.assert_allclose([t.entropy for t in shown], -(known.exp() * known).sum(1), atol=1e-4)
    assert text_of(tokens) == model.chat.decode(ids)


def test_the_same_seed_draws_the_same_reply_and_another_another(model: TransformersModel) -> None:
    def drawn(seed: int) -> str:
        return model.complete(user("Why?"), Sampling(temperature=1.5, seed=seed)).text

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_a_stop_string_ends_the_reply_and_is_not_in_it(model: TransformersModel) -> None:
    whole = model.complete(user("Do dogs bark?")).text
    for start in range(1, len(whole) - 3, 7):
        stop = whole[start : start + 3]  # wherever it is cut by tokens
        pieces = list(model.stream(user("Do dogs bark?"), Sampling(stop=(stop, "never there"))))
        assert text_of(pieces) == whole[: whole.find(stop)]
        assert usage_of(pieces).completion_tokens <= 24


def test_a_draft_is_continued_and_not_given_again(model: TransformersModel) -> None:
    drafted = [*user("Do dogs bark?"), Message("assistant", "Dogs do")]
    assert model.chat.text(drafted).text.endswith("<|assistant|>\nDogs do")
    assert model.complete(drafted).text == model.chat.decode(plain_greedy(model, drafted, 24))


def test_a_schema_is_held_to_by_a_model_that_writes_nonsense(model: TransformersModel) -> None:
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {"dogs": {"type": "boolean"}, "sound": {"enum": ["bark", "meow"]}},
        "required": ["dogs", "sound"],
        "additionalProperties": False,
    }
    reply = model.complete(user("Do dogs bark?"), Sampling(schema=schema, max_tokens=60)).text
    jsonschema.validate(json.loads(reply), schema)


def test_a_choice_is_by_the_probability_of_the_first_token(model: TransformersModel) -> None:
    loaded = model.loader.load()
    ids = model.chat.ids(model.chat.text(user("Yes or no?")).text)
    with torch.no_grad():
        shares = torch.softmax(loaded.model(torch.tensor([ids])).logits[0, -1], -1)
    begins_yes = [
        at for at, text in enumerate(model.chat.vocabulary) if text.strip() and "Yes".startswith(text.strip())
    ]
    choice = model.choose(user("Yes or no?"), ["Yes", "No"])
    assert choice.probabilities[0] == pytest.approx(float(shares[begins_yes].sum()), rel=1e-4)
    assert choice.usage == Usage(len(ids), 1, 1)


def test_it_says_how_much_it_takes(model: TransformersModel) -> None:
    assert isinstance(model, CountingModel)
    assert isinstance(model, ChoosingModel)
    assert (model.window, model.concurrency) == (2048, 4)
    assert model.count("Dogs bark.") == len(model.chat.ids("Dogs bark."))


def test_a_prompt_longer_than_the_window_is_refused_and_does_not_disturb_others(model: TransformersModel) -> None:
    with pytest.raises(ModelError, match="does not fit into the 2048"):
        model.complete(user("dogs " * 4000))
    assert model.complete(user("Why?")).text


def test_whoever_stops_reading_ends_the_reply(model: TransformersModel) -> None:
    pieces = model.stream(user("Do dogs bark?"), Sampling(max_tokens=1500))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]  # a generator
    steps = 0
    worker = model.worker
    loaded = model.loader.load()

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    handle = loaded.model.register_forward_hook(count)
    try:
        worker.run(lambda: None)
        worker.run(lambda: None)
        assert steps <= 2  # the step that ran when it was closed, and no other
    finally:
        handle.remove()


def test_closing_frees_the_weights_and_fails_what_is_being_written(weights: Path) -> None:
    model = TransformersModel(Loader(str(weights), device="cpu"), max_tokens=1500)
    pieces = model.stream(user("Do dogs bark?"))
    next(pieces)
    kept = weakref.ref(model.loader.load().model)
    model.close()
    with pytest.raises(BackendError, match="closed while it wrote"):
        list(pieces)
    del pieces
    gc.collect()
    assert kept() is None
    assert model.complete(user("Why?"), Sampling(max_tokens=3)).text  # loaded again
    model.close()


def test_a_model_without_chat_format_reads_plain_text(tmp_path: Path) -> None:
    folder = make_tiny_llama(tmp_path)
    (folder / "chat_template.jinja").unlink()
    model = TransformersModel(Loader(str(folder), device="cpu"), max_tokens=3)
    assert model.chat.text(user("Why?")).text == "Be brief.\n\nWhy?\n\n"
    assert model.chat.text([*user("Why?"), Message("assistant", "Since")]).text == "Be brief.\n\nWhy?\n\nSince"
    assert model.complete(user("Why?")).usage.completion_tokens <= 3
    model.close()


def test_a_format_without_system_messages_gets_them_with_the_first_question(tmp_path: Path) -> None:
    folder = make_tiny_llama(tmp_path)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "<|{{ m.role }}|>{{ m.content | trim }}{% endfor %}"
    )
    model = TransformersModel(Loader(str(folder), device="cpu"))
    text = model.chat.text([Message("system", "Be brief."), Message("user", "  A dog. ", passages=((2, 5),))])
    assert text.text == "<|user|>Be brief.\n\n  A dog."
    assert [text.text[start:end] for start, end in text.passages] == ["A d"]


def test_what_is_not_there_is_said_before_it_is_needed_and_when_loaded(tmp_path: Path) -> None:
    assert "no folder" in (TransformersModelSpec(model=str(tmp_path / "none")).missing() or "")
    assert "no weights" in (TransformersModelSpec(model="someone/never-fetched").missing() or "")
    with pytest.raises(ModelNotFoundError, match="cannot load"):
        Loader(str(tmp_path)).load()


def test_weights_that_may_hold_code_are_not_read(weights: Path, tmp_path: Path) -> None:
    folder = make_tiny_llama(tmp_path)
    model = Loader(str(weights), device="cpu").load().model
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ModelNotFoundError, match="safetensors"):
        Loader(str(folder)).load()


def test_a_reply_ends_when_its_caller_leaves_and_the_next_is_written(model: TransformersModel) -> None:
    caller = Caller()
    with ThreadPoolExecutor(1, initializer=CALLER.set, initargs=(caller,)) as threads:
        stream = model.stream(user(QUESTIONS[0]))
        first = threads.submit(next, stream)
        assert isinstance(first.result(60), Token)
        caller.leave()
        with pytest.raises(BackendError, match="its caller has left"):
            threads.submit(list, stream).result(60)
    assert model.complete(user(QUESTIONS[0])).text
