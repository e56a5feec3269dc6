"""Fields of a recipe whose type is a plug-in's spec."""

from __future__ import annotations

import functools
import json
import operator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from edgedistill.contracts import loss, registry, student, task_spec
from edgedistill.spec import Spec, UnionOfSpecs


@dataclass(frozen=True)
class PluginUnion(UnionOfSpecs):
    """Marks a field whose type is the closed union of the specs of a plug-in group, told apart by `key`.

    The union is built when a recipe is read: importing this module imports no plug-in, so a plug-in may import it.
    """

    group: Literal["tasks", "losses", "students"]
    key: str

    def specs(self) -> tuple[type[Spec], ...]:
        """The specs of all usable plug-ins of the group."""
        return tuple(registry.specs(self.group).values())

    def adapter(self) -> TypeAdapter[Spec]:
        """The validator of the union."""
        return _union(self.key, self.specs())

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(given: object, info: core_schema.ValidationInfo) -> Spec:
            # Strict specs refuse a list for a tuple, but JSON has only lists.
            if info.mode == "json":
                return self.adapter().validate_json(json.dumps(given))
            return self.adapter().validate_python(given)

        return core_schema.with_info_plain_validator_function(read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        return handler(self.adapter().core_schema)


@functools.cache
def _union(key: str, specs: tuple[type[Spec], ...]) -> TypeAdapter[Spec]:
    union = functools.reduce(operator.or_, specs)
    return TypeAdapter(Annotated[union, Field(discriminator=key)])  # type: ignore[arg-type]  # a type made of values


TaskSpec = Annotated[task_spec.TaskSpec, PluginUnion("tasks", "type")]


LossSpec = Annotated[loss.LossSpec, PluginUnion("losses", "kind")]


StudentSpec = Annotated[student.StudentSpec, PluginUnion("students", "init")]
