"""Keys and values that a connector keeps beyond the engine: vLLM's own example of one, which writes them to disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import ConfigError
from rag.models.llm import Message
from rag.models.vllm import VllmModel
from rag.models.vllm_specs import VllmSpec
from rag.pipeline.spec import PipelineSpec
from rag.testing.vllm_server import until

LONG = [Message("user", "Dogs bark at night. " * 30)]


def engine(tiny: Path, store: Path) -> VllmModel:
    options = {
        "kv_transfer": {"connector": "ExampleConnector", "options": {"shared_storage_path": str(store)}},
        "cache_gib": 0.0625,
        "block_tokens": 32,
        "max_tokens": 8,
    }
    model = VllmSpec.model_validate({"model": str(tiny), "dtype": "float32", "eager": True, **options}).build()
    assert isinstance(model, VllmModel)
    return model


def test_what_one_engine_gave_a_connector_another_finds_and_says_so(tiny: Path, tmp_path: Path) -> None:
    first = engine(tiny, tmp_path)
    config = first.engine.load().vllm_config.kv_transfer_config
    assert (config.kv_connector, config.kv_role) == ("ExampleConnector", "kv_both")
    before = first.complete(LONG)
    assert before.usage.cached_tokens == 0
    first.close()
    second = engine(tiny, tmp_path)
    counted = second.metrics().external_hits
    again = second.complete(LONG)
    found = again.usage.cached_tokens
    assert again.text == before.text
    assert found > 32
    assert until(lambda: second.metrics().external_hits - counted == found)  # counted just behind the reply
    second.close()


def test_an_engine_goes_on_counting_when_another_one_is_loaded(model: VllmModel, tiny: Path, tmp_path: Path) -> None:
    model.complete(LONG)
    other = engine(tiny, tmp_path)
    other.complete(LONG)
    before = model.metrics().prompt_tokens
    asked = model.complete(LONG).usage.prompt_tokens
    assert until(lambda: model.metrics().prompt_tokens - before == asked)
    other.close()


@pytest.mark.parametrize("options", ["offload_gib: 1", "kv_transfer: {connector: OffloadingConnector}"])
def test_offloading_is_refused_with_the_pipeline_on_a_vllm_for_cpus(tiny: Path, options: str) -> None:
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        pytest.skip("vLLM runs on a GPU here")
    with pytest.raises(ConfigError, match="the vLLM installed here runs on CPUs"):
        PipelineSpec.from_yaml(f"extends: hybrid\nllm: {{use: vllm, model: {tiny}, {options}}}", environ={})
