"""Options that several commands share, and the pipeline they open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from rag.cli.hints import options_given, repeating
from rag.cli.places import default_pipeline

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.pipeline.pipeline import Pipeline
    from rag.types import Condition

PipelineOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--pipeline",
        "-p",
        metavar="FILE|NAME",
        help="A pipeline file or the name of one that ships. Default: ./pipeline.yaml if it is there, else 'hybrid'.",
    ),
]
SetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override one value, as in ask.fuse.keep=20. Repeatable."),
]
SourceOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--source", "-s", metavar="DIR|FILE", help="Answer from this folder or file; it is indexed first if needed."
    ),
]
IndexOfOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--source", "-s", metavar="DIR|FILE", help="The index that `rag ask --source` made of it."),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON (docs/json-output.md).")]
FilterOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--filter", metavar="CONDITION", help="""Only documents with this metadata: year >= 2020 and lang = "en"."""
    ),
]
AsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--as", metavar="PRINCIPAL", help="Only documents whose access list names this principal. Repeatable."
    ),
]


@contextmanager
def open_pipeline(pipeline: str | None, overrides: list[str] | None, source: Path | None = None) -> Iterator[Pipeline]:
    """The pipeline that the options name; with `source`, its connectors replaced by that folder or file.

    The index of a `source` lies under ``.ragloom/`` in the working directory, one for each folder, so that the next
    question finds it again. What fails inside names commands with the options that were given.
    """
    from rag.pipeline.pipeline import Pipeline

    name = pipeline or default_pipeline()
    changes = list(overrides or ())
    if source is not None:
        changes = source_overrides(source) + changes
    with (
        repeating(options_given(pipeline, overrides, source)),
        Pipeline.from_yaml(name, overrides=changes) as opened,
    ):
        yield opened


def source_overrides(source: Path) -> list[str]:
    """The ``--set`` lines that make a pipeline read `source`.

    Raises:
        ConfigError: there is no such folder or file.
    """
    import json
    from hashlib import blake2b

    from rag.errors import ConfigError

    if not source.exists():
        raise ConfigError(f"--source {source}: there is no such folder or file")
    path = source.resolve()
    name = f"{path.name or 'root'}-{blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    load = json.dumps([{"use": "files", "root": str(source)}])
    return [f"ingest.load={load}", f"ingest.index.path={json.dumps(str(Path('.ragloom') / name))}"]


def condition(text: str | None) -> Condition | None:
    if text is None:
        return None
    from rag.index.filters import parse_filter

    return parse_filter(text)


def note_unknown_fields(asked: Condition | None, reader: Reader) -> None:
    """What a condition asks for and nothing in the index has: a misspelt name finds nothing, and is no error."""
    if asked is None:
        return
    from rag.registry import near

    known = reader.fields()
    for name in sorted(_fields(asked) - known):
        close = near(name, known)
        note(f"--filter: no document has {name!r}" + (f"; did you mean {close!r}?" if close else ""))


def _fields(asked: Condition) -> set[str]:
    return {asked.field} - {""} | {name for part in asked.parts for name in _fields(part)}


def principals(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def note(text: str) -> None:
    """A line for the person at the terminal, on standard error."""
    typer.echo(text, err=True)


def colours() -> bool:
    """Whether to colour what goes to standard output."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
