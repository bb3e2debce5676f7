"""What an explanation says is what leaving the stage out does, worked by hand and by pipelines without the stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from rag import Components, Pipeline, parse_filter
from rag.evaluate import explain
from rag.evaluate.explanation import EVIDENCE, Explanation, LeftOut
from rag.generate.base import Outcome
from rag.query.base import Rewritten
from rag.query.specs import BanditSpec
from rag.testing.models import ScriptedModel
from rag.types import Chunk, Prompt, Query, Ranking, ScoredChunk, Token

LETTERS = "abcdef"
TEXTS = {f"{letter}.txt": f"The {letter}-text tells of {letter}{letter}. It ends here.\n" for letter in LETTERS}
QUESTION = "What is told?"

Make = Callable[..., Pipeline]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """``make("ask.compress.keep=2", components=...)``: a pipeline over six files of one chunk each, indexed."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    with ExitStack() as opened:

        def build(*overrides: str, components: Components | None = None) -> Pipeline:
            common = [
                f"ingest.load=[{{use: files, root: {json.dumps(str(folder))}}}]",
                f"ingest.index.path={json.dumps(str(tmp_path / 'index'))}",
                "ingest.embed={use: hash, dimension: 64}",
            ]
            pipeline = Pipeline.from_yaml("hybrid", overrides=[*common, *overrides], components=components)
            pipeline.ingest()
            return opened.enter_context(pipeline)

        yield build


@pytest.fixture
def chunks(make: Make) -> dict[str, Chunk]:
    """The chunk of each letter."""
    reader = make().index.reader()
    return {name[0]: chunk for name in TEXTS for chunk in reader.chunks_of(name)}


class Left:
    """Finds given letters in their order, and counts how often it is asked about the question."""

    def __init__(self, chunks: dict[str, Chunk], found: str, also: str = "") -> None:
        self.chunks = chunks
        self.found = {QUESTION: found, "other words": also}
        self.asked = 0

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        self.asked += sum(query.text == QUESTION for query in queries)
        return [self._ranking(self.found.get(query.text, "a")) for query in queries]

    def _ranking(self, letters: str) -> Ranking:
        origin = type(self).__name__
        return Ranking(tuple(ScoredChunk(self.chunks[each], 1 / at, origin) for at, each in enumerate(letters, 1)))


class Right(Left):
    """Another of them."""


class Third(Left):
    """And another."""


class Backwards:
    """A reranker of one's own: the last becomes the first, and `keep` are kept."""

    def __init__(self, keep: int = 100) -> None:
        self.keep = keep

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [
            Ranking.of([replace(hit, score=float(at)) for at, hit in enumerate(ranking)], keep=self.keep)
            for ranking in rankings
        ]


class Doubled:
    """A transform that searches for other words too, and says what it spent."""

    def transform(self, queries: Sequence[Query]) -> list[Rewritten]:
        spent = {"prompt_tokens": 20, "completion_tokens": 3, "requests": 1}
        return [Rewritten((query, query.rephrased("other words")), spent) for query in queries]


class Quoting:
    """A generator that writes the first word after "tells of" of its first evidence, and counts its prompts."""

    mode = "generated"

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def start(self, prompts: Sequence[Prompt], *, logprobs: bool = False) -> Quoting:
        self.prompts += prompts
        return self

    def __iter__(self) -> Iterator[tuple[int, Token]]:
        yield 0, Token(self.prompts[-1].evidence[0].text.split()[4] + " [1]")

    def outcome(self, at: int) -> Outcome:
        return Outcome()


def letters(found: Explanation) -> str:
    return "".join(passage.where[-len("a.txt, line 1")] for passage in found.passages)


def without(found: Explanation, name: str, instead: str = "") -> LeftOut:
    (left,) = [left for left in found.left_out if (left.name, left.instead) == (name, instead)]
    return left


def places(found: Explanation, left: LeftOut) -> dict[str, int]:
    """The letters that would be evidence, with their places."""
    named = dict(zip(found.passages, letters(found), strict=True))
    at = {named[each]: left.ranks[each.chunk_id][-1] for each in found.passages}
    return {letter: place for letter, place in at.items() if place is not None}


RRF = "ask.fuse={use: rrf}"
# Reciprocal ranks of Left "abc" and Right "da": a 1/61 + 1/62, d 1/61, b 1/62, c 1/63, so "adbc".


def two(chunks: dict[str, Chunk]) -> Components:
    return Components(retrievers=[Left(chunks, "abc"), Right(chunks, "da")])


def test_the_ranks_of_every_stage_stand_beside_each_other(make: Make, chunks: dict[str, Chunk]) -> None:
    found = explain(make(RRF, "ask.compress.keep=2", components=two(chunks)), QUESTION)
    assert found.columns == ("Left", "Right", "rrf", EVIDENCE)
    assert letters(found) == "adb"
    assert [passage.ranks for passage in found.passages] == [(1, 2, 1, 1), (None, 1, 2, 2), (2, None, 3, None)]
    assert [passage.numbers for passage in found.passages] == [(1,), (2,), ()]


def test_each_retriever_left_out_gives_what_the_other_found(make: Make, chunks: dict[str, Chunk]) -> None:
    found = explain(make(RRF, "ask.compress.keep=2", components=two(chunks)), QUESTION)
    assert places(found, without(found, "Left")) == {"d": 1, "a": 2}
    assert places(found, without(found, "Right")) == {"a": 1, "b": 2}
    assert without(found, "Right").ranks[chunks["d"].id] == (None, None, None, None)
    assert without(found, "Right").ranks[chunks["b"].id] == (2, None, 2, 2)


def test_the_fuser_gives_way_to_each_retriever_and_cuts_where_it_cut(make: Make, chunks: dict[str, Chunk]) -> None:
    found = explain(make("ask.fuse={use: rrf, keep: 1}", components=two(chunks)), QUESTION)
    assert letters(found) == "ad"
    assert places(found, without(found, "rrf", "Left")) == {"a": 1}
    assert places(found, without(found, "rrf", "Right")) == {"d": 1}


def test_sentences_say_what_a_stage_brought_in_pushed_out_and_moved(make: Make, chunks: dict[str, Chunk]) -> None:
    found = explain(make(RRF, "ask.compress.keep=2", components=two(chunks)), QUESTION)
    assert without(found, "Right").finding == (
        "`Right` brought in d.txt, line 1 as [2] (rank 1; `Left` did not find it). "
        "It pushed out b.txt, line 1, which would be [2]."
    )
    assert without(found, "Left").finding == (
        "`Left` only orders the evidence: without it [1] would be [2]; [2] would be [1]. "
        "Without it the answer would rest first on d.txt, line 1."
    )
    assert without(found, "rrf", "Right").finding == "`Right` in the place of `rrf` gives what is found without `Left`."
    assert found.summary[0] == "a.txt, line 1 comes first because of `Left`."


def test_what_a_retriever_found_below_the_cut_counts_as_found(make: Make, chunks: dict[str, Chunk]) -> None:
    # a: 1/61 + 1/62 + 1/64, c: 1/61 + 1/61, b: 1/62 + 1/62, d: 1/63; Third alone, cut at two: c, b
    retrievers = [Left(chunks, "ab"), Right(chunks, "ca"), Third(chunks, "cbda")]
    found = explain(make("ask.fuse={use: rrf, keep: 2}", components=Components(retrievers=retrievers)), QUESTION)
    assert letters(found) == "acb"
    assert without(found, "rrf", "Third").finding == (
        "Against `Third` in its place, `rrf` brought in a.txt, line 1 as [1] (`Third` had it at 4). "
        "It pushed out b.txt, line 1, which would be [2]. Without it the answer would rest first on c.txt, line 1."
    )


def test_a_reranker_of_ones_own_is_left_out_like_any_other(make: Make, chunks: dict[str, Chunk]) -> None:
    found = explain(make(RRF, components=replace(two(chunks), rerankers=[Backwards(keep=2)])), QUESTION)
    assert found.columns == ("Left", "Right", "rrf", "Backwards", EVIDENCE)
    assert letters(found) == "cbad"  # "adbc" backwards, the first two kept; then those pushed out, by their rank
    left = without(found, "Backwards")
    assert places(found, left) == {"a": 1, "d": 2, "b": 3, "c": 4}
    assert left.ranks[chunks["a"].id] == (1, 2, 1, None, 1)
    assert left.finding.startswith("`Backwards` pushed out ")


def test_of_two_rerankers_of_one_name_each_is_left_out_and_the_ranks_stay_with_the_other(
    make: Make, chunks: dict[str, Chunk]
) -> None:
    rerankers = [Backwards(), Backwards(keep=1)]
    found = explain(make(RRF, components=replace(two(chunks), rerankers=rerankers)), QUESTION)
    assert found.columns == ("Left", "Right", "rrf", "Backwards", "Backwards 2", EVIDENCE)
    a = chunks["a"].id
    assert found.passages[0].ranks == (1, 2, 1, 4, 1, 1)
    assert without(found, "Backwards").ranks[a] == (1, 2, 1, None, None, None)  # the second alone keeps "c"
    assert without(found, "Backwards 2").ranks[a] == (1, 2, 1, 4, None, 4)


def test_what_a_stage_gave_is_computed_once_for_all_variants(make: Make, chunks: dict[str, Chunk]) -> None:
    retrievers = [Left(chunks, "abc"), Right(chunks, "da")]
    explain(make(RRF, components=Components(retrievers=retrievers, rerankers=[Backwards()])), QUESTION)
    assert [retriever.asked for retriever in retrievers] == [1, 1]


def test_a_transform_is_left_out_and_the_best_rank_of_several_queries_counts(
    make: Make, chunks: dict[str, Chunk]
) -> None:
    components = Components(transforms=[Doubled()], retrievers=[Left(chunks, "ab", "ca"), Right(chunks, "d", "ec")])
    found = explain(make("ask.fuse={use: rrf}", components=components), QUESTION)
    assert found.queries == (QUESTION, "other words")
    ranks = {letter: passage.ranks[:2] for letter, passage in zip(letters(found), found.passages, strict=True)}
    assert ranks == {"a": (1, None), "b": (2, None), "c": (1, 2), "d": (None, 1), "e": (None, 1)}
    assert places(found, without(found, "Doubled")) == {"a": 1, "d": 2, "b": 3}
    assert places(found, without(found, "rrf", "Left")) == {"a": 1, "c": 2, "b": 3}  # 1, 1 and 2: ties by id


def test_tokens_and_requests_are_those_the_stages_note(make: Make, chunks: dict[str, Chunk]) -> None:
    components = Components(transforms=[Doubled()], retrievers=[Left(chunks, "ab"), Right(chunks, "c")])
    found = explain(make(RRF, components=components), QUESTION)
    assert (found.usage.prompt_tokens, found.usage.completion_tokens, found.usage.requests) == (20, 3, 1)
    assert [step.name for step in found.steps if step.usage.requests] == ["Doubled"]
    assert sum(step.share for step in found.steps) == pytest.approx(1)
    assert [step.stage for step in found.steps] == ["transform", "retrieve", "retrieve", "fuse", "compress"]


def test_answers_are_written_once_for_the_same_evidence(make: Make, chunks: dict[str, Chunk]) -> None:
    generator = Quoting()
    components = replace(two(chunks), generator=generator)
    found = explain(make(RRF, "ask.compress.keep=1", components=components), QUESTION, answers=True)
    assert found.answer == "aa. [1]"
    assert [(left.name, left.instead, left.answer) for left in found.left_out] == [
        ("Left", "", "dd. [1]"),
        ("Right", "", "aa. [1]"),
        ("rrf", "Left", "aa. [1]"),
        ("rrf", "Right", "dd. [1]"),
    ]
    assert [prompt.evidence[0].source[-5:] for prompt in generator.prompts] == ["a.txt", "d.txt"]


def test_without_answers_nothing_is_written(make: Make, chunks: dict[str, Chunk]) -> None:
    generator = Quoting()
    found = explain(make(RRF, components=replace(two(chunks), generator=generator)), QUESTION)
    assert (found.answer, generator.prompts) == (None, [])
    assert {step.stage for step in found.steps}.isdisjoint({"generate", "cite"})


def test_variants_share_the_open_index_and_leave_the_pipeline_as_it_was(make: Make, chunks: dict[str, Chunk]) -> None:
    pipeline = make(RRF, components=two(chunks))
    stages, reader = pipeline.stages, pipeline.index.reader()
    explain(pipeline, QUESTION)
    assert pipeline.stages is stages
    assert pipeline.index.reader() is reader


class Wider:
    """An expander that adds the line break after each chunk."""

    def expand(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [Ranking(tuple(replace(hit, chunk=self._widened(hit.chunk)) for hit in ranking)) for ranking in rankings]

    def _widened(self, chunk: Chunk) -> Chunk:
        return replace(chunk, span=replace(chunk.span, end=chunk.span.end + 1), text=f"{chunk.text}\n")


def test_a_widened_passage_is_the_chunk_that_was_found(make: Make, chunks: dict[str, Chunk]) -> None:
    found = explain(make(RRF, "ask.compress.keep=2", components=replace(two(chunks), expanders=[Wider()])), QUESTION)
    assert found.columns == ("Left", "Right", "rrf", "Wider", EVIDENCE)
    assert [passage.ranks for passage in found.passages] == [(1, 2, 1, 1, 1), (None, 1, 2, 2, 2), (2, None, 3, 3, None)]
    assert found.passages[0].chunk_id == chunks["a"].id
    narrow = sum(len(chunks[letter].text) for letter in "ad")
    assert found.characters == narrow + 2
    assert without(found, "Wider").characters == narrow
    assert without(found, "Wider").finding == f"`Wider` widens the evidence from {narrow} to {narrow + 2} characters."


def test_two_chunks_in_one_stretch_share_its_rank(make: Make, tmp_path: Path) -> None:
    paragraphs = "\n\n".join(f"Paragraph {at} tells of {word}." for at, word in enumerate(["birds", "cats", "dogs"]))
    (tmp_path / "docs" / "a.txt").write_text(paragraphs, encoding="utf-8")
    common = [
        "ingest.chunk={use: fixed, tokens: 8, overlap: 0}",
        "ask.retrieve=[{use: sparse}]",
        "ask.fuse={use: single}",
    ]
    found = explain(make(*common, "ask.expand=[{use: window, reach: 3}]"), "paragraph birds dogs")
    assert len(found.passages) > 1
    assert {passage.ranks[-2:] for passage in found.passages} == {(1, 1)}
    assert {passage.texts for passage in found.passages} == {(paragraphs,)}
    places = {left_ranks[-1] for left_ranks in without(found, "window").ranks.values()}
    assert places == set(range(1, len(found.passages) + 1))


@pytest.mark.parametrize(
    ("name", "instead", "overrides"),
    [
        ("dense", "", ["ask.retrieve=[{use: sparse}]"]),
        ("sparse", "", ["ask.retrieve=[{use: dense}]"]),
        ("zscore", "sparse", ["ask.retrieve=[{use: sparse}]", "ask.fuse={use: single}"]),
        ("mmr", "", ["ask.rerank=[]"]),
    ],
)
def test_leaving_a_stage_out_gives_the_evidence_of_a_pipeline_without_it(
    make: Make, name: str, instead: str, overrides: list[str]
) -> None:
    common = ["ask.compress.keep=3", "ask.rerank=[{use: mmr, keep: 4, relevance: 0.5}]"]
    question = "What does the c-text tell of, and bb, and it ends?"
    found = explain(make(*common), question)
    alone = make(*common, *overrides).ask(question)
    ranks = without(found, name, instead).ranks
    there = sorted((place, key) for key, ranks_of in ranks.items() if (place := ranks_of[-1]) is not None)
    assert [key for _, key in there] == [part.chunk_id for part in alone.evidence]


@pytest.mark.parametrize("use", ["zscore", "rrf", "weighted", "dbsf"])
def test_every_fuser_bears_a_silent_retriever_and_keeps_its_weights(make: Make, use: str) -> None:
    found = explain(make(f"ask.fuse={{use: {use}, weights: [0.3, 0.7]}}", "ask.compress.keep=3"), "bb or cc, it ends")
    alone = make("ask.retrieve=[{use: sparse}]", "ask.fuse={use: single}", "ask.compress.keep=3").ask(
        "bb or cc, it ends"
    )
    left = without(found, "dense")
    there = sorted((ranks[-1], key) for key, ranks in left.ranks.items() if ranks[-1] is not None)
    assert [key for _, key in there] == [part.chunk_id for part in alone.evidence]


def test_without_evidence_the_summary_says_so(make: Make) -> None:
    found = explain(make(), QUESTION, principals=frozenset({"nobody"}))
    assert found.passages == ()
    assert found.summary[0] == "There is no evidence for this question."


def test_a_filter_holds_in_every_variant(make: Make) -> None:
    found = explain(make(), "What does the b-text tell of?", filter=parse_filter('path = "c.txt"'))
    assert letters(found) == "c"


def test_one_retriever_alone_cannot_be_left_out(make: Make) -> None:
    found = explain(make("ask.retrieve=[{use: sparse}]", "ask.fuse={use: single}"), "bb")
    assert found.left_out == ()
    assert found.summary[0].endswith("No stage of this pipeline can be left out.")


def test_a_language_model_is_asked_once_for_all_variants_and_not_to_warm_up(make: Make) -> None:
    model = ScriptedModel(['{"queries": ["the b-text", "the c-text"]}'])  # a second request would fail
    overrides = [
        "llm={use: openai, base_url: http://127.0.0.1:1/v1, model: m}",
        "ask.transform=[{use: multi-query, count: 2}]",
    ]
    found = explain(make(*overrides, components=Components(llm=model)), "aa")
    assert found.queries == ("aa", "the b-text", "the c-text")
    assert (found.steps[0].name, found.steps[0].usage.requests) == ("multi-query", 1)
    assert found.usage.completion_tokens == len(model.asked) * 5
    assert {left.name for left in found.left_out} == {"multi-query", "dense", "sparse", "zscore"}


def test_what_learns_from_questions_learns_nothing_from_an_explanation(make: Make, tmp_path: Path) -> None:
    state = tmp_path / "bandit.sqlite"
    pipeline = make(
        f"ask.transform=[{{use: bandit, state: {json.dumps(str(state))}}}]",
        "ask.rerank=[{use: canonical-order, keep: 3}]",
        "llm={use: given}",
        components=Components(llm=ScriptedModel()),
    )
    assert not state.exists()
    explained = explain(pipeline, QUESTION)
    assert explained.steps[0].name == "bandit"
    assert not state.exists()
    [laid_out] = [record for record in pipeline.search(QUESTION).trace.stages if record.use == "canonical-order"]
    assert laid_out.notes["prefix"] == 0  # the explanation's runs were not served
    [bandit] = BanditSpec(state=str(state)).stored().arms(["none"]).values()
    assert (BanditSpec(state=str(state)).stored().choices(), bandit.rewards) == (1, 0)
