"""The `rag` command. Importing it loads typer and the standard library; commands, imported when asked for, the rest."""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from rag.cli.lazy import LazyGroup
from rag.cli.terminal import escape_unprintable, open_closed_streams

EXIT_CODES = """
Exit codes: 0 done; 1 it failed; 2 the command line is wrong; 3 the sources do not answer the question (ask);
4 some sources could not be read (ingest, rebuild; ingest --strict stops with 1 instead), some questions failed (eval);
130 interrupted; 143 terminated.
"""

COMMANDS = {
    "ask": "rag.cli.ask:ask",
    "search": "rag.cli.search:search",
    "chat": "rag.cli.chat:chat",
    "explain": "rag.cli.explain:explain",
    "ingest": "rag.cli.ingest:ingest",
    "inspect": "rag.cli.inspect:inspect",
    "counts": "rag.cli.counts:counts",
    "doctor": "rag.cli.doctor:doctor",
    "rebuild": "rag.cli.rebuild:rebuild",
    "reward": "rag.cli.reward:reward",
    "init": "rag.cli.init:init",
    "validate": "rag.cli.validate:validate",
    "show": "rag.cli.show:show",
    "graph": "rag.cli.graph:graph",
    "components": "rag.cli.components:components",
    "schema": "rag.cli.schema:schema",
    "serve-llm": "rag.cli.serve_llm:serve_llm",
    "eval": "rag.cli.eval:evaluate",
    "train": "rag.cli.train:train",
    "heads": "rag.cli.heads:heads",
    "cache": "rag.cli.cache:cache",
}


class _Commands(LazyGroup):
    places = COMMANDS


app = typer.Typer(
    name="rag",
    cls=_Commands,
    help="Answers from your documents, cited to the character. Everything runs on this machine by default.",
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ragloom {version('ragloom')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; a `RagError` is a message on standard error and exit code 1, never a traceback.

    So is what the operating system refuses, where it names the file, and a full disk. Ctrl-C is exit code 130, typer
    turns a closed pipe into 1. SIGTERM ends it in order, with 143: an engine that runs in processes of its own is
    closed with the pipeline.
    """
    import os
    import signal

    # To look for plug-ins of pydantic is to read what every installed distribution says of itself.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as under nohup
        signal.signal(signal.SIGINT, interrupt)
    open_closed_streams()
    escape_unprintable(sys.stdout)
    try:
        app()
    except Exception as error:
        if interrupted:  # an extension module that was being loaded made an error of its own of it
            sys.exit(128 + signal.SIGINT)
        message = _message(error)
        if message is None:
            raise
        typer.echo(f"error: {message}", err=True)
        sys.exit(1)


def _message(error: Exception) -> str | None:
    """What to say of an error that needs no traceback."""
    from rag.errors import RagError

    if isinstance(error, RagError):
        return str(error)
    if isinstance(error, OSError) and (error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return f"{error.strerror}" if error.filename is None else f"{error.filename}: {error.strerror}"
    return None
