"""What the strings under a spec's fields say. Read from the source when asked for: pydantic would read it at import."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel


@cache
def field_docs(spec: type[BaseModel]) -> Mapping[str, str]:
    """The description of each field that has one, those of base classes included.

    Empty for classes without source, as from an interactive session.
    """
    found: dict[str, str] = {}
    for base in reversed(spec.__mro__):
        found |= _of_module(base.__module__).get(base.__qualname__, {})
    return {name: found[name] for name in spec.model_fields if name in found}


@cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """By class, the strings under its annotated names."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError):  # not imported by name, or no file behind it
        return {}
    return dict(_of_classes(tree.body, ""))


def _of_classes(body: list[ast.stmt], prefix: str) -> list[tuple[str, Mapping[str, str]]]:
    found: list[tuple[str, Mapping[str, str]]] = []
    for node in body:
        if isinstance(node, ast.ClassDef):
            name = prefix + node.name
            found += [(name, _of_fields(node.body)), *_of_classes(node.body, f"{name}.")]
        elif isinstance(node, ast.FunctionDef):
            found += _of_classes(node.body, f"{prefix}{node.name}.<locals>.")
    return found


def _of_fields(body: list[ast.stmt]) -> Mapping[str, str]:
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
