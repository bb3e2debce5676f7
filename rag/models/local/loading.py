"""Weights and tokenizer of a causal language model, from a folder or the Hugging Face hub."""

from __future__ import annotations

import gc
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from rag.errors import ConfigError, ModelNotFoundError
from rag.models.attention import Anatomy

logger = logging.getLogger(__name__)

_ATTENDING = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model on its device. `revision` is the hub's commit, or empty for a folder; `digest` is that of the weights."""

    name: str
    revision: str
    digest: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    window: int
    ends: frozenset[int]

    @property
    def attends(self) -> bool:
        """Whether each layer is attention, so that caches can be padded, cut and put side by side."""
        config = self.model.config.get_text_config(decoder=True)
        return set(getattr(config, "layer_types", None) or ()) <= _ATTENDING

    @property
    def anatomy(self) -> Anatomy:
        config = self.model.config.get_text_config(decoder=True)
        layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)
        return Anatomy(self.name, self.revision, self.digest, layers, heads)


class Loader:
    """Loads at the first call. Only safetensors are read: other formats may hold code.

    Args:
        device: ``cuda:1``; ``None`` for the best there is.
        dtype: of the weights in memory; ``auto`` is as they are stored.
        context_tokens: a window below the model's own.
    """

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        context_tokens: int | None = None,
        allow_download: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = name
        self.revision = revision
        self.device = device
        self.dtype = dtype
        self.context_tokens = context_tokens
        self.allow_download = allow_download
        self.trust_remote_code = trust_remote_code
        self._lock = threading.Lock()
        self._loaded: Loaded | None = None

    def load(self) -> Loaded:
        """The model.

        Raises:
            ModelNotFoundError: there are no such weights, or not as safetensors.
            ConfigError: the model does not say how long its window is, nor does `context_tokens`.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def free(self) -> None:
        """Let go of the weights, and give a GPU's memory back."""
        with self._lock:
            if self._loaded is None:
                return
            device = self._loaded.model.device.type
            self._loaded = None
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()

    def _load(self) -> Loaded:
        where = {
            "revision": self.revision or "main",
            "local_files_only": not self.allow_download,
            "trust_remote_code": self.trust_remote_code,
        }
        dtype = self.dtype if self.dtype == "auto" else getattr(torch, self.dtype)
        try:
            with _without_progress():
                tokenizer = AutoTokenizer.from_pretrained(self.name, **where)
                model = AutoModelForCausalLM.from_pretrained(self.name, dtype=dtype, use_safetensors=True, **where)
        except (OSError, ValueError) as error:  # not in the cache, no such repository, code of its own, not causal
            raise ModelNotFoundError(
                f"cannot load {self.name!r}: {error}",
                hint="llm.model: a folder, or a name on the hub with allow_download: true",
            ) from error
        module: torch.nn.Module = model  # whose methods have types
        module.to(torch.device(self.device) if self.device else best_device()).eval()
        logger.info("loaded %s on %s as %s", self.name, model.device, model.dtype)
        return Loaded(
            name=self.name,
            revision=getattr(model.config, "_commit_hash", None) or "",
            digest=weights_digest(model),
            model=model,
            tokenizer=tokenizer,
            window=self._window(model, tokenizer),
            ends=_ends(model, tokenizer),
        )

    def _window(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
        config = model.config.get_text_config(decoder=True)
        # Tokenizers that do not know say 10 to the 30.
        told = getattr(config, "max_position_embeddings", None) or min(tokenizer.model_max_length, 1 << 30)
        known = [size for size in (self.context_tokens, told) if size is not None and size < 1 << 30]
        if not known:
            raise ConfigError(f"{self.name!r} does not say how long its window is", hint="set llm.context_tokens")
        return int(min(known))


@contextmanager
def _without_progress() -> Iterator[None]:
    """Without a bar for loading weights on standard error, which is for our own messages."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it has no types
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # as above


def best_device() -> torch.device:
    """A GPU if there is one, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def weights_digest(model: PreTrainedModel) -> str:
    """What tells these weights from others: of each tensor the name, the shape and 64 values spread over it."""
    digest = blake2b(digest_size=16)
    for name, weight in sorted(model.state_dict().items()):
        flat = weight.detach().flatten()
        spread = flat[:: max(1, len(flat) // 64)][:64].double().cpu().numpy()
        digest.update(f"{name} {tuple(weight.shape)}\n".encode() + spread.tobytes())
    return digest.hexdigest()


def config_digest(model: PreTrainedModel) -> str:
    """What tells this configuration from others that compute differently with the same weights: rotations, scales."""
    told = model.config.get_text_config(decoder=True).to_dict()
    counted = {name: value for name, value in told.items() if name not in ("_name_or_path", "transformers_version")}
    return blake2b(json.dumps(counted, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """What tells this tokenizer from one that cuts the same text differently."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that end a reply: those of the model's own options, and the tokenizer's."""
    told = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = [told] if isinstance(told, int) else list(told or ())
    if isinstance(tokenizer.eos_token_id, int):
        ids.append(tokenizer.eos_token_id)
    return frozenset(ids)
