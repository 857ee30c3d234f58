"""The plainest value a JSON schema allows."""

from typing import Any

import pytest

from clew.providers.schema_examples import example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "value"),
        ({"type": "integer"}, 0),
        ({"type": "number", "minimum": 2.5}, 2.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "value"),
        ({"enum": ["eur", "usd"]}, "eur"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 5}, 5),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"type": "object"}, {}),
        ({}, "value"),
        (True, None),
    ],
)
def test_every_kind_of_schema_has_a_plain_value(schema: Any, value: Any) -> None:
    assert example({"type": "object", "required": ["value"], "properties": {"value": schema}}) == {
        "value": value
    }


def test_only_required_properties_are_made_and_text_says_its_own_name() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
        "required": ["city"],
    }
    assert example(schema) == {"city": "city"}


def test_a_definition_is_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"place": {"$ref": "#/$defs/Place"}},
        "required": ["place"],
        "$defs": {"Place": {"properties": {"lat": {"type": "number"}}, "required": ["lat"]}},
    }
    assert example(schema) == {"place": {"lat": 0}}


def test_a_schema_that_requires_itself_comes_to_an_end() -> None:
    schema = {"properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    value, depth = example(schema), 0
    while value is not None:
        value, depth = value["next"], depth + 1
    assert depth > 0
