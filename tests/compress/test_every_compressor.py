from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.cite.markers import MarkerCiter
from rag.compress.base import Compressor
from rag.compress.budget import Budget
from rag.compress.cross_encoder import CrossEncodedSentences
from rag.compress.exit import FIELDS, ExitSentences
from rag.compress.extract import ExtractiveCompressor
from rag.compress.infiniretri import AttendedSentences
from rag.compress.specs import (
    BUILT_IN,
    Bm25Spec,
    HybridSpec,
    RecompSpec,
    SentencesSpec,
    TrainedSpec,
    WholeChunksSpec,
)
from rag.compress.trained import KIND, SIGNS
from rag.library import read
from rag.models.attention import Attended, AttentionPrompt, Head
from rag.models.linear_head import LinearHead
from rag.models.llm import Choice, Message
from rag.models.template import Template
from rag.resources import Resources
from rag.testing import QUESTIONS, Sample, check_compressor, sample
from rag.testing.models import ScriptedModel
from rag.text.sentences import sentences
from rag.types import Query, Ranking, ScoredChunk, Usage


def common(one: str, other: str) -> int:
    """How many letters two texts have in common: a score that tells sentences apart, in every script."""
    return len(set(one.lower()) & set(other.lower()))


class Pairs:
    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return np.array([common(question, passage) for question, passage in pairs], np.float32)

    def room(self, query: str) -> int:
        return 1000

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return []


class Judge(ScriptedModel):
    def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        before, _, after = messages[0].content.partition("\nFull context:\n")
        sentence = after.partition("\nSentence:\n")[2].partition("\n")[0]
        yes = common(before, sentence) / 26
        return Choice((yes, 1 - yes), Usage(1, 1, 1))


class Looking:
    window = 1000

    def count(self, text: str) -> int:
        return len(text)

    def attend(self, prompt: AttentionPrompt, *, heads: Sequence[Head] | None = None) -> Attended:
        texts = [prompt.shared[start:end] for start, end in prompt.documents]
        rows = [
            tuple(np.array([[letter in tail for letter in text]], np.float32) for text in texts)
            for tail in prompt.tails
        ]
        return Attended(tuple(rows), Usage())


def exit_of(resources: Resources) -> Compressor:
    template = Template.parse(read("prompts", "exit"), name="exit", fields=FIELDS)
    return ExtractiveCompressor(resources, ExitSentences(Judge(), template, concurrency=2))


def trained(resources: Resources) -> Compressor:
    head = Path("head.safetensors")
    if not head.is_file():
        weights = dict.fromkeys(SIGNS, 0.3)
        LinearHead(weights).save(head, kind=KIND, identity=resources.embedder.identity, about={})
    return TrainedSpec(head=str(head), tokens=12).build(resources)


COMPRESSORS: dict[str, Callable[[Resources], Compressor]] = {
    "none": WholeChunksSpec().build,
    "sentences": SentencesSpec(tokens=12).build,
    "hybrid": HybridSpec(tokens=None, ratio=0.35).build,
    "trained": trained,
    "bm25": Bm25Spec(tokens=12).build,
    "cross-encoder": lambda resources: ExtractiveCompressor(
        resources, CrossEncodedSentences(resources, Pairs(), budget=Budget(tokens=12))
    ),
    "recomp": RecompSpec(model=None).build,
    "exit": exit_of,
    "infiniretri": lambda resources: ExtractiveCompressor(
        resources, AttendedSentences(Looking(), heads=None, size=100, tokens=40, width=3)
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("every")) as indexed:
        yield indexed


def test_every_compressor_that_ships_is_here() -> None:
    assert set(COMPRESSORS) == {spec.model_fields["use"].default for spec in BUILT_IN}


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_compressor_keeps_its_contract(name: str, made: Sample) -> None:
    check_compressor(COMPRESSORS[name](made.resources), documents=made.documents, chunks=made.chunks)


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_what_is_quoted_of_the_evidence_is_cited_at_its_place_in_the_source(
    name: str, question: str, made: Sample
) -> None:
    ranking = Ranking(tuple(ScoredChunk(chunk, -float(at), "test") for at, chunk in enumerate(made.chunks)))
    [compression] = COMPRESSORS[name](made.resources).compress([Query(text=question)], [ranking])
    for number, part in enumerate(compression.evidence, 1):
        start, end = sentences(part.text)[-1]
        quoted = part.text[start:end]
        cited = MarkerCiter().cite(f"{quoted} [{number}]", compression.evidence)
        [span] = cited.citations[0].spans
        assert span.document_id == part.span.document_id
        assert made.documents[span.document_id].text[span.start : span.end] == quoted
