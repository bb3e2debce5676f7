"""A folder in the sentence-transformers layout, and what its files say about the encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, Literal

from rag.embed.cache import cache_directory, install
from rag.errors import ModelError

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert")
OTHER_RUNTIME = "use: sentence-transformers runs it, with the extra `hf`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An encoder on disk. `window` is in tokens, special ones included; `heads` are attention heads."""

    model: str
    folder: Path
    family: str
    dimension: int
    layers: int
    heads: int
    epsilon: float
    padding_id: int
    window: int
    pooling: Literal["mean", "cls"]
    query_prompt: str = ""
    document_prompt: str = ""

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def tokenizer_file(self) -> Path:
        return self.folder / "tokenizer.json"


def read_checkpoint(model: str, folder: Path) -> Checkpoint:
    """Read the configuration files of an encoder.

    Raises:
        ModelError: a file is missing or malformed, or the encoder is of a kind that cannot be exported.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: {name} is missing", hint=OTHER_RUNTIME)
    config = _json(folder / "config.json")
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise ModelError(
            f"{model}: cannot export an encoder of type {family!r}, only {', '.join(FAMILIES)}", hint=OTHER_RUNTIME
        )
    _require(model, config, "hidden_act", "gelu")
    _require(model, config, "position_embedding_type", "absolute")
    transformer = _json(folder / "sentence_bert_config.json", optional=True)
    _require(model, transformer, "do_lower_case", False)
    prompts = _json(folder / "config_sentence_transformers.json", optional=True).get("prompts")
    prompts = prompts if isinstance(prompts, dict) else {}
    try:
        padding_id = int(config.get("pad_token_id") or 0)
        positions = int(config["max_position_embeddings"]) - first_position(family, padding_id)
        return Checkpoint(
            model=model,
            folder=folder,
            family=family,
            dimension=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            epsilon=float(config["layer_norm_eps"]),
            padding_id=padding_id,
            window=min(positions, int(transformer.get("max_seq_length") or positions)),
            pooling=_pooling(model, folder),
            query_prompt=str(prompts.get("query") or ""),
            document_prompt=str(prompts.get("document") or prompts.get("passage") or ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'}: {error!r} is missing or not a number") from error


def first_position(family: str, padding_id: int) -> int:
    """The row of the position table for the first token: RoBERTa counts from behind the padding id."""
    return 0 if family == "bert" else padding_id + 1


def weights_hash(path: Path) -> str:
    """The SHA-256 of a weights file; remembered in the cache for as long as size and time of change stay."""
    stat = path.stat()
    stamp = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    remembered = cache_directory() / "hashes" / blake2b(stamp.encode(), digest_size=16).hexdigest()
    digest_file = remembered / "sha256"
    if digest_file.is_file() and len(digest := digest_file.read_text(encoding="ascii").strip()) == 64:
        return digest
    with path.open("rb") as file:
        running = sha256()
        while block := file.read(1 << 20):
            running.update(block)
    digest = running.hexdigest()
    install(remembered, lambda folder: _write(folder / "sha256", digest))
    return digest


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")


def _pooling(model: str, folder: Path) -> Literal["mean", "cls"]:
    modules_file = folder / "modules.json"
    kinds = ["Transformer", "Pooling"]
    pooling_folder = folder / "1_Pooling"
    if modules_file.is_file():
        try:
            modules = json.loads(modules_file.read_bytes())
            kinds = [module["type"].rpartition(".")[2] for module in modules]
            pooling_folder = folder / next(m["path"] for m in modules if m["type"].endswith("Pooling"))
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise ModelError(f"{modules_file}: not a list of modules with a pooling ({error!r})") from error
    if set(kinds) - {"Transformer", "Pooling", "Normalize"}:
        raise ModelError(f"{model}: cannot export the modules {kinds}", hint=OTHER_RUNTIME)
    pooling = _json(pooling_folder / "config.json")
    active = [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True]
    if pooling.get("pooling_mode") == "mean" or active == ["pooling_mode_mean_tokens"]:
        return "mean"
    if pooling.get("pooling_mode") == "cls" or active == ["pooling_mode_cls_token"]:
        return "cls"
    raise ModelError(f"{model}: cannot export this pooling, only mean and cls: {pooling}", hint=OTHER_RUNTIME)


def _require(model: str, config: Mapping[str, object], key: str, expected: object) -> None:
    if config.get(key, expected) != expected:
        raise ModelError(
            f"{model}: cannot export an encoder with {key} {config[key]!r}, only {expected!r}", hint=OTHER_RUNTIME
        )


def _json(path: Path, *, optional: bool = False) -> dict[str, Any]:
    if optional and not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value
