"""Every chunker that ships, with its defaults, against the contract of its stage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.chunk.specs import BUILT_IN, ChunkerSpec
from rag.testing import Sample, check_chunker, sample


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("sample")) as made:
        yield made


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda spec: spec.__name__)
def test_a_chunker_keeps_its_contract(spec: type[ChunkerSpec], indexed: Sample) -> None:
    check_chunker(spec().build(indexed.resources))
