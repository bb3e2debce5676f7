"""What vLLM's prefix cache finds again when chunks stand in ranking order, and in canonical order.

    python benchmarks/vllm_prefix.py DATA_DIR [--sets multihoprag-pooled,hotpotqa] [--requests 400] [--keep 5]

Runs the real vLLM in process, on whatever device it is built for (`make bench-vllm` installs it for CPUs), with a
small random model: what is found depends on tokens and order alone. For each set the questions' chunks are retrieved by
words; then `requests` prompts (instructions, `keep` chunks, question) are drawn from the questions, with
Zipf-distributed repetition and without any. Every system gets the same requests in the same order, and finds nothing
that another one left in the cache.

"at borders" fills prompts up with line ends, so that blocks of the cache begin with the first source, or with every
source: the engine finds whole blocks only, so where prompts part inside one, what they share of it is lost.

A line a set, workload and system: the share of prompt tokens that the engine had in its cache, by its own counters,
over the second half of the requests; tokens computed a request; by how many ranks a chunk moved on average; median
milliseconds to the first token. The last line sums up.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from rag import Pipeline
from rag.models.llm import Message
from rag.models.vllm import VllmModel
from rag.models.vllm_specs import VllmSpec
from rag.rerank.base import Reranker
from rag.rerank.canonical import CanonicalOrderReranker, Policy
from rag.testing.tiny_llama import make_tiny_llama
from rag.types import Query, Ranking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEED = 20
Border = Literal["first source", "every source"]


def within(ranks: int | None, policy: Policy = "served") -> Callable[[int], Reranker]:
    return lambda keep: CanonicalOrderReranker(keep=keep, displacement=ranks, policy=policy)


SYSTEMS: dict[str, tuple[Callable[[int], Reranker | None], Border | None]] = {
    "ranking order": (lambda keep: None, None),
    "canonical, 1 rank": (within(1), None),
    "canonical, 3 ranks": (within(3), None),
    "canonical, any": (within(None), None),
    "frequency, any": (within(None, "frequency"), None),
    "3 ranks, first at border": (within(3), "first source"),
    "3 ranks, all at borders": (within(3), "every source"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What one system reached on one workload."""

    share: float
    computed: float
    moved: float
    milliseconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", default="multihoprag-pooled,hotpotqa,squad2")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--keep", type=int, default=5, help="chunks a prompt")
    parser.add_argument("--zipf", type=float, default=1.0, help="the exponent")
    parser.add_argument("--cache-mib", type=int, default=48, help="size of the key-value cache")
    parser.add_argument("--block-tokens", type=int, default=32)
    arguments = parser.parse_args()
    gains: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sets.split(","):
            rankings = retrieved(arguments.data / name, Path(folder) / name, arguments.requests, arguments.keep)
            texts = [hit.chunk.text for _, ranking in rankings for hit in ranking][:2000]
            model = engine(Path(folder) / f"{name}-model", texts, arguments.cache_mib, arguments.block_tokens)
            try:
                for workload, wanted in workloads(len(rankings), arguments.requests, arguments.zipf).items():
                    shares: dict[str, float] = {}
                    for system, (make, border) in SYSTEMS.items():
                        asked = [rankings[at] for at in wanted]
                        found = measure(model, f"{name} {workload} {system}", asked, make(arguments.keep), border)
                        shares[system] = found.share
                        print(
                            f"{name:20} {workload:9} {system:25} {found.share:6.1%} from the cache"
                            f"  {found.computed:7.0f} tokens computed  moved {found.moved:.2f}"
                            f"  {found.milliseconds:6.1f} ms",
                            flush=True,
                        )
                    gains.append(shares["canonical, 3 ranks"] - shares["ranking order"])
            finally:
                model.close()
    print(
        f"canonical order within 3 ranks: {statistics.mean(gains):+.1%} of prompt tokens more from the cache on "
        f"average, {min(gains):+.1%} to {max(gains):+.1%}"
    )


def retrieved(data: Path, index: Path, count: int, keep: int) -> list[tuple[str, Ranking]]:
    """Questions, evenly spread over the set, with their best chunks by words."""
    lines = (data / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    step = max(1, len(lines) // count)
    questions = [str(json.loads(line)["text"]) for line in lines[::step][:count]]
    overrides = [
        f"ingest.load=[{{use: rows, path: {data / 'corpus.jsonl'}}}]",
        f"ingest.index.path={index}",
        "ingest.chunk={use: recursive, words: 120, tokens: null}",
    ]
    with Pipeline.from_yaml("sparse", overrides=overrides) as pipeline:
        pipeline.ingest()
        found = [(question, pipeline.search(question).ranking) for question in questions]
    return [(question, Ranking(ranking.hits[:keep])) for question, ranking in found if len(ranking) >= keep]


def engine(folder: Path, texts: Sequence[str], cache_mib: int, block_tokens: int) -> VllmModel:
    """vLLM with a tokenizer trained on the chunks."""
    make_tiny_llama(folder, texts=texts, vocabulary=4096, hidden=64, layers=2, window=8192)
    spec = VllmSpec(
        model=str(folder), dtype="float32", cache_gib=cache_mib / 1024, block_tokens=block_tokens, eager=True
    )
    model = spec.build()
    assert isinstance(model, VllmModel)
    return model


def workloads(questions: int, requests: int, exponent: float) -> dict[str, list[int]]:
    """Which question each request asks: drawn by Zipf's law over a random order of them, and each of them once."""
    draw = np.random.default_rng(SEED)
    shares = 1.0 / np.arange(1, questions + 1) ** exponent
    order = draw.permutation(questions)
    zipf = order[draw.choice(questions, requests, p=shares / shares.sum())]
    return {"zipf": zipf.tolist(), "each once": draw.permutation(questions)[:requests].tolist()}


def measure(
    model: VllmModel,
    run: str,
    requests: Sequence[tuple[str, Ranking]],
    reranker: Reranker | None,
    border: Border | None,
) -> Found:
    """Ask for one token each, in turn; prompts begin with words of the run, so that it finds nothing of others."""
    from vllm import SamplingParams

    moved: list[float] = []
    times: list[float] = []
    half = len(requests) // 2
    before = model.metrics()
    for at, (question, ranking) in enumerate(requests):
        if at == half:
            before = model.metrics()
        [given] = [ranking] if reranker is None else reranker.rerank([Query(text=question)], [ranking])
        ranks = {hit.chunk.id: rank for rank, hit in enumerate(ranking)}
        moved.append(statistics.mean(abs(ranks[hit.chunk.id] - place) for place, hit in enumerate(given)))
        sources = "\n".join(f'<source id="{n}">\n{hit.chunk.text}\n</source>' for n, hit in enumerate(given, 1))
        chat = [Message("system", f"{run}. Answer from the sources."), Message("user", f"{sources}\n\n{question}")]
        prompt = model.prompt(chat) if border is None else at_borders(model, chat, border)
        started = time.perf_counter()
        list(model.engine.generate(prompt, SamplingParams(max_tokens=1, temperature=0.0)))
        times.append(1000 * (time.perf_counter() - started))
    after = model.metrics()
    looked_up, hits = after.prefix_queries - before.prefix_queries, after.prefix_hits - before.prefix_hits
    return Found(
        share=hits / looked_up,
        computed=(looked_up - hits) / (len(requests) - half),
        moved=statistics.mean(moved),
        milliseconds=statistics.median(times[half:]),
    )


def at_borders(model: VllmModel, chat: Sequence[Message], border: Border) -> list[int]:
    """The chat's token ids, filled up with line ends before the first source, or every one, to the next block."""
    engine = model.engine.load()
    tokenizer = cast("PreTrainedTokenizerBase", engine.get_tokenizer())
    turns = [{"role": message.role, "content": message.content} for message in chat]
    text = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    beginning, *sources = re.split("(?=<source id=)", text)  # the last with the question
    [filler] = tokenizer.encode("\n", add_special_tokens=False)
    ids = list(tokenizer.encode(beginning, add_special_tokens=False))
    for number, source in enumerate(sources):
        if number == 0 or border == "every source":
            ids += [filler] * (-len(ids) % engine.vllm_config.cache_config.block_size)
        ids += tokenizer.encode(source, add_special_tokens=False)
    return ids


if __name__ == "__main__":
    main()
