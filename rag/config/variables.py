"""Fills ``${VAR}`` and ``${VAR:-default}`` into the text values of a tree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from rag.config.problems import Path, Problem
from rag.config.yaml import Node, Plain, scalar

_REFERENCE = re.compile(
    r"\$\$(?=\{)"  # $${ is a dollar sign and a brace
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}"
    r"|(?P<broken>\$\{)"
)


def fill(node: Node, environ: Mapping[str, str], problems: list[Problem], path: Path = ()) -> Node:
    """The tree with the variables of its files filled in; what is wrong is added to `problems`.

    Values of flags and of ``RAG__...`` stay as they are: a shell has filled them in.

    A variable that is not set or is empty takes its default; without a default it has to be set. A value that is
    nothing but one reference, and stands without quotes, is read as YAML reads a scalar: ``k: ${K}`` may be a number.
    ``$${`` is a plain ``${``.
    """
    if isinstance(node.value, dict):
        named = {name: fill(child, environ, problems, (*path, name)) for name, child in node.value.items()}
        return replace(node, value=named)
    if isinstance(node.value, list):
        items = [fill(child, environ, problems, (*path, at)) for at, child in enumerate(node.value)]
        return replace(node, value=items)
    if not isinstance(node.value, str) or not node.origin.in_file:
        return node
    return _filled(node, node.value, environ, problems, path)


def escaped(value: Plain) -> Plain:
    """The value that `fill` turns into the given one.

    >>> escaped({"path": "${HOME}"})
    {'path': '$${HOME}'}
    """
    if isinstance(value, dict):
        return {name: escaped(child) for name, child in value.items()}
    if isinstance(value, list):
        return [escaped(child) for child in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _filled(node: Node, text: str, environ: Mapping[str, str], problems: list[Problem], path: Path) -> Node:
    variable = ""

    def value(match: re.Match[str]) -> str:
        nonlocal variable
        name = match["name"]
        if match["broken"]:
            problems.append(
                Problem(node.origin, path, "expected ${NAME} or ${NAME:-default}; write $${ for a plain ${")
            )
            return match[0]
        if name is None:
            return "$"
        variable = name
        default = match["default"]
        found = environ.get(name) if default is None else environ.get(name) or default
        if found is None:
            hint = f"set it, or write ${{{name}:-default}}"
            problems.append(Problem(node.origin, path, f"the environment variable {name} is not set; {hint}"))
            return match[0]
        return found

    whole = _REFERENCE.fullmatch(text)
    filled = _REFERENCE.sub(value, text)
    read = scalar(filled) if whole is not None and whole["name"] and not node.quoted else filled
    return replace(node, value=read, origin=replace(node.origin, variable=variable))
