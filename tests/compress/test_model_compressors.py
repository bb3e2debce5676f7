from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.compress.budget import Budget
from rag.compress.cross_encoder import CrossEncodedSentences
from rag.compress.exit import FIELDS, ExitSentences, around, useful
from rag.compress.extract import ExtractiveCompressor
from rag.compress.passages import Sentence
from rag.compress.recomp import RecompSentences
from rag.compress.specs import CrossEncoderSpec, ExitSpec, RecompSpec
from rag.errors import ConfigError
from rag.library import read
from rag.models.llm import Message
from rag.models.template import Template
from rag.testing import Sample
from rag.testing.models import ScriptedModel
from rag.types import Query, Ranking, ScoredChunk, Span

EXIT = Template.parse(read("prompts", "exit"), name="exit", fields=FIELDS)


def farm(indexed: Sample) -> Ranking:
    """Two chunks: "Dogs bark at night. Cows sleep." and "The farm sells milk. Dogs guard it."."""
    chunks = [chunk for chunk in indexed.chunks if chunk.document_id == "farm.md"]
    return Ranking(tuple(ScoredChunk(chunk, 1.0 - at, "test") for at, chunk in enumerate(chunks)))


def exit_of(indexed: Sample, model: ScriptedModel) -> ExtractiveCompressor:
    return ExtractiveCompressor(indexed.resources, ExitSentences(model, EXIT, concurrency=1))


# ---- EXIT


def test_the_share_of_yes_is_the_softmax_of_two_logits() -> None:
    assert useful(np.exp(2.0), np.exp(1.0)) == pytest.approx(0.7311, abs=1e-4)
    assert useful(0.3, 0.3) == 0.5
    assert useful(0.0, 0.0) == 0.0


def test_a_sentence_is_kept_from_one_half_on(indexed: Sample) -> None:
    model = ScriptedModel(
        choices=[{"Yes": 0.4, "No": 0.4}, {"Yes": 0.2, "No": 0.3}, {"Yes": 0.01}, {"Yes": 0.1, "No": 0.9}]
    )
    [compression] = exit_of(indexed, model).compress([Query(text="?")], [farm(indexed)])
    assert [part.text for part in compression.evidence] == ["Dogs bark at night.", "The farm sells milk."]
    assert [dropped.score for dropped in compression.dropped] == pytest.approx([0.4, 0.1])
    assert compression.notes["asked"] == 4


def test_each_sentence_is_asked_about_in_the_words_of_the_paper_with_its_own_chunk(indexed: Sample) -> None:
    model = ScriptedModel(choices=[{"Yes": 1.0}] * 4)
    exit_of(indexed, model).compress([Query(text="Do dogs bark?")], [farm(indexed)])
    assert model.asked[1] == (
        Message(
            "user",
            "Query:\nDo dogs bark?\nFull context:\nDogs bark at night. Cows sleep.\nSentence:\nCows sleep.\n"
            'Is this sentence useful in answering the query? Answer only "Yes" or "No".',
        ),
    )


def test_where_no_sentence_is_useful_the_best_one_is_kept_and_noted(indexed: Sample) -> None:
    model = ScriptedModel(choices=[{"No": 1.0}, {"Yes": 0.1, "No": 0.9}, {}, {"No": 1.0}])
    [compression] = exit_of(indexed, model).compress([Query(text="?")], [farm(indexed)])
    assert [part.text for part in compression.evidence] == ["Cows sleep."]
    assert (compression.notes["none_useful"], compression.notes["unclear"]) == (True, 1)


def test_compressing_again_what_was_kept_drops_nothing_more(indexed: Sample) -> None:
    useful_texts = {"Dogs bark at night.", "Dogs guard it."}

    class Judge(ScriptedModel):
        def _next(self, script: object, messages: Sequence[Message], sampling: object) -> dict[str, float]:  # type: ignore[override]
            asked = messages[0].content.partition("\nSentence:\n")[2].partition("\n")[0]
            return {"Yes": 1.0} if asked in useful_texts else {"No": 1.0}

    compressor = exit_of(indexed, Judge())
    [first] = compressor.compress([Query(text="?")], [farm(indexed)])
    kept = {part.text for part in first.evidence}
    assert kept == useful_texts
    left = Ranking(
        tuple(
            ScoredChunk(type(hit.chunk)(span=part.span, text=part.text), 1.0, "kept")
            for part, hit in zip(first.evidence, farm(indexed), strict=True)
        )
    )
    [second] = compressor.compress([Query(text="?")], [left])
    assert {part.span for part in second.evidence} == {part.span for part in first.evidence}


def test_a_context_that_does_not_fit_is_cut_around_the_sentence_and_the_sentence_never() -> None:
    texts = ["aaaa bbbb", "cccc dddd", "eeee ffff", "gggg hhhh"]  # 3 tokens each, by estimate
    given = [Sentence(Span("a", at, at + 9), text, chunk=0) for at, text in enumerate(texts)]
    assert around(given, 2, tokens=100) == " ".join(texts)
    assert around(given, 2, tokens=7) == "cccc dddd eeee ffff"
    assert around(given, 2, tokens=1) == "eeee ffff"


def test_the_context_never_leaves_the_sentence_s_chunk() -> None:
    given = [Sentence(Span("a", at, at + 1), str(at), chunk=at // 2) for at in range(4)]
    assert around(given, 2, tokens=100) == "2 3"


def test_a_model_without_token_probabilities_is_refused_with_a_way_out(indexed: Sample) -> None:
    class TextOnly:
        complete = stream = close = None

    selector = ExitSentences(TextOnly(), EXIT)  # type: ignore[arg-type]  # what may be handed over
    with pytest.raises(ConfigError, match="token probabilities"):
        ExtractiveCompressor(indexed.resources, selector).compress([Query(text="?")], [farm(indexed)])


def test_exit_asks_for_a_language_model_when_the_pipeline_is_checked() -> None:
    assert ExitSpec.needs == ("llm",)


# ---- RECOMP


class GivenVectors:
    """The question is (1,); sentence n is (values[n],)."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[1.0], *([value] for value in self.values)], np.float32)[: len(texts)]


def test_recomp_keeps_the_n_best_by_inner_product_in_the_order_of_the_text(indexed: Sample) -> None:
    compressor = ExtractiveCompressor(indexed.resources, RecompSentences(GivenVectors(0.1, 0.9, 0.4, 0.4), count=2))
    [compression] = compressor.compress([Query(text="?")], [farm(indexed)])
    assert [part.text for part in compression.evidence] == ["Cows sleep.\n\nThe farm sells milk."]
    assert [dropped.score for dropped in compression.dropped] == pytest.approx([0.1, 0.4])


def test_recomp_can_use_the_pipeline_s_embedder(indexed: Sample) -> None:
    spec = RecompSpec(model=None, sentences=1)
    assert spec.missing() is None
    [compression] = spec.build(indexed.resources).compress([Query(text="Cows sleep")], [farm(indexed)])
    assert [part.text for part in compression.evidence] == ["Cows sleep."]


# ---- cross-encoder


class GivenScores:
    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.asked += pairs
        return np.array(self.scores, np.float32)

    def room(self, query: str) -> int:
        return 100

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return []


def test_a_cross_encoder_s_best_sentences_fill_the_budget(indexed: Sample) -> None:
    scorer = GivenScores(-5.0, 1.0, 7.0, float("nan"))
    selector = CrossEncodedSentences(indexed.resources, scorer, budget=Budget(tokens=6))
    [compression] = ExtractiveCompressor(indexed.resources, selector).compress([Query(text="Q")], [farm(indexed)])
    assert [part.text for part in compression.evidence] == ["Cows sleep.\n\nThe farm sells milk."]
    assert scorer.asked[0] == ("Q", "Dogs bark at night.")
    assert compression.notes["unscored"] == 1


@pytest.mark.parametrize("spec", [CrossEncoderSpec(model="./nowhere"), RecompSpec(model="./nowhere")])
def test_missing_weights_are_said_when_the_pipeline_is_checked(spec: CrossEncoderSpec | RecompSpec) -> None:
    assert "./nowhere" in (spec.missing() or "")
