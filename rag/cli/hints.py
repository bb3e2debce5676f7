"""Commands in hints, with the options the user gave: what is pasted has to act on the same pipeline and index."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_COMMAND = re.compile(r"\brag (?:ask|counts|doctor|ingest|inspect|rebuild|search)\b")
_ALONE = re.compile(r"`([^`]+)`")


def options_given(
    pipeline: str | None = None, overrides: Sequence[str] | None = None, source: Path | None = None
) -> str:
    """The options that name a pipeline and its index, as a shell reads them; secrets are not repeated.

    >>> options_given("my pipeline.yaml", ["ask.fuse={use: rrf}"])
    "-p 'my pipeline.yaml' --set 'ask.fuse={use: rrf}'"
    """
    given = [] if source is None else ["-s", str(source)]
    given += [] if pipeline is None else ["-p", pipeline]
    for change in overrides or ():
        given += ["--set", _told(change)]
    return shlex.join(given)


def with_options(hint: str, options: str) -> str:
    """The hint with `options` behind each command in it that works on an index.

    >>> with_options("use the same model, or `rag rebuild --embed-only`", "-p my.yaml")
    'use the same model, or `rag rebuild -p my.yaml --embed-only`'
    """
    return _COMMAND.sub(lambda found: f"{found[0]} {options}", hint) if options else hint


def command_of(hint: str) -> str:
    """A hint that is one command in backquotes without them: a shell would run what the command prints.

    >>> command_of("`rag rebuild`"), command_of("the next `rag ingest` deletes it")
    ('rag rebuild', 'the next `rag ingest` deletes it')
    """
    alone = _ALONE.fullmatch(hint)
    return alone[1] if alone else hint


@contextmanager
def repeating(options: str) -> Iterator[None]:
    """Let the hint of a `RagError` repeat `options`."""
    from rag.errors import RagError

    try:
        yield
    except RagError as error:
        error.hint = with_options(error.hint, options)
        raise


def _told(change: str) -> str:
    from rag.config.problems import names_secret, without_login

    path, _, _ = change.partition("=")
    return f"{path}=***" if names_secret(path.rpartition(".")[2]) else without_login(change)
