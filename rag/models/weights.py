"""Whether the package and the weights of a model are on this machine; nothing is imported or loaded for it."""

from __future__ import annotations

import importlib.util
import os
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


def _in_hub_cache(model: str) -> bool:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    repository = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{model.replace('/', '--')}"
    return any((repository / "snapshots").glob("*/config.json"))
