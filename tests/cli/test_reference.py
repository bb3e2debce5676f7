from __future__ import annotations

from pathlib import Path

from rag.cli.reference import reference
from rag.registry import STAGES, names

PAGE = Path(__file__).parents[2] / "docs" / "yaml-reference.md"


def test_the_reference_is_the_one_the_models_make() -> None:
    """If this fails: python -m rag.cli.reference > docs/yaml-reference.md"""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_the_reference_has_every_stage_and_component() -> None:
    page = reference()
    for stage in STAGES.values():
        assert f"## `{stage.place}`" in page
        for name in names(stage.name, plugins=False):
            assert f"#### `use: {name}`" in page
