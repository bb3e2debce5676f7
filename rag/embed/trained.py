"""Files of what was trained for one embedder: safetensors, with the embedder named in their header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from rag.embed.base import EmbedderIdentity, Vectors
from rag.errors import ConfigError, ModelError, ModelNotFoundError
from rag.types import Scalar

BOUND = ("model", "revision", "dimension", "query_prompt")
"""What of an embedder's identity decides its query vectors, but for the precision, which hardly does."""


def write_trained(
    path: Path,
    *,
    kind: str,
    identity: EmbedderIdentity,
    tensors: Mapping[str, Vectors],
    about: Mapping[str, Scalar],
) -> None:
    """Write float32 arrays for an embedder, with what is to be known about them.

    Raises:
        ConfigError: there is such a file already, or it cannot be written.
    """
    header = {
        "format": kind,
        "embedder": json.dumps({name: identity.as_dict()[name] for name in BOUND}, sort_keys=True),
        "about": json.dumps(dict(about), sort_keys=True),
    }
    data = save({name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}, header)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise exists(path) from error
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be written: {error}") from error


def read_trained(path: Path, *, kind: str, identity: EmbedderIdentity) -> dict[str, Vectors]:
    """The arrays of a file that was written for this embedder.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelError: it is damaged, of another kind, or for another embedder; names both.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"{path}: there is no such file", hint=f"`rag train` makes a {kind}")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
        bound = json.loads(header.get("embedder", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path}: it cannot be read: {error}") from error
    if header.get("format") != kind:
        raise ModelError(f"{path}: expected a {kind}, found {header.get('format', 'something else')!r}")
    wanted = identity.as_dict()
    differing = [name for name in BOUND if bound.get(name) != wanted[name]]
    if differing:
        trained = ", ".join(f"{name} {bound.get(name)!r}" for name in differing)
        found = ", ".join(f"{name} {wanted[name]!r}" for name in differing)
        raise ModelError(
            f"{path}: the {kind} was trained for {bound.get('model')!r} ({trained}), "
            f"the pipeline embeds with {identity.model!r} ({found})",
            hint="train it again with `rag train`, or leave it out",
        )
    if any(tensor.dtype != np.float32 or not np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ModelError(f"{path}: it holds something else than finite float32 numbers")
    return tensors


def exists(path: Path) -> ConfigError:
    return ConfigError(f"{path}: the file exists and is not overwritten", hint="give --out another name, or delete it")
