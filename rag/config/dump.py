"""Specs as plain values and as YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

from rag.config.problems import Origin, Path, dotted, holds_secret, names_secret, without_login
from rag.config.spec import Spec
from rag.config.variables import escaped
from rag.config.yaml import Plain, scalar

Mapped: TypeAlias = dict[str, Plain]


def plain(spec: Spec, *, full: bool = False) -> Mapped:
    """The values of a spec, in the order of its fields, as YAML and JSON can hold them.

    Without `full`, what equals its default is left out, but for every `use`.
    """
    values = spec.model_dump(mode="json")
    dumped: Mapped = {}
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        default = field.get_default(call_default_factory=True, validated_data=dict(spec))
        if full or name == "use" or field.is_required() or value != default:
            dumped[name] = _value(value, cast(Plain, values[name]), full=full)
    return dumped


def selections(spec: Spec) -> Mapped:
    """Which component each stage of a spec uses, without their options."""
    chosen: Mapped = {}
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if name == "use":
            chosen[name] = value
        elif isinstance(value, Spec) and (inner := selections(value)):
            chosen[name] = inner
        elif isinstance(value, tuple) and all(isinstance(item, Spec) for item in value):
            chosen[name] = [selections(item) for item in value]
    return chosen


def specs(spec: Spec, path: Path = ()) -> Iterator[tuple[Path, Spec]]:
    """Every spec in a spec, with its path."""
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        for at, item in enumerate(value) if isinstance(value, tuple) else [(None, value)]:
            if isinstance(item, Spec):
                inner = (*path, name) if at is None else (*path, name, at)
                yield inner, item
                yield from specs(item, inner)


def components(spec: Spec) -> Iterator[tuple[Path, Spec]]:
    """Every component in a spec, with its path."""
    return ((path, inner) for path, inner in specs(spec) if "use" in type(inner).model_fields)


def use_name(spec: Spec) -> str:
    """The `use` of a component's spec, or an empty string where it is none."""
    return str(getattr(spec, "use", ""))


def to_yaml(values: Mapped) -> str:
    """Block style, keys in their order, text quoted where YAML 1.1 or 1.2 would read something else.

    The text is that of a pipeline file: a ``${`` in a value is written so that it stays one.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)  # the items of a list stand under their key, indented

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        style = None if isinstance(scalar(value), str) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(escaped(values), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return dumped


def shown(value: Plain, path: Path, origins: Mapping[str, Origin] | None = None) -> Plain:
    """A value as it may be printed: secrets and logins hidden, by the name of the value or of its ``${VAR}``."""
    if isinstance(value, dict):
        return {name: shown(child, (*path, name), origins) for name, child in value.items()}
    if isinstance(value, list):
        return [shown(child, (*path, at), origins) for at, child in enumerate(value)]
    origin = (origins or {}).get(dotted(path))
    if value is not None and (holds_secret(path) or (origin is not None and names_secret(origin.variable))):
        return "***"
    return without_login(value) if isinstance(value, str) else value


def _value(value: object, dumped: Plain, *, full: bool) -> Plain:
    if isinstance(value, Spec):
        return plain(value, full=full)
    if isinstance(value, list | tuple) and isinstance(dumped, list):
        return [_value(item, other, full=full) for item, other in zip(value, dumped, strict=True)]
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        return {key: _value(value[key], dumped[key], full=full) for key in dumped}
    return dumped
