"""A real vLLM, in process and as a server, on a tiny random model. ``make test-vllm`` installs it and runs these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from rag.models.llm import Message
from rag.models.vllm import VllmModel
from rag.models.vllm_specs import VllmSpec
from rag.testing.sample import TEXTS
from rag.testing.tiny_llama import make_tiny_llama
from rag.testing.vllm_server import VllmServer

BLOCK = 32  # tokens; the smallest grid that vLLM's kernels for CPUs like
CACHE_GIB = 0.125
WINDOW = 4096

ABSENT = "vLLM IS NOT INSTALLED: nothing here was tested against the real engine; `make test-vllm` installs and runs it"


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.timeout(600))
            if find_spec("vllm") is None:
                item.add_marker(pytest.mark.skip(reason=ABSENT))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model. It does not end a reply by itself."""
    return make_tiny_llama(tmp_path_factory.mktemp("tiny"), window=WINDOW, endless=True)


@pytest.fixture(scope="session")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes some ten milliseconds for a token, as real ones do.

    `tiny` takes one or two: vLLM's server sends fewer pieces than it writes tokens, and while a busy machine lets a
    caller wait for a second or two, it writes a thousand.
    """
    return make_tiny_llama(tmp_path_factory.mktemp("steady"), hidden=512, layers=12, window=WINDOW, endless=True)


@pytest.fixture(scope="session")
def chats() -> list[list[Message]]:
    """Thirty prompts of different lengths, some of several blocks."""
    texts = list(TEXTS.values())
    return [
        [Message("system", "Answer briefly."), Message("user", f"{texts[at % len(texts)][: 20 + 37 * at]} Why {at}?")]
        for at in range(30)
    ]


@pytest.fixture(scope="session")
def model(tiny: Path) -> Iterator[VllmModel]:
    """vLLM in process."""
    spec = VllmSpec(
        model=str(tiny), dtype="float32", cache_gib=CACHE_GIB, block_tokens=BLOCK, eager=True, max_tokens=24
    )
    made = spec.build()
    assert isinstance(made, VllmModel)
    yield made
    made.close()


@pytest.fixture(scope="session")
def server(tiny: Path) -> Iterator[VllmServer]:
    """vLLM behind ``rag serve-llm``."""
    yield from serving(tiny)


@pytest.fixture(scope="module")
def steady_server(steady: Path) -> Iterator[VllmServer]:
    """The same with the steady model."""
    yield from serving(steady)


def serving(folder: Path) -> Iterator[VllmServer]:
    options = ("--dtype", "float32", "--cache-gib", str(CACHE_GIB), "--block-tokens", str(BLOCK), "--eager")
    made = VllmServer(folder, *options)
    made.start()
    yield made
    if made.runs:
        made.stop()
