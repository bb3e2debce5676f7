"""vLLM computes what transformers computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.models.llm import Message, Sampling
from rag.models.vllm import VllmModel
from rag.types import Token

LENGTH = 24
TIE = 1e-3  # nats


@pytest.fixture(scope="module")
def written(model: VllmModel, chats: list[list[Message]]) -> list[tuple[list[int], list[int]]]:
    """Of each chat the prompt's token ids and those vLLM wrote, greedily."""
    from vllm import SamplingParams

    greedy = SamplingParams(temperature=0.0, max_tokens=LENGTH, ignore_eos=True)
    found = []
    for chat in chats:
        prompt = model.prompt(chat)
        *_, last = model.engine.generate(prompt, greedy)
        found.append((prompt, list(last.outputs[0].token_ids)))
    return found


def test_greedy_tokens_are_those_of_transformers_or_part_at_a_tie(
    tiny: Path, written: list[tuple[list[int], list[int]]]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    assert len(written) >= 20
    same = 0
    for prompt, ids in written:
        assert len(ids) == LENGTH
        with torch.inference_mode():
            logits = reference(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits, dim=-1)  # (LENGTH, vocabulary), each after vLLM's own tokens so far
        best = logprobs.argmax(dim=-1).tolist()
        parted = next((at for at in range(LENGTH) if best[at] != ids[at]), None)
        if parted is None:
            same += 1
        else:
            assert float(logprobs[parted, best[parted]] - logprobs[parted, ids[parted]]) < TIE
    assert same >= 20


def test_log_probabilities_are_those_of_transformers(
    tiny: Path, model: VllmModel, chats: list[list[Message]], written: list[tuple[list[int], list[int]]]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    reference = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    for chat, (prompt, ids) in list(zip(chats, written, strict=True))[:5]:
        with torch.inference_mode():
            logits = reference(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits, dim=-1)
        pieces = [piece for piece in model.stream(chat, Sampling(logprobs=True)) if isinstance(piece, Token)]
        whole = -(logprobs.exp() * logprobs).sum(dim=-1)
        for at, piece in enumerate(pieces):
            assert piece.logprob == pytest.approx(float(logprobs[at, ids[at]]), abs=1e-3)
            assert piece.entropy is not None
            assert 0 < piece.entropy <= float(whole[at]) + 1e-3  # a lower bound
