"""The tree of errors. One class for each reaction a caller can have.

RagError                      .message .hint .where
├── ConfigError               the YAML, an environment variable or a flag is wrong
│   └── UnknownNameError      no such stage, preset, pipeline or prompt; near names are offered
├── SourceError               a document could not be read: which source, why
├── StoreError                something is wrong with an index directory
│   ├── IndexNotFoundError
│   ├── IndexLockedError      another process writes; its pid
│   ├── IndexMismatchError    the pipeline's model, revision, dimension or schema is not the index's
│   └── IndexCorruptError     the file, what was expected, what was found
├── ModelError                a model is there but cannot be used as asked
│   ├── ModelNotFoundError
│   ├── StructureError        its reply does not fit the schema it was asked for
│   └── MissingExtraError     pip install "ragloom[hf]"
├── BackendError              a model server failed: unreachable, refused, timed out
│   └── CountsUnavailableError  a count service failed, or cannot count what was asked
└── PromptError               a template asks for a field that does not exist
"""

from __future__ import annotations


class RagError(Exception):
    """The root. `hint` says what to do about it, `where` names file, line and column if there are any."""

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ConfigError(RagError):
    """A pipeline file, an environment variable or a flag is wrong. Holds every problem found, one a line."""


class UnknownNameError(ConfigError):
    """A name that no registry knows."""


class SourceError(RagError):
    """One document could not be read. Ingest reports it and goes on."""

    def __init__(self, message: str, *, source: str, hint: str = "") -> None:
        super().__init__(message, hint=hint, where=source)
        self.source = source


class StoreError(RagError):
    """Something is wrong with an index directory."""


class IndexNotFoundError(StoreError):
    """There is no index at the path."""


class IndexLockedError(StoreError):
    """Another process is writing to the index."""


class IndexMismatchError(StoreError):
    """The index was made by another model, or another version of its format."""


class IndexCorruptError(StoreError):
    """A file that holds the truth is damaged."""


class ModelError(RagError):
    """A model is there but cannot be used as asked."""


class ModelNotFoundError(ModelError):
    """No weights were found for a model's name."""


class MissingExtraError(ModelError):
    """A package of an optional extra is not installed."""

    def __init__(self, package: str, *, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs the package {package!r}", hint=f'pip install "ragloom[{extra}]"')
        self.package = package
        self.extra = extra


class BackendError(RagError):
    """A model server failed."""


class StructureError(ModelError):
    """A model was asked for an answer in a schema, and what it wrote does not fit it."""


class CountsUnavailableError(BackendError):
    """A service that counts phrases failed, or cannot count what was asked. Counts are never guessed."""


class PromptError(RagError):
    """A prompt template asks for a field that does not exist."""
