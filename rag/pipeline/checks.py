"""What the components of one pipeline must agree on. Each rule stands with the spec that it is about."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from rag import library
from rag.config.dump import specs, use_name
from rag.config.problems import Path, dotted
from rag.config.spec import PROMPT
from rag.config.view import Conflict, UnknownValueError, View
from rag.errors import UnknownNameError
from rag.models.language_model_spec import LanguageModelSpec

if TYPE_CHECKING:
    from rag.config.spec import Spec

_SHOWN = {"logprobs": "how probable tokens are", "attention": "a model's attention"}
"""What a tier of language models shows."""


def conflicts(pipeline: Spec, *, wrong: Collection[Path] = ()) -> Iterator[Conflict]:
    """What does not fit together, each with the path of the value that should change. No model is loaded for it.

    `wrong` are paths that hold defaults, since what was written there is wrong; nothing is said about these, nor by a
    rule that looks at them.
    """
    view = View(pipeline, wrong)
    for path, spec in specs(pipeline):
        if view.is_wrong(path):
            continue
        for rule in (
            _missing(spec, path),
            _needs(spec, view, path),
            _unknown_prompts(spec, path),
            spec.conflicts(view, path),
        ):
            try:
                yield from rule
            except UnknownValueError:
                continue


def _missing(spec: Spec, path: Path) -> Iterator[Conflict]:
    if use_name(spec) and (missing := spec.missing()) is not None:
        yield (*path, "use"), missing


def _unknown_prompts(spec: Spec, path: Path) -> Iterator[Conflict]:
    for name, field in type(spec).model_fields.items():
        prompt = getattr(spec, name)
        if PROMPT in field.metadata and prompt is not None:
            try:
                library.find("prompts", prompt)
            except UnknownNameError as error:
                yield (*path, name), error.message


def _needs(spec: Spec, view: View, path: Path) -> Iterator[Conflict]:
    for needed in spec.needs:
        if needed == "llm":
            if view.value("llm") is None:
                message = f"{use_name(spec)!r} asks a language model, the pipeline names none: set `llm`"
                yield (*path, "use"), f"{message}, such as {{use: openai, base_url: ..., model: ...}}"
        elif needed in _SHOWN:
            llm = view.get("llm", LanguageModelSpec)
            if llm is not None and needed not in llm.offers:
                message = f"{use_name(spec)!r} reads {_SHOWN[needed]}, which the language model {llm.use!r}"
                yield (*path, "use"), f"{message} does not show: set `llm` to {_shows(needed)}"
        elif view.value(needed) is None:
            # Null has to be written, so the message has a place; the component that needs it may be a default.
            yield tuple(needed.split(".")), f"is null, but {dotted(path)} ({use_name(spec)}) needs it"


def _shows(tier: str) -> str:
    """The language models that ship and show a tier."""
    from rag.models.specs import BUILT_IN

    return " or ".join(repr(spec.model_fields["use"].default) for spec in BUILT_IN if tier in spec.offers)
