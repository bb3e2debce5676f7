from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pytest

from rag.embed.hash import HashEmbedder
from rag.models.template import Template
from rag.query.asking import Asker
from rag.query.gencrf import GenCrf, medoids, shares
from rag.query.specs import GenCrfSpec
from rag.testing import ScriptedModel
from rag.types import Query

TEMPLATE = Template.parse("{instruction}{count} {question}", name="t", fields={"question", "instruction", "count"})
GROUP = Template.parse("{queries} {most} {question}", name="g", fields={"question", "queries", "most"})
VARIANTS = ['{"queries": ["dogs bark"]}', '{"queries": ["dogs bark loud"]}', '{"queries": ["the price of tea"]}']


def gencrf(
    *replies: str, group: Literal["llm", "embeddings"] = "llm", weigh: Literal["similarity", "relevance"] = "similarity"
) -> GenCrf:
    model = ScriptedModel(replies)
    by, grouper = Asker(model, TEMPLATE, concurrency=1), Asker(model, GROUP, concurrency=1)
    embedder = HashEmbedder(dimension=512)
    return GenCrf(by, grouper, embedder, variants=1, intents=3, group=group, weigh=weigh, floor=0.5)


def test_shares_leave_out_what_is_under_the_floor() -> None:
    assert shares([0.9, 0.6, 0.3], floor=0.5) == pytest.approx([0.6, 0.4, 0.0])
    assert shares([0.1, 0.2], floor=0.5) == [0.0, 0.0]


def test_medoids_are_one_row_of_each_cluster_the_largest_cluster_first() -> None:
    angles = np.radians([90, 0, 10, 20])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert medoids(vectors, furthest=0.25) == [2, 0]  # 10 degrees is nearest to 0, 10 and 20
    assert medoids(vectors[:1], furthest=0.25) == [0]


def test_intents_named_by_the_model_count_by_its_relevance() -> None:
    grouped = json.dumps({"intents": [{"query": "barking", "relevance": 9}, {"query": "tea", "relevance": 3}]})
    [made] = gencrf(*VARIANTS, grouped, weigh="relevance").transform([Query(text="do dogs bark")])
    assert [(query.text, query.weight) for query in made.queries] == [
        ("do dogs bark", 1.0),
        ("barking", 0.75),
        ("tea", 0.25),
    ]
    assert made.notes["grouped_by"] == "llm"
    assert made.notes["requests"] == 4


def test_clusters_by_embeddings_count_by_their_cosine_with_the_question() -> None:
    [made] = gencrf(*VARIANTS, group="embeddings").transform([Query(text="dogs bark")])
    # "dogs bark" is the question again, "dogs bark loud" has a cosine of 2/sqrt(6), "the price of tea" about none
    assert [(query.text, query.weight) for query in made.queries] == [("dogs bark", 1.0), ("dogs bark loud", 1.0)]


@pytest.mark.parametrize("reply", ["no JSON", '{"intents": []}', '{"intents": [{"query": "a", "relevance": 99}]}'])
def test_a_malformed_grouping_is_counted_and_clustering_stands_in(reply: str) -> None:
    [made] = gencrf(*VARIANTS, reply, weigh="relevance").transform([Query(text="dogs bark")])
    assert [query.text for query in made.queries] == ["dogs bark", "dogs bark loud"]
    assert (made.notes["malformed"], made.notes["grouped_by"]) == (1, "embeddings")


def test_without_any_reformulation_the_question_stands_alone() -> None:
    [made] = gencrf("", "", "").transform([Query(text="q")])
    assert made.queries == (Query(text="q"),)
    assert made.notes["malformed"] == 3


def test_relevance_without_the_model_s_grouping_is_refused() -> None:
    with pytest.raises(ValueError, match="needs `group: llm`"):
        GenCrfSpec(group="embeddings", weigh="relevance")
