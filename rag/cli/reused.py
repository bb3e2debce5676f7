"""What a model did not have to read again, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.types import Reuse


def reused(reuse: Reuse) -> str:
    """One line: ``1,020 tokens reused (1,020 of the prompt before, its question too), 681 computed``."""
    found = f"{reuse.reused:,} tokens reused"
    if reuse.from_prompt:
        asked = ", its question too" if reuse.questions else ""
        found += f" ({reuse.from_prompt:,} of the prompt before{asked})"
    counts = {
        "computed": reuse.recomputed,
        "of new sources read alone": reuse.read_alone,
        "measured": reuse.measured,
        "sources from memory": reuse.from_memory,
        "sources from disk": reuse.from_disk,
    }
    said = [found, *(f"{count:,} {name}" for name, count in counts.items() if count)]
    return ", ".join(said) + (f"; not as they stood before: {reuse.apart}" if reuse.apart else "")
