"""Responses over a WebSocket, on the wire: the events a client sends, and those about steering.

Everything else that the server says are the events of a stream (`response_events`), each a text
frame, and errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.items import Item
from clew.wire.checks import (
    Anything,
    Choice,
    Either,
    Flag,
    Id,
    ListOf,
    Nullable,
    Record,
    Tagged,
    Text,
)
from clew.wire.parts import INPUT_PARTS, kinds
from clew.wire.refusals import unsupported_parameter
from clew.wire.response_requests import CREATE, INPUT_MAX

STREAM_ID_MAX = 256
"""Characters of a `stream_id`."""

ENVELOPE = ("type", "stream_id", "stream")
"""Fields of `response.create` that are about the connection, not about the response."""

_CREATE = Record(
    CREATE.fields
    | {
        "type": Choice("response.create"),
        "stream_id": Nullable(Text(STREAM_ID_MAX, 1)),
        "generate": Nullable(Flag()),
    },
    ["type", *CREATE.required],
)
_STEER = Record(
    {
        "type": Choice("response.steer"),
        "previous_response_id": Id(),
        "input": Either(Text(), ListOf(Anything())),
    },
    ["type", "previous_response_id", "input"],
)
CLIENT_EVENT = Tagged("type", {"response.create": _CREATE, "response.steer": _STEER})
"""What a client may send."""

_MESSAGE = Record(
    {
        "type": Choice("message"),
        "role": Choice("user"),
        "content": Either(
            Text(INPUT_MAX),
            ListOf(Tagged("type", kinds(*INPUT_PARTS)), min_items=1),
        ),
    },
    ["role", "content"],
)
_STEERED = Tagged("type", {"message": _MESSAGE}, default="message")
_STEERING = Record({"input": Either(Text(INPUT_MAX, 1), ListOf(_STEERED, min_items=1))}, ["input"])

_ANSWERS = {
    "function_call": ("function_call_output", ("call_id", "name")),
    "custom_tool_call": ("custom_tool_call_output", ("call_id",)),
    "computer_call": ("computer_call_output", ("call_id",)),
    "shell_call": ("shell_call_output", ("call_id",)),
    "apply_patch_call": ("apply_patch_call_output", ("call_id",)),
    "tool_search_call": ("tool_search_output", ("call_id", "execution")),
    "mcp_approval_request": ("mcp_approval_response", ()),
}
"""What the model asks the client for -> the type of the answer, and the fields that tell which."""

_encode = msgspec.json.Encoder().encode


class Steer(msgspec.Struct):
    """Input that was added to a response while it was made."""

    id: str
    previous_response_id: str
    input: str | list[Any]


def decode_create(event: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the request that a `response.create` is."""
    if event.get("stream") is False:
        raise unsupported_parameter(("stream",), "A WebSocket always streams.")
    if event.get("background"):
        raise unsupported_parameter(("background",), "It is not for responses over a WebSocket.")
    return {name: value for name, value in event.items() if name not in ENVELOPE} | {"stream": True}


def check_steering(input: Any) -> None:
    """Steering takes messages of the user, of text, images and files, and nothing else."""
    _STEERING.check({"input": input})


def merged(steers: Iterable[Steer], input: str | list[Any] | None = None) -> list[Any]:
    """The input that steers have added, in the order they came, before the request's own."""
    given = [steer.input for steer in steers] + ([] if input is None else [input])
    whole: list[Any] = []
    for one in given:
        whole += [{"role": "user", "content": one}] if isinstance(one, str) else one
    return whole


def required_input(output: Sequence[Item]) -> list[dict[str, Any]]:
    """What the client has to answer before the model goes on, as stubs to be filled."""
    return list(_stubs(output))


def encode_frame(data: bytes, stream_id: str | None) -> str:
    """The JSON of an event as a text frame of the lane it is for."""
    if stream_id is not None:
        data = b'{"stream_id":%b,%b' % (_encode(stream_id), data[1:])
    return data.decode()


def encode_accepted(steer: Steer, number: int) -> bytes:
    """The server owns the input now; the successor's `response.created` says it was applied."""
    return _encode(_about(steer, "accepted", number))


def encode_pending(steer: Steer, number: int, required: Sequence[Mapping[str, Any]]) -> bytes:
    """The input waits until the client has answered what the model asks of it."""
    why = {"reason": "waiting_for_required_input", "required_input": required}
    return _encode(_about(steer, "pending", number) | why)


def encode_failed(
    previous: str, input: Any, code: str, message: str, number: int, id: str | None = None
) -> bytes:
    """The input was not applied, and is given back."""
    steer: dict[str, Any] = {"previous_response_id": previous, "input": _typed(input)}
    return _encode(
        {
            "type": "response.steer.failed",
            "sequence_number": number,
            "steer": steer if id is None else {"id": id} | steer,
            "error": {"type": "invalid_request_error", "code": code, "message": message},
        }
    )


def _typed(input: Any) -> Any:
    """The input with the types that its messages may leave out."""
    if not isinstance(input, list):
        return input
    return [{"type": "message", **one} if isinstance(one, dict) else one for one in input]


def _about(steer: Steer, event: str, number: int) -> dict[str, Any]:
    return {
        "type": f"response.steer.{event}",
        "sequence_number": number,
        "steer": {"id": steer.id, "previous_response_id": steer.previous_response_id},
    }


def _stubs(output: Sequence[Item]) -> Iterator[dict[str, Any]]:
    answered = {item.data().get("call_id") for item in output if item.kind.endswith("_output")}
    for item in output:
        if item.kind not in _ANSWERS:
            continue
        data = item.data()
        if _is_upstreams(data) or data.get("call_id", "") in answered:
            continue
        kind, fields = _ANSWERS[item.kind]
        which = {} if fields else {"approval_request_id": item.id}
        yield {"type": kind, **which, **{name: data[name] for name in fields}}


def _is_upstreams(data: Mapping[str, Any]) -> bool:
    """Whether the upstream answers this call itself."""
    environment = data.get("environment") or {}
    return data.get("execution") == "server" or environment.get("type") == "container_reference"
