"""Responses over a WebSocket by the official client: lanes, memory, steering, refusals."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import openai
import pytest
from openai import OpenAI
from openai._models import validate_type
from openai.types.responses import ResponsesServerEvent
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from clew.providers.provider import (
    Abilities,
    Delta,
    Finish,
    ModelRequest,
    TextDelta,
    ToolCallDelta,
)
from clew.server import websockets
from clew.server.http import BODY_MAX
from clew.server.websockets import LANES_MAX, WAITING_MAX

from .live import Live, run

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}
QUESTION = "What is the code I gave you?"
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


class Socket:
    """A connection whose every event is checked against the SDK's own types."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.under_way: set[str] = set()

    def create(self, input: Any, **options: Any) -> None:
        self.connection.response.create(model="scripted", input=input, **options)

    def steer(self, id: str, input: Any) -> None:
        self.connection.response.steer(previous_response_id=id, input=input)

    def event(self) -> Any:
        data = json.loads(self.connection.recv_bytes())
        event: Any = validate_type(type_=cast(Any, ResponsesServerEvent), value=data)
        if event.type == "response.created":
            self.under_way.add(event.response.id)
        elif event.type in ENDS and event.type != "error":
            self.under_way.discard(event.response.id)
        return event

    def until(self, *types: str) -> list[Any]:
        """Events up to the first of one of these types."""
        events = [self.event()]
        while events[-1].type not in types:
            events.append(self.event())
        return events

    def ended(self) -> Any:
        """The response that ends next."""
        return self.until(*ENDS)[-1].response

    def refused(self) -> tuple[int, str, str | None, str | None]:
        """Status, message, param and code of the error that comes next."""
        event = self.event()
        assert (event.type, event.error.type) == ("error", "invalid_request_error")
        return event.status, event.error.message, event.error.param, event.error.code


@contextmanager
def opened(client: OpenAI) -> Iterator[Socket]:
    with client.responses.connect() as connection:
        socket = Socket(connection)
        yield socket
    for id in socket.under_way:
        with suppress(openai.NotFoundError):
            client.responses.delete(id)  # or the server would wait for it when it closes


@pytest.fixture
def socket(client: OpenAI) -> Iterator[Socket]:
    with opened(client) as socket:
        yield socket


def test_a_response_over_a_websocket_is_the_stream_of_that_response(socket: Socket, client: OpenAI):
    """Its events are those of a stream, numbered as there; it is stored like any other."""
    socket.create("hello")
    events = socket.until("response.completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {event.stream_id for event in events} == {None}
    [first, *_, last] = events
    assert (first.type, first.response.status) == ("response.created", "in_progress")
    assert last.response.output_text == "Hello there, dear friend."
    assert client.responses.retrieve(last.response.id) == last.response
    again = client.responses.create(model="scripted", input="hello", stream=True)
    assert [event.type for event in again] == [event.type for event in events]


def test_responses_follow_one_another_on_a_connection(socket: Socket):
    """What is asked at once is answered in order, and goes on from what came before."""
    for text in ("hello", "count", "My code is Z-99."):
        socket.create(text)
    texts = [socket.ended().output_text for _ in range(2)]
    assert texts == ["Hello there, dear friend.", "one two three four five"]
    first = socket.ended()
    socket.create(QUESTION, previous_response_id=first.id)
    second = socket.ended()
    assert "Z-99" in second.output_text
    assert second.previous_response_id == first.id


def test_lanes_go_on_side_by_side(socket: Socket):
    """A slow response holds up its own stream_id alone; every event names its lane."""
    socket.create("dictate", stream_id="slow")
    socket.until("response.output_text.delta")
    socket.create("hello", stream_id="quick")
    events = socket.until("response.completed")
    assert {event.stream_id for event in events} == {"quick"}
    socket.create("count")
    assert socket.until("response.completed")[-1].stream_id is None


def test_an_unstored_response_is_remembered_by_its_connection(socket: Socket, client: OpenAI):
    """With store=False it can be gone on from, in any lane, and is nowhere else."""
    socket.create("My code is Z-99.", store=False)
    first = socket.ended()
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    socket.create(QUESTION, previous_response_id=first.id, store=False, stream_id="other")
    second = socket.ended()
    assert "Z-99" in second.output_text
    socket.create("And my name is Ada.", previous_response_id=second.id, store=False)
    third = socket.ended()
    socket.create("What is the name I gave you?", previous_response_id=third.id, store=False)
    assert "Ada" in socket.ended().output_text
    with opened(client) as stranger:
        stranger.create("x", previous_response_id=third.id)
        assert stranger.refused() == (
            400,
            f"Previous response with id '{third.id}' not found.",
            "previous_response_id",
            "previous_response_not_found",
        )


def test_a_lane_remembers_its_newest_unstored_response(socket: Socket):
    """An older one is forgotten."""
    socket.create("My code is Z-99.", store=False)
    first = socket.ended()
    socket.create("hello", store=False)
    socket.ended()
    socket.create(QUESTION, previous_response_id=first.id)
    assert socket.refused()[3] == "previous_response_not_found"


def test_an_unstored_response_is_forgotten_when_going_on_from_it_fails(socket: Socket):
    """As with OpenAI: the client then begins again with all that it knows."""
    socket.create("My code is Z-99.", store=False)
    first = socket.ended()
    orphan = {"type": "function_call_output", "call_id": "call_nowhere", "output": "x"}
    socket.create([orphan], previous_response_id=first.id, store=False)
    assert socket.refused()[1].startswith("No tool call found")
    socket.create(QUESTION, previous_response_id=first.id, store=False)
    assert socket.refused()[3] == "previous_response_not_found"


def test_what_was_unstored_is_stored_once_it_is_gone_on_from_with_store(
    socket: Socket, client: OpenAI
):
    """The stored response brings all that it was made from."""
    socket.create("My code is Z-99.", store=False)
    first = socket.ended()
    ids = []
    for _ in range(2):
        socket.create(QUESTION, previous_response_id=first.id)
        stored = socket.ended()
        assert "Z-99" in stored.output_text
        ids.append(stored.id)
    assert len(set(ids)) == 2
    for id in ids:
        texts = [
            item.content[0].text for item in client.responses.input_items.list(id, order="asc")
        ]
        assert texts == ["My code is Z-99.", first.output_text, QUESTION]


def test_an_unstored_response_goes_on_from_a_conversation(socket: Socket, client: OpenAI):
    """What is remembered comes after the conversation as it stood, which does not change."""
    said: Any = [{"type": "message", "role": "user", "content": "My code is Z-99."}]
    conversation = client.conversations.create(items=said).id
    socket.create("hello", conversation=conversation, store=False)
    first = socket.ended()
    socket.create(QUESTION, previous_response_id=first.id, store=False)
    second = socket.ended()
    assert "Z-99" in second.output_text
    socket.create("count", previous_response_id=second.id)
    items = client.responses.input_items.list(socket.ended().id, order="asc").data
    assert [item.content[0].text for item in items] == [
        "My code is Z-99.",
        "hello",
        "Hello there, dear friend.",
        QUESTION,
        second.output_text,
        "count",
    ]
    assert len(client.conversations.items.list(conversation).data) == 1


@pytest.mark.parametrize("options", [{"store": True}, {"store": False}])
def test_a_response_can_be_prepared_without_being_generated(
    socket: Socket, options: dict[str, Any]
):
    """With generate=False its input is in place, its output empty; the next goes on from it."""
    socket.create("My code is Z-99.", generate=False, **options)
    events = socket.until("response.completed")
    prepared = events[-1].response
    assert [event.type for event in events][::2] == ["response.created", "response.completed"]
    assert prepared.output == []
    socket.create(QUESTION, previous_response_id=prepared.id, **options)
    assert "Z-99" in socket.ended().output_text


def test_functions_are_called_over_a_websocket(socket: Socket):
    """The output of a call is the input of the next response."""
    socket.create("weather in Rome", tools=[WEATHER], store=False)
    first = socket.ended()
    [call] = first.output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    socket.create([output], previous_response_id=first.id, tools=[WEATHER], store=False)
    assert socket.ended().output_text == "It is sunny."


def test_an_item_that_is_remembered_can_be_referred_to(socket: Socket):
    """Like one that is stored; what is in neither is not found."""
    socket.create("My code is Z-99.", store=False)
    first = socket.ended()
    reference = {"type": "item_reference", "id": first.output[0].id}
    asked = {"role": "user", "content": QUESTION}
    socket.create([reference, asked], previous_response_id=first.id, store=False)
    assert "Z-99" in socket.ended().output_text
    socket.create([reference])
    status, message, param, _ = socket.refused()
    assert (status, param) == (404, "input")
    assert message.startswith(f"Item with id '{first.output[0].id}' not found. Items are not")


# what is wrong


@pytest.mark.parametrize(
    ("frame", "message", "param", "code"),
    [
        (
            "{nope",
            "Invalid frame: failed to parse JSON value. Each frame is one JSON object.",
            None,
            "invalid_json",
        ),
        (b"\xff", None, None, "invalid_json"),
        ('{"type":"\\ud800"}', None, None, "invalid_json"),
        (
            "[]",
            "Invalid body: expected an object, but got an array instead.",
            None,
            "invalid_type",
        ),
        ("{}", "Missing required parameter: 'type'.", "type", "missing_required_parameter"),
        (
            '{"type":"response.stop"}',
            "Invalid value: 'response.stop'. Supported values are: 'response.create' and "
            "'response.steer'.",
            "type",
            "invalid_value",
        ),
        (
            '{"type":"response.create","input":"x"}',
            "Missing required parameter: 'model'.",
            "model",
            "missing_required_parameter",
        ),
        (
            '{"type":"response.create","model":"scripted","input":"x","stream":false}',
            "Unsupported parameter: 'stream'. A WebSocket always streams.",
            "stream",
            "unsupported_parameter",
        ),
        (
            '{"type":"response.create","model":"scripted","input":"x","background":true}',
            "Unsupported parameter: 'background'. It is not for responses over a WebSocket.",
            "background",
            "unsupported_parameter",
        ),
        (
            '{"type":"response.create","model":"scripted","input":"x","stream_id":7}',
            None,
            "stream_id",
            "invalid_type",
        ),
        (
            '{"type":"response.create","model":"scripted","inputs":"x"}',
            "Unknown parameter: 'inputs'. Did you mean 'input'?",
            "inputs",
            "unknown_parameter",
        ),
        (
            '{"type":"response.steer","previous_response_id":"resp_1"}',
            "Missing required parameter: 'input'.",
            "input",
            "missing_required_parameter",
        ),
        (
            '{"type":"response.steer","previous_response_id":"resp_1","input":"x","stream_id":"a"}',
            "Unknown parameter: 'stream_id'.",
            "stream_id",
            "unknown_parameter",
        ),
    ],
)
def test_a_wrong_frame_is_refused_and_the_connection_goes_on(
    socket: Socket, frame: Any, message: str | None, param: str | None, code: str
):
    """Each in OpenAI's words; the next request is answered."""
    socket.connection.send_raw(frame)
    refused = socket.refused()
    assert refused[0] == 400
    assert refused[2:] == (param, code)
    assert message in (None, refused[1])
    socket.create("hello")
    assert socket.ended().status == "completed"


def test_an_error_is_told_in_its_lane(socket: Socket):
    """So that whoever waits in that lane learns of it."""
    socket.create("x", previous_response_id="resp_none", stream_id="a")
    assert socket.event().stream_id == "a"
    socket.create("x", conversation="conv_none", stream_id="b")
    event = socket.event()
    assert (event.stream_id, event.status) == ("b", 404)
    assert event.error.message == "Conversation with id 'conv_none' not found."


def test_a_conversation_takes_one_response_at_a_time(socket: Socket, client: OpenAI):
    """A second one is refused as locked, whichever way it comes."""
    conversation = client.conversations.create().id
    socket.create("dictate", conversation=conversation, stream_id="a")
    socket.until("response.output_text.delta")
    socket.create("hello", conversation=conversation, stream_id="b")
    assert socket.refused()[2:] == ("conversation", "conversation_locked")


def test_lanes_and_what_waits_in_them_are_limited(socket: Socket):
    """Both are refused by name, and hold up nobody."""
    socket.create("dictate", stream_id="full")
    socket.until("response.output_text.delta")
    for _ in range(WAITING_MAX + 1):
        socket.create("hello", stream_id="full")
    event = socket.event()
    assert (event.status, event.error.param, event.stream_id) == (429, "stream_id", "full")
    for number in range(LANES_MAX):
        socket.create("x", previous_response_id="resp_none", stream_id=f"lane{number}")
    codes = [socket.event().error.code for _ in range(LANES_MAX)]
    assert codes.count("previous_response_not_found") == LANES_MAX - 1
    assert codes.count("too_many_streams") == 1


def test_what_waits_on_a_connection_is_limited(
    socket: Socket, client: OpenAI, monkeypatch: pytest.MonkeyPatch
):
    """By its size too; once there is room, more is taken."""
    monkeypatch.setattr(websockets, "WAITING_BYTES_MAX", 1_000)
    socket.create("wait", stream_id="held")
    [created, *_] = socket.until("response.in_progress")
    for _ in range(3):
        socket.create("hello" + "!" * 300, stream_id="held")
    event = socket.event()
    assert (event.status, event.error.code) == (429, "too_many_requests")
    assert event.error.message == "More than 1000 bytes of requests wait on this connection."
    client.responses.delete(created.response.id)
    assert [socket.ended().status for _ in range(2)] == ["completed"] * 2
    socket.create("hello" + "!" * 300, stream_id="held")
    assert socket.ended().status == "completed"


def test_another_address_takes_no_websocket(live: Live):
    """The handshake is answered with OpenAI's error."""
    with pytest.raises(InvalidStatus) as refused:
        connect(live.url.replace("http", "ws") + "/v1/threads")
    answer = refused.value.response
    assert answer.status_code == 404
    assert json.loads(answer.body)["error"]["message"] == "Invalid URL (GET /v1/threads)"


def test_a_websocket_belongs_to_a_project(live: Live, client: OpenAI):
    """By the header of the handshake; a wrong one is refused there."""
    stored = client.responses.create(model="scripted", input="hello")
    with live.client(project="proj_stranger") as stranger, opened(stranger) as socket:
        socket.create("x", previous_response_id=stored.id)
        assert socket.refused()[3] == "previous_response_not_found"
    url = live.url.replace("http", "ws") + "/v1/responses"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, additional_headers={"OpenAI-Project": "a b"})
    answer = refused.value.response
    assert answer.status_code == 400
    assert json.loads(answer.body)["error"]["param"] == "OpenAI-Project"


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_is_refused(live: Live, origin: str):
    """A browser would let it read what is said here; a page of this address may."""
    url = live.url.replace("http", "ws") + "/v1/responses"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, origin=cast(Any, origin))
    answer = refused.value.response
    assert answer.status_code == 401
    assert json.loads(answer.body)["error"]["code"] == "wrong_origin"
    with connect(url, origin=cast(Any, live.url)) as raw:
        raw.send("{}")
        assert json.loads(raw.recv())["type"] == "error"


def test_a_fault_of_ours_is_told_and_the_connection_goes_on(
    socket: Socket, client: OpenAI, monkeypatch: pytest.MonkeyPatch
):
    """Without what went wrong, which is in the log under the id that is told."""

    def breaks(*_: Any) -> Any:
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(websockets, "begin", breaks)
        socket.create("hello", stream_id="a")
        event = socket.event()
        assert (event.status, event.error.type, event.stream_id) == (500, "server_error", "a")
        assert "broken" not in event.error.message
        assert "req_" in event.error.message
    socket.create("hello", stream_id="a")
    assert socket.ended().status == "completed"


def test_a_frame_that_is_too_large_ends_the_connection(live: Live):
    """With the code that says so; a large one is read."""
    url = live.url.replace("http", "ws") + "/responses"
    with connect(url, max_size=None, compression=None) as raw:
        large = {"type": "response.create", "model": "scripted", "input": "x" * 10_000_000}
        raw.send(json.dumps(large | {"store": False, "max_output_tokens": 16}))
        while json.loads(raw.recv())["type"] != "response.incomplete":
            pass
        raw.socket.sendall(b"\x81\xff" + (BODY_MAX + 1).to_bytes(8) + b"mask")  # its head alone
        with pytest.raises(ConnectionClosed) as closed:
            raw.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_a_ping_is_answered(live: Live):
    """As a connection is kept open through whatever lies between."""
    with connect(live.url.replace("http", "ws") + "/v1/responses") as raw:
        assert raw.ping().wait(10)


def test_a_stored_response_goes_on_when_its_client_leaves(client: OpenAI):
    """It is there when somebody asks; only what waited in the lane is not begun."""
    with client.responses.connect() as connection:
        socket = Socket(connection)
        socket.create("dictate", metadata={"k": "left"})
        [*_, delta] = socket.until("response.output_text.delta")
        socket.create("hello")
    id = next_id(client)
    response = client.responses.retrieve(id)
    assert (response.status, response.metadata) == ("in_progress", {"k": "left"})
    assert delta.delta == "one"
    assert client.responses.delete(id) is None


def next_id(client: OpenAI) -> str:
    """The id of the only response of a project."""
    listed: Any = client.get("/threads", cast_to=object)
    [thread] = listed["data"]
    [run] = client.beta.threads.runs.list(thread["id"]).data
    return run.id.replace("run_", "resp_")


def test_the_asynchronous_client_is_served_too(live: Live, project: str):
    """Two lanes by the asynchronous client, and its event handlers."""

    async def play() -> list[Any]:
        async with live.async_client(project=project) as client:
            done: dict[str, str] = {}
            async with client.responses.connect() as connection:
                for lane, text in (("a", "hello"), ("b", "count")):
                    await connection.response.create(model="scripted", input=text, stream_id=lane)
                async for event in connection:
                    if event.type == "response.completed":
                        done[str(event.stream_id)] = event.response.output_text
                    if len(done) == 2:
                        return sorted(done.items())
        raise AssertionError("the connection ended")

    assert run(play()) == [("a", "Hello there, dear friend."), ("b", "one two three four five")]


# steering


def test_a_steered_response_is_incomplete_and_its_successor_goes_on(socket: Socket, client: OpenAI):
    """What it said stays said; the added input comes next, with the same settings."""
    socket.create("dictate", metadata={"k": "v"}, stream_id="a")
    [created, *_, _] = socket.until("response.output_text.delta")
    first = created.response.id
    socket.steer(first, "hello")
    events = socket.until("response.completed")
    assert {event.stream_id for event in events} == {"a"}
    [accepted] = [event for event in events if event.type == "response.steer.accepted"]
    assert accepted.steer.previous_response_id == first
    [steered] = [event.response for event in events if event.type == "response.incomplete"]
    assert steered.incomplete_details.reason == "steered"
    assert (steered.id, steered.output_text) == (first, "one")
    successor = events[-1].response
    assert (successor.previous_response_id, successor.metadata) == (first, {"k": "v"})
    assert successor.output_text == "Hello there, dear friend."
    assert client.responses.retrieve(first).incomplete_details.reason == "steered"
    items = client.responses.input_items.list(successor.id, order="asc").data
    assert [item.content[0].text for item in items] == ["dictate", "one", "hello"]


def test_an_unstored_response_is_steered_too(socket: Socket):
    """Its successor goes on from what the connection remembers."""
    socket.create("dictate", store=False)
    [created, *_, _] = socket.until("response.output_text.delta")
    said: Any = [{"role": "user", "content": [{"type": "input_text", "text": "count"}]}]
    socket.steer(created.response.id, said)
    assert socket.ended().incomplete_details.reason == "steered"
    successor = socket.ended()
    assert successor.output_text == "one two three four five"
    assert (successor.store, successor.previous_response_id) == (False, created.response.id)


def test_several_steers_are_one_continuation(socket: Socket):
    """In the order they came."""
    socket.create("wait")
    [created, *_] = socket.until("response.in_progress")
    for text in ("hello", "count"):
        socket.steer(created.response.id, text)
    assert socket.until(*ENDS)[-1].response.incomplete_details.reason == "steered"
    events = socket.until(*ENDS)
    assert events[-1].response.output_text in ("one two three four five",)


def test_what_cannot_be_steered_is_given_back(socket: Socket, client: OpenAI):
    """With its input and a code, and the response goes on."""
    conversation = client.conversations.create().id
    socket.create("dictate", conversation=conversation, stream_id="a")
    [bound, *_, _] = socket.until("response.output_text.delta")
    socket.create("dictate", stream_id="b")
    [free, *_, _] = socket.until("response.output_text.delta")
    socket.create("hello", stream_id="c")
    done = socket.ended()
    for id, input, code, lane in (
        (bound.response.id, "x", "steering_not_supported", "a"),
        (free.response.id, "", "invalid_input", "b"),
        (
            free.response.id,
            [{"type": "message", "role": "user", "content": []}],
            "invalid_input",
            "b",
        ),
        (done.id, "x", "response_not_found", None),
        ("resp_none", "x", "response_not_found", None),
    ):
        socket.steer(id, input)
        failed = socket.event()
        assert (failed.type, failed.error.code) == ("response.steer.failed", code)
        assert (failed.stream_id, failed.steer.id) == (lane, None)
        assert failed.steer.previous_response_id == id
        shown = failed.to_dict()["steer"]["input"]
        assert shown == input


def test_steers_of_one_response_are_limited(live: Live, project: str):
    """One too many is given back."""
    with Gated(live, project) as (socket, gate):
        socket.create("weather")
        [created, *_] = socket.until("response.function_call_arguments.delta")
        for _ in range(WAITING_MAX + 1):
            socket.steer(created.response.id, "x")
        told = [socket.event().type for _ in range(WAITING_MAX + 1)]
        assert told == ["response.steer.accepted"] * WAITING_MAX + ["response.steer.failed"]
        gate()
        socket.until("response.completed")
        assert {socket.event().type for _ in range(WAITING_MAX)} == {"response.steer.pending"}


def test_a_steer_waits_for_the_answer_to_a_call(live: Live, project: str):
    """The call is not broken off; the added input comes before its output, once that is there."""
    with Gated(live, project) as (socket, gate):
        socket.create("weather", stream_id="a")
        [created, *_] = socket.until("response.function_call_arguments.delta")
        first = created.response.id
        socket.steer(first, "And be brief.")
        assert socket.event().type == "response.steer.accepted"
        gate()
        assert socket.until(*ENDS)[-1].type == "response.completed"
        pending = socket.event()
        assert (pending.type, pending.reason) == (
            "response.steer.pending",
            "waiting_for_required_input",
        )
        [stub] = pending.required_input
        assert (stub.type, stub.call_id, stub.name) == ("function_call_output", "c", "f")
        socket.steer(first, "And kind.")
        assert socket.event().type == "response.steer.accepted"
        assert socket.event().type == "response.steer.pending"
        socket.create("x", previous_response_id=first, stream_id="a")
        assert socket.refused()[1] == "No tool output found for function call c."
        output = stub.to_dict() | {"output": "sunny"}
        output.pop("name")
        socket.create([output], previous_response_id=first, stream_id="a")
        second = socket.ended()
        assert second.output_text == "weather And be brief. And kind. sunny"


def test_a_steer_of_a_response_that_fails_is_given_back(live: Live, project: str):
    """Under the id it was accepted with."""
    with Gated(live, project, cancel=True) as (socket, gate):
        socket.create("weather")
        [created, *_] = socket.until("response.function_call_arguments.delta")
        socket.steer(created.response.id, "x")
        accepted = socket.event()
        gate()
        assert socket.until(*ENDS)[-1].type == "response.failed"
        failed = socket.event()
        assert (failed.steer.id, failed.steer.input) == (accepted.steer.id, "x")
        assert failed.error.code == "response_not_active"


class Gated:
    """A server of its own whose model calls a function, and ends when the gate is opened."""

    def __init__(self, live: Live, project: str, *, cancel: bool = False) -> None:
        self._project, self._model = project, Calling(fails=cancel)

    def __enter__(self) -> tuple[Socket, Callable[[], None]]:
        self._live = Live("sqlite:///:memory:", cast(Any, self._model))
        self._client = self._live.client(project=self._project)
        self._opened = opened(self._client)
        return self._opened.__enter__(), self._model.go_on.set

    def __exit__(self, *_: object) -> None:
        self._opened.__exit__(None, None, None)
        self._model.go_on.set()
        self._live.close()


class Calling:
    """A model that calls f when it is asked about the weather, and repeats all else it was told."""

    name = "calling"
    abilities = Abilities()

    def __init__(self, *, fails: bool) -> None:
        self.go_on, self._fails = threading.Event(), fails

    def __call__(self, model: str) -> Calling:
        return self

    def price_of(self, model: str) -> None:
        """It costs nothing."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        if request.items[-1].kind == "user":
            yield ToolCallDelta(0, "{}", "c", "f")
            while not self.go_on.is_set():
                await asyncio.sleep(0.001)
            if self._fails:
                raise RuntimeError("broken on purpose")
            yield Finish("tool_calls")
            return
        words = [item.data().get("output") or item.text() for item in request.items]
        yield TextDelta(" ".join(word for word in words if word))
        yield Finish("stop")

    async def close(self) -> None:
        self.go_on.set()


def test_an_idle_connection_costs_no_task_of_its_lanes_when_it_ends(live: Live, client: OpenAI):
    """What a client leaves behind is let go of."""
    with opened(client) as socket:
        socket.create("hello", stream_id="unlike any other")
        socket.ended()
        assert "stream unlike any other" in tasks(live)
    deadline = time.monotonic() + 10
    while "stream unlike any other" in tasks(live):
        assert time.monotonic() < deadline


def tasks(live: Live) -> list[str]:
    async def names() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks()]

    return live.here.run(names())
