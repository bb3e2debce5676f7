from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rag.load.base import Source
from rag.load.specs import ParseSpec
from rag.load.worker import ParserPool
from rag.types import Document

Parse = Callable[[bytes, str], Document]


@pytest.fixture(scope="session")
def pool() -> Iterator[ParserPool]:
    with ParserPool(ParseSpec(workers=1, timeout_seconds=30)) as pool:
        yield pool


@pytest.fixture
def parse(pool: ParserPool) -> Parse:
    """Parse bytes under a file name, with the limits in force."""
    return lambda data, name: pool.parse(Source(id=name, uri=name, name=name, read=lambda: data))
