"""Says what is wrong with a pipeline, in our words: pydantic's errors become `Problem`s at the places in the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from rag import registry
from rag.config.problems import Origin, Path, Problem, dotted, holds_secret, names_secret, without_login
from rag.config.spec import Spec
from rag.config.stage import use_of_field
from rag.config.yaml import Node, scalar
from rag.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXPECTED: Mapping[str, Callable[[Mapping[str, object]], str]] = {
    "greater_than": lambda context: f"more than {context['gt']}",
    "greater_than_equal": lambda context: f"at least {context['ge']}",
    "less_than": lambda context: f"less than {context['lt']}",
    "less_than_equal": lambda context: f"at most {context['le']}",
    "multiple_of": lambda context: f"a multiple of {context['multiple_of']}",
    "finite_number": lambda _: "a finite number",
    "string_too_short": lambda context: f"at least {_count(context['min_length'], 'character')}",
    "string_too_long": lambda context: f"at most {_count(context['max_length'], 'character')}",
    "string_pattern_mismatch": lambda context: f"text that matches {context['pattern']}",
    "too_short": lambda context: f"at least {_count(context['min_length'], 'item')}",
    "too_long": lambda context: f"at most {_count(context['max_length'], 'item')}",
    "literal_error": lambda context: str(context["expected"]),
    "enum": lambda context: str(context["expected"]),
    "none_required": lambda _: "nothing",
}

_EXPECTED_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "model_attributes": "a mapping",
}


def explain(error: ValidationError, tree: Node, model: type[Spec], *, more_keys: Iterable[str] = ()) -> list[Problem]:
    """Every problem of a validation, each at the value or key that causes it.

    `more_keys` are known at the top beside the model's fields. Where a value may be of several types and is of none,
    pydantic reports each; they become one problem.
    """
    expected: dict[Path, list[str]] = {}
    problems: list[Problem] = []
    for details in error.errors(include_url=False):
        path = _path(details, tree)
        kind = details["type"]
        if kind == "too_short" and _length(tree.at(path)) >= details["ctx"]["min_length"]:
            continue  # pydantic leaves out the items that are wrong, which are reported themselves
        if kind == "extra_forbidden":
            message = _unknown_key(str(path[-1]), known_keys(path[:-1], tree, model, more_keys), model)
            if len(path) == 1 and str(path[0]) in more_keys:
                message = "only a file has this key"
            problems.append(Problem(_key(tree, path), path, message))
        elif kind == "missing":
            problems.append(Problem(_key(tree, path[:-1]), path, "is missing"))
        elif (expectation := _expectation(kind, details.get("ctx", {}))) is not None:
            expected.setdefault(path, []).append(expectation)
        else:
            problems.append(problem_at(tree, path, _message(details)))
    for path, expectations in expected.items():
        wanted, got = " or ".join(dict.fromkeys(expectations)), _got(tree.at(path), path)
        message = f"expected {wanted}, got {got}{_guess(tree, path, error)}"
        problems.append(Problem(_value(tree, path), path, message))
    return problems


def problem_at(tree: Node, path: Path, message: str) -> Problem:
    """A problem of the value at `path`; it is shown at the key of what is a mapping, and of what is a default."""
    at_key = isinstance(getattr(tree.at(path), "value", None), dict)
    return Problem((_key if at_key else _value)(tree, path), path, message)


def mistyped(tree: Node, read: object, path: Path = ()) -> Iterator[Problem]:
    """Numbers in quotes, and true and false, that pydantic took for numbers. `read` is what the tree was read as.

    A ``${VAR}`` may stand in quotes, which it needs between braces.
    """
    if isinstance(tree.value, dict):
        for name, child in tree.value.items():
            inner = read.get(name) if isinstance(read, Mapping) else getattr(read, name, None)
            yield from mistyped(child, inner, (*path, name))
    elif isinstance(tree.value, list):
        if isinstance(read, list | tuple):
            for at, (child, inner) in enumerate(zip(tree.value, read, strict=False)):
                yield from mistyped(child, inner, (*path, at))
    elif isinstance(read, int | float) and not isinstance(read, bool) and not tree.origin.variable:
        wanted = _EXPECTED_TYPES["int" if isinstance(read, int) else "float"]
        if isinstance(tree.value, bool):
            yield Problem(tree.origin, path, f"expected {wanted}, got {_got(tree, path)}")
        elif isinstance(tree.value, str) and not isinstance(scalar(tree.value.strip()), str):
            got = f"got the text {_got(tree, path)}"
            yield Problem(tree.origin, path, f"expected {wanted}, {got}; leave out the quotes")


def known_keys(path: Path, tree: Node, model: type[Spec], more_keys: Iterable[str] = ()) -> list[str]:
    """The keys that the mapping at `path` may have."""
    spec: type[Spec] | None = model
    for at, name in enumerate(path):
        if spec is None or isinstance(name, int):
            continue
        field = spec.model_fields.get(name)
        spec = None if field is None else _spec_of(field, tree, path[: at + 1], path[at + 1 : at + 2])
    return [*(spec.model_fields if spec is not None else ()), *(() if path else more_keys)]


def _spec_of(field: FieldInfo, tree: Node, path: Path, following: Path) -> type[Spec] | None:
    stage = use_of_field(field)
    if stage is None:
        return next((part for part in _classes(field.annotation) if issubclass(part, Spec)), None)
    item = path + following if following and isinstance(following[0], int) else path
    name = tree.at((*item, "use"))
    if name is None or not isinstance(name.value, str):
        return None
    try:
        spec = registry.find(stage.stage, name.value)
    except ConfigError:  # reported where the name stands
        return None
    return spec if issubclass(spec, Spec) else None


def _classes(annotation: object) -> Iterable[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _classes(part)


def _path(details: ErrorDetails, tree: Node) -> Path:
    """The error's location without what pydantic puts in for the members of a union."""
    path: Path = ()
    if not details["loc"]:
        return path
    *inner, last = details["loc"]
    for part in inner:
        if tree.at((*path, part)) is not None:
            path = (*path, part)
    missing = details["type"] == "missing"
    if missing or tree.at((*path, last)) is not None or not inner:
        path = (*path, last)
    return path


def _value(tree: Node, path: Path) -> Origin:
    node = tree.at(path)
    return node.origin if node is not None else _key(tree, path[:-1])


def _key(tree: Node, path: Path) -> Origin:
    """Where the key of `path` stands; for an item of a list, where the item begins."""
    node = tree.at(path)
    while node is None:
        path = path[:-1]
        node = tree.at(path)
    return node.key or node.origin


def _expectation(kind: str, context: Mapping[str, object]) -> str | None:
    if kind in _EXPECTED:
        return _EXPECTED[kind](context)
    for ending in ("_type", "_parsing", "_parsing_size", "_from_float", "_sub_type"):
        if kind.removesuffix(ending) in _EXPECTED_TYPES:
            return _EXPECTED_TYPES[kind.removesuffix(ending)]
    return None


def _message(details: ErrorDetails) -> str:
    raised = details.get("ctx", {}).get("error")
    return str(raised) if isinstance(raised, ValueError) else details["msg"]


def _unknown_key(name: str, known: list[str], model: type[Spec]) -> str:
    elsewhere = [path for path in _places(model) if path[-1] == name]
    if len(elsewhere) == 1:
        where = " at the top" if len(elsewhere[0]) == 1 else ""
        return f"unknown key; did you mean `{dotted(elsewhere[0])}`{where}?"
    if guess := registry.near(name, known):
        return f"unknown key; did you mean `{guess}`?"
    return f"unknown key (known: {', '.join(known)})" if known else "unknown key"


def _places(model: type[Spec], path: Path = ()) -> Iterator[Path]:
    """Every key that has one place in a file, whatever components are chosen."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        if use_of_field(field) is None:
            for part in _classes(field.annotation):
                if issubclass(part, Spec):
                    yield from _places(part, (*path, name))


def _got(node: Node | None, path: Path) -> str:
    if node is None or node.value is None:
        return "nothing"
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return _count(len(node.value), "item")
    if holds_secret(path) or names_secret(node.origin.variable):
        return "a secret"
    if isinstance(node.value, bool):
        return str(node.value).lower()
    text = without_login(repr(node.value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _guess(tree: Node, path: Path, error: ValidationError) -> str:
    """For a choice between names, the one that was probably meant."""
    node = tree.at(path)
    for details in error.errors(include_url=False):
        if details["type"] == "literal_error" and _path(details, tree) == path and node is not None:
            names = [name.strip("' ") for name in str(details["ctx"]["expected"]).replace(" or ", ", ").split(",")]
            guess = registry.near(str(node.value), names)
            return f"; did you mean {guess!r}?" if guess and guess != node.value else ""
    return ""


def _length(node: Node | None) -> int:
    return len(node.value) if node is not None and isinstance(node.value, list) else 0


def _count(number: object, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
