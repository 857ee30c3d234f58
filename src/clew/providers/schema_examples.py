"""The plainest value a JSON schema allows, made from the schema alone: same schema, same value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPTH_MAX = 16
"""A schema that requires itself has no smallest value; deeper than this, null stands for it."""


def example(schema: Mapping[str, Any], name: str = "value") -> Any:
    """A value for the schema: its required properties alone, strings that say their own name."""
    return _example(schema, name, schema, 0)


def _example(schema: Any, name: str, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > DEPTH_MAX:
        return None
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return _example(_referred(str(schema["$ref"]), root), name, root, depth + 1)
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _example(schema[choice][0], name, root, depth + 1)
    return _of_type(schema, name, root, depth)


def _of_type(schema: Mapping[str, Any], name: str, root: Mapping[str, Any], depth: int) -> Any:
    match _type(schema):
        case "object":
            properties = schema.get("properties") or {}
            return {
                key: _example(properties.get(key, {}), key, root, depth + 1)
                for key in schema.get("required") or ()
            }
        case "array":
            one = _example(schema.get("items", {}), name, root, depth + 1)
            return [one] * int(schema.get("minItems", 0))
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case "null":
            return None
    return name


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    return str(kind if isinstance(kind, str) else kind[0])


def _referred(pointer: str, root: Mapping[str, Any]) -> Any:
    """What a `#/$defs/…` pointer names; pointers out of the schema name nothing here."""
    found: Any = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step) if isinstance(found, Mapping) else None
    return found
