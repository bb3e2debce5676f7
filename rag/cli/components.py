"""`rag components`"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rag.cli.describe import Option


def components(
    stage: Annotated[str | None, typer.Argument(metavar="[STAGE]", help="One stage, such as rerank.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="With the options of each.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line a component.")] = False,
) -> None:
    """List what each stage of a pipeline can use: what ships and what plug-ins add."""
    from rag.registry import STAGES, find_stage

    for name in [find_stage(stage).name] if stage else STAGES:
        rows = _rows(name)
        if json:
            for row in rows:
                typer.echo(_json(row))
        else:
            typer.echo(f"{STAGES[name].place}:")
            width = max((len(row.name) for row in rows), default=0)
            for row in rows:
                typer.echo(f"  {row.name:<{width}}  {row.line()}".rstrip())
                if verbose:
                    _echo_options(row)
            if not rows:
                typer.echo("  (none ships; plug-ins add them)")


@dataclass(frozen=True, slots=True)
class Row:
    """A component as it is listed; `problem` says why a plug-in cannot be used."""

    stage: str
    name: str
    summary: str
    plugin: str
    options: list[Option]
    problem: str = ""

    def line(self) -> str:
        origin = f" [plug-in: {self.plugin}]" if self.plugin else ""
        return f"broken: {self.problem}" if self.problem else f"{self.summary}{origin}"


def _rows(stage: str) -> list[Row]:
    from rag import registry
    from rag.cli import describe
    from rag.errors import ConfigError

    rows: list[Row] = []
    for name, plugin in registry.names(stage).items():
        try:
            spec = registry.find(stage, name)
        except ConfigError as error:
            rows.append(Row(stage, name, "", plugin, [], problem=error.message))
        else:
            rows.append(Row(stage, name, describe.summary(spec), plugin, describe.options(spec)))
    return rows


def _echo_options(row: Row) -> None:
    for option in row.options:
        default = "required" if option.default is None else f"default {option.default}"
        typer.echo(f"      {option.name}: {option.values.replace('`', '')}; {default}. {option.doc}")


def _json(row: Row) -> str:
    import json

    return json.dumps(asdict(row), ensure_ascii=False)
