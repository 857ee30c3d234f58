"""Events of a WebSocket: what a client may send, what steering adds, what is to be answered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.types.responses import (
    ResponseSteerAcceptedEvent,
    ResponseSteerFailedEvent,
    ResponseSteerPendingEvent,
)

from clew.core.errors import BadRequest
from clew.core.items import message, new_item
from clew.wire.response_sockets import (
    CLIENT_EVENT,
    Steer,
    check_steering,
    decode_create,
    encode_accepted,
    encode_failed,
    encode_frame,
    encode_pending,
    merged,
    required_input,
)

from .official import strict
from .strategies import bodies_like, examples

NOW = 1_700_000_000_000
STEER = Steer("steer_1", "resp_1", "be brief")
CREATE = {"type": "response.create", "model": "m", "input": "x"}


def item(kind: str, **data: Any) -> Any:
    return new_item(f"{kind}_1", {"type": kind, **data}, NOW, "run")


def test_a_create_is_a_request_for_a_stream() -> None:
    """Without what is about the connection."""
    event = CREATE | {"stream_id": "a", "generate": False, "stream": True}
    CLIENT_EVENT.check(event)
    assert decode_create(event) == {"model": "m", "input": "x", "generate": False, "stream": True}


@pytest.mark.parametrize("name", ["stream", "background"])
def test_what_is_not_for_a_websocket_is_refused(name: str) -> None:
    """It streams always, and has nothing in the background."""
    with pytest.raises(BadRequest) as refused:
        decode_create(CREATE | {name: name == "background"})
    assert (refused.value.param, refused.value.wire_code) == (name, "unsupported_parameter")


@pytest.mark.parametrize(
    "input",
    [
        "be brief",
        [{"role": "user", "content": "be brief"}],
        [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "look"},
                    {"type": "input_image", "file_id": "file-1"},
                    {"type": "input_file", "file_id": "file-2"},
                ],
            }
        ],
    ],
)
def test_steering_takes_what_a_user_says(input: Any) -> None:
    """Text, images and files; and gives it back as the SDK types it."""
    check_steering(input)
    failed = encode_failed("resp_1", input, "invalid_input", "No.", 3, "steer_1")
    event = strict(ResponseSteerFailedEvent, msgspec.json.decode(failed))
    assert (event.steer.id, event.steer.previous_response_id) == ("steer_1", "resp_1")
    assert (event.error.code, event.sequence_number) == ("invalid_input", 3)


@pytest.mark.parametrize(
    ("input", "param"),
    [
        ("", "input"),
        ([], "input"),
        (3, "input"),
        ([{"role": "assistant", "content": "x"}], "input[0].role"),
        ([{"role": "user", "content": []}], "input[0].content"),
        ([{"role": "user", "content": "x", "id": "msg_1"}], "input[0].id"),
        ([{"type": "function_call_output", "call_id": "c", "output": "x"}], "input[0].type"),
        (
            [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}],
            "input[0].content[0].type",
        ),
    ],
)
def test_steering_takes_nothing_else(input: Any, param: str) -> None:
    """By the path to what is wrong."""
    with pytest.raises(BadRequest) as refused:
        check_steering(input)
    assert refused.value.param == param


def test_what_was_added_comes_before_the_requests_own() -> None:
    """In the order it came, texts as messages of the user."""
    listed = [{"role": "user", "content": "b"}]
    steers = [STEER, Steer("steer_2", "resp_1", listed)]
    first = {"role": "user", "content": "be brief"}
    assert merged(steers) == [first, *listed]
    assert merged(steers, "c") == [first, *listed, {"role": "user", "content": "c"}]
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    assert merged(steers, [output]) == [first, *listed, output]


def test_events_about_a_steer() -> None:
    """As the SDK types them."""
    accepted = msgspec.json.decode(encode_accepted(STEER, 4))
    assert strict(ResponseSteerAcceptedEvent, accepted).steer.id == "steer_1"
    required = required_input([item("function_call", call_id="c", name="f", arguments="{}")])
    pending = msgspec.json.decode(encode_pending(STEER, 4, required))
    event = strict(ResponseSteerPendingEvent, pending)
    assert event.reason == "waiting_for_required_input"
    assert event.required_input[0].to_dict() == required[0]


def test_everything_the_client_has_to_answer_has_a_stub() -> None:
    """Of each kind the fields that tell which; what the upstream answers itself has none."""
    output = [
        message("msg_1", "assistant", "wait", NOW),
        item("function_call", call_id="c1", name="f", arguments="{}"),
        item("custom_tool_call", call_id="c2", name="g", input="x"),
        item("computer_call", call_id="c3", action={}, pending_safety_checks=[]),
        item("shell_call", call_id="c4", action={}, environment={"type": "local"}),
        item("shell_call", call_id="c5", action={}, environment={"type": "container_reference"}),
        item("apply_patch_call", call_id="c6", operation={}),
        item("tool_search_call", call_id="c7", execution="client", arguments={}),
        item("tool_search_call", call_id=None, execution="server", arguments={}),
        item("mcp_approval_request", server_label="s", name="t", arguments="{}"),
        item("function_call", call_id="c8", name="f", arguments="{}"),
        item("function_call_output", call_id="c8", output="1"),
    ]
    stubs = required_input(output)
    assert stubs == [
        {"type": "function_call_output", "call_id": "c1", "name": "f"},
        {"type": "custom_tool_call_output", "call_id": "c2"},
        {"type": "computer_call_output", "call_id": "c3"},
        {"type": "shell_call_output", "call_id": "c4"},
        {"type": "apply_patch_call_output", "call_id": "c6"},
        {"type": "tool_search_output", "call_id": "c7", "execution": "client"},
        {"type": "mcp_approval_response", "approval_request_id": "mcp_approval_request_1"},
    ]
    pending = msgspec.json.decode(encode_pending(STEER, 0, stubs))
    strict(ResponseSteerPendingEvent, pending)
    assert required_input(output[:1]) == []


def test_a_frame_names_its_lane() -> None:
    """Where it has one; the event is otherwise as it was."""
    data = b'{"type":"x","n":1}'
    assert encode_frame(data, None) == data.decode()
    told = msgspec.json.decode(encode_frame(data, 'a"b'))
    assert told == {"type": "x", "n": 1, "stream_id": 'a"b'}


@given(bodies_like(["type", "model", "input", "stream_id", "previous_response_id", "generate"]))
@examples(150)
def test_no_frame_breaks_the_decoders(event: Any) -> None:
    """Whatever comes, it is a request or a refusal."""
    try:
        CLIENT_EVENT.check(event)
        decode_create(event)
        check_steering(event.get("input"))
    except BadRequest as error:
        error.message.encode()
