"""Every expander that ships against the contract of its stage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.expand.specs import ExpanderSpec, ParentSpec, WindowSpec
from rag.testing import Sample, check_expander, sample


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("sample")) as made:
        yield made


@pytest.mark.parametrize(
    "spec",
    [
        WindowSpec(),
        WindowSpec(reach=1),
        WindowSpec(unit="chunks", reach=1),
        ParentSpec(),
        ParentSpec(kind="page"),
        ParentSpec(kind="tokens", tokens=6),
    ],
    ids=repr,
)
def test_an_expander_keeps_its_contract(spec: ExpanderSpec, indexed: Sample) -> None:
    check_expander(spec.build(indexed.resources), documents=indexed.documents, chunks=indexed.chunks)
