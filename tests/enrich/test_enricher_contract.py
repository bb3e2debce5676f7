"""Every built-in enricher against the contract of the stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rag.enrich.base import BatchEnricher, PricedEnricher
from rag.enrich.specs import BUILT_IN, AskingSpec, EnricherSpec
from rag.library import read
from rag.models.llm import Message
from rag.testing import check_enricher, sample


def reply(messages: Sequence[Message]) -> str:
    return json.dumps({"title": "A title", "keywords": ["dogs"], "questions": ["Do dogs bark?", "Who barks?"]})


def useless(messages: Sequence[Message]) -> str:
    return ""


@pytest.mark.parametrize("answer", [reply, useless])
@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: spec.__name__)
def test_an_enricher_keeps_its_contract(spec: type[EnricherSpec], answer, tmp_path: Path, function_model) -> None:
    names = ("metadata", "contextual", "doc2query")
    with sample(tmp_path, prompts={n: read("prompts", n) for n in names}, llm=function_model(answer)) as made:
        enricher = spec().build(made.resources)
        check_enricher(enricher)
        assert isinstance(enricher, PricedEnricher) == issubclass(spec, AskingSpec)
        assert isinstance(enricher, BatchEnricher) or spec.__name__ == "HeadingsSpec"
