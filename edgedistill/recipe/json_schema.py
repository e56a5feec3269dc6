"""The recipe's JSON schema, for editors and for the reference: types, bounds, defaults, and what each key means."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from edgedistill.recipe.schema import Recipe


class _WithDocstrings(GenerateJsonSchema):
    """Descriptions are the docstrings below the fields. pydantic's `use_attribute_docstrings` would read every class's
    source whenever a recipe is read, which doubles the start-up time of the command line."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model = schema["cls"]
        for name, text in _docstrings(model).items():
            field = model.model_fields.get(name)
            properties = found.get("properties", {})
            key = name if field is None or field.alias is None else field.alias
            if key in properties:
                properties[key]["description"] = text
        for entry in found.get("properties", {}).values():
            entry.pop("title", None)
        return found


def json_schema() -> JsonSchemaValue:
    """The schema of recipes, including installed plug-ins."""
    found = Recipe.model_json_schema(schema_generator=_WithDocstrings)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The docstring of each field, from the class or a base class."""
    texts: dict[str, str] = {}
    for kind in reversed(model.__mro__):
        if not issubclass(kind, BaseModel) or kind is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in pairwise(body.body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                match below:
                    case ast.Expr(value=ast.Constant(value=str() as text)):
                        texts[field.target.id] = " ".join(text.split())
    return texts
