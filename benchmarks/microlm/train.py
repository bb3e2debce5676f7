"""Train the micro model on one core.

    cd benchmarks && python -m microlm.train --out microlm/model

What makes so small a budget do:

- Hidden states half way up are asked what they know, through matrices that are thrown away: after the first layer the
  subject, after the second the source, after the third where the first hop leads, after the fourth the source of the
  answer (deep supervision, arXiv:1409.5185). Where the heads look is left to the model.
- The first contexts say one thing of many subjects. Where a context holds only two foods, guessing among them pays so
  well that nothing is learned for long; among eight places only finding the subject's own pays.
- Many questions share the reading of a context (`batches`).

Queries start as their keys and outputs as their values, so that tokens look for their like (mimetic initialisation,
arXiv:2305.09828), and most rotary frequencies are slow, so that they find it far away. What the parts are worth was
measured for the first two (README.md).
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from microlm import data, tokenizer
from microlm.batches import IGNORED, Batch, Encoder, Stage, draw
from microlm.muon import Muon
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.integrations.sdpa_attention import sdpa_attention_forward

CURRICULUM = (
    Stage(chunks=(1, 1), facts=(6, 9), alike=1.0, mix={"one": 1.0}, questions=10, until={"one": 0.9}),
    Stage(chunks=(2, 2), facts=(6, 8), alike=0.3, mix={"one": 0.8, "two": 0.2}, questions=16, until={"one": 0.9}),
    Stage(
        chunks=(3, 4),
        facts=(3, 6),
        alike=0.1,
        mix={"one": 0.5, "two": 0.5},
        questions=20,
        until={"one": 0.92, "two": 0.7},
    ),
    Stage(
        chunks=(3, 6),
        facts=(3, 5),
        alike=0.05,
        references=0.3,
        mix={"one": 0.35, "two": 0.5, "reference": 0.15},
        questions=24,
        until={"one": 0.93, "two": 0.9},
    ),
    Stage(
        chunks=(4, 12),
        facts=(2, 5),
        references=0.3,
        mix={"one": 0.35, "two": 0.45, "reference": 0.2},
        questions=24,
        until={"one": 0.95, "two": 0.95, "reference": 0.9},
    ),
    Stage(
        chunks=(4, 20),
        facts=(2, 5),
        references=0.3,
        mix={"one": 0.35, "two": 0.45, "reference": 0.2},
        questions=24,
        until={},
    ),
)
KNOWN_AFTER = {"subject": 1, "source": 2, "bridge": 3, "cited": 4}
"""The layer after which each is asked of the hidden state."""
KNOWN_WEIGHT, CITED_WEIGHT, TEXT_WEIGHT = 0.5, 0.3, 0.05
"""Of what is asked of hidden states, of source numbers and of all other words; an answer weighs 1."""
MATRIX_RATE, RATE = 0.01, 0.003
"""Of Muon for the layers' matrices, and of AdamW for the rest; both fall to 2 % in a line."""
WARMUP = 50
"""Steps."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1700)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(arguments.seed)
    words = tokenizer.build()
    lesson = Lesson(new_model(words))
    train(lesson, words, steps=arguments.steps, seed=arguments.seed, out=arguments.out)


def new_model(words: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The model at its start."""
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=tokenizer.WINDOW,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        attn_implementation=ATTENTION,
    )
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:
        attention = layer.self_attn
        nn.init.normal_(attention.q_proj.weight, std=0.05)
        nn.init.normal_(attention.v_proj.weight, std=0.05)
        with torch.no_grad():
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T)
    return model.train()


class Lesson(nn.Module):
    """The model and the matrices through which its hidden states are asked."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        super().__init__()
        self.model = model
        width = model.config.hidden_size
        self.probes = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in KNOWN_AFTER})
        for probe in self.probes.values():
            nn.init.eye_(probe.weight)

    def forward(self, batch: Batch) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss, and the share of right ones of each kind of answer and of all that is asked."""
        states = self.model.model(
            input_ids=batch.tokens,
            position_ids=batch.positions,
            attention_mask=batch.mask,
            output_hidden_states=True,
            use_cache=False,
        )
        logits = self.model.lm_head(states.last_hidden_state)
        losses = functional.cross_entropy(logits.mT, batch.targets, reduction="none", ignore_index=IGNORED)
        cue = batch.kinds >= 0
        loss = losses[cue].mean() + CITED_WEIGHT * losses[batch.cited].mean()
        loss += TEXT_WEIGHT * losses[(batch.targets != IGNORED) & ~cue & ~batch.cited].mean()
        right = logits.argmax(-1) == batch.targets
        shares = {kind: share(right[batch.kinds == number]) for number, kind in enumerate(data.KINDS)}
        shares["number"] = share(right[batch.cited])
        for name, layer in KNOWN_AFTER.items():
            at = batch.known[name] != IGNORED
            guess = self.model.lm_head(self.probes[name](self.model.model.norm(states.hidden_states[layer][at])))
            loss += KNOWN_WEIGHT * functional.cross_entropy(guess, batch.known[name][at])
            shares[name] = share(guess.argmax(-1) == batch.known[name][at])
        return loss, shares


def share(right: torch.Tensor) -> float:
    """NaN where nothing was asked."""
    return right.float().mean().item()


def train(lesson: Lesson, words: PreTrainedTokenizerFast, *, steps: int, seed: int, out: Path) -> None:
    """Train for `steps`; what there is is saved every 200."""
    matrices = [p for name, p in lesson.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in lesson.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [Muon(matrices, rate=MATRIX_RATE), torch.optim.AdamW(others, RATE, (0.9, 0.98), weight_decay=0.0)]
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    encode = Encoder(words.get_vocab(), words.eos_token_id)
    rng = random.Random(seed)
    started = time.process_time()
    stage, entered, seen = 0, 0, 0
    smooth: dict[str, float] = {}
    for step in range(1, steps + 1):
        batch = draw(rng, CURRICULUM[stage], encode, tokens=2048 if stage < 2 else 4096)
        for group, rate in zip((g for optimizer in optimizers for g in optimizer.param_groups), rates, strict=True):
            group["lr"] = rate * min(1.0, step / WARMUP) * max(0.02, 1 - step / steps)
        with torch.autocast("cpu", torch.bfloat16):
            loss, shares = lesson(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(lesson.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        seen += batch.tokens.numel()
        smooth = smoothed(smooth, shares)
        if step % 25 == 0:
            figures = " ".join(f"{name} {value:.3f}" for name, value in smooth.items())
            spent = time.process_time() - started
            print(f"{spent:.0f} s step {step} stage {stage} loss {loss.item():.3f} {figures} {seen} tokens", flush=True)
        if step % 200 == 0:
            save(lesson.model, words, out)
        until = CURRICULUM[stage].until
        if until and step - entered > 30 and all(smooth.get(kind, 0.0) >= least for kind, least in until.items()):
            stage, entered, smooth = stage + 1, step, {}
    save(lesson.model, words, out)


def smoothed(before: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, float]:
    """Averages over about 20 batches that begin at 0; a batch that does not ask for one leaves it."""
    return {
        name: before.get(name, 0.0) + (0.05 * (value - before.get(name, 0.0)) if not math.isnan(value) else 0.0)
        for name, value in shares.items()
    }


def save(model: LlamaForCausalLM, words: PreTrainedTokenizerFast, out: Path) -> None:
    model.save_pretrained(out)
    words.save_pretrained(out)


def exact_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    **options: object,
) -> tuple[torch.Tensor, None]:
    """Attention in float32 under bfloat16 autocast: on a processor only the matrix products gain by bfloat16."""
    with torch.autocast("cpu", enabled=False):
        return sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **options)


ATTENTION = "exact"
AttentionInterface.register(ATTENTION, exact_attention)

if __name__ == "__main__":
    main()
