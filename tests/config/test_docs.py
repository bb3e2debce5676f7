"""Descriptions of options come from the strings under them."""

from __future__ import annotations

from typing import Literal

from rag.config.docs import field_docs
from rag.config.spec import Spec
from rag.retrieve.specs import ZScoreSpec


class Small(Spec):
    use: Literal["small"] = "small"
    size: int = 3
    """How large
    it is."""
    plain: int = 4


class Smaller(Small):
    size: int = 2
    """How small."""


def test_a_field_is_described_by_the_string_under_it_or_by_that_of_the_base_class() -> None:
    assert field_docs(Small) == {"size": "How large\nit is."}
    assert field_docs(Smaller) == {"size": "How small."}
    assert set(field_docs(ZScoreSpec)) == {"keep", "over", "weights", "use"}


def test_the_json_schema_has_the_descriptions() -> None:
    assert Small.model_json_schema()["properties"]["size"]["description"] == "How large\nit is."
