"""What a request about a response may say, and in which words it is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.types.responses import Response

from clew.core.errors import BadRequest
from clew.core.items import message
from clew.core.runs import Run
from clew.wire.checks import Record, Tagged
from clew.wire.item_tools import ITEM_TOOL
from clew.wire.response_requests import (
    COMPACT,
    COUNT,
    CREATE,
    GET,
    check_compact,
    check_count,
    check_create,
    check_read,
    conversation_id,
    decode_input,
    references,
)
from clew.wire.responses import decode_response, encode_response
from clew.wire.tools import FLAT_TOOL

from .official import strict
from .strategies import allowed, bodies_like, examples, of_kind

NOW = 1_700_000_000_999
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}


def refused(body: dict[str, Any]) -> tuple[str, str | None, str | None]:
    """Message, param and code of the refusal of a request to create a response."""
    with pytest.raises(BadRequest) as refusal:
        accepted(body)
    return refusal.value.message, refusal.value.param, refusal.value.wire_code


def accepted(body: dict[str, Any]) -> None:
    given = {"model": "m", "input": "x", **body}
    CREATE.check(given)
    check_create(given)


@pytest.mark.parametrize(
    ("body", "id"),
    [
        ({}, None),
        ({"conversation": None}, None),
        ({"conversation": "conv_1"}, "conv_1"),
        ({"conversation": {"id": "conv_1"}}, "conv_1"),
    ],
)
def test_the_conversation_a_request_names(body: dict[str, Any], id: str | None) -> None:
    """By its id, or by an object with its id."""
    assert conversation_id(body) == id


def test_the_input() -> None:
    """A string is one user message, a list its items in order, nothing is nothing."""
    assert decode_input({}, NOW) == decode_input({"input": None}, NOW) == []
    (said,) = decode_input({"input": "hi"}, NOW)
    assert (said.kind, said.text(), said.id[:4]) == ("user", "hi", "msg_")
    given = [
        {"role": "developer", "content": "be kind"},
        CALL,
        {"type": "function_call_output", "call_id": "c", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "1"},
    ]
    kinds = [item.kind for item in decode_input({"input": given}, NOW)]
    assert kinds == [
        "developer",
        "function_call",
        "function_call_output",
        "custom_tool_call_output",
    ]


def test_references_are_no_new_items() -> None:
    """What the input only refers to is there already."""
    body = {
        "input": [
            {"type": "item_reference", "id": "rs_1"},
            {"role": "user", "content": "go on"},
            {"type": "item_reference", "id": "msg_1"},
        ]
    }
    CREATE.check({"model": "m", **body})
    assert references(body) == ["rs_1", "msg_1"]
    assert [item.text() for item in decode_input(body, NOW)] == ["go on"]
    assert references({"input": "x"}) == references({}) == []


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"model": None}, "model", "invalid_type"),
        ({"model": ""}, "model", "empty_string"),
        ({"input": []}, "input", "empty_array"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id", "missing_required_parameter"),
        (
            {"input": [{"type": "message", "role": "user"}]},
            "input[0].content",
            "missing_required_parameter",
        ),
        ({"instructions": 1}, "instructions", "invalid_type"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"top_p": -1}, "top_p", "decimal_below_min_value"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
        ({"max_tool_calls": 0}, "max_tool_calls", "integer_below_min_value"),
        ({"conversation": {}}, "conversation.id", "missing_required_parameter"),
        ({"previous_response_id": "a b"}, "previous_response_id", "invalid_value"),
        ({"background": "yes"}, "background", "invalid_type"),
        ({"store": "no"}, "store", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"stream_options": {"x": 1}}, "stream_options.x", "unknown_parameter"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls", "invalid_type"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
        ({"reasoning": {"context": "some"}}, "reasoning.context", "invalid_value"),
        ({"reasoning": {"depth": 1}}, "reasoning.depth", "unknown_parameter"),
        ({"truncation": "bogus"}, "truncation", "invalid_value"),
        ({"include": ["everything"]}, "include[0]", "invalid_value"),
        ({"prompt": {}}, "prompt.id", "missing_required_parameter"),
        ({"prompt": {"id": "p", "variables": {"a": 1}}}, "prompt.variables.a", "invalid_type"),
        ({"context_management": []}, "context_management", "empty_array"),
        (
            {"context_management": [{"type": "forgetting"}]},
            "context_management[0].type",
            "invalid_value",
        ),
        (
            {"context_management": [{"type": "compaction", "compact_threshold": 999}]},
            "context_management[0].compact_threshold",
            "integer_below_min_value",
        ),
        ({"prompt_cache_key": "x" * 513}, "prompt_cache_key", "string_above_max_length"),
        ({"prompt_cache_retention": "1h"}, "prompt_cache_retention", "invalid_value"),
        ({"prompt_cache_options": {"ttl": "1h"}}, "prompt_cache_options.ttl", "invalid_value"),
        ({"service_tier": "gold"}, "service_tier", "invalid_value"),
        ({"safety_identifier": "x" * 129}, "safety_identifier", "string_above_max_length"),
        ({"user": 1}, "user", "invalid_type"),
        ({"moderation": {}}, "moderation.model", "missing_required_parameter"),
        ({"access_programs": {"cyber": "red"}}, "access_programs.cyber", "invalid_value"),
        (
            {"background_options": {"completion_window": "1h"}},
            "background_options.completion_window",
            "invalid_value",
        ),
        ({"image": {"context_compression": "x"}}, "image.context_compression", "invalid_value"),
        ({"tools": [{"type": "hammer"}]}, "tools[0].type", "invalid_value"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", "invalid_value"),
        ({"tools": [{"type": "custom", "name": ""}]}, "tools[0].name", "empty_string"),
        ({"tools": [{"type": "computer", "x": 1}]}, "tools[0].x", "unknown_parameter"),
        (
            {"tools": [{"type": "file_search"}]},
            "tools[0].vector_store_ids",
            "missing_required_parameter",
        ),
        (
            {"tools": [{"type": "web_search", "filters": {"blocked": []}}]},
            "tools[0].filters.blocked",
            "unknown_parameter",
        ),
        ({"tool_choice": {"type": "hammer"}}, "tool_choice.type", "invalid_value"),
        ({"tool_choice": "always"}, "tool_choice", "invalid_value"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
            "tool_choice.tools",
            "empty_array",
        ),
        ({"messages": []}, "messages", "unknown_parameter"),
    ],
)
def test_what_is_wrong_is_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    """Every parameter has its rule; the path to the offender is the param."""
    assert refused(body)[1:] == (param, code)


@pytest.mark.parametrize(
    ("body", "message", "param", "code"),
    [
        (
            {"input": None},
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be "
            "provided.",
            None,
            "missing_required_parameter",
        ),
        (
            {"conversation": "conv_1", "previous_response_id": "resp_1"},
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
            "'previous_response_id' or 'conversation'.",
            None,
            "mutually_exclusive_parameters",
        ),
        (
            {"background": True, "store": False},
            "Unsupported parameter: 'background'. A background response has to be stored: leave "
            "'store' out or set it to true.",
            "background",
            "unsupported_parameter",
        ),
        (
            {"stream_options": {"include_obfuscation": False}},
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            "stream_options",
            "invalid_value",
        ),
        (
            {"tool_choice": "required"},
            "Tool choice 'required' must be specified with 'tools' parameter.",
            "tool_choice",
            "invalid_value",
        ),
        (
            {"tool_choice": {"type": "function", "name": "g"}, "tools": [TOOL]},
            "Tool choice 'function' not found in 'tools' parameter.",
            "tool_choice",
            "invalid_value",
        ),
        (
            {"tool_choice": {"type": "file_search"}},
            "Tool choice 'file_search' not found in 'tools' parameter.",
            "tool_choice",
            "invalid_value",
        ),
        (
            {
                "tools": [TOOL],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}],
                },
            },
            "Tool choice 'image_generation' not found in 'tools' parameter.",
            "tool_choice",
            "invalid_value",
        ),
    ],
)
def test_contradictions_are_refused(
    body: dict[str, Any], message: str, param: str | None, code: str
) -> None:
    """What cannot be meant together is told in OpenAI's words."""
    assert refused(body) == (message, param, code)


def test_long_windows_are_for_the_background() -> None:
    """A response that somebody waits for begins at once."""
    window = {"background_options": {"completion_window": "8h"}}
    assert refused(window)[1] == "background_options.completion_window"
    assert refused(window | {"background": True, "stream": True})[2] == "unsupported_parameter"
    accepted(window | {"background": True})
    accepted({"background_options": {"completion_window": "soonest"}})


@pytest.mark.parametrize(
    ("choice", "tool"),
    [
        ("required", TOOL),
        ("none", TOOL),
        ({"type": "function", "name": "f"}, TOOL),
        ({"type": "custom", "name": "c"}, {"type": "custom", "name": "c"}),
        ({"type": "mcp", "server_label": "s"}, {"type": "mcp", "server_label": "s"}),
        ({"type": "mcp", "server_label": "s", "name": "t"}, {"type": "mcp", "server_label": "s"}),
        ({"type": "computer_use"}, {"type": "computer"}),
        ({"type": "shell"}, {"type": "shell"}),
        ({"type": "apply_patch"}, {"type": "apply_patch"}),
        ({"type": "code_interpreter"}, {"type": "code_interpreter", "container": "c"}),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}],
            },
            TOOL,
        ),
    ],
)
def test_choices_of_every_shape(choice: Any, tool: dict[str, Any]) -> None:
    """A choice among the tools that were given is shown again as it came."""
    body = {"model": "m", "input": "x", "tool_choice": choice, "tools": [tool]}
    accepted(body)
    shown = encode_response(decode_response(body, "T", "TR", NOW, chain=True), [])
    strict(Response, shown)
    assert shown["tool_choice"] == choice


def test_a_request_to_count_or_to_compact() -> None:
    """Both name what is to be read, and nothing else than what OpenAI knows."""
    COUNT.check({"input": "x", "tools": [TOOL]})
    check_count({"input": "x"})
    COMPACT.check({"model": "m", "input": "x"})
    check_compact({"model": "m", "previous_response_id": "resp_1"})
    for check in (check_count, check_compact):
        with pytest.raises(BadRequest) as refusal:
            check({"model": "m"})
        assert refusal.value.wire_code == "missing_required_parameter"
    for spec in (COUNT, COMPACT):
        with pytest.raises(BadRequest) as refusal:
            spec.check({"model": "m", "store": True})
        assert refusal.value.param == "store"


def test_a_place_in_a_stream_is_for_a_stream() -> None:
    """`starting_after` says nothing about a response that is not streamed."""
    GET.check({"stream": True, "starting_after": 3, "include_obfuscation": False})
    check_read({"stream": True, "starting_after": 3})
    for name in ("starting_after", "include_obfuscation"):
        with pytest.raises(BadRequest) as refusal:
            check_read({name: 1})
        assert refusal.value.param == name


def test_tools_of_a_request_are_the_tools_of_items_and_nothing_more() -> None:
    """Every kind there is may be asked for, in its own fields alone."""
    assert FLAT_TOOL.kinds.keys() == ITEM_TOOL.kinds.keys()

    def all_closed(spec: Any) -> bool:
        if isinstance(spec, Record):
            return spec.extra == "refuse" and all(map(all_closed, spec.fields.values()))
        inner = [getattr(spec, "spec", None), *getattr(spec, "specs", ())]
        inner += spec.kinds.values() if isinstance(spec, Tagged) else []
        return all(all_closed(one) for one in inner if one is not None)

    assert all_closed(FLAT_TOOL)


@pytest.mark.parametrize("kind", FLAT_TOOL.kinds)
def test_a_tool_of_every_kind_is_shown_again(kind: str) -> None:
    """Whatever the spec lets in, the SDK reads in the response."""

    @given(of_kind(FLAT_TOOL, kind))
    @examples(15)
    def shown(tool: dict[str, Any]) -> None:
        FLAT_TOOL.check(tool)
        run = Run("TR", "T", NOW, "m", tools=[tool])
        strict(Response, msgspec.json.decode(msgspec.json.encode(encode_response(run, []))))

    shown()


@given(allowed(CREATE))
@examples(60)
def test_whatever_is_let_in_is_shown_as_the_sdk_types_it(body: dict[str, Any]) -> None:
    """Every response the spec allows has its items and is a response object."""
    given = body.get("input")
    said = [given] if isinstance(given, str) else given or []
    assert len(decode_input(body, NOW)) + len(references(body)) == len(said)
    run = decode_response(body, "T", "TR", NOW, chain=True)
    shown = encode_response(run, [message("msg_1", "assistant", "x", NOW)])
    strict(Response, msgspec.json.decode(msgspec.json.encode(shown)))


@given(bodies_like(["model", "input", "tools", "type", "text", "conversation", "tool_choice"]))
@examples(150)
def test_no_body_breaks_the_decoders(body: Any) -> None:
    """Whatever comes as a response, the answer is a run or a refusal."""
    run: Run | None = None
    try:
        CREATE.check(body)
        check_create(body)
        run = decode_response(body, "T", "TR", NOW, chain=True)
        decode_input(body, NOW)
    except BadRequest as error:
        error.message.encode()
    assert run is None or run.model == body["model"]
