"""The specs refuse in OpenAI's exact words, and describe what they enforce."""

from __future__ import annotations

import math
from typing import Any

import pytest

from clew.core.errors import BadRequest
from clew.wire.checks import (
    NESTING_MAX,
    Anything,
    Choice,
    Either,
    Flag,
    Id,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Number,
    Record,
    Spec,
    Tagged,
    Text,
    Unsupported,
)
from clew.wire.fields import METADATA

PART = Tagged("type", {"text": Record({"type": Choice("text"), "text": Text(5)}, ("type", "text"))})
BODY = Record(
    {
        "store": Flag(),
        "stream": Flag(),
        "n": Integer(1, 100),
        "temperature": Number(0, 2),
        "truncation": Choice("auto", "disabled"),
        "role": Choice("system", "user", "tool"),
        "name": Text(3, 1),
        "slug": Text(pattern="^[a-z]+$"),
        "content": Either(Text(5), ListOf(PART, max_items=2, min_items=1)),
        "metadata": METADATA,
        "after": Id(),
        "any": Anything(),
        "later": Unsupported("Not in this release."),
    }
)

REFUSALS: list[tuple[Any, str | None, str, str]] = [
    (
        {"sto": True},
        "sto",
        "unknown_parameter",
        "Unknown parameter: 'sto'. Did you mean 'store'?",
    ),
    ({"bogus": 1}, "bogus", "unknown_parameter", "Unknown parameter: 'bogus'."),
    ({"xy": 1}, "xy", "unknown_parameter", "Unknown parameter: 'xy'."),
    (
        {"content": [{"type": "text", "txt": "a"}]},
        "content[0].txt",
        "unknown_parameter",
        "Unknown parameter: 'content[0].txt'. Did you mean 'content[0].text'?",
    ),
    (
        {"content": [{"type": "text"}]},
        "content[0].text",
        "missing_required_parameter",
        "Missing required parameter: 'content[0].text'.",
    ),
    (
        {"content": [{"text": "a"}]},
        "content[0].type",
        "missing_required_parameter",
        "Missing required parameter: 'content[0].type'.",
    ),
    (
        {"stream": "yes"},
        "stream",
        "invalid_type",
        "Invalid type for 'stream': expected a boolean, but got a string instead.",
    ),
    (
        {"stream": None},
        "stream",
        "invalid_type",
        "Invalid type for 'stream': expected a boolean, but got null instead.",
    ),
    (
        {"n": True},
        "n",
        "invalid_type",
        "Invalid type for 'n': expected an integer, but got a boolean instead.",
    ),
    (
        {"n": 1.5},
        "n",
        "invalid_type",
        "Invalid type for 'n': expected an integer, but got a decimal number instead.",
    ),
    (
        {"temperature": False},
        "temperature",
        "invalid_type",
        "Invalid type for 'temperature': expected a decimal, but got a boolean instead.",
    ),
    (
        {"name": ["a"]},
        "name",
        "invalid_type",
        "Invalid type for 'name': expected a string, but got an array instead.",
    ),
    (
        {"truncation": {}},
        "truncation",
        "invalid_type",
        "Invalid type for 'truncation': expected a string, but got an object instead.",
    ),
    (
        {"content": 5},
        "content",
        "invalid_type",
        "Invalid type for 'content': expected one of a string or array of objects, "
        "but got an integer instead.",
    ),
    (
        {"content": ["a"]},
        "content[0]",
        "invalid_type",
        "Invalid type for 'content[0]': expected an object, but got a string instead.",
    ),
    (
        {"content": [{"type": ["text"]}]},
        "content[0].type",
        "invalid_type",
        "Invalid type for 'content[0].type': expected a string, but got an array instead.",
    ),
    (
        {"metadata": []},
        "metadata",
        "invalid_type",
        "Invalid type for 'metadata': expected an object, but got an array instead.",
    ),
    (
        {"metadata": {"k": 5}},
        "metadata.k",
        "invalid_type",
        "Invalid type for 'metadata.k': expected a string, but got an integer instead.",
    ),
    ([], None, "invalid_type", "Invalid body: expected an object, but got an array instead."),
    (
        {"truncation": "bogus"},
        "truncation",
        "invalid_value",
        "Invalid value: 'bogus'. Supported values are: 'auto' and 'disabled'.",
    ),
    (
        {"role": "bogus"},
        "role",
        "invalid_value",
        "Invalid value: 'bogus'. Supported values are: 'system', 'user', and 'tool'.",
    ),
    (
        {"content": [{"type": "bogus"}]},
        "content[0].type",
        "invalid_value",
        "Invalid value: 'bogus'. Supported values are: 'text'.",
    ),
    (
        {"n": 1000},
        "n",
        "integer_above_max_value",
        "Invalid 'n': integer above maximum value. Expected a value <= 100, but got 1000 instead.",
    ),
    (
        {"n": 0},
        "n",
        "integer_below_min_value",
        "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    (
        {"temperature": 2.1},
        "temperature",
        "decimal_above_max_value",
        "Invalid 'temperature': decimal above maximum value. "
        "Expected a value <= 2, but got 2.1 instead.",
    ),
    (
        {"temperature": -1},
        "temperature",
        "decimal_below_min_value",
        "Invalid 'temperature': decimal below minimum value. "
        "Expected a value >= 0, but got -1 instead.",
    ),
    (
        {"content": "123456"},
        "content",
        "string_above_max_length",
        "Invalid 'content': string too long. Expected a string with maximum length 5, "
        "but got a string with length 6 instead.",
    ),
    (
        {"name": ""},
        "name",
        "empty_string",
        "Invalid 'name': empty string. Expected a string with minimum length 1, "
        "but got an empty string instead.",
    ),
    (
        {"slug": "A b"},
        "slug",
        "invalid_value",
        "Invalid 'slug': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-z]+$'.",
    ),
    (
        {"content": [{"type": "text", "text": "a"}] * 3},
        "content",
        "array_above_max_length",
        "Invalid 'content': array too long. Expected an array with maximum length 2, "
        "but got an array with length 3 instead.",
    ),
    (
        {"content": []},
        "content",
        "empty_array",
        "Invalid 'content': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
    ),
    (
        {"metadata": {str(n): "" for n in range(17)}},
        "metadata",
        "object_above_max_properties",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
    ),
    (
        {"metadata": {"k": "v" * 600}},
        "metadata.k",
        "string_above_max_length",
        "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, "
        "but got a string with length 600 instead.",
    ),
    (
        {"metadata": {"k" * 65: "v"}},
        "metadata",
        "string_above_max_length",
        f"Invalid property name in 'metadata': '{'k' * 65}' is too long. Expected a string with "
        "maximum length 64, but got a string with length 65 instead.",
    ),
    (
        {"metadata": {"k": "a\0b"}},
        "metadata.k",
        "invalid_value",
        "Invalid 'metadata.k': the character U+0000 is not allowed here.",
    ),
    (
        {"metadata": {"a\0b": "v"}},
        "metadata.a\\u0000b",
        "invalid_value",
        "Invalid 'metadata.a\\u0000b': the character U+0000 is not allowed in a name.",
    ),
    (
        {"content": "\ud800"},
        "content",
        "invalid_value",
        "Invalid 'content': the text is not valid Unicode.",
    ),
    (
        {"any": {"deep": ["\udfff"]}},
        "any.deep[0]",
        "invalid_value",
        "Invalid 'any.deep[0]': the text is not valid Unicode.",
    ),
    (
        {"any": math.inf},
        "any",
        "invalid_value",
        "Invalid 'any': the number is not finite.",
    ),
    (
        {"after": "a b"},
        "after",
        "invalid_value",
        "Invalid 'after': 'a b'. Expected an ID that contains letters, numbers, underscores, or "
        "dashes, but this value contained additional characters.",
    ),
    (
        {"later": None},
        "later",
        "unsupported_parameter",
        "Unsupported parameter: 'later'. Not in this release.",
    ),
]


@pytest.mark.parametrize(("body", "param", "code", "message"), REFUSALS)
def test_refusals_have_openais_words(body: Any, param: str | None, code: str, message: str) -> None:
    """Each kind of mistake is named with OpenAI's text, path and code."""
    with pytest.raises(BadRequest) as caught:
        BODY.check(body)
    error = caught.value
    assert (error.message, error.param, error.wire_code) == (message, param, code)
    assert error.status == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"n": 1},
        {"n": 100},
        {"temperature": 0, "name": "abc", "slug": "abc"},
        {"temperature": 2.0, "stream": False, "role": "tool"},
        {"content": "12345"},
        {"content": [{"type": "text", "text": "Zoë 🧵"}]},
        {"metadata": None},
        {"metadata": {"k" * 64: "v" * 512}},
        {"any": {"schema": [1, 2.5, None, True, "x"]}},
        {"after": "msg_0aZ-9"},
    ],
)
def test_what_is_allowed_passes(body: Any) -> None:
    """Values on the border of what is allowed are let in."""
    BODY.check(body)


def test_unknown_names_come_before_wrong_types() -> None:
    """OpenAI reports a misspelt name before a mistake in another field."""
    with pytest.raises(BadRequest, match="Unknown parameter: 'nmae'"):
        BODY.check({"n": "x", "nmae": 1})


def test_a_path_given_by_the_caller_comes_first() -> None:
    """A spec inside a larger body names the whole way to the mistake."""
    with pytest.raises(BadRequest) as caught:
        BODY.check({"n": 0}, ("thread", "messages", 3))
    assert caught.value.param == "thread.messages[3].n"


def test_at_least_one_of_several_fields() -> None:
    """A record can ask for one of some fields, and null does not count."""
    spec = Record({"a": Nullable(Text()), "b": Nullable(Text())}, any_of=("a", "b"))
    spec.check({"b": "x"})
    with pytest.raises(BadRequest, match="Missing required parameter: 'a'"):
        spec.check({"a": None})


def test_unknown_fields_are_kept_only_when_they_can_be_stored() -> None:
    """Where unknown fields are kept, bad Unicode in their names or values is still refused."""
    spec = Record({}, extra="keep")
    spec.check({"anything": {"goes": [None, 1.5]}})
    for body in ({"\ud800": 1}, {"a": "\ud800"}, {"a": {"\ud800": 1}}, {"a": [math.nan]}):
        with pytest.raises(BadRequest):
            spec.check(body)


def test_nesting_has_a_bottom() -> None:
    """A free-form value nested too deep is refused by its name, not by the interpreter."""
    deep: Any = 0
    for _ in range(NESTING_MAX * 10):
        deep = [deep]
    with pytest.raises(BadRequest, match=f"Invalid 'any': nested more than {NESTING_MAX} levels"):
        BODY.check({"any": deep})


def test_long_values_are_not_said_back_whole() -> None:
    """A refusal is short and encodable, whatever it refuses."""
    with pytest.raises(BadRequest) as caught:
        BODY.check({"truncation": "\ud800" * 10**6})
    assert len(caught.value.message) < 1000
    caught.value.message.encode()


@pytest.mark.parametrize(
    ("spec", "schema"),
    [
        (Text(5, 1), {"type": "string", "minLength": 1, "maxLength": 5}),
        (Text(pattern="^a$"), {"type": "string", "pattern": "^a$"}),
        (Choice("a", "b"), {"type": "string", "enum": ["a", "b"]}),
        (Flag(), {"type": "boolean"}),
        (Integer(1, 9), {"type": "integer", "minimum": 1, "maximum": 9}),
        (Number(0, 2), {"type": "number", "minimum": 0, "maximum": 2}),
        (Integer(), {"type": "integer"}),
        (Nullable(Flag()), {"anyOf": [{"type": "boolean"}, {"type": "null"}]}),
        (
            ListOf(Flag(), 3, 1),
            {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        ),
        (
            MapOf(Text(512), 16, 64),
            {
                "type": "object",
                "additionalProperties": {"type": "string", "maxLength": 512},
                "maxProperties": 16,
                "propertyNames": {"maxLength": 64},
            },
        ),
        (
            Record({"a": Flag()}, ("a",)),
            {
                "type": "object",
                "properties": {"a": {"type": "boolean"}},
                "required": ["a"],
                "additionalProperties": False,
            },
        ),
        (Record({}, extra="keep"), {"type": "object", "properties": {}}),
        (Either(Flag(), Text()), {"anyOf": [{"type": "boolean"}, {"type": "string"}]}),
        (Anything(), {}),
    ],
)
def test_schemas_say_what_is_checked(spec: Spec, schema: dict[str, Any]) -> None:
    """A spec describes itself as JSON Schema with the same limits."""
    assert spec.schema() == schema
