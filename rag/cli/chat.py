"""`rag chat`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rag.cli.hints import options_given
from rag.cli.options import AsOption, PipelineOption, SetOption, SourceOption, note, open_pipeline, principals
from rag.cli.terminal import plain


def chat(
    source: SourceOption = None,
    pipeline: PipelineOption = None,
    set_: SetOption = None,
    as_: AsOption = None,
    memory: Annotated[
        Path | None, typer.Option("--memory", metavar="FILE", help="Keep the conversation in this file, and go on.")
    ] = None,
) -> None:
    """Ask several questions in a row; with a language model, a follow-up is understood from the turns before it.

    An empty line, `/quit` or Ctrl-D ends it; `/clear` forgets the turns. Where a model server fails, the conversation
    stays as it was and goes on; the exit code is then 1.
    """
    import io
    import sys

    from rag.cli import render
    from rag.cli.ask import prepare
    from rag.errors import BackendError
    from rag.pipeline.conversation import Conversation

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is piped in may be no text of the locale
    with open_pipeline(pipeline, set_, source) as opened:
        prepare(opened, update=source is not None, options=options_given(pipeline, set_, source))
        opened.warm_up()
        conversation = Conversation(opened, path=memory, principals=principals(as_))
        failed = False
        while (question := _read()) not in (None, "", "/quit"):
            if question == "/clear":
                conversation.clear()
                continue
            try:
                answer = conversation.ask(question)
            except BackendError as error:  # the server may be back for the next one
                failed = True
                note(f"error: {plain(str(error))}")
                continue
            if answer.query != question:
                note(f"asking: {plain(answer.query)}")
            typer.echo(render.answer(answer, locate=opened.locate) + "\n")
    if failed:
        raise typer.Exit(1)


def _read() -> str | None:
    import sys

    try:
        return input("> " if sys.stdin.isatty() and sys.stdout.isatty() else "").strip()
    except EOFError:
        return None
