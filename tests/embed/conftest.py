"""A tiny encoder with random weights, and its forward pass in plain numpy to compare with."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import erf
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tokenizers import models, normalizers, pre_tokenizers, processors

Floats = NDArray[np.float32]
Tiny = Callable[..., Path]

HIDDEN, HEADS, LAYERS, POSITIONS, WINDOW = 32, 4, 2, 24, 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "dog", "cat", "bark", "##s", ".", "query", ":"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("RAGLOOM_CACHE", str(cache))
    return cache


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    def make(
        name: str = "tiny",
        *,
        family: str = "bert",
        pooling: str = "mean",
        config: dict[str, object] | None = None,
        prompts: dict[str, str] | None = None,
    ) -> Path:
        folder = tmp_path / name
        (folder / "1_Pooling").mkdir(parents=True)
        padding = 0 if family == "bert" else 1
        settings: dict[str, object] = {
            "model_type": family,
            "architectures": ["BertModel" if family == "bert" else "RobertaModel"],
            "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "intermediate_size": 64,
            "vocab_size": len(WORDS),
            "max_position_embeddings": POSITIONS,
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
            "pad_token_id": padding,
        }
        _write(folder / "config.json", settings | (config or {}))
        _write(folder / "sentence_bert_config.json", {"max_seq_length": WINDOW, "do_lower_case": False})
        if prompts:
            _write(folder / "config_sentence_transformers.json", {"prompts": prompts})
        kinds = ["Transformer", "Pooling", "Normalize"]
        paths = ["", "1_Pooling", "2_Normalize"]
        modules = [
            {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for at, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        modes = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
        pooling_config = {f"pooling_mode_{key}": value == pooling for key, value in modes.items()}
        _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN} | pooling_config)
        save_file(_weights(), str(folder / "model.safetensors"))
        _tokenizer().save(str(folder / "tokenizer.json"))
        _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"})
        return folder

    return make


def reference(folder: Path, ids: list[int], *, first_position: int = 0, pooling: str = "mean") -> Floats:
    """The unit vector of one text, by the formulas of BERT (arXiv 1810.04805)."""
    w = load_file(str(folder / "model.safetensors"))
    positions = np.arange(first_position, first_position + len(ids))
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][positions]
    x = _norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        of = f"encoder.layer.{layer}."
        query, key, value = (
            _dense(x, w, f"{of}attention.self.{part}").reshape(len(ids), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(HIDDEN // HEADS)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        attended = (weights / weights.sum(-1, keepdims=True)) @ value
        attended = attended.transpose(1, 0, 2).reshape(len(ids), HIDDEN)
        x = _norm(x + _dense(attended, w, f"{of}attention.output.dense"), w, f"{of}attention.output.LayerNorm")
        wide = _dense(x, w, f"{of}intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(erf)(wide / np.sqrt(2)))
        x = _norm(x + _dense(wide, w, f"{of}output.dense"), w, f"{of}output.LayerNorm")
    pooled = x.mean(axis=0) if pooling == "mean" else x[0]
    return (pooled / np.linalg.norm(pooled)).astype(np.float32)


def _dense(x: Floats, w: dict[str, Floats], name: str) -> Floats:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(x: Floats, w: dict[str, Floats], name: str) -> Floats:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def _weights() -> dict[str, Floats]:
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        of = f"encoder.layer.{layer}."
        denses = {f"attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        denses |= {"attention.output.dense": (HIDDEN, HIDDEN), "intermediate.dense": (64, HIDDEN)}
        denses |= {"output.dense": (HIDDEN, 64)}
        for name, shape in denses.items():
            shapes |= {f"{of}{name}.weight": shape, f"{of}{name}.bias": shape[:1]}
        norms += [f"{of}attention.output.LayerNorm", f"{of}output.LayerNorm"]
    for name in norms:
        shapes |= {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}
    return {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def _tokenizer() -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(8)  # as in many published files: it must be switched off
    tokenizer.enable_padding(length=8)
    return tokenizer


def _write(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value))
