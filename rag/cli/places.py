"""Which pipeline a command means when none is named."""

from __future__ import annotations

from pathlib import Path


def default_pipeline() -> str:
    """``pipeline.yaml`` of the working directory if it is there, else the name ``hybrid``."""
    return "pipeline.yaml" if Path("pipeline.yaml").is_file() else "hybrid"
