"""Reading what a language model replied."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rag.models.llm import Json

_FENCE = re.compile(r"^\s*```[a-z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


def object_in(reply: str) -> Mapping[str, Json] | None:
    """The JSON object that a reply consists of, a code fence around it taken off; ``None`` if it is none.

    >>> object_in('```json\\n{"queries": ["a"]}\\n```')
    {'queries': ['a']}
    """
    fenced = _FENCE.match(reply)
    try:
        found = json.loads(fenced[1] if fenced else reply)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
