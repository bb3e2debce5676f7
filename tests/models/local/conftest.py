from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.models.local.loading import Loader
from rag.models.local.model import TransformersModel
from rag.testing.tiny_llama import make_tiny_llama


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def model(weights: Path) -> Iterator[TransformersModel]:
    made = TransformersModel(Loader(str(weights), device="cpu"), max_tokens=24, concurrency=4)
    yield made
    made.close()
