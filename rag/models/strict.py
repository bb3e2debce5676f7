"""JSON Schemas that OpenAI's servers hold a reply to strictly."""

from __future__ import annotations

from rag.models.llm import Json


def is_strict(schema: Json) -> bool:
    """Whether every object in a schema requires all it names and allows nothing else.

    OpenAI refuses any other with ``strict``; without it the schema is a wish there. vLLM and llama.cpp hold to it
    either way. What comes back is validated in any case.

    >>> is_strict({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False})
    True
    >>> is_strict({"anyOf": [{"type": "object", "properties": {"a": {}}, "additionalProperties": False}]})
    False
    """
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        named = set(properties) if isinstance(properties, dict) else set()
        required = schema.get("required", [])
        if schema.get("additionalProperties") is not False or not isinstance(required, list) or set(required) != named:
            return False
    return all(map(is_strict, schema.values()))
