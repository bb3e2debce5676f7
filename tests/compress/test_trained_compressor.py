from __future__ import annotations

from pathlib import Path

import pytest

from rag.compress.base import Compressor
from rag.compress.budget import Budget
from rag.compress.hybrid import HybridSentences
from rag.compress.passages import Sentence, sentences_of
from rag.compress.specs import TrainedSpec
from rag.compress.terms import Terms
from rag.compress.trained import KIND, sentence_signs
from rag.errors import ModelError
from rag.models.linear_head import LinearHead
from rag.testing import Sample, sample
from rag.text.analyze import Analyzer
from rag.types import Query, Ranking, ScoredChunk, Span

QUESTION = Query(text="When does the zoo open?")


def compressor(indexed: Sample, weights: dict[str, float], *, tokens: int) -> Compressor:
    path = Path("head.safetensors")
    path.unlink(missing_ok=True)
    LinearHead(weights).save(path, kind=KIND, identity=indexed.resources.embedder.identity, about={})
    return TrainedSpec(head=str(path), tokens=tokens).build(indexed.resources)


def test_without_weights_every_score_is_that_of_hybrid(indexed: Sample) -> None:
    chunks, reader = indexed.chunks, indexed.resources.index.reader()
    sentences = sentences_of(chunks, reader)
    hybrid = HybridSentences(indexed.resources, budget=Budget(tokens=20)).select(QUESTION, sentences, chunks, reader)
    untrained, _ = sentence_signs(QUESTION, sentences, chunks, reader, indexed.resources)
    assert untrained.tolist() == pytest.approx(hybrid.scores.tolist())


def test_a_weight_moves_what_is_kept(indexed: Sample) -> None:
    """With words against it, the sentence that the untrained score puts first comes last."""
    ranking = Ranking(tuple(ScoredChunk(chunk, 1.0, "x") for chunk in indexed.chunks if chunk.document_id == "zoo.md"))
    [plain] = compressor(indexed, {}, tokens=6).compress([QUESTION], [ranking])
    assert [part.text for part in plain.evidence] == ["The zoo opens at nine."]
    [turned] = compressor(indexed, {"covered": -9.0}, tokens=6).compress([QUESTION], [ranking])
    assert "The zoo opens at nine." not in [part.text for part in turned.evidence]
    assert turned.evidence


def test_what_a_sentence_lacks_of_the_question_its_heading_may_name(tmp_path: Path) -> None:
    one = Sentence(Span("a", 0, 10), "It opens at nine.", 0, "Zoo", 0)
    other = Sentence(Span("b", 0, 10), "Cows sleep.", 1, "Farm", 0)
    with sample(tmp_path, {"a": "It opens at nine.", "b": "Cows sleep."}) as indexed:
        reader = indexed.resources.index.reader()
        _, signs = sentence_signs(Query(text="zoo opens"), [one, other], indexed.chunks, reader, indexed.resources)
    # Each term is in one of two chunks, so the first has half of the question itself and half above it.
    terms = Terms("zoo opens", [one, other], Analyzer())
    assert terms.weights["zoo"] == terms.weights["open"]
    assert (signs["covered"].tolist(), signs["named"].tolist()) == ([1.0, -1.0], [1.0, -1.0])


def test_a_reranking_head_is_no_compression_head(indexed: Sample) -> None:
    identity = indexed.resources.embedder.identity
    LinearHead({"covered": 1.0}).save(Path("r.safetensors"), kind="reranking head", identity=identity, about={})
    trained = TrainedSpec(head="r.safetensors").build(indexed.resources)
    ranking = Ranking(tuple(ScoredChunk(chunk, 1.0, "x") for chunk in indexed.chunks))
    with pytest.raises(ModelError, match="expected a compression head, found 'reranking head'"):
        trained.compress([QUESTION], [ranking])


def test_a_pipeline_with_a_head_that_is_not_there_is_refused_when_it_is_read() -> None:
    missing = TrainedSpec(head="none.safetensors").missing()
    assert missing == "there is no file 'none.safetensors': `rag train compressor` makes one"
