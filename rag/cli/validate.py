"""`rag validate`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rag.errors import ConfigError
    from rag.pipeline.spec import Loaded


def validate(
    pipelines: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE|NAME]...", help="Default: ./pipeline.yaml if it is there, else 'hybrid'."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override one value. Repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line a pipeline.")] = False,
) -> None:
    """Check pipeline files; every problem is reported with its place. Loads no model."""
    from rag.cli.places import default_pipeline
    from rag.errors import ConfigError
    from rag.pipeline.spec import load_spec

    failed = False
    for name in pipelines or [default_pipeline()]:
        try:
            loaded = load_spec(name, overrides=set_ or ())
        except ConfigError as error:
            failed = True
            typer.echo(_json(name, error=error) if json else str(error))
        else:
            typer.echo(_json(name) if json else _ok(name, loaded))
    if failed:
        raise typer.Exit(1)


def _ok(name: str, loaded: Loaded) -> str:
    from rag.config.dump import components
    from rag.config.problems import DEFAULT

    written = sum(origin != DEFAULT for origin in loaded.origins.values())
    used = sum(1 for _ in components(loaded.spec))
    *under, _ = (Path(file).stem for file in loaded.files)
    layers = f" in it and under it ({', '.join(reversed(under))})" if under else ""
    return f"{name}: ok, {used} components, {written} values written{layers}"


def _json(name: str, *, error: ConfigError | None = None) -> str:
    import json

    from rag.config.problems import InvalidConfigError

    problems: Sequence[dict[str, str | int | None]] = []
    if isinstance(error, InvalidConfigError):
        problems = [problem.record() for problem in error.problems]
    elif error is not None:
        problems = [{"file": None, "line": None, "column": None, "path": "", "message": error.message}]
    return json.dumps({"pipeline": name, "ok": error is None, "problems": problems}, ensure_ascii=False)
