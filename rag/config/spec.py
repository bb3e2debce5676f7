"""The base of every stage's options."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Typed options of one component: the schema, the documentation and the factory in one class.

    A stage's specs derive from the stage's own base (`FuseSpec`, `RerankSpec`, ...), name themselves by a ``Literal``
    field `use`, and make their component in ``build(resources)``, which alone imports the implementation. Unknown keys
    are refused; instances never change.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """For a component of ``ask``: what must not be null under ``ingest`` for it to work, as ``ingest.index.dense``."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
