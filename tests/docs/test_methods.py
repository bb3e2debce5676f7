"""Every component that ships has its row in its page's table of methods: what it needs, costs, gained, and is from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rag import registry

DOCS = Path(__file__).parents[2] / "docs"
PAGES: Mapping[str, tuple[str, ...]] = {
    "chunk": ("chunking",),
    "enrich": ("enrichment",),
    "embed": ("dense-indexes", "chunking"),
    "dense": ("dense-indexes",),
    "sparse": ("query-transforms",),
    "transform": ("query-transforms", "enrichment"),
    "retrieve": ("query-transforms", "multivector-and-learned-sparse"),
    "fuse": ("query-transforms",),
    "rerank": ("reranking",),
    "expand": ("chunking",),
    "compress": ("compression",),
}
"""Stages that are chosen by what they gain, and the pages that say so."""


def rows(page: str) -> Iterator[list[str]]:
    """The cells of each row of a page's tables of methods."""
    inside = False
    for line in (DOCS / f"{page}.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == "method" and cells[-1] == "source":
            assert cells[1] == "tier", f"{page}: {line}"
            assert cells[2].startswith("cost"), f"{page}: {line}"
            inside = True
        elif inside and not cells[0].startswith("---"):
            yield cells


@pytest.mark.parametrize("stage", PAGES)
def test_every_component_has_its_row_in_a_table_of_methods(stage: str) -> None:
    listed = {
        name for page in PAGES[stage] for cells in rows(page) for name in re.findall(r"`([a-z][a-z0-9-]*)`", cells[0])
    }
    assert set(registry.names(stage, plugins=False)) <= listed


@pytest.mark.parametrize("page", sorted({page for pages in PAGES.values() for page in pages}))
def test_a_row_says_what_the_method_needs_costs_and_is_measured_at(page: str) -> None:
    for method, tier, cost, *figures in rows(page):
        assert tier, f"{page}: {method} names no tier"
        assert cost, f"{page}: {method} names no cost"
        assert any(figures), f"{page}: {method} has neither a figure nor the reason why there is none"
