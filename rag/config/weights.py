"""Whether the package and the weights of a model are on this machine; nothing is imported or loaded for it."""

from __future__ import annotations

import importlib.util
import os
from hashlib import blake2b
from pathlib import Path


def missing_package(package: str, *, extra: str) -> str | None:
    """A sentence with the command that installs `package`; ``None`` if it is there."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f'needs the package {package!r}: pip install "ragloom[{extra}]"'


def missing_weights(model: str, *, allow_download: bool) -> str | None:
    """A sentence on a model that is neither a folder nor in the Hugging Face cache; ``None`` if it can be had."""
    if allow_download or Path(model).expanduser().is_dir() or _in_hub_cache(model):
        return None
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        return f"there is no folder {model!r}, and it is not the name of a model on the Hugging Face hub"
    return (
        f"no weights of {model!r} on this machine: set `allow_download: true`, or give `model` a folder that has them"
    )


def fingerprint(model: str) -> str:
    """What tells the weights of one name from others put in their place: of a folder, a hash of its files' times.

    The name alone for a model of the hub.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return model
    digest = blake2b(digest_size=8)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found = path.stat()
            digest.update(f"{path.relative_to(folder)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return f"{folder.name} {digest.hexdigest()}"


def _in_hub_cache(model: str) -> bool:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    repository = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{model.replace('/', '--')}"
    return any((repository / "snapshots").glob("*/config.json"))
