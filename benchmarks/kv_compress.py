"""What dropping a part of a prompt's cache costs in answers, and what it spares (`llm.compress_cache`).

    python benchmarks/kv_compress.py answers [--contexts 40]
    python benchmarks/kv_compress.py texts MODEL DATA... [--heads FILE] [--questions 8]
    python benchmarks/kv_compress.py speed [--tokens 4096] [--rounds 3] [--keep 0.1,0.25,0.5]

Harder than what a pipeline does: there a reply's first token is exact, since the prompt was read whole. Here the
prompt's last token is read once more over what was kept, so that the first token must come from there too; then the
reply that the whole cache gives is read token by token. `kl` is the divergence of the next token's distribution from
the whole cache's, in nats, mean over these tokens, `agree` the share whose most probable one is the same.

`answers`: the micro language model, trained to answer from its chunks; two sets, contexts of 8 and of 16 chunks. By
kind of question the share of right first words. Heads are detected on other contexts (`rag heads detect`, ndcg).
`texts`: any model, on questions of data sets in BEIR's layout with their passages among others; give the heads' file.
`speed`: a random Llama of about 100 million parameters on one thread; processor time.

`random` keeps tokens drawn at random, `heads, drawn` gives the whole cache to key heads drawn at random: what a choice
must beat. `draft` is the attention of the model's own first layers, two fifths of them; in `speed`, another model of
two layers. The last line of each sums up.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

sys.path.insert(0, str(Path(__file__).parent))
from kv_ttft import VOCABULARY, random_llama
from microlm import data
from microlm.evaluate import examples, load, mean

from rag.kv.compress.base import CacheCompressor, ReadPrompt, budget
from rag.kv.compress.critic import Critic
from rag.kv.compress.draft import Draft
from rag.kv.compress.heads import KeyHead, RetrievalHeads
from rag.kv.compress.kept import KeptCache, KeptLayer, chosen
from rag.kv.compress.razor import Razor
from rag.kv.compress.snapkv import SnapKV
from rag.kv.compress.tokenselect import TokenSelect
from rag.models.attention_heads import DetectedHeads
from rag.models.attention_prompt import FIELDS
from rag.models.local.compressing import question_votes, smaller
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.models.local.watching import read, read_in_pieces
from rag.models.local.worker import Prompt
from rag.models.template import Template
from rag.testing.kv import step
from rag.train.attention_heads import detect_heads
from rag.train.head_trials import Trial
from rag.types import Usage

MICRO = Path(__file__).parent / "microlm" / "model"
KEEP = (0.1, 0.2, 0.35, 0.5, 0.75)
SETS = {8: 2029, 16: 2033}
"""Chunks of a context, and the seed of the set."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    answers = commands.add_parser("answers")
    answers.add_argument("--contexts", type=int, default=40, help="of each set")
    texts = commands.add_parser("texts")
    texts.add_argument("model", type=Path)
    texts.add_argument("data", type=Path, nargs="+", help="folders with corpus.jsonl, queries.jsonl and qrels.tsv")
    texts.add_argument("--heads", type=Path, help="a file of `rag heads detect` for the model")
    texts.add_argument("--questions", type=int, default=8, help="of each data set")
    texts.add_argument("--passages", type=int, default=8)
    texts.add_argument("--reply", type=int, default=12, help="tokens")
    texts.add_argument("--keep", default=",".join(map(str, KEEP)))
    speed = commands.add_parser("speed")
    speed.add_argument("--tokens", type=int, default=4096)
    speed.add_argument("--rounds", type=int, default=3)
    speed.add_argument("--keep", default="0.1,0.25,0.5")
    speed.add_argument("--reply", type=int, default=10, help="tokens")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.what == "answers":
        micro_answers(arguments.contexts)
    elif arguments.what == "texts":
        for folder in arguments.data:
            real_texts(arguments, folder)
    else:
        speeds(arguments.tokens, arguments.rounds, [float(keep) for keep in arguments.keep.split(",")], arguments.reply)


# ---- methods


@dataclass(frozen=True)
class Drawn:
    """Tokens drawn at random, the same for all heads."""

    keep: float
    minimum: int = 0
    name: str = "random"
    votes: bool = False

    def compress(self, prompt: ReadPrompt) -> Sequence[KeptLayer]:
        drawn = torch.randperm(prompt.question)[: budget(prompt, self.keep, 0)].sort().values
        kept = torch.cat([drawn, prompt.tail])
        return [chosen(keys, values, kept) for keys, values in zip(prompt.keys, prompt.values, strict=True)]


def methods(
    keep: float, ranking: Sequence[KeyHead], drafted: Tensor, *, sinks: int, recent: int
) -> dict[str, CacheCompressor]:
    """`drafted` are the votes of the small model for the prompt at hand."""
    shuffled = random.Random(0).sample(ranking, len(ranking))
    named: dict[str, CacheCompressor] = {
        "random": Drawn(keep),
        "critic": Critic(keep, minimum=0),
        "snapkv": SnapKV(keep, minimum=0),
        "snapkv, neighbours: 0": SnapKV(keep, neighbours=0, minimum=0),
        "tokenselect": TokenSelect(keep, minimum=0),
        "draft": Draft(lambda ids, question: drafted, keep, minimum=0),
    }
    if ranking:
        named["heads"] = RetrievalHeads(tuple(ranking), keep, sinks, recent, minimum=0)
        named["heads, drawn"] = RetrievalHeads(tuple(shuffled), keep, sinks, recent, minimum=0)
        named["razor"] = Razor(tuple(ranking), keep, sinks, recent, minimum=0)
    return named


# ---- how near what was kept comes to the whole cache


@dataclass(frozen=True)
class Replay:
    """A prompt without its last token, which is the first of `tokens`, and what the whole cache says behind each."""

    prompt: ReadPrompt
    tokens: tuple[int, ...]
    expected: tuple[Tensor, ...]


def replay_of(model: PreTrainedModel, ids: Sequence[int], question: int, *, reply: int) -> Replay:
    """With a greedy reply of so many tokens."""
    cache = DynamicCache()
    read_in_pieces(model, ids[:-1], cache)
    tokens, expected = [ids[-1]], []
    while len(tokens) <= reply:
        logits = read(model, tokens[-1:], cache)
        assert logits is not None
        expected.append(logits[-1])
        tokens.append(int(logits[-1].argmax()))
    cache.crop(1 - reply)
    votes = question_votes(model, ids, question, cache)
    cache.crop(-1)
    layers = cast("list[DynamicLayer]", cache.layers)
    keys, values = (
        [cast("Tensor", part)[0] for part in parts] for parts in zip(*((x.keys, x.values) for x in layers), strict=True)
    )
    return Replay(ReadPrompt(tuple(ids[:-1]), question, keys, values, votes), tuple(tokens[:-1]), tuple(expected))


def continued(model: PreTrainedModel, replay: Replay, compressor: CacheCompressor) -> tuple[list[Tensor], float]:
    """The logits behind each token over what was kept, and the share that it is."""
    cache = KeptCache(compressor.compress(replay.prompt), tokens=len(replay.prompt.ids))
    share = cache.entries / replay.prompt.entries
    at = len(replay.prompt.ids)
    return [step(model, cache, token, at + number) for number, token in enumerate(replay.tokens)], share


def divergence(expected: Tensor, got: Tensor) -> float:
    one, other = torch.log_softmax(expected.double(), -1), torch.log_softmax(got.double(), -1)
    return float((one.exp() * (one - other)).sum())


Figures = dict[tuple[str, float], dict[str, list[float]]]


def measure(
    model: PreTrainedModel,
    replay: Replay,
    found: Figures,
    ranking: Sequence[KeyHead],
    *,
    ends: int,
    shares: Sequence[float] = KEEP,
) -> Iterator[tuple[str, float, Tensor]]:
    """Note what each method loses; gives its logits behind the prompt."""
    assert replay.prompt.votes is not None
    first = max(1, 2 * len(replay.prompt.votes) // 5)
    for keep in shares:
        named = methods(keep, ranking, replay.prompt.votes[:first], sinks=4, recent=ends)
        for name, compressor in named.items():
            logits, share = continued(model, replay, compressor)
            pairs = list(zip(replay.expected, logits, strict=True))
            note = found[name, keep]
            note["kl"].append(mean(divergence(*pair) for pair in pairs))
            note["agree"].append(mean(float(one.argmax() == other.argmax()) for one, other in pairs))
            note["kept"].append(share)
            yield name, keep, logits[0]


def table(found: Figures) -> str:
    """One line a method and share; and a last one with the divergences."""
    lines = []
    for (name, keep), figures in sorted(found.items(), key=lambda item: item[0]):
        cells = "  ".join(f"{key} {mean(values):.3f}" for key, values in sorted(figures.items()))
        lines.append(f"  {name:<22} keep {keep:.2f}  {cells}")
    return "\n".join(lines)


def summary(found: Figures) -> str:
    names, shares = (list(dict.fromkeys(key[at] for key in found)) for at in (0, 1))
    parts = [f"{name} " + " / ".join(f"{mean(found[name, keep]['kl']):.3f}" for keep in shares) for name in names]
    return f"kl at keep {' / '.join(f'{keep:g}' for keep in shares)}: " + "; ".join(parts)


# ---- answers of the micro model


def micro_answers(contexts: int) -> None:
    model, tokenizer = load(MICRO)
    torch.manual_seed(0)
    ranking = micro_heads(60)
    for chunks, seed in SETS.items():
        found: Figures = defaultdict(lambda: defaultdict(list))
        whole: dict[str, list[float]] = defaultdict(list)
        for context, questions in examples(seed, chunks=chunks, contexts=contexts):
            head = tokenizer(data.head(context.chunks), add_special_tokens=False)["input_ids"]
            for question in questions:
                tail = tokenizer(data.tail(question.text), add_special_tokens=False)["input_ids"]
                replay = replay_of(model, [*head, *tail], len(head), reply=2)
                whole[question.kind].append(right(tokenizer, replay.expected[0], question.answer))
                for name, keep, logits in measure(model, replay, found, ranking, ends=0):
                    found[name, keep][question.kind].append(right(tokenizer, logits, question.answer))
        counts = ", ".join(f"{len(values)} {kind}" for kind, values in whole.items())
        exact = ", ".join(f"{kind} {mean(values):.3f}" for kind, values in whole.items())
        print(f"micro model, {contexts} contexts of {chunks} chunks; {counts}; whole cache: {exact}")
        print(table(found), flush=True)
        print(f"{chunks} chunks, {summary(found)}", flush=True)


def right(tokenizer: PreTrainedTokenizerBase, logits: Tensor, answer: str) -> float:
    return float(tokenizer.decode([int(logits.argmax())]).strip() == answer)


def micro_heads(contexts: int) -> tuple[KeyHead, ...]:
    """Found as `rag heads detect` finds them; each head has keys of its own here."""
    template = Template.parse(data.PROMPT.read_text(encoding="utf-8"), name="micro", fields=FIELDS)
    trials = [
        Trial(question.text, context.chunks, frozenset(question.gold))
        for context, questions in examples(2035, chunks=8, contexts=contexts)
        for question in questions[:1]
    ]
    model = TransformersModel(Loader(str(MICRO), device="cpu"))
    try:
        detected = detect_heads(model, trials, method="ndcg", data="microlm", template=template)
    finally:
        model.close()
    return tuple((head.layer, head.head) for head, _ in detected.scores)


# ---- real texts


def real_texts(arguments: argparse.Namespace, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, local_files_only=True)
    torch.manual_seed(0)
    ranking: tuple[KeyHead, ...] = ()
    if arguments.heads is not None:
        shared = model.config.num_attention_heads // model.config.num_key_value_heads
        scores = DetectedHeads.load(arguments.heads).scores
        ranking = tuple(dict.fromkeys((head.layer, head.head // shared) for head, _ in scores))
    found: Figures = defaultdict(lambda: defaultdict(list))
    lengths = []
    for passages, question in asked(folder, arguments.questions, arguments.passages):
        sources = "\n\n".join(passages)
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": f"{sources}\n\nAnswer from the text above. {question}"}],
            tokenize=False,
            add_generation_prompt=True,
        )
        at = text.index("\n\nAnswer from the text above. ")
        head, tail = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in (text[:at], text[at:]))
        lengths.append(len(head) + len(tail))
        replay = replay_of(model, [*head, *tail], len(head), reply=arguments.reply)
        shares = [float(keep) for keep in arguments.keep.split(",")]
        for _ in measure(model, replay, found, ranking, ends=64, shares=shares):
            pass
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    about = f"{arguments.questions} questions of {folder.name}, prompts of {min(lengths)} to {max(lengths)} tokens"
    print(f"{arguments.model.name}, {size:.0f} M parameters, {about}, {arguments.reply} tokens of each reply")
    print(table(found), flush=True)
    print(f"{folder.name}, {summary(found)}", flush=True)


def asked(folder: Path, questions: int, passages: int) -> Iterator[tuple[list[str], str]]:
    """Questions with their passages among others, in random order."""
    corpus = {row["_id"]: row["text"] for row in rows(folder / "corpus.jsonl")}
    relevant: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            relevant[query].append(document)
    draw = random.Random(0)
    queries = [row for row in rows(folder / "queries.jsonl") if relevant[row["_id"]]]
    for row in draw.sample(queries, questions):
        gold = relevant[row["_id"]][:passages]
        others = draw.sample([key for key in corpus if key not in gold], passages - len(gold))
        mixed = [*gold, *others]
        draw.shuffle(mixed)
        yield [corpus[key] for key in mixed], row["text"]


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# ---- time and memory


def speeds(tokens: int, rounds: int, shares: Sequence[float], reply: int) -> None:
    model, small = random_llama(), random_llama(layers=2)
    draw = random.Random(0)
    ids = tuple(draw.choices(range(5, VOCABULARY), k=tokens))
    question = tokens - 32
    cache = DynamicCache()
    logits, seconds = timed(lambda: read_in_pieces(model, ids, cache))
    assert logits is not None
    prompt = Prompt(ids, logits[-1], cache, Usage(tokens))
    heads = [(layer, head) for layer in range(12) for head in range(4)]
    shown = ("critic", "snapkv", "tokenselect", "heads", "razor")
    jobs: dict[str, CacheCompressor] = {"critic, all": Critic(1.0, minimum=0)}
    for keep in shares:
        named = methods(keep, heads, torch.empty(0), sinks=16, recent=64)
        jobs |= {f"{name} {keep:g}": named[name] for name in shown}

        def look(ids: Sequence[int], question: int) -> Tensor:
            drafted = DynamicCache()
            read_in_pieces(small, ids, drafted)
            return question_votes(small, ids, question, drafted)

        jobs[f"draft {keep:g}"] = Draft(look, keep, minimum=0)
    makes: dict[str, list[float]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    megabytes: dict[str, float] = {}
    written = []
    for number in range(rounds):
        order = list(jobs)
        random.Random(number).shuffle(order)
        whole = timed(lambda: write(model, cache, tokens, reply))[1] / reply
        cache.crop(-reply)
        written.append(whole)
        for name in order:
            made, took = timed(lambda name=name: smaller(model, prompt, question, jobs[name]))
            assert made.usage.kept is not None
            makes[name].append(took / seconds)
            megabytes[name] = made.usage.kept.kept_bytes / 2**20
            took = timed(lambda made=made: write(model, made.cache, tokens, reply))[1] / reply
            ratios[name].append(whole / took)
    size = smaller(model, prompt, question, jobs["critic, all"]).usage.kept
    assert size is not None
    a_token = statistics.median(written) * 1000
    print(
        f"random Llama, {tokens} tokens, 1 thread: plain prefill {seconds:.1f} s, a token {a_token:.0f} ms, "
        f"whole cache {size.cache_bytes / 2**20:.0f} MB"
    )
    for name in jobs:
        low, high = min(ratios[name]), max(ratios[name])
        print(
            f"  {name:<18} {megabytes[name]:6.1f} MB, first token later by {statistics.median(makes[name]):.3f} of the "
            f"prefill, tokens {statistics.median(ratios[name]):.2f} times as fast ({low:.2f} to {high:.2f})"
        )
    parts = ", ".join(f"{name} {statistics.median(ratios[name]):.2f}" for name in jobs)
    print(f"tokens written, times as fast as from the whole cache at {tokens}: {parts}")


def write(model: PreTrainedModel, cache: Cache, position: int, count: int) -> None:
    for number in range(count):
        step(model, cache, 7, position + number)


def timed(job: Callable[[], object]) -> tuple[object, float]:
    """What it gives, and seconds of the processor."""
    started = time.process_time()
    return job(), time.process_time() - started


if __name__ == "__main__":
    main()
