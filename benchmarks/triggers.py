"""Whether triggers tell answers that the evidence supports from answers that it does not, on the micro model.

    cd benchmarks && python triggers.py [--contexts 20] [--chunks 8] [--model microlm/model]

Each question is put twice to a real, small model (microlm/README.md): with all chunks, and without those that hold the
answer or lead to it, so that the model can only guess. The first should be left alone, the second looked up.
`looked up` is the share that the trigger wants to look up at its default threshold, `auc` how well its number separates
the two, whatever the threshold: 1 is perfectly, 0.5 not at all. Answers are one word and a source number, so this says
nothing about what is asked with, nor about long answers.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from microlm import data

from rag.generate.llm import LanguageModelGenerator
from rag.generate.prompt import FIELDS
from rag.models.attention import ReadingModel
from rag.models.local_specs import TransformersModelSpec
from rag.models.template import Template
from rag.trigger.base import Trigger, Written
from rag.trigger.dragin import Dragin
from rag.trigger.flare import Flare
from rag.types import Evidence, Prompt, Query, Span, Token

HERE = Path(__file__).parent / "microlm"


def evidence(chunks: Sequence[str]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(span=Span(f"note-{at}", 0, len(text)), text=text, score=1.0, chunk_id=f"note-{at}")
        for at, text in enumerate(chunks, 1)
    )


def written(generator: LanguageModelGenerator, prompts: Sequence[Prompt]) -> list[Written]:
    tokens: defaultdict[int, list[Token]] = defaultdict(list)
    for at, token in generator.start(prompts, logprobs=True):
        tokens[at].append(token)
    return [
        Written(
            query=Query(text=prompt.question),
            draft="",
            sentence="".join(token.text for token in tokens[at]),
            tokens=tuple(tokens[at]),
            evidence=prompt.evidence,
            round=1,
        )
        for at, prompt in enumerate(prompts)
    ]


def auc(doubtful: Sequence[float], sure: Sequence[float]) -> float:
    """The share of pairs in which the doubtful one has the larger number; ties count half."""
    won = sum((one > other) + 0.5 * (one == other) for one in doubtful for other in sure)
    return won / (len(doubtful) * len(sure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=HERE / "model")
    parser.add_argument("--contexts", type=int, default=20)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    model = TransformersModelSpec(model=str(arguments.model), device="cpu", dtype="float32").build()
    assert isinstance(model, ReadingModel)
    template = Template.parse((HERE / "prompts" / "micro.md").read_text(encoding="utf-8"), name="micro", fields=FIELDS)
    generator = LanguageModelGenerator(model, template, max_tokens=8)
    triggers: dict[str, tuple[Trigger, str, int]] = {
        "flare": (Flare(), "least", -1),
        "dragin": (Dragin(model), "largest", 1),
    }
    rng = random.Random(arguments.seed)
    numbers: defaultdict[tuple[str, bool], list[float]] = defaultdict(list)
    asked_for: defaultdict[tuple[str, bool], int] = defaultdict(int)
    right = total = 0
    for _ in range(arguments.contexts):
        context = data.make_context(rng, arguments.chunks)
        questions = rng.sample(context.questions, min(6, len(context.questions)))
        for gone in (False, True):
            prompts = []
            for question in questions:
                kept = [text for at, text in enumerate(context.chunks) if not (gone and at in question.gold)]
                prompts.append(Prompt(question=question.text, evidence=evidence(kept)))
            for question, moment in zip(questions, written(generator, prompts), strict=True):
                if not gone:
                    right += moment.sentence.split()[:1] == [question.answer]
                    total += 1
                for name, (trigger, number, sign) in triggers.items():
                    decision = trigger.decide(moment)
                    numbers[name, gone].append(sign * float(decision.numbers.get(number) or 0.0))
                    asked_for[name, gone] += decision.retrieve
    print(f"{total} questions over {arguments.chunks} chunks, {100 * right / total:.0f} % right with all of them")
    for name in triggers:
        there, gone_ = asked_for[name, False] / total, asked_for[name, True] / total
        separated = auc(numbers[name, True], numbers[name, False])
        print(f"{name:8} looked up {there:.2f} with the answer's chunks, {gone_:.2f} without; auc {separated:.3f}")
    model.close()


if __name__ == "__main__":
    main()
