"""Responses: a run as the Responses face shows it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.types.responses import Response

from clew.core.errors import BadRequest
from clew.core.items import Item, message, new_item
from clew.core.runs import EXPIRES_AFTER_MS, MOVES, Run
from clew.wire import responses
from clew.wire.responses import (
    conversation_id,
    decode_input,
    decode_response,
    encode_response,
)

from .official import strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_999
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
CALL = {
    "type": "function_call",
    "status": "completed",
    "call_id": "c",
    "name": "f",
    "arguments": "{}",
}
USAGE = {"input_tokens": 3, "cached_tokens": 1, "output_tokens": 2, "reasoning_tokens": 1}


def decoded(chain: bool = True, **body: Any) -> Run:
    responses.CREATE.check({"model": "m", **body})
    return decode_response({"model": "m", **body}, "T", "TR", NOW, chain=chain)


def encoded(run: Run, *output: Item) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode_response(run, output)))


def test_a_run_for_a_response() -> None:
    """It does not pause for outputs, and knows whether it is in a conversation people named."""
    run = decoded()
    assert run == Run(
        "TR", "T", NOW, "m", pauses=False, settings={}, expires_at=NOW + EXPIRES_AFTER_MS
    )
    assert decoded(chain=False).settings == {"conversation": True}
    nothing = dict.fromkeys("instructions tools metadata temperature text reasoning".split())
    assert decoded(**nothing) == run


def test_what_a_request_says_is_shown_again() -> None:
    """Every setting comes back in the response object as it was given."""
    given: dict[str, Any] = {
        "instructions": "be brief",
        "temperature": 0.0,
        "top_p": 0.5,
        "max_output_tokens": 16,
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "truncation": "auto",
        "metadata": {"a": "b"},
        "previous_response_id": "resp_x",
        "store": False,
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "p",
    }
    shown = encoded(decoded(**given))
    strict(Response, shown)
    assert {name: shown[name] for name in given} == given | {
        "tools": [{"description": None, **TOOL}]
    }


def test_the_response_object() -> None:
    """A response nobody said anything of, field by field, as the SDK types it."""
    shown = encoded(Run("TR", "T", NOW, "m", "completed", completed_at=NOW + 1, usage=USAGE))
    strict(Response, shown)
    assert shown == {
        "id": "resp_TR",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "background": False,
        "completed_at": 1_700_000_001,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "conversation": None,
        "prompt_cache_key": None,
        "prompt_cache_retention": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
            "output_tokens": 2,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 5,
        },
        "user": None,
        "metadata": {},
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def test_the_output_is_what_the_run_wrote() -> None:
    """Messages and calls in order; outputs that were submitted are no output of the model."""
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    items = [
        new_item("fc_1", CALL, NOW, "TR"),
        new_item("fco_1", output, NOW, "TR"),
        message("msg_1", "assistant", "done", NOW, "TR"),
    ]
    shown = strict(Response, encoded(Run("TR", "T", NOW, "m", "completed"), *items))
    assert [(item.type, item.id) for item in shown.output] == [
        ("function_call", "fc_1"),
        ("message", "msg_1"),
    ]
    assert shown.output_text == "done"


@pytest.mark.parametrize("status", MOVES)
def test_a_response_in_every_status(status: str) -> None:
    """Statuses this face does not know are told as the nearest it does; an error as an error."""
    error = {"code": "server_error", "message": "No."} if status == "failed" else None
    run = Run("TR", "T", NOW, "m", status, error=error, completed_at=NOW)
    shown = strict(Response, encoded(run))
    known = {"requires_action": "in_progress", "cancelling": "in_progress", "expired": "failed"}
    assert shown.status == known.get(status, status)
    assert (shown.error is not None) == (status in ("failed", "expired"))
    assert (shown.completed_at is not None) == (status == "completed")
    assert (shown.incomplete_details is not None) == (status == "incomplete")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("length", "max_output_tokens"), ("content_filter", "content_filter")],
)
def test_why_a_response_is_incomplete(reason: str, shown: str) -> None:
    """Both reasons have a word on this face."""
    run = Run("TR", "T", NOW, "m", "incomplete", incomplete_reason=reason)
    assert encoded(run)["incomplete_details"] == {"reason": shown}


def test_a_conversation_is_named_where_people_named_it() -> None:
    """A response in a conversation says which; one in a chain has none."""
    assert encoded(decoded(chain=False))["conversation"] == {"id": "conv_T"}
    assert encoded(decoded(chain=True))["conversation"] is None


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
    ]
    kinds = [item.kind for item in decode_input({"input": given}, NOW)]
    assert kinds == ["developer", "function_call", "function_call_output"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"type": "message", "role": "user"}]}, "input[0].content"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 15}, "max_output_tokens"),
        ({"conversation": {}}, "conversation.id"),
        ({"background": "yes"}, "background"),
        ({"max_tool_calls": 1}, "max_tool_calls"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_is_refused(body: dict[str, Any], param: str) -> None:
    """Wrong, and what Clew cannot do yet, is refused by the name of the field."""
    with pytest.raises(BadRequest) as refused:
        responses.CREATE.check({"model": "m", **body})
    assert refused.value.param == param


def test_background_is_refused() -> None:
    """It may be said to be off; on, it is not done yet."""
    assert decoded(background=False) == decoded()
    with pytest.raises(BadRequest) as refused:
        decoded(background=True)
    assert refused.value.param == "background"


@given(allowed(responses.CREATE))
@examples(60)
def test_whatever_is_let_in_is_shown_as_the_sdk_types_it(body: dict[str, Any]) -> None:
    """Every response the spec allows, and Clew can do, has its items and is a response object."""
    for maybe_later in ("background", "include"):
        body.pop(maybe_later, None)
    items = decode_input(body, NOW)
    given = body.get("input")
    assert len(items) == (len(given) if isinstance(given, list) else int(given is not None))
    run = decode_response(body, "T", "TR", NOW, chain=True)
    strict(Response, encoded(run, message("msg_1", "assistant", "x", NOW)))


@given(bodies_like(["model", "input", "tools", "type", "text", "conversation", "tool_choice"]))
@examples(150)
def test_no_body_breaks_the_decoders(body: Any) -> None:
    """Whatever comes as a response, the answer is a run or a refusal."""
    run: Run | None = None
    try:
        responses.CREATE.check(body)
        run = decode_response(body, "T", "TR", NOW, chain=True)
        decode_input(body, NOW)
    except BadRequest as error:
        error.message.encode()
    assert run is None or run.model == body["model"]
