"""Whether samples that agree make better answers, and which signals tell right answers from wrong ones.

    cd benchmarks && python abstention.py --micro [--contexts 30] [--chunks 8] [--samples 5] [--temperature 0.7]
    python benchmarks/abstention.py --sets squad2,multihoprag-pooled DATA_DIR INDEX_DIR [--questions 400]

`--micro`: a real, small model (microlm/README.md), each question put with all chunks and without those that it needs,
so that it can only guess. Once greedily, once by the vote of samples; `agreement` is of the vote, the other signals of
the greedy answer and of its citations.

`--sets`: quotes of the shipped pipeline `hybrid` (`extractive`, which never abstains here), questions with and without
an answer in the documents, half of them each; INDEX_DIR keeps an index a set and is not written to. An answer is right
if it contains a reference answer, and one to a question without an answer is wrong.

Columns: `separation`, the share of pairs of a right and a wrong answer that the signal puts in order (AUROC); `risk`,
the mean share of wrong answers over all coverages (0.5 x 0.5 by chance); `at 1, .8, .5`, the share of right ones where
so many are answered. `together` is the logistic regression of all signals, `any two` the two-doubts rule with each
bound at the value that withholds a fifth: both set on one half of the questions, all figures are of the other.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from microlm import data
from triggers import evidence

from rag import Pipeline
from rag.cite.checked import CheckedCiter
from rag.cite.support import SupportChecker, Thresholds
from rag.evaluate.abstention import Judged, accuracy_at, fit_weights, risk_area, separation
from rag.evaluate.metrics_answers import contains_answer
from rag.generate.agreement import SameWords
from rag.generate.base import Generator, Outcome
from rag.generate.consistent import ConsistentGenerator
from rag.generate.llm import LanguageModelGenerator
from rag.generate.prompt import FIELDS
from rag.models.local_specs import TransformersModelSpec
from rag.models.template import Template
from rag.pipeline.doubt import HIGHER_DOUBTS, ByBounds, of_citations, of_tokens
from rag.types import Prompt, Token

CITER = CheckedCiter(SupportChecker(thresholds=Thresholds()))
HERE = Path(__file__).parent / "microlm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("indexes", type=Path, nargs="?")
    parser.add_argument("--micro", action="store_true")
    parser.add_argument("--sets", default="")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--contexts", type=int, default=30)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.micro:
        report("micro", micro(options), seed=options.seed)
    for name in filter(None, options.sets.split(",")):
        quoted = quotes(options.data / name, options.indexes / name, questions=options.questions, seed=options.seed)
        report(name, quoted, seed=options.seed)


# ---- the micro model


def micro(options: argparse.Namespace) -> list[Judged]:
    """Of each answer of the greedy model; prints how often it and the vote are right, and what they cost."""
    model = TransformersModelSpec(model=str(HERE / "model"), device="cpu", dtype="float32").build()
    template = Template.parse((HERE / "prompts" / "micro.md").read_text(encoding="utf-8"), name="micro", fields=FIELDS)
    once = LanguageModelGenerator(model, template, max_tokens=8)
    vote = ConsistentGenerator(once, SameWords(), samples=options.samples, temperature=options.temperature)
    rng = random.Random(options.seed)
    judged: list[Judged] = []
    tally: defaultdict[tuple[str, bool], list[bool]] = defaultdict(list)
    tokens = {"greedy": 0, "vote": 0}
    for _ in range(options.contexts):
        context = data.make_context(rng, options.chunks)
        questions = rng.sample(context.questions, min(6, len(context.questions)))
        for gone in (False, True):
            prompts = [
                Prompt(
                    question=question.text,
                    evidence=evidence(
                        [text for at, text in enumerate(context.chunks) if not (gone and at in question.gold)]
                    ),
                )
                for question in questions
            ]
            written = {"greedy": answers(once, prompts), "vote": answers(vote, prompts)}
            for at, question in enumerate(questions):
                for way, answered in written.items():
                    text, outcome = answered[at]
                    tally[way, gone].append(text.split()[:1] == [question.answer])
                    tokens[way] += outcome.usage.prompt_tokens + outcome.usage.completion_tokens
                text, outcome = written["greedy"][at]
                support = of_citations(CITER.cite(text, prompts[at].evidence))
                signals = {**written["vote"][at][1].signals, **outcome.signals, **support}
                judged.append(Judged(signals, tally["greedy", gone][-1]))
    asked = len(judged)
    for way, cost in tokens.items():
        there, without = (100 * float(np.mean(tally[way, gone])) for gone in (False, True))
        print(f"{way:7} right {there:.1f} % with all chunks, {without:.1f} % without; {cost / asked:.0f} tokens each")
    model.close()
    return judged


def answers(generator: Generator, prompts: Sequence[Prompt]) -> list[tuple[str, Outcome]]:
    """The texts and outcomes, with the signals of their tokens."""
    tokens: defaultdict[int, list[Token]] = defaultdict(list)
    decoding = generator.start(prompts, logprobs=True)
    for at, token in decoding:
        tokens[at].append(token)
    found = []
    for at in range(len(prompts)):
        outcome = decoding.outcome(at)
        signals = {**outcome.signals, **of_tokens(tokens[at])}
        found.append(("".join(token.text for token in tokens[at]), replace(outcome, signals=signals)))
    return found


# ---- quotes


def quotes(folder: Path, index: Path, *, questions: int, seed: int) -> list[Judged]:
    """Of the quoted answer to each of some questions, half of them without an answer in the documents."""
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    there = [row for row in rows if answerable(row)]
    gone = [row for row in rows if not row["metadata"].get("answerable", row["metadata"].get("type") != "null_query")]
    half = min(questions // 2, len(there), len(gone))
    chance = random.Random(seed)
    chosen = [*chance.sample(there, half), *chance.sample(gone, half)]
    overrides = [
        f"ingest.load=[{{use: rows, path: {json.dumps(str(folder / 'corpus.jsonl'))}}}]",
        f"ingest.index.path={json.dumps(str(index))}",
        "ask.generate={use: extractive, threshold: 0}",
        "ask.abstain={weights: {score: 1, margin: 1, confidence: 1}, least: 0}",
    ]
    with Pipeline.from_yaml("hybrid", overrides=overrides, environ={}) as pipeline:
        found = pipeline.ask_many([row["text"] for row in chosen])
    judged = []
    for at, (row, answer) in enumerate(zip(chosen, found, strict=True)):
        right = at < half and bool(contains_answer(answer.text, row["metadata"]["answers"]))
        judged.append(Judged(answer.signals, right))
    return judged


def answerable(row: dict[str, Any]) -> bool:
    """Whether the documents answer it with words of their own: yes and no are in no quote."""
    about = row["metadata"]
    plain = [answer for answer in about["answers"] if answer.lower() not in ("yes", "no")]
    return bool(plain) and about.get("answerable", about.get("type") == "inference_query")


# ---- figures


def report(name: str, judged: Sequence[Judged], *, seed: int) -> None:
    """Fit on one half, print the figures of the other."""
    order = list(judged)
    random.Random(seed).shuffle(order)
    half = len(order) // 2
    fitted, test = order[:half], order[half:]
    names = [signal for signal in fitted[0].signals if all(signal in each.signals for each in judged)]
    right = [each.right for each in test]
    print(f"{name}: {len(test)} answers, {100 * float(np.mean(right)):.0f} % right; set on {len(fitted)} others")
    columns = {signal: [sign(signal) * each.signals[signal] for each in test] for signal in names}
    weights = fit_weights(fitted, names)
    columns["together"] = [weights.odds(each.signals) for each in test]
    for label, values in columns.items():
        shares = "  ".join(f"{accuracy_at(values, right, share):.2f}" for share in (1.0, 0.8, 0.5))
        print(
            f"  {label:11} separation {separation(values, right):.3f}  risk {risk_area(values, right):.3f}  "
            f"at 1, .8, .5: {shares}"
        )
    bounds = {signal: withholding_a_fifth(signal, [each.signals[signal] for each in fitted]) for signal in names}
    rule = ByBounds(bounds, doubts=2)
    given = [each.right for each in test if not rule.judge(each.signals).abstains]
    print(
        f"  any two     answers {100 * len(given) / len(test):.0f} %, {100 * float(np.mean(given)):.0f} % of them right"
    )
    fit = ", ".join(f"{signal}: {weight:.3g}" for signal, weight in weights.weights.items())
    print(f"  weights: {{{fit}}}, bias: {weights.bias:.3g}", flush=True)


def withholding_a_fifth(signal: str, values: Sequence[float]) -> float:
    return float(np.quantile(values, 0.8 if signal in HIGHER_DOUBTS else 0.2))


def sign(signal: str) -> int:
    return -1 if signal in HIGHER_DOUBTS else 1


if __name__ == "__main__":
    main()
