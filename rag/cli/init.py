"""`rag init`"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer


def init(
    path: Annotated[Path, typer.Argument(help="The file to write, or a folder to write pipeline.yaml in.")] = Path(
        "pipeline.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a commented pipeline.yaml to start from, and the schema that editors complete it from."""
    from rag import library
    from rag.cli.schema import schema
    from rag.errors import ConfigError

    file = path / "pipeline.yaml" if path.is_dir() else path
    text = library.shipped("pipelines").joinpath("hybrid.yaml").read_text(encoding="utf-8")
    schema_file = Path(".ragloom") / "pipeline.schema.json"
    text = text.replace("$schema=pipeline.schema.json", f"$schema={schema_file.as_posix()}", 1)
    if file.resolve().is_relative_to(Path.cwd()):  # what it reads is the working directory: it would find itself
        own = json.dumps(f"/{file.resolve().relative_to(Path.cwd()).as_posix()}", ensure_ascii=False)
        text = text.replace('# exclude: ["drafts/**"]', f'exclude: [{own}]  # or such as "drafts/**"', 1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise ConfigError(f"{file} is already there", hint="--force replaces it") from None
    schema(file.parent / schema_file)
    option = "" if file == Path("pipeline.yaml") else f" -p {shlex.quote(file.as_posix())}"
    typer.echo(f'wrote {file}; next: rag ingest{option}, then rag ask{option} "..."')
