"""Attention reranking by a local model: quality with all heads and with detected ones, calibrated or not; time; memory.

    python benchmarks/attention.py [--model benchmarks/microlm/model] [--contexts 100] [--documents 20]
    python benchmarks/attention.py --model FOLDER --data BEIR/hotpotqa --index INDEX [--found heads.json] [--heads 16]

Quality: contexts of the micro model's task, chunks in random order; the mean reciprocal rank of the best gold chunk,
the reranker being the one a pipeline runs. Heads are detected on other contexts (`rag heads detect`, ndcg). Time:
against a listwise reply by the same model over the same documents, as long as a permutation of them, on a Llama of
random weights, since neither needs to be right. Memory: the peak of the process while attention is read, less what it
held for a short one, at growing lengths; whole maps would take layers x heads x tokens squared. The last line sums up.
With `--data`, any trained model reranks what is found for real questions instead (attention_real.py).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from attention_real import reranked
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
from microlm import data

from rag.library import read
from rag.models.attention import AttentionPrompt, Head
from rag.models.attention_heads import DetectedHeads
from rag.models.attention_prompt import FIELDS, attention_prompt
from rag.models.llm import Message, Sampling
from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.models.template import Template
from rag.rerank.attention import AttentionReranker
from rag.train.attention_heads import detect_heads
from rag.train.head_trials import Trial
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span

HERE = Path(__file__).parent
LENGTHS = (1024, 2048, 4096, 8192)
PERMUTATION_TOKENS = 4
"""What ``[12] > `` takes in the vocabularies of common models."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE / "microlm" / "model")
    parser.add_argument("--contexts", type=int, default=100)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--heads", type=int, default=3, help="how many detected heads count")
    parser.add_argument("--hidden", type=int, default=512, help="width of the Llama of random weights")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="append one JSON line a row")
    parser.add_argument("--data", type=Path, help="a set in BEIR's layout: rerank what `hybrid` finds in it")
    parser.add_argument("--index", type=Path, help="for --data: the index of its corpus")
    parser.add_argument("--found", type=Path, action="append", default=[], help="for --data: of `rag heads detect`")
    arguments = parser.parse_args()
    if arguments.data is not None and arguments.index is None:
        parser.error("--data needs --index")
    rows = quality(arguments) + timing(arguments) if arguments.data is None else real(arguments)
    if arguments.json:
        with arguments.json.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    best = max((row for row in rows if "mrr" in row), key=lambda row: float(row["mrr"]))
    if arguments.data is not None:
        before = next(row for row in rows if row["case"] == "candidates")
        print(f"in short: MRR {before['mrr']:.3f} as found, {best['mrr']:.3f} at best, with {best['case']}")
        return
    timed = next(row for row in rows if "saved" in row)
    print(
        f"in short: MRR {best['mrr']:.3f} with {best['case']}; {timed['saved']:.0%} less time than a listwise reply "
        f"over {arguments.documents} documents; {torch.get_num_threads()} threads, torch {torch.__version__}"
    )


# ---- quality


def quality(arguments: argparse.Namespace) -> list[dict[str, float | str]]:
    template = Template.parse(data.PROMPT.read_text(encoding="utf-8"), name="micro", fields=FIELDS)
    model = TransformersModel(Loader(str(arguments.model), device="cpu"))
    try:
        trials = _trials(arguments.contexts // 2, arguments.documents, arguments.seed + 1)
        detected = detect_heads(model, trials, method="ndcg", data="microlm", template=template)
        best = detected.best(arguments.heads)
        print(f"detected heads ({len(trials)} trials): {_named(detected, arguments.heads)}", flush=True)
        held_out = _trials(arguments.contexts, arguments.documents, arguments.seed)
        rows = []
        for heads, who in ((None, "all heads"), (best, f"{len(best)} detected heads")):
            for calibrate in (False, True):
                case = f"{who}, {'calibrated' if calibrate else 'not calibrated'}"
                rows.append(_mrr(model, template, held_out, case, heads, calibrate=calibrate))
        return rows
    finally:
        model.close()


def _trials(count: int, documents: int, seed: int) -> list[Trial]:
    rng = random.Random(seed)
    trials = []
    for _ in range(count):
        context = data.make_context(rng, documents)
        question = rng.choice([each for each in context.questions if each.kind == "one"] or context.questions)
        order = rng.sample(range(documents), documents)
        gold = frozenset(at for at, chunk in enumerate(order) if chunk in question.gold)
        trials.append(Trial(question.text, tuple(context.chunks[chunk] for chunk in order), gold))
    return trials


def _mrr(
    model: TransformersModel,
    template: Template,
    trials: list[Trial],
    case: str,
    heads: tuple[Head, ...] | None,
    *,
    calibrate: bool,
) -> dict[str, float | str]:
    reranker = AttentionReranker(model, template, keep=100, words=None, heads=heads, calibrate=calibrate)
    found: list[float] = []
    started = time.process_time()
    passes = 0
    for trial in trials:
        chunks = [Chunk(span=Span(str(at), 0, len(text)), text=text) for at, text in enumerate(trial.passages)]
        ranking = Ranking(tuple(ScoredChunk(chunk, 1.0 - at / 100, "drawn") for at, chunk in enumerate(chunks)))
        [after] = reranker.rerank([Query(text=trial.question)], [ranking])
        places = [int(hit.chunk.document_id) for hit in after]
        found.append(1 / (1 + min(places.index(gold) for gold in trial.gold)))
        passes = 2 if calibrate else 1
    seconds = (time.process_time() - started) / len(trials)
    spread = statistics.stdev(found) / len(found) ** 0.5
    mrr = statistics.mean(found)
    print(f"{case:<36} MRR {mrr:.3f} ± {2 * spread:.3f}  {1000 * seconds:7.1f} ms of the processor  {passes} tails")
    return {"case": case, "mrr": mrr, "half_interval": 2 * spread, "milliseconds": 1000 * seconds}


def _named(detected: DetectedHeads, count: int) -> str:
    return ", ".join(f"{head} {score:.3f}" for head, score in detected.scores[:count])


def real(arguments: argparse.Namespace) -> list[dict[str, float | str]]:
    model = TransformersModel(Loader(str(arguments.model), device="cpu"))
    try:
        return reranked(
            model,
            Template.parse(read("prompts", "attend"), name="attend", fields=FIELDS),
            data=arguments.data,
            index=arguments.index,
            questions=arguments.contexts,
            documents=arguments.documents,
            files=arguments.found,
            heads=arguments.heads,
            seed=arguments.seed,
        )
    finally:
        model.close()


# ---- time and memory


def timing(arguments: argparse.Namespace) -> list[dict[str, float | str]]:
    with tempfile.TemporaryDirectory() as folder:
        model = TransformersModel(Loader(str(_random_llama(Path(folder), arguments)), device="cpu"))
        try:
            return [*_memory(model), _against_listwise(model, arguments)]
        finally:
            model.close()


def _random_llama(folder: Path, arguments: argparse.Namespace) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=arguments.hidden,
        intermediate_size=3 * arguments.hidden,
        num_hidden_layers=8,
        num_attention_heads=arguments.hidden // 64,
        num_key_value_heads=max(1, arguments.hidden // 128),
        max_position_embeddings=16384,
        eos_token_id=None,
    )
    torch.manual_seed(arguments.seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _against_listwise(model: TransformersModel, arguments: argparse.Namespace) -> dict[str, float | str]:
    template = Template.parse("{documents}\nQuery: {question}", name="bench", fields=FIELDS)
    rng = random.Random(arguments.seed)
    texts = [" ".join(rng.choices(data.words(), k=150)) for _ in range(arguments.documents)]
    prompt = attention_prompt(template, ("N/A", "What does Baran eat?"), texts)
    listwise = [Message("user", prompt.shared + prompt.tails[1])]
    reply = Sampling(max_tokens=PERMUTATION_TOKENS * arguments.documents, temperature=0.0)
    model.attend(prompt)
    taken = []
    for _ in range(arguments.repeats):  # in turns, so that both meet the same weather
        taken.append((_seconds(lambda: model.attend(prompt)), _seconds(lambda: model.complete(listwise, reply))))
    attending, writing = (statistics.median(each) for each in zip(*taken, strict=True))
    tokens = model.count(prompt.shared)
    print(
        f"{arguments.documents} documents, {tokens} tokens: attention {1000 * attending:.0f} ms of the processor, "
        f"a reply of {reply.max_tokens} tokens {1000 * writing:.0f} ms: {1 - attending / writing:.0%} less"
    )
    return {"case": "time", "attention": attending, "listwise": writing, "saved": 1 - attending / writing}


def _seconds(run: Callable[[], object]) -> float:
    """Of the processor: others may use the machine."""
    started = time.process_time()
    run()
    return time.process_time() - started


def _memory(model: TransformersModel) -> list[dict[str, float | str]]:
    if not Path("/proc/self/clear_refs").exists():
        print("memory: not measured, this system does not tell a process its peak")
        return []
    anatomy = model.anatomy
    rows: list[dict[str, float | str]] = []
    before = 0
    for length in (64, *LENGTHS):  # the first loads what any pass needs
        shared = "eats " * (length - 16)
        prompt = AttentionPrompt(shared, ((0, len(shared)),), ("Question: N/A", "Question: What?"))
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
        model.attend(prompt)
        if not before:
            before = _kilobytes("VmHWM")
            continue
        peak = (_kilobytes("VmHWM") - before) / 1024
        maps = anatomy.layers * anatomy.heads * length**2 * 4 / 1e6
        print(f"{length:>6} tokens: {peak:7.0f} MB at the peak; whole maps would be {maps:,.0f} MB", flush=True)
        rows.append({"case": f"memory {length}", "megabytes": peak, "whole_maps": maps})
    return rows


def _kilobytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
