"""Metrics that a language model judges: the definitions of ragas (arXiv 2309.15217) and of ALCE (arXiv 2305.14627)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from rag.errors import BackendError
from rag.evaluate.ask import Asked, Progress
from rag.evaluate.datasets import Question
from rag.evaluate.measures import any_question, has_answers
from rag.evaluate.metrics_citations import attribution, statements
from rag.evaluate.metrics_context import context_precision, correctness
from rag.evaluate.verdicts import UnreadableVerdict, Verdicts
from rag.models.llm import LanguageModel
from rag.types import Answer, Usage

if TYPE_CHECKING:
    from rag.embed.base import Embedder

logger = logging.getLogger(__name__)

GIVE_UP = 5  # calls in a row that the server fails: the next would fail as well

Score = Callable[[Verdicts, Question, Answer], float | None]


@dataclass(slots=True)
class Judged:
    """The judged metrics of one system: values by metric and question, failures by metric, and what judging cost.

    A ``None`` is a metric that is undefined there (no claim), or one whose judge failed; the latter are counted.
    """

    values: dict[str, dict[str, float | None]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)


class Judge:
    """Has a language model judge the answers of systems. One judge for all systems: two judges do not compare.

    A model flatters answers of its own family; use another one than the generators where you can.

    Args:
        prompt: gives the text of a template by name, `Pipeline.prompt`.
        embedder: for the two metrics that need a similarity of texts.
        name: of the model, for the report.
        concurrency: questions judged at the same time.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        prompt: Callable[[str], str],
        embedder: Embedder,
        name: str = "",
        seed: int = 0,
        concurrency: int = 1,
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.verdicts = Verdicts(model, prompt=prompt, seed=seed)
        self._failing = 0
        self._scores: dict[str, tuple[Callable[[Question], bool], Score]] = {
            "Faithfulness": (any_question, _faithfulness),
            "AnswerRelevancy": (any_question, partial(_relevancy, embedder=embedder)),
            "AnswerCorrectness": (has_answers, partial(_correctness, embedder=embedder)),
            "ContextPrecision_judged": (has_answers, _context_precision),
            "ContextRecall_judged": (has_answers, _context_recall),
            "CitationPrecision_judged": (any_question, partial(_cited, part="precision")),
            "CitationRecall_judged": (any_question, partial(_cited, part="recall")),
        }

    def judge(
        self, asked: Asked, names: Sequence[str], *, progress: Callable[[Progress], None] | None = None
    ) -> Judged:
        """Judge every answer of one system by the metrics of these names.

        Raises:
            BackendError: `GIVE_UP` calls in a row failed.
        """
        before = self.verdicts.usage
        judged = Judged()
        cases = list(asked.cases.values())

        def one(question: Question) -> dict[str, float | Exception | None]:
            answer = asked.found[question.id].answer
            applicable = {name: self._scores[name][1] for name in names if self._scores[name][0](question)}
            if answer is None:  # the question failed
                return dict.fromkeys(applicable, 0.0)
            return {name: self._scored(score, question, answer) for name, score in applicable.items()}

        with ThreadPoolExecutor(self.concurrency, thread_name_prefix="judge") as pool:
            outcomes = pool.map(one, [case.question for case in cases])
            for done, (case, outcome) in enumerate(zip(cases, outcomes, strict=True), 1):
                for name, value in outcome.items():
                    of_metric = judged.values.setdefault(name, {})
                    if isinstance(value, Exception):
                        logger.warning("judging %s of question %s failed: %s", name, case.question.id, value)
                        judged.failed[name] = judged.failed.get(name, 0) + 1
                        value = None
                    of_metric[case.question.id] = value
                if progress is not None:
                    progress(Progress(done, len(cases), asked.system.name, "judging"))
        after = self.verdicts.usage
        judged.usage = Usage(
            after.prompt_tokens - before.prompt_tokens,
            after.completion_tokens - before.completion_tokens,
            after.requests - before.requests,
            after.estimated,
        )
        return judged

    def _scored(self, score: Score, question: Question, answer: Answer) -> float | Exception | None:
        try:
            value = score(self.verdicts, question, answer)
        except UnreadableVerdict as error:
            return error
        except BackendError as error:
            self._failing += 1
            if self._failing >= GIVE_UP:
                raise
            return error
        self._failing = 0
        return value


def _faithfulness(verdicts: Verdicts, question: Question, answer: Answer) -> float | None:
    """Undefined for an abstention, and where the answer claims nothing."""
    claims = [] if answer.abstained else verdicts.claims(question.text, _plain(answer))
    if not claims:
        return None
    supported = verdicts.supported(claims, [part.text for part in answer.evidence])
    return sum(supported) / len(claims)


def _relevancy(verdicts: Verdicts, question: Question, answer: Answer, *, embedder: Embedder) -> float | None:
    """Mean cosine of the asked and the generated questions; 0 for an evasive answer or an abstention.

    Undefined for an abstention where the sources do not answer: that was the right reply, and no answer to judge.
    """
    if answer.abstained:
        return 0.0 if question.answerable else None
    generated, evasive = verdicts.questions(_plain(answer))
    if evasive:
        return 0.0
    asked, *others = embedder.embed_queries([question.text, *generated])
    return float(np.mean([other @ asked for other in others]))  # vectors are of unit length


def _correctness(verdicts: Verdicts, question: Question, answer: Answer, *, embedder: Embedder) -> float | None:
    """Against the first reference; 0 for an abstention."""
    if answer.abstained:
        return 0.0
    reference, text = question.answers[0], _plain(answer)
    claims, wanted = verdicts.claims(question.text, text), verdicts.claims(question.text, reference)
    right, covered = verdicts.compared(question.text, claims, wanted) if claims or wanted else ([], [])
    ours, theirs = embedder.embed_documents([text or " ", reference or " "])
    missed = len(covered) - sum(covered)
    return correctness(sum(right), len(right) - sum(right), missed, similarity=float(ours @ theirs))


def _context_precision(verdicts: Verdicts, question: Question, answer: Answer) -> float | None:
    return context_precision(
        [verdicts.useful(question.text, question.answers[0], part.text) for part in answer.evidence]
    )


def _context_recall(verdicts: Verdicts, question: Question, answer: Answer) -> float | None:
    """Undefined where the reference claims nothing."""
    claims = verdicts.claims(question.text, question.answers[0])
    if not claims:
        return None
    return sum(verdicts.supported(claims, [part.text for part in answer.evidence])) / len(claims)


def _cited(verdicts: Verdicts, question: Question, answer: Answer, *, part: str) -> float | None:
    """Undefined for an abstention."""
    parts = [] if answer.abstained else statements(answer)
    if not parts:
        return None

    def supports(at: int, numbers: tuple[int, ...]) -> bool:
        return verdicts.supported([parts[at].text], [answer.evidence[number - 1].text for number in numbers])[0]

    value: float = getattr(attribution([statement.cited for statement in parts], supports), part)
    return value


def _plain(answer: Answer) -> str:
    return " ".join(statement.text for statement in statements(answer))
