"""What `rag doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "absent", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `mend` is the command that mends it."""

    state: State
    what: str
    mend: str = ""
