from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import library
from rag.models.llm import Sampling
from rag.models.template import Template
from rag.rerank.chains import FIELDS, ChainsReranker, Step, parse_steps
from rag.rerank.llm_specs import ChainsSpec
from rag.testing import ScriptedModel, check_reranker, sample
from rag.types import Query, Ranking

from .conftest import names, ranked

TEMPLATE = Template.parse("{question}|{passages}", name="reasoning-chain", fields=FIELDS)
QUERY = Query(text="Where was the director of Rook born?")


def chain(reply: str, ranking: Ranking, *, keep: int = 100, depth: int = 5, only_cited: bool = False) -> Ranking:
    model = ScriptedModel([reply])
    reranker = ChainsReranker(model, TEMPLATE, keep=keep, sampling=Sampling(), depth=depth, only_cited=only_cited)
    [after] = reranker.rerank([QUERY], [ranking])
    return after


REPLY = """Step 1: The film Rook was directed by Ng, whom the question asks for [3].
Step 2: Ng was born in Rome [1, 9][3].
Step 3: Rome is old."""


def test_chunks_come_in_the_order_of_the_steps_and_the_others_behind() -> None:
    after = chain(REPLY, ranked("Ng was born in Rome.", "Rooks are birds.", "Ng directed Rook.", "More."))
    assert names(after) == "cabd"
    first, third = after[1].chunk.id, after[0].chunk.id
    assert after.notes == {
        "requests": 1,
        "malformed": 0,
        "unsourced": 1,
        "prompt_tokens": after.notes["prompt_tokens"],
        "completion_tokens": len(REPLY.split()),
        "step 1": f"The film Rook was directed by Ng, whom the question asks for. [{third}]",
        "step 2": f"Ng was born in Rome. [{first}, {third}]",
    }


def test_only_what_the_steps_rest_on_may_be_kept() -> None:
    assert names(chain(REPLY, ranked("x", "y", "z"), only_cited=True)) == "ca"


@pytest.mark.parametrize(
    "reply", ["", "I do not know.", "Step 1: a fact without a source.", "Step 1: out of range [7]."]
)
def test_without_a_sourced_step_the_ranking_stays(reply: str) -> None:
    after = chain(reply, ranked("x", "y", "z"), only_cited=True)
    assert names(after) == "abc"
    assert after.notes["malformed"] == 1


def test_sources_below_the_depth_were_not_shown_and_do_not_count() -> None:
    assert names(chain("Step 1: x [1] [3].", ranked("x", "y", "z"), depth=2)) == "abc"


@pytest.mark.parametrize(
    ("reply", "steps"),
    [
        ("- **Step 1:** Fact [1]", [Step("Fact", (0,))]),
        ("<think>Step 1: no [2]</think>\nstep 2) Fact; [2;1]", [Step("Fact;", (1, 0))]),
        ("Steps follow.\nStep one: x [1]", []),
        ("Step 1. Fact [0] [1] [1]", [Step("Fact", (0,))]),
    ],
)
def test_steps_are_read_however_they_are_written(reply: str, steps: list[Step]) -> None:
    assert parse_steps(reply, shown=2) == steps


@given(st.text(alphabet="Step 123:[],.\n", max_size=80), st.integers(1, 5))
def test_no_reply_loses_or_adds_a_chunk(reply: str, depth: int) -> None:
    assert sorted(names(chain(reply, ranked("x", "y", "z"), depth=depth))) == ["a", "b", "c"]


def test_the_contract_holds_with_the_prompt_that_ships(tmp_path: Path) -> None:
    model = ScriptedModel(["Step 1: fact [2]."] * 100)
    with sample(
        tmp_path, prompts={"reasoning-chain": library.read("prompts", "reasoning-chain")}, llm=model
    ) as indexed:
        for keep in (1, 4, 100):
            check_reranker(ChainsSpec(keep=keep).build(indexed.resources), chunks=indexed.chunks, keep=keep)
    assert {sampling.max_tokens for sampling in model.samplings} == {400}
