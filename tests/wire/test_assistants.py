"""Assistants: settings in, settings out, nothing left unsaid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from openai.types.beta import Assistant as AssistantObject

from clew.core.errors import BadRequest
from clew.wire import assistants
from clew.wire.assistants import decode_assistant, decode_changes, encode_assistant

from .official import strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_999
FUNCTION = {
    "type": "function",
    "function": {"name": "refund", "parameters": {"type": "object"}, "strict": None},
}


def test_defaults_are_filled_in() -> None:
    """An assistant of a model alone has every field OpenAI returns."""
    body = encode_assistant(decode_assistant({"model": "m"}, NOW))
    assert body.pop("id").startswith("asst_")
    assert body == {
        "object": "assistant",
        "created_at": 1_700_000_000,
        "model": "m",
        "name": None,
        "description": None,
        "instructions": None,
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "response_format": "auto",
        "reasoning_effort": None,
    }


def test_null_means_the_default() -> None:
    """Where null is allowed it means the same as saying nothing."""
    nulls = dict.fromkeys(("temperature", "top_p", "response_format", "metadata", "name"))
    one, two = decode_assistant({"model": "m", **nulls}, NOW), decode_assistant({"model": "m"}, NOW)
    assert one.settings == two.settings


def test_every_setting_comes_back() -> None:
    """What was set is given back unchanged."""
    body = {
        "model": "m",
        "name": "n" * 256,
        "description": "d" * 512,
        "instructions": "i",
        "tools": [
            FUNCTION,
            {"type": "code_interpreter"},
            {
                "type": "file_search",
                "file_search": {"max_num_results": 50, "ranking_options": {"score_threshold": 0}},
            },
        ],
        "tool_resources": {"code_interpreter": {"file_ids": ["file-1"] * 20}},
        "metadata": {"a": "b"},
        "temperature": 0,
        "top_p": 0.5,
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "reasoning_effort": "low",
    }
    encoded = encode_assistant(decode_assistant(body, NOW))
    assert {name: encoded[name] for name in body} == body
    strict(AssistantObject, encoded)


def test_changes_name_only_what_changes() -> None:
    """An update leaves out what it does not name, and null puts the default back."""
    assert decode_changes({"name": "x"}) == {"name": "x"}
    assert decode_changes({"temperature": None, "name": None}) == {"temperature": 1.0, "name": None}


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "model", "missing_required_parameter"),
        ({"model": ""}, "model", "empty_string"),
        ({"model": "a\0"}, "model", "invalid_value"),
        ({"model": "m", "name": "n" * 257}, "name", "string_above_max_length"),
        ({"model": "m", "description": "d" * 513}, "description", "string_above_max_length"),
        ({"model": "m", "instructions": "i" * 256_001}, "instructions", "string_above_max_length"),
        ({"model": "m", "tools": [FUNCTION] * 129}, "tools", "array_above_max_length"),
        ({"model": "m", "tools": None}, "tools", "invalid_type"),
        ({"model": "m", "tools": [{"type": "retrieval"}]}, "tools[0].type", "invalid_value"),
        (
            {"model": "m", "tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "invalid_value",
        ),
        (
            {"model": "m", "tools": [{"type": "file_search", "file_search": {"top": 1}}]},
            "tools[0].file_search.top",
            "unknown_parameter",
        ),
        ({"model": "m", "temperature": 2.5}, "temperature", "decimal_above_max_value"),
        ({"model": "m", "top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"model": "m", "response_format": "json"}, "response_format", "invalid_value"),
        ({"model": "m", "reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
        ({"model": "m", "file_ids": []}, "file_ids", "unknown_parameter"),
    ],
)
def test_bad_assistants_are_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    """A setting out of its limits is refused with its name."""
    with pytest.raises(BadRequest) as caught:
        decode_assistant(body, NOW)
    assert (caught.value.param, caught.value.wire_code) == (param, code)


@given(allowed(assistants.CREATE))
@examples(75)
def test_whatever_is_let_in_can_be_read_back(body: dict[str, Any]) -> None:
    """Every assistant the spec allows comes back as the SDK types it."""
    assert (
        strict(AssistantObject, encode_assistant(decode_assistant(body, NOW))).model
        == body["model"]
    )


@given(bodies_like(["model", "tools", "type", "function", "name", "response_format", "metadata"]))
@examples(150)
def test_no_body_breaks_the_decoders(body: Any) -> None:
    """Whatever comes as an assistant, the answer is an assistant or a refusal."""
    for decode in (lambda: decode_assistant(body, NOW), lambda: decode_changes(body)):
        result: Any = None
        try:
            result = decode()
        except BadRequest as error:
            error.message.encode()
        assert result is None or isinstance(body, dict)
