"""Retrieval from several named indexes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from rag import Pipeline, PipelineSpec
from rag.embed.hash import HashEmbedder
from rag.errors import ConfigError, IndexMismatchError
from rag.index.directory import IndexDirectory
from rag.index.specs import IndexSpec
from rag.models.template import Template
from rag.retrieve.planned import FIELDS, PlannedRetriever
from rag.retrieve.routed import RoutedRetriever, nearest
from rag.retrieve.sources import Source, Sources
from rag.testing import SampleResources, ScriptedModel, check_order, check_retriever
from rag.testing.sample import paragraphs
from rag.types import Document, Query, Ranking

TEMPLATE = Template.parse("{sources}\n---\n{question} {most}{problem}", name="t", fields=FIELDS)
ANIMALS = {"a.md": "Dogs bark at night.", "b.md": "Owls hoot at night."}
SHIPS = {"a.md": "The Vasa sank in the harbour.", "b.md": "Ships sail at night."}


def index(folder: Path, texts: dict[str, str], *, dimension: int = 256) -> IndexDirectory:
    embedder = HashEmbedder(dimension=dimension)
    directory = IndexDirectory(IndexSpec(path=str(folder)))
    with directory.writer(embedder.identity) as writer:
        for name, text in texts.items():
            document = Document(id=name, text=text, source=f"{folder.name}/{name}", access=("ann",))
            chunks = paragraphs(document)
            vectors = embedder.embed_documents([chunk.text for chunk in chunks])
            writer.add(document, chunks, vectors, stamp="", fingerprint="f")
        writer.commit()
    return directory


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[SampleResources]:
    index(tmp_path / "ships", SHIPS).close()
    own = index(tmp_path / "animals", ANIMALS)
    made = SampleResources(HashEmbedder(dimension=256), own, {})
    with ExitStack() as stack:
        stack.callback(own.close)
        stack.callback(lambda: [each.close() for each in made.objects.values() if isinstance(each, IndexDirectory)])
        yield made


def sources(resources: SampleResources, folder: Path, **search: str) -> Sources:
    named = {
        "animals": Source(None, "Dogs and owls: what animals do."),
        "ships": Source(str(folder / "ships"), "Ships: the Vasa and others that sail or sank."),
    }
    return Sources(resources, named, k=10, search="sparse" if search else "dense")


def names(ranking: Ranking) -> list[str]:
    return [hit.chunk.document_id for hit in ranking]


def test_the_nearest_descriptions_within_the_margin_are_chosen_in_order() -> None:
    assert nearest([0.2, 0.5, 0.45], most=3, margin=0.1) == [1, 2]
    assert nearest([0.5, 0.5, 0.5], most=2, margin=0.1) == [0, 1]  # ties in the order they are named
    assert nearest([0.2, 0.5], most=2, margin=0.0) == [1]


def test_a_question_goes_to_the_source_that_is_about_it(resources: SampleResources, tmp_path: Path) -> None:
    routed = RoutedRetriever(sources(resources, tmp_path), resources.embedder, most=1, margin=0.1)
    [ships, animals] = routed.retrieve([Query(text="Where did the Vasa sank?"), Query(text="What do dogs do?")])
    assert names(ships) == ["ships::a.md", "ships::b.md"]
    assert names(animals) == ["a.md", "b.md"]
    assert ships.notes["sources"] == "ships"
    assert {hit.origin for hit in ships} == {"dense:ships"}


def test_documents_of_one_id_in_two_indexes_stay_two(resources: SampleResources, tmp_path: Path) -> None:
    both = sources(resources, tmp_path)
    query = Query(text="night")
    [ranking] = both.retrieve([[("animals", query), ("ships", query)]])
    assert set(names(ranking)) == {"a.md", "b.md", "ships::a.md", "ships::b.md"}
    check_order(ranking)
    reader = resources.index.reader()
    for hit in ranking:
        document = reader.document(hit.chunk.document_id)
        assert document.id == hit.chunk.document_id
        assert document.text[hit.chunk.span.start : hit.chunk.span.end] == hit.chunk.text


@pytest.mark.parametrize("search", [{}, {"search": "sparse"}])
def test_the_pooled_background_scores_as_the_ranking_does(
    search: dict[str, str], resources: SampleResources, tmp_path: Path
) -> None:
    query = Query(text="Owls at night")
    [ranking] = sources(resources, tmp_path, **search).retrieve([[("animals", query), ("ships", query)]])
    assert ranking.background is not None
    assert ranking.background.size == 4
    scores = [hit.score for hit in ranking]
    assert ranking.background.score([hit.chunk for hit in ranking]) == pytest.approx(scores)
    if not search:  # dense: every chunk is in the ranking
        mean = sum(scores) / 4
        assert ranking.background.mean == pytest.approx(mean, abs=1e-6)
        deviation = (sum((score - mean) ** 2 for score in scores) / 4) ** 0.5
        assert ranking.background.deviation == pytest.approx(deviation, abs=1e-6)


def test_access_lists_hold_in_every_source(resources: SampleResources, tmp_path: Path) -> None:
    routed = RoutedRetriever(sources(resources, tmp_path), resources.embedder, most=2, margin=2.0)
    text = "at night"
    rankings = routed.retrieve([Query(text=text, principals=frozenset({name})) for name in ("ann", "bob")])
    assert [len(ranking) for ranking in rankings] == [4, 0]


def test_an_own_document_that_could_be_taken_for_another_index_s_is_refused(tmp_path: Path) -> None:
    index(tmp_path / "ships", SHIPS).close()
    own = index(tmp_path / "animals", {"ships::a.md": "Not a ship."})
    made = sources(SampleResources(HashEmbedder(dimension=256), own, {}), tmp_path)
    with pytest.raises(ConfigError, match="begin with 'ships::'"):
        made.retrieve([[("ships", Query(text="q"))]])
    own.close()


def test_an_index_of_another_embedder_is_refused(resources: SampleResources, tmp_path: Path) -> None:
    index(tmp_path / "other", SHIPS, dimension=64).close()
    made = Sources(resources, {"other": Source(str(tmp_path / "other"), "x")}, k=5, search="dense")
    with pytest.raises(IndexMismatchError):
        made.retrieve([[("other", Query(text="q"))]])


def test_routing_keeps_the_contract_of_retrievers(resources: SampleResources, tmp_path: Path) -> None:
    routed = RoutedRetriever(sources(resources, tmp_path), resources.embedder, most=2, margin=2.0)
    check_retriever(routed, questions=("Do dogs bark?", "Do ships sail at night?"), k=10)


# ---- plans


def planned(resources: SampleResources, folder: Path, replies: Sequence[str]) -> tuple[PlannedRetriever, ScriptedModel]:
    model = ScriptedModel(replies)
    return PlannedRetriever(sources(resources, folder), model, TEMPLATE, most=3, concurrency=1), model


def test_a_plan_searches_each_source_for_its_own_text(resources: SampleResources, tmp_path: Path) -> None:
    plan = '{"searches": [{"source": "ships", "query": "Vasa sank"}, {"source": "animals", "query": "owls hoot"}]}'
    retriever, model = planned(resources, tmp_path, [plan])
    [ranking] = retriever.retrieve([Query(text="What sank while what hooted?")])
    assert set(names(ranking)[:2]) == {"ships::a.md", "b.md"}
    assert ranking.notes["sources"] == "ships, animals"
    assert (ranking.notes["requests"], ranking.notes["malformed"]) == (1, 0)
    assert "- ships: Ships: the Vasa" in model.asked[0][0].content


def test_a_plan_with_an_unknown_source_is_sent_back_once_with_what_is_wrong(
    resources: SampleResources, tmp_path: Path
) -> None:
    wrong = '{"searches": [{"source": "planes", "query": "x"}]}'
    right = '{"searches": [{"source": "ships", "query": "Vasa"}]}'
    retriever, model = planned(resources, tmp_path, [wrong, right])
    [ranking] = retriever.retrieve([Query(text="Vasa?")])
    assert "there is no source 'planes'" in model.asked[1][1].content
    assert (ranking.notes["sources"], ranking.notes["malformed"]) == ("ships", 1)


@pytest.mark.parametrize(
    "reply", ["", "{}", '{"searches": []}', '{"searches": [{"source": "ships"}]}', '{"searches": [1, 2, 3, 4]}']
)
def test_after_two_unusable_plans_every_source_is_searched_for_the_question(
    reply: str, resources: SampleResources, tmp_path: Path
) -> None:
    retriever, _ = planned(resources, tmp_path, [reply, reply])
    [ranking] = retriever.retrieve([Query(text="at night")])
    assert len(ranking) == 4
    assert (ranking.notes["sources"], ranking.notes["malformed"]) == ("animals, ships", 2)


# ---- in a pipeline


def test_an_answer_cites_a_document_of_another_index(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Dogs bark at night.", encoding="utf-8")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.md").write_text("The Vasa sank in the harbour.", encoding="utf-8")

    def options(folder: str) -> list[str]:
        return [
            f"ingest.load=[{{use: files, root: '{tmp_path / folder}'}}]",
            f"ingest.index.path='{tmp_path / folder}-index'",
            "ingest.embed={use: hash, dimension: 256}",
            "ask.generate={use: extractive, threshold: 0}",
        ]

    with Pipeline.from_yaml("hybrid", overrides=options("more")) as other:
        other.ingest()
    routed = (
        f"{{use: routed, sources: {{dogs: {{description: Dogs bark.}}, "
        f"ships: {{index: '{tmp_path / 'more'}-index', description: The Vasa sank.}}}}}}"
    )
    with Pipeline.from_yaml("hybrid", overrides=[*options("docs"), f"ask.retrieve=[{routed}]"]) as pipeline:
        pipeline.ingest()
        answer = pipeline.ask("What sank in the harbour?")
        assert answer.evidence[0].span.document_id == "ships::a.md"
        assert "The Vasa sank in the harbour." in answer.text
        span = answer.citations[0].spans[0]
        assert pipeline.index.reader().document(span.document_id).text[span.start : span.end] in answer.text
        assert str(pipeline.locate(span)) == "line 1"


def test_a_reranker_that_compares_own_vectors_is_refused_beside_other_indexes() -> None:
    text = "ask: {retrieve: [{use: routed, sources: {a: {description: x}}}], rerank: [{use: mmr}]}"
    with pytest.raises(ConfigError, match="'routed' gives chunks of others"):
        PipelineSpec.from_yaml(text, environ={})


def test_two_sources_of_one_index_are_refused() -> None:
    text = "ask: {retrieve: [{use: routed, sources: {a: {description: x}, b: {description: y}}}]}"
    with pytest.raises(ConfigError, match="same index"):
        PipelineSpec.from_yaml(text, environ={})
