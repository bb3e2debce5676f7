"""vLLM in this process: what a caller can ask of it."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rag.errors import BackendError, ModelError
from rag.models.caller import CALLER, Caller
from rag.models.llm import Message, Sampling
from rag.models.vllm import VllmModel
from rag.models.vllm_metrics import EngineMetrics
from rag.models.vllm_specs import VllmSpec
from rag.testing.vllm_server import children, until
from rag.types import Token, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONG = [Message("user", "Dogs bark at night. " * 30)]


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


def settled(model: VllmModel) -> EngineMetrics:
    """The engine's counters when they have counted what was asked before: for a second they have not moved."""
    seen = [model.metrics()]
    while len(seen) < 6 or len(set(seen[-6:])) > 1 or seen[-1].running:
        time.sleep(0.2)
        seen.append(model.metrics())
    return seen[-1]


def text(model: VllmModel, chat: list[Message], sampling: Sampling | None = None) -> str:
    return model.complete(chat, sampling or Sampling()).text


def test_a_stream_joined_is_the_whole_reply_with_and_without_log_probabilities(
    model: VllmModel, chats: list[list[Message]]
) -> None:
    for chat in chats[:5]:
        whole = text(model, chat)
        for sampling in (Sampling(), Sampling(logprobs=True)):
            *pieces, usage = model.stream(chat, sampling)
            assert "".join(piece.text for piece in pieces if isinstance(piece, Token)) == whole
            assert isinstance(usage, Usage)
            assert (usage.prompt_tokens, usage.requests) == (len(model.prompt(chat)), 1)
            given = [piece.logprob is not None for piece in pieces if isinstance(piece, Token)]
            assert all(given) if sampling.logprobs else not any(given)


def test_many_callers_at_once_each_get_the_reply_to_their_own_prompt(
    model: VllmModel, chats: list[list[Message]]
) -> None:
    alone = [text(model, chat) for chat in chats]
    assert len(set(alone)) > len(chats) // 2  # the premise: replies tell prompts apart
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda at: text(model, chats[at % len(chats)]), range(4 * len(chats))))
    assert together == alone * 4


def test_a_prompt_that_begins_as_an_earlier_one_is_found_in_the_prefix_cache(model: VllmModel) -> None:
    earlier = settled(model)
    first = model.complete(LONG).usage
    again = model.complete([*LONG, Message("assistant", "Yes"), Message("user", "Why?")]).usage
    assert again.cached_tokens >= (first.prompt_tokens // 32 - 1) * 32 > 32
    found, looked_up = first.cached_tokens + again.cached_tokens, first.prompt_tokens + again.prompt_tokens
    assert until(lambda: model.metrics().prefix_queries - earlier.prefix_queries == looked_up)  # counted just behind
    assert model.metrics().prefix_hits - earlier.prefix_hits == found


def test_writing_ends_before_a_stop_string(model: VllmModel, chats: list[list[Message]]) -> None:
    for chat in chats[:5]:
        whole = text(model, chat)
        stop = whole[6:8]
        at = whole.index(stop)
        assert text(model, chat, Sampling(stop=(stop,))) == whole[:at]
        pieces = list(model.stream(chat, Sampling(stop=(stop,), logprobs=True)))
        assert "".join(piece.text for piece in pieces if isinstance(piece, Token)) == whole[:at]


def test_a_draft_is_continued_in_its_own_turn(
    model: VllmModel, chats: list[list[Message]], tokenizer: PreTrainedTokenizerBase
) -> None:
    prompt = model.prompt([*chats[0], Message("assistant", "Yes, dogs")])
    opened = model.prompt(chats[0])
    assert prompt == [*opened, *tokenizer.encode("Yes, dogs", add_special_tokens=False)]
    assert text(model, [*chats[0], Message("assistant", "Yes, dogs")]) != text(model, chats[0])


def test_the_same_seed_draws_the_same_reply_and_another_seed_another(model: VllmModel) -> None:
    draws = [text(model, LONG, Sampling(temperature=1.0, seed=seed)) for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


def test_a_reply_keeps_to_a_json_schema(model: VllmModel, chats: list[list[Message]]) -> None:
    # No object: between the parts of one a random model writes spaces without end.
    for chat in chats[:5]:
        reply = text(model, chat, Sampling(max_tokens=16, schema={"enum": ["yes", "no"]}))
        assert json.loads(reply) in ("yes", "no")


def test_choosing_gives_the_probability_of_each_option(model: VllmModel) -> None:
    first = next(piece for piece in model.stream(LONG, Sampling(logprobs=True)) if isinstance(piece, Token))
    choice = model.choose(LONG, [first.text, "never so"])
    assert first.logprob is not None
    assert choice.probabilities[0] == pytest.approx(pow(2.718281828459045, first.logprob), rel=1e-3)


def test_a_caller_that_leaves_takes_its_request_out_of_the_engine(model: VllmModel) -> None:
    long = Sampling(max_tokens=3000)
    before = settled(model).generated_tokens
    assert model.complete(LONG, long).usage.completion_tokens == 3000
    assert settled(model).generated_tokens - before == 3000  # the premise: all that is written is counted

    def written() -> int:
        before = settled(model).generated_tokens
        with closing(model.stream(LONG, long)) as stream:  # type: ignore[type-var]  # a generator
            next(stream)
        return settled(model).generated_tokens - before

    # Who is kept waiting for the processor may leave when all is written; a request that stays in is written each time.
    assert any(written() < 3000 for _ in range(5))


def test_a_reply_that_is_waited_for_ends_when_its_caller_leaves(model: VllmModel) -> None:
    caller = Caller()
    with ThreadPoolExecutor(1, initializer=CALLER.set, initargs=(caller,)) as threads:
        asked = threads.submit(model.complete, LONG, Sampling(max_tokens=3000))
        assert until(lambda: bool(caller._stops))  # it is with the engine
        caller.leave()
        with pytest.raises(BackendError, match="while it wrote"):
            asked.result(60)
    assert settled(model).running == 0
    assert model.complete(LONG).text  # the engine goes on


def test_a_prompt_longer_than_the_window_is_refused_by_name(model: VllmModel) -> None:
    with pytest.raises(ModelError, match="vLLM refuses the prompt"):
        text(model, [Message("user", "Dogs bark. " * 2000)])


def test_tokens_are_those_of_the_models_own_tokenizer(
    model: VllmModel, chats: list[list[Message]], tokenizer: PreTrainedTokenizerBase
) -> None:
    assert model.count("Dogs bark at night.") == len(tokenizer.encode("Dogs bark at night.", add_special_tokens=False))
    for chat in chats:
        turns = [{"role": message.role, "content": message.content} for message in chat]
        whole = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        assert model.prompt(chat) == whole
        assert model.prompt_tokens(chat) == len(whole)
    assert model.window == 4096


def test_a_mark_in_a_document_is_no_turn_of_its_own(model: VllmModel, tokenizer: PreTrainedTokenizerBase) -> None:
    marks = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    chat = [Message("system", "Be brief."), Message("user", f"Why? {' '.join(marks)}")]
    frames = ["<|system|>", "<|end|>", "<|user|>", "<|end|>", "<|assistant|>"]
    assert [piece for piece in tokenizer.convert_ids_to_tokens(model.prompt(chat)) if piece in marks] == frames
    assert text(model, chat)


def test_an_engine_that_died_is_a_clear_error_and_loaded_again_and_closing_ends_its_processes(tiny: Path) -> None:
    spec = VllmSpec(model=str(tiny), dtype="float32", cache_gib=0.0625, block_tokens=32, eager=True, max_tokens=4)
    model = spec.build()
    assert isinstance(model, VllmModel)
    others = _engines()
    first = model.complete(LONG).text
    own = _engines() - others
    for process in own:
        os.kill(process, signal.SIGSTOP)  # or it may be done before it is killed
    with ThreadPoolExecutor(1) as caller:
        reply = caller.submit(model.complete, LONG)
        assert until(lambda: model.engine.load().output_processor.has_unfinished_requests())
        for process in own:
            os.kill(process, signal.SIGKILL)
        with pytest.raises(BackendError, match="the engine died while it wrote"):
            reply.result()
    assert model.complete(LONG).text == first
    assert _engines() - others
    model.close()
    assert until(lambda: _engines() <= others)


def _engines() -> set[int]:
    """The engine's processes below this one."""
    return {
        process
        for process in children(os.getpid())
        if Path(f"/proc/{process}/stat").read_text().partition("(")[2].startswith("VLLM")
    }
