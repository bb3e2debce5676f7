"""Puts a pipeline together from its layers.

Lowest first: the stages' defaults, the file that a file extends, its presets, the file itself, the environment
(``RAG__ASK__FUSE__KEEP=5``), then ``--set ask.fuse.keep=20``. Mappings merge, lists replace, and a mapping with another
`use` drops what the lower layer says beside its own: options of one component mean nothing to another. At the end
``${VAR}`` is filled in. Every value keeps where it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Literal, TypeAlias

from rag.config.problems import DEFAULT, InvalidConfigError, Origin, Path, Problem, dotted, names_secret
from rag.config.variables import fill
from rag.config.yaml import Node, Plain, parse_value, read
from rag.errors import ConfigError

Kind: TypeAlias = Literal["pipelines", "configs"]
Find: TypeAlias = Callable[[Kind, str], FilePath]
"""Finds a pipeline or a preset by name; raises `UnknownNameError`."""

ENVIRONMENT = "RAG__"


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers put together, the files that were read (the named one last), and what is wrong with them so far."""

    tree: Node
    files: tuple[str, ...]
    problems: tuple[Problem, ...]


def gather(
    source: Node | FilePath,
    *,
    find: Find,
    defaults: Plain,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
) -> Layers:
    """Read a pipeline and everything under and over it.

    Args:
        source: the file, or what was parsed already.
        defaults: the lowest layer.
        environ: where ``RAG__...`` and ``${VAR}`` come from.
        overrides: ``path.to.value=value``, later ones over earlier ones.

    Raises:
        ConfigError: a layer cannot be read or is not YAML, a name is unknown, or files extend each other in a circle.
    """
    reader = _Reader(find)
    tree = reader.over(written(defaults, DEFAULT), source, "pipelines", ())
    from_environment = [
        (name.removeprefix(ENVIRONMENT).lower().split("__"), value, f"${name}")
        for name, value in sorted(environ.items())
        if name.startswith(ENVIRONMENT)
    ]
    tree = merge(tree, _one_layer(from_environment))
    tree = merge(tree, _one_layer(_override(text) for text in overrides))
    problems: list[Problem] = []
    tree = fill(tree, environ, problems)
    return Layers(tree, tuple(reader.files), tuple(problems))


def merge(lower: Node, upper: Node, path: Path = ()) -> Node:
    """The upper layer's values over the lower layer's.

    From a flag or a variable, a mapping of numbers changes items of a list: ``ask.retrieve.0.k=50``.

    Raises:
        InvalidConfigError: the list has no such item.
    """
    if not isinstance(upper.value, dict):
        return upper
    if isinstance(lower.value, list) and not upper.origin.in_file and "use" not in upper.value:
        return _with_items(lower, lower.value, upper.value, path)
    if not isinstance(lower.value, dict):
        return upper
    children = dict(lower.value)
    if "use" in upper.value and "use" in children and children["use"].value != upper.value["use"].value:
        children = {}
    for name, child in upper.value.items():
        children[name] = merge(children[name], child, (*path, name)) if name in children else child
    return replace(lower if lower.origin.in_file and not upper.origin.in_file else upper, value=children)


def _with_items(lower: Node, items: list[Node], changes: dict[str, Node], path: Path) -> Node:
    changed = list(items)
    for name, child in changes.items():
        if not name.isdecimal():
            message = f"a list's items are named by number, from 0, as in {dotted((*path, 0))}"
            raise InvalidConfigError([Problem(child.origin, (*path, name), message)])
        at = int(name)
        if at >= len(items):
            message = f"there is no item {at}; the list has {len(items)}, counted from 0"
            if not items:
                message = f"the list is empty; give all of it, as in {dotted(path)}=[{{use: ...}}]"
            raise InvalidConfigError([Problem(child.origin, (*path, at), message)])
        changed[at] = replace(merge(items[at], child, (*path, at)), key=None)
    return replace(lower, value=changed)


def written(value: Plain, origin: Origin) -> Node:
    """A plain value as a node, all of it from one origin."""
    if isinstance(value, dict):
        return Node({name: replace(written(child, origin), key=origin) for name, child in value.items()}, origin)
    if isinstance(value, list):
        return Node([written(child, origin) for child in value], origin)
    return Node(value, origin)


class _Reader:
    """Reads files with the files they name, and remembers which were read."""

    def __init__(self, find: Find) -> None:
        self.find = find
        self.files: list[str] = []

    def over(self, base: Node, source: Node | FilePath, kind: Kind, above: tuple[FilePath, ...]) -> Node:
        """A file over its presets over what it extends over `base`. `above` are the files that led here."""
        folder, node = FilePath(), source
        if isinstance(node, FilePath):
            path = node.resolve()
            folder, above = path.parent, (*above, path)
            node = read(path, name=shown(path))
        if not isinstance(node.value, dict):
            raise InvalidConfigError([Problem(node.origin, (), "expected a mapping with `ingest` and `ask`")])
        own = dict(node.value)
        extends, presets = own.pop("extends", None), own.pop("presets", None)
        if extends is not None:
            if kind == "configs":
                raise _problem(extends, ("extends",), "a preset cannot extend a pipeline; it may name other presets")
            lower = self._extended(extends, folder)
            _refuse_circle(lower, above, extends, ("extends",))
            base = self.over(base, lower, "pipelines", above)
        for at, preset in enumerate(_listed(presets)):
            lower = self._found(preset, "configs", ("presets", at))
            _refuse_circle(lower, above, preset, ("presets", at))
            base = self.over(base, lower, "configs", above)
        if isinstance(source, FilePath):
            self.files.append(shown(source))
        return merge(base, replace(node, value=own))

    def _extended(self, node: Node, folder: FilePath) -> FilePath:
        name = _text(node, ("extends",))
        if not is_path(name):
            return self._found(node, "pipelines", ("extends",))
        if FilePath(name).is_absolute():
            raise _problem(node, ("extends",), "expected a name or a path relative to this file, got an absolute path")
        path = folder / name
        if not path.is_file():
            raise _problem(node, ("extends",), f"there is no file {shown(path)}")
        return path

    def _found(self, node: Node, kind: Kind, path: Path) -> FilePath:
        try:
            return self.find(kind, _text(node, path))
        except InvalidConfigError:
            raise
        except ConfigError as error:
            raise _problem(node, path, error.message) from error


def is_path(source: str) -> bool:
    """Whether a pipeline is named by path rather than by name."""
    return source.endswith((".yaml", ".yml")) or "/" in source or "\\" in source


def shown(path: FilePath) -> str:
    """A path as messages give it: relative to the working directory where it lies in it."""
    here, path = FilePath.cwd(), path.resolve()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()


def _refuse_circle(file: FilePath, above: Sequence[FilePath], node: Node, path: Path) -> None:
    """`node` is what names `file` in the last of the files that led here."""
    file = file.resolve()
    if file in above:
        circle = " -> ".join(map(shown, (*above[above.index(file) :], file)))
        raise _problem(node, path, f"files extend each other in a circle: {circle}")


def _listed(presets: Node | None) -> Iterable[Node]:
    if presets is None:
        return ()
    if not isinstance(presets.value, list):
        raise _problem(presets, ("presets",), "expected a list of names")
    return presets.value


def _text(node: Node, path: Path) -> str:
    if not isinstance(node.value, str):
        raise _problem(node, path, f"expected a name, got {node.plain!r}")
    return node.value


def _problem(node: Node, path: Path, message: str) -> InvalidConfigError:
    return InvalidConfigError([Problem(node.origin, path, message)])


def _override(text: str) -> tuple[list[str], str, str]:
    name, equals, value = text.partition("=")
    path = name.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"--set {text}: expected PATH=VALUE, as in ask.fuse.keep=20")
    label = f"--set {name}=***" if names_secret(path[-1]) else f"--set {text}"
    return path, value, label


def _one_layer(changes: Iterable[tuple[Sequence[str], str, str]]) -> Node:
    """Single values, given as (path, text, label), as one layer.

    One, so that a `use` among them drops the options of the layers below, and not the options given along with it.
    """
    layer = written({}, DEFAULT)
    for path, text, label in changes:
        layer = _with(layer, path, parse_value(text, label=label))
    return layer


def _with(node: Node, path: Sequence[str], leaf: Node) -> Node:
    if not path:
        return leaf
    name, rest = path[0], path[1:]
    if isinstance(node.value, list) and name.isdecimal() and int(name) < len(node.value):
        items = list(node.value)
        items[int(name)] = _with(items[int(name)], rest, leaf)
        return replace(node, value=items)
    children = dict(node.value) if isinstance(node.value, dict) else {}
    child = _with(children.get(name, Node({}, leaf.origin)), rest, leaf)
    return Node({**children, name: replace(child, key=leaf.origin)}, leaf.origin)
