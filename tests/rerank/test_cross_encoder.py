from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.config.weights import missing_package
from rag.errors import ModelError, ModelNotFoundError
from rag.models.cross_encoder import SentenceTransformersCrossEncoder
from rag.pipeline.spec import PipelineSpec
from rag.rerank.cross_encoder import CrossEncoderReranker
from rag.rerank.reorder import is_sure, reordered
from rag.rerank.specs import CrossEncoderSpec
from rag.rerank.windows import windows
from rag.testing import check_reranker, sample
from rag.types import Query, Ranking

from .conftest import WordScorer, names, ranked

QUERY = Query(text="which one")


def test_equal_scores_keep_the_order_of_the_first_stage() -> None:
    reranker = CrossEncoderReranker(WordScorer({"low": 0.2, "high": 0.9}), keep=3)
    [after] = reranker.rerank([QUERY], [ranked("low", "high", "high")])
    assert names(after) == "bca"
    assert [hit.score for hit in after] == pytest.approx([0.9, 0.9, 0.2], abs=1e-6)
    assert after.notes == {"scored": 3, "windows": 3}


def test_a_long_chunk_counts_by_its_best_window() -> None:
    scorer = WordScorer({"gold": 5.0, "fair": 3.0}, window=42)  # 40 tokens beside the two of the question
    long = " ".join(["x"] * 60 + ["gold"])
    [after] = CrossEncoderReranker(scorer, keep=2, overlap=10).rerank([QUERY], [ranked("fair", long)])
    # windows of 40 from tokens 0 and 21 (the last is moved back to be full): the second holds "gold"
    assert names(after) == "ba"
    assert after[0].score == 5.0
    assert after.notes == {"scored": 2, "windows": 3}
    assert [len(passage.split()) for _, passage in scorer.asked] == [1, 40, 40]


def test_what_lies_below_the_depth_follows_in_its_order_with_lower_scores() -> None:
    reranker = CrossEncoderReranker(WordScorer({"high": 1.0}), keep=4, depth=2)
    [after] = reranker.rerank([QUERY], [ranked("low", "high", "high", "high")])
    assert names(after) == "bacd"
    assert [hit.origin for hit in after] == ["cross-encoder", "cross-encoder", "first", "first"]
    assert sorted((hit.score for hit in after), reverse=True) == [hit.score for hit in after]


def test_a_score_that_is_no_number_is_counted_and_goes_behind_the_scored() -> None:
    reranker = CrossEncoderReranker(WordScorer({"broken": math.nan, "low": -4.0}), keep=3)
    [after] = reranker.rerank([QUERY], [ranked("broken", "low", "low")])
    assert names(after) == "bca"
    assert after.notes == {"scored": 3, "windows": 3, "not_finite": 1}


def test_one_broken_window_leaves_the_others_their_say() -> None:
    scorer = WordScorer({"broken": math.nan, "gold": 2.0, "fair": 1.0}, window=42)
    text = " ".join(["broken", *["x"] * 60, "gold"])
    [after] = CrossEncoderReranker(scorer, keep=2, overlap=0).rerank([QUERY], [ranked("fair", text)])
    assert names(after) == "ba"


def test_the_model_is_not_asked_where_the_first_stage_is_sure() -> None:
    scorer = WordScorer({"high": 1.0})
    sure = ranked("low", "high", "high", scores=[10.0, 5.0, 1.0])  # (10 - 5) / (10 - 1) = .56
    unsure = ranked("low", "high", "high", scores=[10.0, 9.0, 1.0])  # 1 / 9
    one, other = CrossEncoderReranker(scorer, keep=2, margin=0.5).rerank([QUERY, QUERY], [sure, unsure])
    assert names(one) == "ab"
    assert one.notes == {"skipped": "margin"}
    assert one[0].score == 10.0
    assert names(other) == "bc"
    assert len(scorer.asked) == 3


def test_without_a_margin_only_rankings_of_one_are_sure() -> None:
    assert is_sure(Ranking(), None)
    assert is_sure(ranked("a"), None)
    assert not is_sure(ranked("a", "b", scores=[10.0, 0.0]), None)
    assert not is_sure(ranked("a", "b", scores=[1.0, 1.0]), 0.0)  # nothing tells them apart


def test_the_instruction_stands_behind_the_question() -> None:
    scorer = WordScorer({})
    CrossEncoderReranker(scorer, keep=2, instruction="Prefer law.").rerank([QUERY], [ranked("x", "y")])
    assert scorer.asked == [("which one Prefer law.", "x"), ("which one Prefer law.", "y")]


def test_a_question_that_fills_the_window_is_cut_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    scorer = WordScorer({"high": 1.0}, window=40)
    question = Query(text=" ".join(["word"] * 100))
    [after] = CrossEncoderReranker(scorer, keep=2).rerank([question], [ranked("low", "high")])
    assert names(after) == "ba"
    assert "is cut" in caplog.text
    assert {scorer.room(asked) for asked, _ in scorer.asked} == {20}  # half of the window of 40 tokens


SCORES = st.floats(-1e30, 1e30) | st.sampled_from([float("nan"), float("inf"), float("-inf")])


@given(st.lists(SCORES, min_size=1, max_size=20), st.integers(1, 25))
def test_reordering_loses_and_adds_nothing_and_scores_fall(scores: list[float], keep: int) -> None:
    before = ranked(*["text"] * 20)
    after = reordered(before, dict(enumerate(scores)), keep=keep, origin="new")
    assert len(after) == min(keep, 20)
    assert len({hit.chunk.id for hit in after}) == len(after)
    values = [hit.score for hit in after]
    assert all(one > other for one, other in pairwise(values))


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 19))
def test_windows_cover_every_token_and_none_is_too_long(count: int, size: int, overlap: int) -> None:
    overlap = min(overlap, size - 1)
    offsets = [(2 * at, 2 * at + 1) for at in range(count)]
    found = windows(offsets, size=size, overlap=overlap)
    covered = {at for start, end in found for at in range(start, end)}
    assert covered >= {start for start, _ in offsets}
    assert all((end - start + 1) // 2 <= size for start, end in found)


def test_windows_refuse_an_overlap_that_would_never_end() -> None:
    with pytest.raises(ValueError, match="overlap 3, size 3"):
        windows([(0, 1)], size=3, overlap=3)


def test_the_contract_holds_for_a_scorer_of_words(tmp_path: Path) -> None:
    with sample(tmp_path) as indexed:
        for keep in (1, 4, 100):
            reranker = CrossEncoderReranker(WordScorer({"Dogs": 2.0, "days": 1.0}), keep=keep, depth=5)
            check_reranker(reranker, chunks=indexed.chunks, keep=keep)


def test_a_pipeline_without_the_weights_is_refused_with_what_to_do() -> None:
    text = "version: 1\nask: {rerank: [{use: cross-encoder, model: nobody/nothing}]}"
    with pytest.raises(Exception, match="no weights of 'nobody/nothing' on this machine: set `allow_download"):
        PipelineSpec.from_yaml(text)
    assert "there is no folder './weights'" in (CrossEncoderSpec(model="./weights").missing() or "")
    assert CrossEncoderSpec(model="nobody/nothing", allow_download=True).missing() is None
    assert missing_package("no_such_package", extra="hf") == (
        "needs the package 'no_such_package': pip install \"ragloom[hf]\""
    )


@pytest.mark.slow
def test_a_tiny_cross_encoder_scores_as_torch_does_and_keeps_the_contract(
    tiny_cross_encoder: Callable[..., Path], tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    import transformers

    folder = str(tiny_cross_encoder())
    pairs = [("do dogs bark?", "dogs bark at night."), ("do dogs bark?", "a cat."), ("a", "b c")]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        expected = [float(model(**tokenizer(*pair, return_tensors="pt")).logits) for pair in pairs]
    scorer = SentenceTransformersCrossEncoder(folder, device="cpu")
    np.testing.assert_allclose(scorer.score(pairs), expected, atol=1e-5)
    squashed = SentenceTransformersCrossEncoder(folder, device="cpu", activation="sigmoid")
    np.testing.assert_allclose(squashed.score(pairs), 1 / (1 + np.exp(-np.array(expected))), atol=1e-5)
    assert scorer.room("do dogs bark?") == 24 - 3 - 5  # do dog ##s bark ? and [CLS] [SEP] [SEP]
    assert scorer.offsets("dogs.") == [(0, 3), (3, 4), (4, 5)]
    assert scorer.score([]).shape == (0,)
    with sample(tmp_path / "index") as indexed:
        spec = CrossEncoderSpec(model=folder, device="cpu", keep=4)
        assert spec.missing() is None
        reranker = spec.build(indexed.resources)
        check_reranker(reranker, chunks=indexed.chunks, keep=4)
        assert len(indexed.resources.objects) == 1
        CrossEncoderSpec(model=folder, device="cpu", keep=2, depth=3).build(indexed.resources)
        assert len(indexed.resources.objects) == 1  # the same weights, whatever else differs
    scorer.close()


@pytest.mark.slow
def test_a_model_with_several_scores_is_refused(tiny_cross_encoder: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match="gives 3 scores for a pair"):
        SentenceTransformersCrossEncoder(str(tiny_cross_encoder(labels=3)), device="cpu").score([("a", "b")])


@pytest.mark.slow
def test_weights_that_went_away_are_named(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelNotFoundError, match="cannot load"):
        SentenceTransformersCrossEncoder(str(tmp_path / "empty"), device="cpu").score([("a", "b")])
