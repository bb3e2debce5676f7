"""What models of the hub have in common: when they are loaded, and what is said of those that cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from rag.errors import MissingExtraError, ModelNotFoundError
from rag.models.cross_encoder import SentenceTransformersCrossEncoder
from rag.models.dual_encoder import MeanPooledEncoder
from rag.models.entailment import TransformersEntailment
from rag.models.hub_model import HubModel
from rag.models.sparse_encoder import SpladeEncoder
from rag.models.token_encoder import MultiVectorTokenEncoder

EVERY = (
    SentenceTransformersCrossEncoder,
    MeanPooledEncoder,
    TransformersEntailment,
    SpladeEncoder,
    MultiVectorTokenEncoder,
)


class Loading(HubModel[list[str]]):
    kind = "a model of a test"

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("owner/name", revision="v1", device="cpu")
        self.error = error
        self.loads = 0

    def opened(self) -> list[str]:
        return self._opened()

    def _load(self) -> list[str]:
        self.loads += 1
        if self.error is not None:
            raise self.error
        return ["weights"]


def test_a_model_is_loaded_at_first_use_once_for_all_threads_and_again_when_closed() -> None:
    model = Loading()
    assert model.loads == 0
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: model.opened(), range(16)))
    assert (model.loads, {id(each) for each in opened}) == (1, {id(opened[0])})
    model.close()
    model.opened()
    assert model.loads == 2


def test_a_missing_package_is_named_with_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingExtraError, match="a model of a test needs the package 'sentencepiece'") as raised:
        Loading(ImportError("no", name="sentencepiece")).opened()
    assert 'ragloom[hf]"' in raised.value.hint


@pytest.mark.parametrize("error", [OSError("no such repository"), ValueError("an unknown kind of model")])
def test_weights_that_cannot_be_loaded_are_named_and_the_next_use_tries_again(error: Exception) -> None:
    model = Loading(error)
    with pytest.raises(ModelNotFoundError, match=f"cannot load 'owner/name': {error}"):
        model.opened()
    model.error = None
    assert model.opened() == ["weights"]


@pytest.mark.parametrize("model", EVERY, ids=lambda model: model.__name__)
def test_every_model_takes_the_common_options_and_says_what_it_is(model: type[HubModel[object]]) -> None:
    made = model("owner/name", revision="v1", device="cpu", batch_size=3, allow_download=True)
    assert (made.model, made.revision, made.device, made.batch_size) == ("owner/name", "v1", "cpu", 3)
    assert made.allow_download
    assert made.kind.startswith(("a ", "an "))
