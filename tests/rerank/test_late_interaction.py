from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.embed.hash import HashEmbedder
from rag.embed.specs import EmbedderSpec
from rag.errors import ModelError
from rag.models.pruning import early_exit, unpruned
from rag.models.token_cache import CachedTokenEncoder
from rag.models.token_encoder import EmbedderTokenEncoder, MultiVectorTokenEncoder, maxsim, unit_rows
from rag.pipeline.spec import AskSpec, IngestSpec, PipelineSpec
from rag.rerank.late_interaction import LateInteractionReranker, rarity
from rag.rerank.specs import LateInteractionSpec
from rag.rerank.token_matches import EncodedMatches
from rag.testing import check_reranker, sample
from rag.types import Query, Ranking

from .conftest import names, ranked

Floats = NDArray[np.float32]


class TextsOnlySpec(EmbedderSpec):
    """An embedder of a plug-in, which has a vector for a text and none for its tokens."""

    use: Literal["texts-only"] = "texts-only"


class Axes:
    """A word a, b, c, ... is the unit vector of that axis; any other word has no vector. Keeps what it encoded."""

    def __init__(self) -> None:
        self.documents: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> list[Floats]:
        return [self._rows(text) for text in texts]

    def encode_documents(self, texts: Sequence[str]) -> list[Floats]:
        self.documents += texts
        return self.encode_queries(texts)

    def _rows(self, text: str) -> Floats:
        places = ["abcdefgh".index(word) for word in text.split() if word in "abcdefgh"]
        return np.eye(8, dtype=np.float32)[places]


def rerank(ranking: Ranking, *, keep: int, **options: float | int | None) -> Ranking:
    reranker = LateInteractionReranker(EncodedMatches(Axes()), keep=keep, **{"weight": None, **options})  # type: ignore[arg-type]
    [after] = reranker.rerank([Query(text="a b c")], [ranking])
    return after


def test_maxsim_takes_the_best_match_of_each_question_token() -> None:
    documents = [np.array([[0.6, 0.8], [1, 0]], np.float32), np.array([[-1, 0]], np.float32)]
    np.testing.assert_allclose(maxsim(np.eye(2, dtype=np.float32), documents), [1.8, -1.0], rtol=1e-6)


def test_a_document_without_tokens_is_no_evidence_rather_than_a_low_score() -> None:
    none, one = np.empty((0, 2), np.float32), np.array([[-1, 0]], np.float32)
    scores = maxsim(np.eye(2, dtype=np.float32), [none, one, none])
    np.testing.assert_array_equal(np.isnan(scores), [True, False, True])
    assert np.isnan(maxsim(none, [one])).all()
    assert maxsim(one, []).shape == (0,)


@given(st.integers(1, 6), st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_maxsim_is_the_double_loop(tokens: int, lengths: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    query = random.normal(size=(tokens, 3)).astype(np.float32)
    documents = [random.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    expected = [
        sum(max(float(q @ d) for d in document) for q in query) if len(document) else np.nan for document in documents
    ]
    np.testing.assert_allclose(maxsim(query, documents), expected, rtol=1e-4, atol=1e-4)


def test_rows_without_a_length_or_with_broken_values_are_left_out() -> None:
    rows = np.array([[3, 4], [0, 0], [np.nan, 1], [np.inf, 1], [0, -2]], np.float32)
    np.testing.assert_allclose(unit_rows(rows), [[0.6, 0.8], [0, -1]], rtol=1e-6)


@pytest.mark.parametrize(("share", "left"), [(0.05, 4), (0.2, 5), (0.0, 3)])
def test_pruning_keeps_what_is_near_the_last_one_kept(share: float, left: int) -> None:
    assert unpruned(np.array([10, 9, 8, 7.9, 7]), keep=3, share=share) == left  # 7.6, 6.4, 8


def test_pruning_works_below_zero_and_never_on_few_candidates() -> None:
    assert unpruned(np.array([-1.0, -2.0, -2.05, -3.0]), keep=2, share=0.05) == 3  # at least -2.1
    assert unpruned(np.array([9.0, 1.0]), keep=2, share=0.0) == 2


@pytest.mark.parametrize(
    ("later", "scored"),
    [([0, 9, 0, 0], 4), ([0, 0, 9], 2), ([9, 8, 7], 3), ([0], 1), ([], 0)],
    ids=["a hit resets", "two misses stop", "all get in", "the end", "nothing left"],
)
def test_scoring_stops_after_two_misses_in_a_row(later: list[float], scored: int) -> None:
    asked: list[int] = []

    def score(start: int, end: int) -> NDArray[np.float64]:
        asked.extend(range(start, end))
        return np.array(later[start - 3 : end - 3], np.float64)

    found = early_exit([5.0, 6.0, 4.0], score, count=3 + len(later), keep=3, patience=2)
    assert found == [5.0, 6.0, 4.0, *later[:scored]]
    assert asked == list(range(3, 3 + scored))  # nothing was scored in vain


def test_fewer_candidates_than_are_kept_are_all_given() -> None:
    assert early_exit([1.0], lambda a, b: np.empty(0), count=1, keep=5, patience=1) == [1.0]


def test_alone_it_orders_by_matches() -> None:
    after = rerank(ranked("a", "x a b", "a b c"), keep=3)
    assert names(after) == "cba"
    assert [hit.score for hit in after] == [3.0, 2.0, 1.0]
    assert after.notes == {"scored": 3, "pruned": 0, "exited": 0}


def test_with_a_weight_it_is_added_to_the_first_stage() -> None:
    after = rerank(ranked("a b c", "a", "b", scores=[9.0, 6.0, 3.0]), keep=3, weight=2.0)
    # sd(9, 6, 3) = sqrt(6), sd(3, 1, 1) = sqrt(8 / 9)
    expected = [9 / 6**0.5 + 6 / (8 / 9) ** 0.5, 6 / 6**0.5 + 2 / (8 / 9) ** 0.5, 3 / 6**0.5 + 2 / (8 / 9) ** 0.5]
    assert names(after) == "abc"
    assert [hit.score for hit in after] == pytest.approx(expected)


def test_a_question_token_counts_by_how_few_candidates_match_it() -> None:
    # Three candidates; all match the first token, one the second; the fourth row has no tokens and does not count.
    matches = np.array([[0.9, 0.9], [0.55, 0.54], [0.8, -1.0], [np.nan, np.nan]])
    expected = [np.log(8 / 7), np.log(8 / 3)]  # (1 + .5 / 3.5), (1 + 2.5 / 1.5)
    np.testing.assert_allclose(rarity(matches, at_least=0.55), expected)
    assert rarity(np.empty((0, 2)), at_least=0.5).shape == (2,)


def test_what_nearly_all_candidates_say_tells_none_apart() -> None:
    ranking = ranked("a b", "a b", "a b", "c", "a")
    assert names(rerank(ranking, keep=1)) == "a"  # two matches against one
    assert names(rerank(ranking, keep=1, match=0.5)) == "d"  # "c" is in one of five: more than "a" and "b" together


def test_a_question_without_tokens_keeps_the_order() -> None:
    [after] = LateInteractionReranker(EncodedMatches(Axes()), keep=2, match=0.5).rerank(
        [Query(text="?")], [ranked("a", "b")]
    )
    assert names(after) == "ab"


def test_first_stage_scores_that_do_not_differ_leave_the_order_to_maxsim() -> None:
    assert names(rerank(ranked("a", "a b", scores=[1.0, 1.0]), keep=2, weight=1.0)) == "ba"


def test_a_chunk_without_tokens_goes_behind_and_is_counted() -> None:
    after = rerank(ranked("x", "a", "a b"), keep=3)
    assert names(after) == "cba"
    assert after.notes["not_finite"] == 1


def test_pruned_candidates_follow_behind_in_their_order() -> None:
    after = rerank(ranked("a", "b", "a b c", "a b", scores=[10.0, 9.0, 2.0, 1.0]), keep=2, prune=0.1)
    assert names(after) == "ab"
    assert after.notes == {"scored": 2, "pruned": 2, "exited": 0}


def test_patience_leaves_what_comes_late_unscored() -> None:
    after = rerank(ranked("a b", "a", "x a", "x b", "a b c"), keep=2, patience=2)
    assert names(after) == "ab"
    assert after.notes == {"scored": 4, "pruned": 0, "exited": 1}


@given(st.lists(st.sampled_from(["a", "b", "a b", "a b c", "x"]), min_size=1, max_size=12), st.integers(1, 5))
def test_endless_patience_gives_what_scoring_all_gives(texts: list[str], keep: int) -> None:
    exact = rerank(ranked(*texts), keep=keep)
    patient = rerank(ranked(*texts), keep=keep, patience=100)
    assert names(exact) == names(patient)


def test_recent_documents_are_encoded_once() -> None:
    axes = Axes()
    cached = CachedTokenEncoder(axes, kept_bytes=3 * 8 * 4)  # three rows
    assert [len(rows) for rows in cached.encode_documents(["a b", "c", "a b"])] == [2, 1, 2]
    cached.encode_documents(["a b"])
    assert axes.documents == ["a b", "c"]
    cached.encode_documents(["d"])  # drops "c", which was used longest ago
    cached.encode_documents(["a b", "c"])
    assert axes.documents == ["a b", "c", "d", "c"]


def test_a_long_text_is_encoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.embed.hash.WordTokenizer.max_tokens", 3)
    [rows] = EmbedderTokenEncoder(HashEmbedder(dimension=16)).encode_documents(["one two three four five six seven"])
    assert len(rows) == 7


def test_an_embedder_of_texts_alone_is_refused() -> None:
    with pytest.raises(ModelError, match="object gives vectors of texts, not of tokens"):
        EmbedderTokenEncoder(object()).encode_queries(["a"])
    with pytest.raises(ValueError, match="'late-interaction' needs token states, which 'texts-only'"):
        PipelineSpec(ingest=IngestSpec(embed=TextsOnlySpec()), ask=AskSpec(rerank=(LateInteractionSpec(),)))


@pytest.mark.parametrize(
    "options", [{}, {"match": None}, {"weight": None}, {"prune": 0.05, "patience": 2}, {"depth": 3}]
)
def test_the_contract_holds(tmp_path: Path, options: dict[str, float | int | None]) -> None:
    with sample(tmp_path) as indexed:
        for keep in (1, 4, 100):
            spec = LateInteractionSpec(keep=keep, **options)  # type: ignore[arg-type]
            check_reranker(spec.build(indexed.resources), chunks=indexed.chunks, keep=keep)


@pytest.mark.slow
def test_a_tiny_multi_vector_model_gives_unit_vectors_and_keeps_the_contract(
    tiny_multi_vector: Callable[[], Path], tmp_path: Path
) -> None:
    folder = str(tiny_multi_vector())
    encoder = MultiVectorTokenEncoder(folder, device="cpu")
    alone = encoder.encode_documents(["dogs bark."])[0]
    batched = encoder.encode_documents(["a", "dogs bark.", "a b c dog cat"])
    np.testing.assert_allclose(batched[1], alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, rtol=1e-5)
    assert encoder.encode_queries([]) == []
    util = pytest.importorskip("sentence_transformers.util")
    query = encoder.encode_queries(["do dogs bark?"])[0]
    torch = pytest.importorskip("torch")
    theirs = util.maxsim([torch.tensor(query)], [torch.tensor(rows) for rows in batched])
    np.testing.assert_allclose(maxsim(query, batched), np.asarray(theirs)[0], rtol=1e-5)
    with sample(tmp_path / "index") as indexed:
        spec = LateInteractionSpec(model=folder, device="cpu", keep=4)
        check_reranker(spec.build(indexed.resources), chunks=indexed.chunks, keep=4)
