"""`rag show`"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Origin
    from rag.config.yaml import Plain


def show(
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|NAME]", help="Default: ./pipeline.yaml if it is there, else 'hybrid'."),
    ] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Every effective value, defaults included.")] = False,
    origin: Annotated[bool, typer.Option("--origin", help="One value a line, with where it was written.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override one value. Repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; with --origin, one line a value.")] = False,
) -> None:
    """Show a pipeline after extends, presets, environment and --set have been put together. Secrets are hidden."""
    from rag.cli.places import default_pipeline
    from rag.config.dump import plain, shown, to_yaml
    from rag.pipeline.spec import load_spec

    loaded = load_spec(pipeline or default_pipeline(), overrides=set_ or ())
    values = {"version": loaded.spec.version, **plain(loaded.spec, full=resolved)}
    told = {name: shown(value, (name,), loaded.origins) for name, value in values.items()}
    if origin:
        rows = [(path, value, loaded.origins.get(path)) for path, value in _leaves(told, "")]
        typer.echo(_json_rows(rows) if json else _table(rows))
    elif json:
        typer.echo(_dumps(told))
    else:
        typer.echo(to_yaml(told), nl=False)


def _leaves(value: Plain, path: str) -> Iterator[tuple[str, Plain]]:
    if isinstance(value, dict) and value:
        for name, child in value.items():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for at, child in enumerate(value):
            yield from _leaves(child, f"{path}.{at}")
    else:
        yield path, value


def _table(rows: list[tuple[str, Plain, Origin | None]]) -> str:
    cells = [(path, _dumps(value), _where(origin)) for path, value, origin in rows]
    first = max(len(path) for path, _, _ in cells)
    second = min(max(len(value) for _, value, _ in cells), 40)
    return "\n".join(f"{path:<{first}}  {value:<{second}}  {where}" for path, value, where in cells)


def _json_rows(rows: list[tuple[str, Plain, Origin | None]]) -> str:
    return "\n".join(_dumps({"path": path, "value": value, "origin": _where(origin)}) for path, value, origin in rows)


def _where(origin: Origin | None) -> str:
    if origin is None:
        return "default"
    return f"{origin} (${{{origin.variable}}})" if origin.variable else str(origin)


def _dumps(value: Plain) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
