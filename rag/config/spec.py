"""The base of every stage's options."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

if TYPE_CHECKING:
    from rag.config.problems import Path
    from rag.config.view import Conflict, View

Trait: TypeAlias = Literal["several-queries", "other-indexes", "quotes", "abstains"]
"""What rules of one stage ask about the components of another: a transform may make several queries of one; what a
retriever finds lies in other indexes than the pipeline's own; a generator quotes, no language model writes; it says
nothing without evidence."""

PROMPT: Final = "the name of a prompt template"
"""Marks an option (``Annotated[str, PROMPT]``) whose value is looked for when a pipeline is validated."""

PromptName: TypeAlias = Annotated[str, PROMPT]


class Spec(BaseModel):
    """Typed options of one component: the schema, the documentation and the factory in one class.

    A stage's specs derive from the stage's own base (`FuseSpec`, `RerankSpec`, ...), name themselves by a ``Literal``
    field `use`, and make their component in ``build(resources)``, which alone imports the implementation. Unknown keys
    are refused; instances never change.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """What must be there for it to work: a path that must not be null (``ingest.index.dense``), any ``llm``, or
    one that shows more: ``logprobs``, ``attention`` (`rag.models.llm.Tier`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def missing(self) -> str | None:
        """What is not installed that the component cannot do without, and how to get it; ``None`` if all is there.

        Asked when a pipeline is validated, so it looks for packages and files and imports nothing.
        """
        return None

    @property
    def traits(self) -> frozenset[Trait]:
        """What is true of it that rules of other stages ask about."""
        return frozenset()

    def conflicts(self, pipeline: View, path: Path) -> Iterable[Conflict]:
        """What in the pipeline around it does not go with it, beyond `needs`; each with the path of what should change.

        Asked when a pipeline is validated, of every spec in it. `path` is where this one stands.
        """
        return ()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        from rag.config.docs import field_docs

        made = handler(schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, text in field_docs(cls).items():
            properties[name]["description"] = text
        return made
