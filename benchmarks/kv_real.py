"""What each reuse policy costs with a trained model on real questions: divergence and answers.

    python benchmarks/kv_real.py --model FOLDER --data BEIR/hotpotqa --index INDEX [--questions 20] [--chunks 4]

Each question stands behind the first chunks that `hybrid` finds for it, in the prompt `answer`. Per policy: `kl`, how
far the distributions of the first tokens of the plain prefill's reply are from its own, in nats, the mean and its 95
% interval; `agree`, the share of these tokens that would be chosen too; `same`, how many greedy replies of that
length are the same; `answers`, how many contain the answer; `computed`, the share of the chunks' tokens that is
computed again. Caches are warm: chunks were read behind the prompt's beginning, or for `cache_craft` in two earlier
prompts, each of half of them between chunks of the question before. Sources are cut into tokens apart for all alike.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rag import Pipeline
from rag.evaluate.beir import load_beir
from rag.evaluate.metrics_answers import contains_answer
from rag.kv.base import Prefilled
from rag.kv.engine import ChunkEngine
from rag.kv.policy.base import Policy
from rag.kv.policy.cache_craft import CacheCraft
from rag.kv.policy.first_k import FirstTokens
from rag.kv.policy.full import Full
from rag.kv.policy.hkvd import HighestDeviation
from rag.kv.policy.none import NoRepair
from rag.kv.specs import ReuseSpec
from rag.kv.types import Segment
from rag.library import read as text_of
from rag.models.attention_prompt import FIELDS, attention_prompt
from rag.models.llm import Message
from rag.models.local.chat import Chat
from rag.models.local.loading import Loaded, Loader
from rag.models.local.pieces import Pieces
from rag.models.local.reusing import ChunkReuse
from rag.models.local.watching import read
from rag.models.template import Template

POLICIES: dict[str, Policy] = {
    "none": NoRepair(),
    "first_k 2": FirstTokens(tokens=2),
    "first_k 4": FirstTokens(tokens=4),
    "first_k 8": FirstTokens(tokens=8),
    "first_k 16": FirstTokens(tokens=16),
    "hkvd 15 %, check 1": HighestDeviation(ratio=0.15, check=1),
    "hkvd 15 %, check 2": HighestDeviation(ratio=0.15, check=2),
    "cache_craft 1": CacheCraft(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="a folder in the format of transformers")
    parser.add_argument("--data", type=Path, required=True, help="a set in BEIR's layout, with answers")
    parser.add_argument("--index", type=Path, required=True, help="the index of its corpus")
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16, help="of a reply")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loaded = Loader(str(arguments.model), device="cpu").load()
    reuse = ChunkReuse(loaded, Chat(loaded.name, loaded.tokenizer), ReuseSpec())
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    before: Sequence[Segment] = ()
    for question, answers, texts in drawn(arguments):
        pieces = asked(reuse, question, texts)
        if before:
            for name, figures in compared(reuse, loaded, pieces, before, arguments.tokens, answers).items():
                for figure, value in figures.items():
                    found[name][figure].append(value)
        before = pieces.passages
    print(f"{arguments.data.name}: {arguments.questions} questions behind {arguments.chunks} chunks, ", end="")
    print(f"{statistics.mean(found['plain']['length']):.0f} tokens a prompt; replies of {arguments.tokens} tokens")
    for name, values in found.items():
        print(line(name, values))


def drawn(arguments: argparse.Namespace) -> list[tuple[str, tuple[str, ...], list[str]]]:
    """Questions with their answers and the chunks found; the first one only lends its chunks to the second."""
    questions = [each for each in load_beir(arguments.data).questions if each.answers]
    overrides = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(arguments.data / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(arguments.index))}",
    ]
    with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
        return [
            (
                each.text,
                each.answers,
                [hit.chunk.text for hit in pipeline.search(each.text).ranking.hits[: arguments.chunks]],
            )
            for each in random.Random(arguments.seed).sample(questions, arguments.questions + 1)
        ]


def asked(reuse: ChunkReuse, question: str, texts: Sequence[str]) -> Pieces:
    template = Template.parse(text_of("prompts", "answer"), name="answer", fields=FIELDS)
    prompt = attention_prompt(template, [question], texts)
    user = Message("user", prompt.shared + prompt.tails[0], prompt.passages)
    return reuse.pieces(reuse.chat.text([Message("system", prompt.system), user]))


def compared(
    reuse: ChunkReuse, loaded: Loaded, pieces: Pieces, before: Sequence[Segment], tokens: int, answers: Sequence[str]
) -> dict[str, dict[str, float]]:
    """One question by all policies."""
    plain = ChunkEngine(loaded.model, identity=reuse.engine.identity, policy=Full())
    whole = plain.question_pass(plain.prefill(pieces.prefix, pieces.segments), pieces.rest)
    reply = written(loaded, whole, tokens)
    expected = following(loaded, whole, reply)
    right = contains_answer(reuse.chat.decode(reply), answers)
    figures = {"plain": {"answers": right, "length": float(len(whole.ids))}}
    store = ReuseSpec().store(reuse.engine.identity)
    chunk_tokens = sum(len(segment.ids) for segment in pieces.passages)
    frame = len(pieces.shared) - len(pieces.prefix) - chunk_tokens
    for name, policy in POLICIES.items():
        in_context = policy.encode == "in-context"
        own = ReuseSpec().store(reuse.engine.identity) if in_context else store
        engine = ChunkEngine(loaded.model, identity=reuse.engine.identity, policy=policy, store=own)
        if in_context:
            half = len(pieces.passages) // 2
            for mixed in (pieces.passages[:half], pieces.passages[half:]):
                engine.prefill(pieces.prefix, [*before[:half], *mixed, *before[half:]])
        else:
            engine.warm(pieces.prefix, pieces.segments)
        chunks = engine.prefill(pieces.prefix, pieces.segments)
        got = engine.question_pass(chunks, pieces.rest)
        others = following(loaded, got, reply)
        own_reply = written(loaded, got, tokens)
        figures[name] = {
            "kl": float((expected.exp() * (expected - others)).sum(-1).mean()),
            "agree": float((expected.argmax(-1) == others.argmax(-1)).double().mean()),
            "same": float(own_reply == reply),
            "answers": contains_answer(reuse.chat.decode(own_reply), answers),
            "computed": (chunks.report.recomputed - frame) / chunk_tokens,
        }
    return figures


def written(loaded: Loaded, prompt: Prefilled, tokens: int) -> list[int]:
    """What follows greedily; the prompt's cache is as before."""
    assert prompt.logits is not None
    reply = [int(prompt.logits.argmax())]
    while len(reply) < tokens and reply[-1] not in loaded.ends:
        logits = read(loaded.model, reply[-1:], prompt.cache)
        assert logits is not None
        reply.append(int(logits[-1].argmax()))
    if len(reply) > 1:
        prompt.cache.crop(1 - len(reply))
    return reply


def following(loaded: Loaded, prompt: Prefilled, reply: Sequence[int]) -> Tensor:
    """(tokens, vocabulary) log-probabilities of each token of the reply; the prompt's cache is as before."""
    assert prompt.logits is not None
    logits = prompt.logits[None]
    if len(reply) > 1:
        behind = read(loaded.model, reply[:-1], prompt.cache, every_logit=True)
        assert behind is not None
        logits = torch.cat([logits, behind])
        prompt.cache.crop(1 - len(reply))
    return torch.log_softmax(logits.double(), -1)


def line(name: str, figures: dict[str, list[float]]) -> str:
    count = len(figures["answers"])
    right = f"answers {sum(figures['answers']):.0f} of {count}"
    if "kl" not in figures:
        return f"  {name:<20} {right}"
    half = 1.96 * statistics.stdev(figures["kl"]) / count**0.5
    return (
        f"  {name:<20} {right}  kl {statistics.mean(figures['kl']):.3f} ± {half:.3f}  "
        f"agree {statistics.mean(figures['agree']):.3f}  same {sum(figures['same']):.0f} of {count}  "
        f"computed {statistics.mean(figures['computed']):.2f}"
    )


if __name__ == "__main__":
    main()
