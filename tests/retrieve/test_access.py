"""Filters and access lists in every retriever that ships, in every fuser over all of them, and behind them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag import registry
from rag.embed.hash import HashEmbedder
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.rerank.specs import DedupeSpec, InstructionsSpec, MmrSpec, TemporalSpec
from rag.retrieve.encoded_specs import LearnedSparseSpec, MultiVectorSpec
from rag.retrieve.feedback_specs import GqrSpec
from rag.retrieve.retriever_spec import RetrieverSpec
from rag.retrieve.sources_specs import PlannedSpec, RoutedSpec, SourceSpec
from rag.retrieve.specs import BUILT_IN_FUSERS, DenseRetrieverSpec, FuserSpec, SingleSpec
from rag.testing import SampleResources
from rag.testing.sample import paragraphs
from rag.types import Condition, Document, Query, Ranking, Usage

WORDS = ("cat", "dog", "fish", "bird", "bark", "leave")  # the tiny model's vocabulary holds them
PEOPLE = ("ann", "bob")
PLAN = '{"searches": [{"source": "own", "query": "dog cat fish"}, {"source": "other", "query": "bird dog"}]}'

Texts = Sequence[tuple[list[str], tuple[str, ...] | None, int]]
Make = Callable[[Path, Path], RetrieverSpec]


class Planner:
    """Plans the same two searches whatever is asked."""

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        return Completion(PLAN, Usage(1, 1, 1))


def sources(other: Path) -> dict[str, SourceSpec]:
    return {"own": SourceSpec(description="own"), "other": SourceSpec(index=str(other), description="other")}


EVERY: Mapping[str, Sequence[Make]] = {
    "multivector": [lambda other, model: MultiVectorSpec(k=9), lambda other, model: MultiVectorSpec(k=3, candidates=4)],
    "learned-sparse": [
        lambda other, model: LearnedSparseSpec(model=str(model), device="cpu"),
        lambda other, model: LearnedSparseSpec(model=str(model), device="cpu", queries="idf"),
    ],
    "gqr": [lambda other, model: GqrSpec(scope="index"), lambda other, model: GqrSpec(scope="candidates")],
    "routed": [
        lambda other, model: RoutedSpec(sources=sources(other), most=2, margin=2),
        lambda other, model: RoutedSpec(sources=sources(other), most=2, margin=2, search="sparse"),
    ],
    "planned": [lambda other, model: PlannedSpec(sources=sources(other))],
}
"""Those that need more than their defaults, or search in more than one way."""


def specs(name: str, other: Path, model: Path) -> list[RetrieverSpec]:
    if name in EVERY:
        return [make(other, model) for make in EVERY[name]]
    spec = registry.find("retrieve", name)()
    assert isinstance(spec, RetrieverSpec)
    return [spec]


@pytest.fixture(scope="session")
def splade(masked_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="the extra `hf` is not installed")
    folder = tmp_path_factory.mktemp("splade-of-access")
    sentence_transformers.SparseEncoder(str(masked_lm), device="cpu").save_pretrained(str(folder))
    return folder


def indexed(folder: Path, texts: Texts) -> IndexDirectory:
    embedder = HashEmbedder(dimension=64)
    index = IndexDirectory(IndexSpec(path=str(folder)))
    with index.writer(embedder.identity) as writer:
        for at, (words, access, year) in enumerate(texts):
            document = Document(id=f"{at}", text=" ".join(words), access=access, meta={"year": year})
            chunks = paragraphs(document)
            vectors = embedder.embed_documents([chunk.text for chunk in chunks])
            writer.add(document, chunks, vectors, stamp="", fingerprint="f")
        writer.commit()
    return index


def resources(index: IndexDirectory) -> SampleResources:
    prompts = {"plan": "{sources} {question} {most} {problem}"}
    return SampleResources(HashEmbedder(dimension=64), index, prompts, Planner())  # type: ignore[arg-type]  # it completes


def names(ranking: Ranking) -> set[str]:
    return {hit.chunk.document_id for hit in ranking}


QUERIES = (
    Query(text="dog cat", principals=frozenset({"ann"})),
    Query(text="dog cat", principals=frozenset()),
    Query(text="dog cat", filter=Condition(op="eq", field="year", values=(1,))),
    Query(text="dog cat", principals=frozenset({"bob"}), filter=Condition(op="eq", field="year", values=(1,))),
)


def allowed(texts: Texts, query: Query) -> set[str]:
    """The documents the query may see, worked out without the index."""
    return {
        f"{at}"
        for at, (_, access, year) in enumerate(texts)
        if (query.filter is None or year == 1)
        and (query.principals is None or (access is not None and query.principals & set(access)))
    }


texts_to_index = st.lists(
    st.tuples(
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
        st.none() | st.sets(st.sampled_from(PEOPLE)).map(lambda people: tuple(sorted(people))),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("name", registry.names("retrieve", plugins=False))
@given(texts=texts_to_index)
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_a_retriever_finds_only_what_filter_and_principals_allow(
    name: str, texts: Texts, splade: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("access")
    indexed(folder / "other", texts).close()
    index = indexed(folder / "own", texts)
    made = resources(index)
    for spec in specs(name, folder / "other", splade):
        for query, ranking in zip(QUERIES, spec.build(made).retrieve(QUERIES), strict=True):
            seen = {re.sub(r"^other::", "", document) for document in names(ranking)}
            assert seen <= allowed(texts, query)
    close(made)


TWO_OF_ALL = [
    (["dog", "cat"], ("ann",), 1),
    (["dog", "cat"], ("bob",), 1),  # the same text, for another reader
    (["dog", "cat", "bird"], None, 0),
    (["fish", "dog"], ("ann", "bob"), 0),
    (["cat", "bark"], ("ann", "bob"), 1),
]


@pytest.fixture(scope="module")
def found(splade: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[list[Ranking]]]:
    """What every retriever finds, for each of the queries."""
    folder = tmp_path_factory.mktemp("all")
    indexed(folder / "other", TWO_OF_ALL).close()
    made = resources(indexed(folder / "own", TWO_OF_ALL))
    every = [
        each.build(made)
        for name in registry.names("retrieve", plugins=False)
        for each in specs(name, folder / "other", splade)
    ]
    yield [list(rankings) for rankings in zip(*(one.retrieve(QUERIES) for one in every), strict=True)]
    close(made)


@pytest.mark.parametrize("spec", BUILT_IN_FUSERS, ids=lambda spec: spec.__name__)
def test_a_fuser_of_all_retrievers_gives_only_what_they_may_find(
    spec: type[FuserSpec], found: list[list[Ranking]], tmp_path: Path
) -> None:
    made = resources(indexed(tmp_path / "own", TWO_OF_ALL))
    fuser = spec(keep=50).build(made)  # type: ignore[call-arg]  # each names itself
    for query, rankings in zip(QUERIES, found, strict=True):
        for document in names(fuser.fuse(rankings[:1] if spec is SingleSpec else rankings)):
            assert re.sub(r"^other::", "", document) in allowed(TWO_OF_ALL, query)
    close(made)


@pytest.mark.parametrize("who", PEOPLE)
def test_a_copy_that_one_may_not_see_hides_nothing_and_moves_nothing(who: str, tmp_path: Path) -> None:
    """Each reader finds the own one of two equal texts, through every reranker that looks into the index."""
    made = resources(indexed(tmp_path / "own", TWO_OF_ALL))
    alone = resources(indexed(tmp_path / "alone", [each for each in TWO_OF_ALL if each[1] and who in each[1]]))
    query = [Query(text="dog cat", principals=frozenset({who}))]
    for spec in (DedupeSpec(keep=9), DedupeSpec(keep=9, stored=True), MmrSpec(keep=9), TemporalSpec(keep=9)):
        texts = []
        for each in (made, alone):
            spec.prepare(each)
            ranked = DenseRetrieverSpec().build(each).retrieve(query)
            [ranking] = spec.build(each).rerank(query, ranked)
            texts.append([hit.chunk.text for hit in ranking])
        assert texts[0] == texts[1]
        assert "dog cat" in texts[0]
    for each in (made, alone):
        close(each)


def test_an_exclusion_takes_out_and_never_brings_in(tmp_path: Path) -> None:
    made = resources(indexed(tmp_path / "own", TWO_OF_ALL))
    query = [Query(text="dog cat, not about bird", principals=frozenset({"ann"}))]
    [ranking] = InstructionsSpec(keep=9).build(made).rerank(query, DenseRetrieverSpec().build(made).retrieve(query))
    assert names(ranking) <= allowed(TWO_OF_ALL, query[0])
    close(made)


def close(made: SampleResources) -> None:
    made.index.close()
    for each in made.objects.values():
        if isinstance(each, IndexDirectory):
            each.close()
