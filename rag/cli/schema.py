"""`rag schema`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def schema(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.")] = None,
    built_in: Annotated[bool, typer.Option("--built-in", help="Leave out plug-ins.")] = False,
) -> None:
    """Print the JSON Schema of pipeline files, for editors (the first line of a file names it)."""
    import json

    from rag.pipeline.schema import json_schema

    text = json.dumps(json_schema(plugins=not built_in), indent=1, ensure_ascii=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
