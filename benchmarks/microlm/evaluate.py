"""Measure the micro model: answers by kind and number of chunks, and how well its attention ranks the chunks.

    cd benchmarks && python -m microlm.evaluate [--contexts 100] [--json results.jsonl]

Answers: greedy, by a plain prefill; `cited` is the share whose source number is right too. Ranking: a chunk's score is
the attention from the question's tokens to its tokens, summed; calibrated: less what a content-free question gives it
(ICR, arXiv:2410.02642). Heads are chosen by their own reciprocal rank on the first half of the contexts and tested on
the second (as in QRHead, arXiv:2506.09944).
Read alone: each chunk's tokens see the start of the prompt and their own chunk, nothing between: what is lost where
cached chunks are used again without any repair. The last line sums up.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

import torch
from microlm import data
from microlm.data import Context, Kind, Question
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

MODEL = Path(__file__).parent / "model"
SIZES = (2, 4, 6, 8, 12, 16, 20)
CHUNKS = 8
"""In the contexts of rankings and of chunks read alone."""
QUESTION, START, FRAME = -1, -2, -3
"""Whose a token is that is no chunk's: the question's, of what stands before the sources, of their tags."""
HEADS = 3
"""How many heads are chosen."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with what the model replied."""

    chunks: int
    question: Question
    reply: str

    @property
    def right(self) -> bool:
        return self.reply.split()[:1] == [self.question.answer]

    @property
    def cited(self) -> bool:
        return self.reply == data.reply(self.question)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--contexts", type=int, default=100, help="contexts of each number of chunks")
    parser.add_argument("--seed", type=int, default=2027)
    parser.add_argument("--json", type=Path, help="append one JSON line a row")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = load(arguments.model)
    rows: list[dict[str, float | str]] = []
    everything: list[Answered] = []
    for chunks in SIZES:
        answered = [
            one
            for context, questions in examples(arguments.seed, chunks=chunks, contexts=arguments.contexts)
            for one in ask(model, tokenizer, context, questions)
        ]
        everything += answered
        rows.append({"measured": "answers", "chunks": chunks, **shares(answered)})
        print(line(rows[-1]), flush=True)
    for row in rankings(model, tokenizer, arguments.seed + 1, contexts=arguments.contexts):
        rows.append({"measured": "ranking", **row})
        print(line(rows[-1]), flush=True)
    for row in read_alone(model, tokenizer, arguments.seed + 2, contexts=arguments.contexts):
        rows.append({"measured": "read alone", **row})
        print(line(rows[-1]), flush=True)
    if arguments.json:
        with arguments.json.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    total = shares([one for one in everything if 4 <= one.chunks <= 8])
    print(f"at 4 to 8 chunks: {line(total)}; {len(everything)} questions in all")


def load(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in float32 with attention that can be seen, and its tokenizer; nothing is fetched."""
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    return model.eval(), AutoTokenizer.from_pretrained(path, local_files_only=True)


def examples(seed: int, *, chunks: int, contexts: int) -> list[tuple[Context, list[Question]]]:
    """Contexts with up to two questions of each kind, the same for the same seed."""
    rng = random.Random(f"{seed} {chunks}")
    drawn = []
    for _ in range(contexts):
        context = data.make_context(rng, chunks)
        questions: list[Question] = []
        for kind in data.KINDS:
            alike = [question for question in context.questions if question.kind == kind]
            questions += rng.sample(alike, min(2, len(alike)))
        drawn.append((context, questions))
    return drawn


@torch.no_grad()
def ask(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: Context, questions: Sequence[Question]
) -> list[Answered]:
    """Greedy replies, each by a prefill of the whole prompt."""
    answered = []
    for question in questions:
        prompt = tokenizer(data.head(context.chunks) + data.tail(question.text), return_tensors="pt")
        tokens = model.generate(**prompt, max_new_tokens=4, do_sample=False)[0, prompt["input_ids"].shape[1] :]
        answered.append(Answered(len(context.chunks), question, tokenizer.decode(tokens, skip_special_tokens=True)))
    return answered


def shares(answered: Sequence[Answered]) -> dict[str, float]:
    """The share of right answers of each kind, and of right ones with the right source."""
    figures: dict[str, float] = {}
    for kind in data.KINDS:
        alike = [one for one in answered if one.question.kind == kind]
        if alike:
            figures[kind] = sum(one.right for one in alike) / len(alike)
            figures[f"{kind}_cited"] = sum(one.cited for one in alike) / len(alike)
    return figures


def rankings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int, *, contexts: int
) -> list[dict[str, float | str]]:
    """By kind and way to score the chunks: `mrr` of the best gold chunk, and how often all gold is `first`."""
    seen: dict[Kind, list[Scored]] = defaultdict(list)
    for context, questions in examples(seed, chunks=CHUNKS, contexts=contexts):
        free = attention(model, tokenizer, context, data.CONTENT_FREE)
        for question in questions:
            plain = attention(model, tokenizer, context, question.text)
            seen[question.kind].append(Scored(question.gold, plain, plain - free))
    rows: list[dict[str, float | str]] = []
    for kind, scored in seen.items():
        half = len(scored) // 2
        chosen, test = best_heads(scored[:half]), scored[half:]
        heads = ", ".join(f"{layer}-{head}" for layer, head in chosen)
        ways = {
            "all heads": [one.plain.sum((0, 1)) for one in test],
            "all heads, calibrated": [one.calibrated.sum((0, 1)) for one in test],
            f"heads {heads}": [sum(one.plain[at] for at in chosen) for one in test],
            f"heads {heads}, calibrated": [sum(one.calibrated[at] for at in chosen) for one in test],
        }
        for way, scores in ways.items():
            places = [ranks(chunks, one.gold) for chunks, one in zip(scores, test, strict=True)]
            first = mean(place[-1] <= len(place) for place in places)
            rows.append({"kind": kind, "scores": way, "mrr": mean(1 / place[0] for place in places), "first": first})
        rows.append({"kind": kind, "scores": "chance", "mrr": mean(chance(len(one.gold)) for one in test)})
    return rows


@dataclass(frozen=True, slots=True)
class Scored:
    """A question's gold chunks and (layers, heads, chunks) of attention."""

    gold: tuple[int, ...]
    plain: torch.Tensor
    calibrated: torch.Tensor


@torch.no_grad()
def attention(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, context: Context, question: str
) -> torch.Tensor:
    """(layers, heads, chunks): from the question's tokens, on average, to all tokens of a chunk."""
    tokens, owner = read(tokenizer, context, data.tail(question))
    maps = torch.stack(model(tokens[None], output_attentions=True).attentions)[:, 0]  # (layers, heads, tokens, tokens)
    looking = maps[:, :, owner == QUESTION].mean(2)
    return torch.stack([looking[:, :, owner == number].sum(-1) for number in range(len(context.chunks))], -1)


def read(tokenizer: PreTrainedTokenizerBase, context: Context, tail: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens,) of a prompt and whose each is: its chunk's index, or `QUESTION`, `START` or `FRAME`."""
    head = data.head(context.chunks)
    encoded = tokenizer(head + tail, return_tensors="pt", return_offsets_mapping=True)
    starts = encoded["offset_mapping"][0, :, 0]
    owner = torch.full_like(starts, FRAME)
    owner[starts >= len(head)] = QUESTION
    owner[starts < head.index(data.tag(0))] = START
    at = 0
    for number, chunk in enumerate(context.chunks):
        at = head.index(chunk, at)
        owner[(starts >= at) & (starts < at + len(chunk))] = number
        at += len(chunk)
    return encoded["input_ids"][0], owner


@torch.no_grad()
def read_alone(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int, *, contexts: int
) -> list[dict[str, float | str]]:
    """By kind the shares of right answers, and of right source numbers behind them, in full and read alone."""
    right: dict[tuple[Kind, str], list[tuple[bool, bool]]] = defaultdict(list)
    for context, questions in examples(seed, chunks=CHUNKS, contexts=contexts):
        for question in questions:
            tokens, owner = read(tokenizer, context, f"{data.tail(question.text)} {data.reply(question)}")
            order = torch.arange(len(tokens))
            causal = order[:, None] >= order
            alone = (owner[:, None] < 0) | (owner[:, None] == owner) | (owner == START)
            for way, mask in (("full", causal), ("alone", causal & alone)):
                added = torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
                said = model(tokens[None], attention_mask=added[None, None]).logits[0, -3:-1].argmax(-1)
                answer, number = (said == tokens[-2:]).tolist()
                right[question.kind, way].append((answer, number))
    return [
        {"kind": kind, "read": way, "answer": mean(a for a, _ in both), "number": mean(n for _, n in both)}
        for (kind, way), both in right.items()
    ]


def best_heads(scored: Sequence[Scored]) -> list[tuple[int, int]]:
    """The heads that alone rank the gold chunk best by calibrated attention, best first."""
    layers, heads, _ = scored[0].calibrated.shape
    found = {
        (layer, head): mean(1 / ranks(one.calibrated[layer, head], one.gold)[0] for one in scored)
        for layer in range(layers)
        for head in range(heads)
    }
    return sorted(found, key=lambda at: (-found[at], at))[:HEADS]


def ranks(scores: torch.Tensor, gold: Sequence[int]) -> list[int]:
    """From 1, those of the gold chunks, ascending; equal scores count against them."""
    values = scores.tolist()
    return sorted(
        1 + sum(value > values[index] or (value == values[index] and at not in gold) for at, value in enumerate(values))
        for index in gold
    )


def chance(gold: int, *, chunks: int = CHUNKS) -> float:
    """The reciprocal rank to expect of the best gold chunk in a random order."""
    ways = [comb(chunks - rank, gold - 1) / rank for rank in range(1, chunks - gold + 2)]
    return sum(ways) / comb(chunks, gold)


def mean(values: Iterable[float]) -> float:
    figures = list(values)
    return sum(figures) / len(figures)


def line(row: Mapping[str, float | str]) -> str:
    return "  ".join(
        f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
    )


if __name__ == "__main__":
    main()
