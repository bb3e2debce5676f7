"""The `rag` command. Importing it loads typer and the standard library; commands import what they use."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rag.cli.ask import ask
from rag.cli.cache import cache
from rag.cli.chat import chat
from rag.cli.components import components
from rag.cli.counts import counts
from rag.cli.doctor import doctor
from rag.cli.eval import evaluate
from rag.cli.explain import explain
from rag.cli.graph import graph
from rag.cli.heads import heads
from rag.cli.ingest import ingest
from rag.cli.init import init
from rag.cli.inspect import inspect
from rag.cli.rebuild import rebuild
from rag.cli.reward import reward
from rag.cli.schema import schema
from rag.cli.search import search
from rag.cli.serve_llm import serve_llm
from rag.cli.show import show
from rag.cli.train import train
from rag.cli.validate import validate

EXIT_CODES = """
Exit codes: 0 done; 1 it failed; 2 the command line is wrong; 3 the sources do not answer the question (ask);
4 some sources could not be read (ingest, rebuild; ingest --strict stops with 1 instead), some questions failed (eval);
130 interrupted; 143 terminated.
"""

app = typer.Typer(
    name="rag",
    help="Answers from your documents, cited to the character. Everything runs on this machine by default.",
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel in (
    ask,
    search,
    chat,
    explain,
    ingest,
    inspect,
    counts,
    doctor,
    rebuild,
    reward,
    init,
    validate,
    show,
    graph,
    components,
    schema,
    serve_llm,
):
    app.command()(panel)
app.command("eval")(evaluate)
app.add_typer(train)
app.add_typer(heads)
app.add_typer(cache)


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

    Typer turns Ctrl-C into exit code 130 and a closed pipe into 1. SIGTERM ends it in order, with 143: an engine that
    runs in processes of its own is closed with the pipeline.
    """
    import signal

    from rag.errors import RagError

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app()
    except RagError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
