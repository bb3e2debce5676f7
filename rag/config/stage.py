"""A field that holds one component of a stage, chosen by its `use`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, get_args, get_origin

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from rag import registry
from rag.config.spec import Spec
from rag.errors import ConfigError

STAGE_KEY = "x-rag-stage"
"""Where the JSON Schema of such a field names its stage; `rag.pipeline.schema` puts the stage's components there."""


@dataclass(frozen=True, slots=True)
class Use:
    """``Annotated[FuserSpec, Use("fuse")]``: a discriminated union on `use` over every known component of the stage.

    Unlike pydantic's own union it is open: a name that is not built in is looked up in the registry when it is met. An
    instance of the stage's base class is taken as it is.
    """

    stage: str

    def __get_pydantic_core_schema__(self, base: type[Spec], handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: object) -> Spec:
            return value if isinstance(value, base) else self._read(value)

        return core_schema.no_info_plain_validator_function(
            validate,
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, serialize: serialize(value), schema=core_schema.any_schema()
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {STAGE_KEY: self.stage}

    def _read(self, value: object) -> Spec:
        if not isinstance(value, Mapping):
            named = isinstance(value, str) and value in registry.names(self.stage, plugins=False)
            example = f": {{use: {value}}}" if named else ""
            raise PydanticCustomError("component", "expected a mapping with `use`{example}", {"example": example})
        name = value.get("use")
        if not isinstance(name, str):
            noun, known = registry.find_stage(self.stage).noun, ", ".join(registry.names(self.stage, plugins=False))
            found = "`use` is missing" if name is None else f"`use` is {name!r}"
            raise _problem_at_use(value, f"{found}; it names the {noun} (known: {known or 'none'})")
        try:
            spec = registry.find(self.stage, name)
        except ConfigError as error:
            raise _problem_at_use(value, error.message) from error
        assert issubclass(spec, Spec)  # the registry checks it
        return spec.model_validate(dict(value))


def use_of(annotation: object) -> Use | None:
    """The `Use` in a type, under any ``tuple`` or ``| None``."""
    if get_origin(annotation) is Annotated:
        for mark in get_args(annotation)[1:]:
            if isinstance(mark, Use):
                return mark
    return next((use for part in get_args(annotation) if (use := use_of(part)) is not None), None)


def use_of_field(field: FieldInfo) -> Use | None:
    """The `Use` of a field; pydantic takes the outermost one off the type."""
    return next((mark for mark in field.metadata if isinstance(mark, Use)), None) or use_of(field.annotation)


def _problem_at_use(value: object, message: str) -> ValidationError:
    # The message goes in as a value: in a template, a brace would begin a field.
    problem = PydanticCustomError("component", "{message}", {"message": message})
    return ValidationError.from_exception_data("component", [InitErrorDetails(type=problem, loc=("use",), input=value)])
