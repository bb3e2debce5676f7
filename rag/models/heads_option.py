"""How a pipeline file names attention heads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

HeadName: TypeAlias = Annotated[str, Field(pattern=r"^\d+-\d+$")]
"""A layer and a head of it, both from 0."""
HeadsPath: TypeAlias = Annotated[str, Field(pattern=r"\.json$")]
"""A file of `rag heads detect`."""
Published: TypeAlias = Literal["llama-3.1-8b", "llama-3.2-3b", "llama-3.2-1b", "qwen2.5-7b"]
"""Models whose heads were published with QRHead, arXiv 2506.09944."""


def missing_heads(heads: object) -> str | None:
    """A sentence on a file of heads that is not there; ``None`` if it is, or if none is named."""
    if not isinstance(heads, str) or not heads.endswith(".json") or Path(heads).is_file():
        return None
    return f"the file {heads} is not there; `rag heads detect` makes it"
