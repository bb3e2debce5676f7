"""Finds pipelines, prompts, presets and trained models by name: in the working directory first, then what ships."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

from rag.errors import ConfigError, UnknownNameError
from rag.registry import unknown

Kind: TypeAlias = Literal["pipelines", "prompts", "configs", "models"]

SUFFIX: dict[Kind, str] = {"pipelines": ".yaml", "prompts": ".md", "configs": ".yaml", "models": ".safetensors"}
NOUN: dict[Kind, str] = {"pipelines": "pipeline", "prompts": "prompt", "configs": "preset", "models": "model"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")


def find(kind: Kind, name: str) -> Path:
    """The file of that name, ``pipelines/<name>.yaml`` or ``prompts/<name>.md``.

    A name is letters, digits, ``_``, ``-`` and single dots: it cannot lead out of its folder.

    Raises:
        UnknownNameError: there is none; near names are offered.
    """
    if _NAME.fullmatch(name):
        for folder in _folders(kind):
            path = folder / f"{name}{SUFFIX[kind]}"
            if path.is_file():
                return path
    raise UnknownNameError(unknown(NOUN[kind], name, names(kind)))


def read(kind: Kind, name: str) -> str:
    """The text of that name.

    Raises:
        UnknownNameError: there is none; near names are offered.
        ConfigError: the file is not UTF-8.
    """
    path = find(kind, name)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error


def names(kind: Kind, *, local: bool = True) -> list[str]:
    """Every name there is, sorted; without `local`, only those that ship."""
    suffix = SUFFIX[kind]
    folders = _folders(kind) if local else [shipped(kind)]
    found = {path.name.removesuffix(suffix) for folder in folders for path in folder.glob(f"*{suffix}")}
    return sorted(name for name in found if _NAME.fullmatch(name))


def shipped(kind: Kind) -> Path:
    """The folder of what ships.

    Raises:
        ConfigError: it is not installed (the code runs from a checkout that pip does not know).
    """
    try:
        return Path(str(files(f"rag.library.{kind}")))
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the {kind} that ship are not part of this installation", hint="install the checkout: pip install -e ."
        ) from error


def _folders(kind: Kind) -> Iterator[Path]:
    yield Path(kind)
    yield shipped(kind)
