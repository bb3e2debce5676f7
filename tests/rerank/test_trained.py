from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest

from rag.embed.base import EmbedderIdentity
from rag.embed.hash import HashEmbedder
from rag.errors import ConfigError, ModelError, ModelNotFoundError
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.models.linear_head import LinearHead, standardised
from rag.models.token_encoder import EmbedderTokenEncoder
from rag.rerank.signs import SIGNS, Signs, bridges, centrality, trusts
from rag.rerank.specs import TrainedSpec
from rag.rerank.token_matches import EncodedMatches
from rag.rerank.trained import KIND, TrainedReranker
from rag.testing import Sample, check_reranker, sample
from rag.types import Chunk, Query, Ranking, ScoredChunk

TEXTS = {
    "rush.md": "Rush are a band of Canada.",
    "album.md": "Counterparts is an album by Rush.",
    "dogs.md": "Dogs bark at night, and dogs bark by day.",
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("trained"), TEXTS) as made:
        yield made


def identity() -> EmbedderIdentity:
    return HashEmbedder(dimension=256).identity


def saved(weights: dict[str, float]) -> Path:
    path = Path("head.safetensors")
    LinearHead(weights).save(path, kind=KIND, identity=identity(), about={})
    return path


def reranker(indexed: Sample, head: Path, *, keep: int = 10, depth: int = 50) -> TrainedReranker:
    tokens = EncodedMatches(EmbedderTokenEncoder(indexed.resources.embedder))
    return TrainedReranker(indexed.resources, tokens, head=head, keep=keep, depth=depth)


def ranking(chunks: Sequence[Chunk], *scores: float) -> Ranking:
    return Ranking(tuple(ScoredChunk(chunk, score, "first") for chunk, score in zip(chunks, scores, strict=False)))


def named(indexed: Sample, *names: str) -> list[Chunk]:
    return [next(chunk for chunk in indexed.chunks if chunk.document_id == f"{name}.md") for name in names]


def test_a_head_keeps_the_contract_of_rerankers_with_every_sign(indexed: Sample) -> None:
    head = saved(dict.fromkeys(SIGNS, 0.5))
    check_reranker(reranker(indexed, head, keep=2), chunks=indexed.chunks, keep=2)


def test_a_head_without_weights_changes_no_order(indexed: Sample) -> None:
    given = ranking(named(indexed, "dogs", "rush", "album"), 3.0, 1.0, 0.5)
    [after] = reranker(indexed, saved({})).rerank([Query(text="Which band made Counterparts?")], [given])
    assert [hit.chunk for hit in after] == [hit.chunk for hit in given]
    assert [hit.origin for hit in after] == ["trained"] * 3


def test_a_score_is_the_first_by_its_deviation_and_what_the_signs_add(indexed: Sample) -> None:
    """Of "Dogs bark", one chunk has all and the other nothing, for both retrievers: words is 1 and -1 by sqrt(1/2)."""
    given = ranking(named(indexed, "rush", "dogs"), 3.0, 1.0)  # deviation 1
    [after] = reranker(indexed, saved({"words": 1.5 * sqrt(2)})).rerank([Query(text="Dogs bark")], [given])
    assert [hit.chunk.document_id for hit in after] == ["dogs.md", "rush.md"]
    assert [hit.score for hit in after] == pytest.approx([2.5, 1.5])


def test_candidates_beyond_the_depth_follow_behind(indexed: Sample) -> None:
    given = ranking(named(indexed, "rush", "album", "dogs"), 3.0, 1.0, 0.5)
    [after] = reranker(indexed, saved({"words": 9.0}), depth=2).rerank([Query(text="Dogs bark")], [given])
    assert after[2].chunk.document_id == "dogs.md"
    assert (after[2].origin, after.notes) == ("first", {"scored": 2})


def test_tokens_are_encoded_only_where_the_head_weighs_them(indexed: Sample) -> None:
    class Refusing:
        def questions(self, texts: Sequence[str]) -> list[np.ndarray]:
            raise AssertionError("no token vectors are needed")

        def of(self, question: np.ndarray, chunks: Sequence[Chunk]) -> np.ndarray:
            raise AssertionError("no token vectors are needed")

    given = ranking(named(indexed, "rush", "dogs"), 3.0, 1.0)
    TrainedReranker(indexed.resources, Refusing(), head=saved({"central": 1.0}), keep=2).rerank(
        [Query(text="x")], [given]
    )


def test_a_sign_is_higher_for_the_candidate_it_speaks_for(indexed: Sample) -> None:
    """One of two candidates has the question's words."""
    question = Query(text="dogs bark")
    chunks = named(indexed, "dogs", "rush")
    signs = Signs(indexed.resources, EncodedMatches(EmbedderTokenEncoder(indexed.resources.embedder))).of(
        question, chunks, names=("words", "maxsim", "rare")
    )
    for values in signs.values():
        assert values[0] == pytest.approx(-values[1])
        assert values[0] > 0.5


def test_a_bridge_is_the_share_of_a_title_that_a_good_candidate_of_another_document_names() -> None:
    weights = {"rush": 2.0, "band": 1.0, "album": 1.0, "counterparts": 3.0}
    titles = [{"counterparts", "album"}, {"rush", "band"}, {"rush", "band"}]
    texts = [{"rush", "album"}, {"rush", "band"}, {"rush", "band"}]
    # The first names rush, 2 of 3; its own title is named by nobody but itself; the third is of the second's document.
    found = bridges({"album"}, titles, texts, weights, ["a", "b", "b"])
    assert found.tolist() == pytest.approx([0.0, 2 / 3, 2 / 3])
    # What the question names leads nowhere new, but counts in the whole.
    assert bridges({"rush"}, titles, texts, weights, ["a", "b", "b"]).tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_a_candidate_without_a_vector_has_no_centrality_and_counts_for_no_other() -> None:
    vectors = np.array([[1, 0], [np.nan, np.nan], [0.6, 0.8]], np.float32)
    assert centrality(vectors).tolist() == pytest.approx([0.6, np.nan, 0.6], nan_ok=True)
    assert np.isnan(centrality(vectors[:1])).all()


def test_standardised_values_have_mean_0_and_deviation_1_and_the_unknown_is_the_mean() -> None:
    assert standardised(np.array([1.0, 2.0, 3.0, np.nan])).tolist() == pytest.approx([-sqrt(1.5), 0, sqrt(1.5), 0])
    assert standardised(np.full(3, np.nan)).tolist() == [0, 0, 0]


def test_words_weigh_by_how_few_candidates_have_them(indexed: Sample) -> None:
    """Of three candidates two have "rush" (ln 1.6), one "counterparts" and none "tour": the others cannot have it."""
    chunks = named(indexed, "album", "rush", "dogs")
    signs = Signs(indexed.resources, EncodedMatches(EmbedderTokenEncoder(indexed.resources.embedder))).of(
        Query(text="Counterparts Rush"), chunks, names=("words",)
    )
    rare, common = log(1 + 2.5 / 1.5), log(1 + 1.5 / 2.5)
    shares = np.array([1.0, common / (rare + common), 0.0])
    assert signs["words"] / signs["words"].std() == pytest.approx((shares - shares.mean()) / shares.std())


def test_a_head_of_another_embedder_or_kind_or_with_unknown_signs_is_refused(indexed: Sample) -> None:
    given = [ranking(indexed.chunks, 2.0, 1.0)]
    with pytest.raises(ModelNotFoundError, match="no such file"):
        reranker(indexed, Path("none.safetensors")).rerank([Query(text="x")], given)
    other = HashEmbedder(dimension=64).identity
    LinearHead({"words": 1.0}).save(Path("other.safetensors"), kind=KIND, identity=other, about={})
    with pytest.raises(ModelError, match="dimension 64"):
        reranker(indexed, Path("other.safetensors")).rerank([Query(text="x")], given)
    LinearHead({"words": 1.0}).save(Path("kind.safetensors"), kind="something", identity=identity(), about={})
    with pytest.raises(ModelError, match="expected a reranking head, found 'something'"):
        reranker(indexed, Path("kind.safetensors")).rerank([Query(text="x")], given)
    LinearHead({"mood": 1.0}).save(Path("mood.safetensors"), kind=KIND, identity=identity(), about={})
    with pytest.raises(ModelError, match="found 'mood'"):
        reranker(indexed, Path("mood.safetensors")).rerank([Query(text="x")], given)


def test_a_pipeline_with_a_head_that_is_not_there_is_refused_when_it_is_read() -> None:
    missing = TrainedSpec(head="none.safetensors").missing()
    assert missing == "there is no file 'none.safetensors': `rag train reranker` makes one"
    assert TrainedSpec(head=str(saved({}))).missing() is None


def test_an_index_without_terms_is_refused(tmp_path: Path) -> None:
    with sample(tmp_path, TEXTS) as made:
        bare = IndexDirectory(IndexSpec(path=str(tmp_path / "index"), sparse=None))
        resources = type(made.resources)(made.resources.embedder, bare, {})
        signs = Signs(resources, EncodedMatches(EmbedderTokenEncoder(resources.embedder)))
        with pytest.raises(ConfigError, match="needs terms, the index has none"):
            signs.of(Query(text="x"), made.chunks, names=("words",))
        bare.close()


def test_what_a_blind_retriever_says_counts_for_little() -> None:
    """Cosines that differ by a hundredth of what they do over the collection are noise beside one clear match."""
    of_vectors, of_terms = trusts(np.array([0.50, 0.502]), np.array([0.0, 10.0]), 0.1, 1.0)  # 0.01 and 5 deviations
    assert (of_vectors, of_terms) == pytest.approx((0.002, 1.0), abs=1e-5)
    assert trusts(np.array([0.5, 0.5]), np.array([0.0, 0.0]), 0.1, 1.0) == (0.0, 0.0)
    assert trusts(np.array([0.5, np.nan]), np.array([0.0, np.nan]), 0.0, 0.0) == (0.0, 0.0)


def test_signs_of_the_retrievers_are_in_the_share_of_what_each_tells_apart(indexed: Sample) -> None:
    chunks = named(indexed, "dogs", "rush", "album")
    question = Query(text="Dogs bark")
    reader = indexed.resources.index.reader()
    assert reader.dense is not None
    assert reader.sparse is not None
    [dense] = reader.dense.search(indexed.resources.embedder.embed_queries([question.text]), k=3, allowed=None)
    [sparse] = reader.sparse.search([question.text], k=3, allowed=None)
    rows = reader.rows_of(chunks)
    of_vectors, of_terms = trusts(
        dense.score(rows).astype(np.float64), sparse.score(rows).astype(np.float64), dense.deviation, sparse.deviation
    )
    signs = Signs(indexed.resources, EncodedMatches(EmbedderTokenEncoder(indexed.resources.embedder))).of(
        question, chunks, names=("central", "maxsim", "words", "title", "bridge")
    )
    deviations = {name: float(values.std()) for name, values in signs.items()}
    expected = {"central": of_vectors, "maxsim": of_vectors, "words": of_terms, "title": 0.0, "bridge": 0.0}
    assert deviations == pytest.approx(expected)
