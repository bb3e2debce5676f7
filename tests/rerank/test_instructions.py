from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rag.rerank.instructions import exclusions
from rag.rerank.specs import InstructionsSpec
from rag.testing import Sample, check_reranker, sample
from rag.types import Query, Ranking, ScoredChunk

from .conftest import names, ranked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("How do banks lend? Not about Austria or Swiss banks.", ["Austria", "Swiss banks"]),
        ("Rivers in Europe, but not about the Danube, please", ["the Danube"]),
        ("Tell me about jazz without mentioning Miles Davis.", ["Miles Davis"]),
        ("Exclude press releases, and do not cite 'Wikipedia'!", ["press releases", "Wikipedia"]),
        ("reports, excluding crypto and gold when possible", ["crypto", "gold"]),
        ("Papers on cells not by Ann Lee.", ["Ann Lee"]),
        ("don’t use blogs; ignore tweets", ["blogs", "tweets"]),
        # No instructions:
        ("Why does it not work?", []),
        ("Which countries other than France have bees?", []),
        ("Which planets except Earth have moons?", []),
        ("Is it about cats or not?", []),
        ("", []),
    ],
)
def test_only_plain_exclusions_are_understood(text: str, found: list[str]) -> None:
    assert exclusions(text) == found


@pytest.fixture
def indexed(tmp_path: Path) -> object:
    with sample(tmp_path) as made:
        yield made


def rerank(indexed: Sample, question: str, ranking: Ranking, **options: object) -> Ranking:
    reranker = InstructionsSpec(**options).build(indexed.resources)  # type: ignore[arg-type]
    [after] = reranker.rerank([Query(text=question)], [ranking])
    return after


RANKING = ranked("Banks in Austria lend.", "Banks in Spain lend.", "An Austrian wrote to the banks of Austria-Hungary.")


def test_chunks_with_what_is_excluded_are_left_out(indexed: Sample) -> None:
    after = rerank(indexed, "How do banks lend? Not about Austria.", RANKING)
    assert names(after) == "b"
    assert after.notes == {"exclusions": "Austria", "excluded": 2}
    assert (after[0].score, after[0].origin) == (9.0, "first")


def test_or_they_follow_behind(indexed: Sample) -> None:
    after = rerank(indexed, "How do banks lend? Not about Austria.", RANKING, action="demote")
    assert names(after) == "bac"
    assert {hit.origin for hit in after} == {"first"}
    assert after[0].score == 9.0 > after[1].score > after[2].score


def test_words_must_stand_together_in_any_inflection(indexed: Sample) -> None:
    ranking = ranked("Press the button for releases.", "A press release.", "Other.")
    assert names(rerank(indexed, "News? Exclude press releases.", ranking)) == "ac"


def test_a_standing_instruction_holds_for_every_question(indexed: Sample) -> None:
    after = rerank(indexed, "How do banks lend?", RANKING, instruction="Nothing about Spain.")
    assert names(after) == "ac"


def test_metadata_fields_are_filtered_by_their_value(indexed: Sample) -> None:
    hits = [
        ScoredChunk(replace(hit.chunk, meta={"author": author}), hit.score, hit.origin)
        for hit, author in zip(ranked("one", "two"), ["Ann Lee", "Bo"], strict=True)
    ]
    assert names(rerank(indexed, "Papers not by ann lee", Ranking(tuple(hits)), fields=("author",))) == "b"
    assert names(rerank(indexed, "Papers not by ann lee", Ranking(tuple(hits)))) == "ab"


def test_a_question_that_excludes_nothing_keeps_its_ranking(indexed: Sample) -> None:
    after = rerank(indexed, "How do banks lend?", RANKING, keep=2)
    assert after.hits == RANKING.hits[:2]


def test_where_everything_is_excluded_nothing_is_left(indexed: Sample) -> None:
    assert names(rerank(indexed, "Not about banks", RANKING)) == ""


@pytest.mark.parametrize("action", ["drop", "demote"])
def test_the_contract_holds(indexed: Sample, action: str) -> None:
    for keep in (1, 4, 100):
        spec = InstructionsSpec(keep=keep, action=action, instruction="Exclude cats.")  # type: ignore[arg-type]
        check_reranker(spec.build(indexed.resources), chunks=indexed.chunks, keep=keep)
