"""mcp in responses, by the official client, with a real server of the official SDK."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from clew.testing import upstream as chat
from tests.tools.mcp_peers import Seen, served, weather_server

from .doubles import Doubles
from .live import Live
from .test_file_search_runs import unparsed

SECRET, TOKEN = "header-secret-4711", "token-secret-4711"


class Weather:
    """The server: its URL, what was asked of it, and which tools were called."""

    def __init__(self, url: str, seen: Seen, calls: list[Any]) -> None:
        self.tool: dict[str, Any] = {
            "type": "mcp",
            "server_label": "weather",
            "server_url": f"{url}/mcp",
            "require_approval": "never",
        }
        self.seen, self.calls = seen, calls

    @property
    def lists(self) -> int:
        return sum(method == "tools/list" for _, method, _ in self.seen.requests)


@pytest.fixture
def weather() -> Iterator[Weather]:
    calls: list[Any] = []
    seen = Seen(weather_server(calls).streamable_http_app())
    with served(seen) as url:
        yield Weather(url, seen, calls)


def ask(client: OpenAI, input: Any, *tools: Any, **options: Any) -> Any:
    return client.responses.create(model="scripted", input=input, tools=list(tools), **options)


def types(response: Any) -> list[str]:
    return [item.type for item in response.output]


def test_a_response_calls_a_servers_tool(tools: OpenAI, weather: Weather):
    """Its output has the list, the call with its result, and the answer."""
    response = ask(tools, "weather in Oslo", weather.tool)
    listed, call, said = response.output
    assert types(response) == ["mcp_list_tools", "mcp_call", "message"]
    assert {tool.name for tool in listed.tools} >= {"weather", "order"}
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
    assert (call.status, call.output, call.error) == ("completed", "Rain in Oslo.", None)
    assert response.output_text == "The server says: Rain in Oslo."
    assert weather.calls == [("weather", "Oslo")]
    assert said.status == "completed"


def test_the_list_is_made_once_in_a_thread(tools: OpenAI, weather: Weather):
    """The next turn uses it, in a chain and in a conversation."""
    first = ask(tools, "weather in Oslo", weather.tool)
    assert weather.lists == 1
    second = ask(tools, "weather in Rome", weather.tool, previous_response_id=first.id)
    assert types(second) == ["mcp_call", "message"]
    assert weather.lists == 1
    conversation = tools.conversations.create().id
    for listed in (True, False):
        made = ask(tools, "weather in Bonn", weather.tool, conversation=conversation)
        assert ("mcp_list_tools" in types(made)) is listed
    kinds = [item.type for item in tools.conversations.items.list(conversation, order="asc")]
    turn = ["message", "mcp_call", "message"]
    assert kinds == ["message", "mcp_list_tools", "mcp_call", "message", *turn]


def test_a_streamed_response_tells_of_list_and_call(tools: OpenAI, weather: Weather):
    """Each with its stages; the accumulator has what is stored."""
    with tools.responses.stream(
        model="scripted", input="weather in Oslo", tools=[weather.tool]
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    told = [event.type.removeprefix("response.") for event in events if ".mcp_" in event.type]
    assert told == [
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
    ]
    assert unparsed(final.to_dict()) == tools.responses.retrieve(final.id).to_dict()


@pytest.mark.parametrize("kept", ["chain", "conversation"])
def test_a_call_waits_for_its_approval(tools: OpenAI, weather: Weather, kept: str):
    """The response completes with the request; the next makes the call, once."""
    tool = weather.tool | {"require_approval": "always"}
    conversation = {"conversation": tools.conversations.create().id} if kept != "chain" else {}
    first = ask(tools, "weather in Oslo", tool, **conversation)
    assert (first.status, types(first)) == (
        "completed",
        ["mcp_list_tools", "mcp_approval_request"],
    )
    request = first.output[1]
    assert (request.name, request.server_label, weather.calls) == ("weather", "weather", [])
    answer = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}
    more: Any = conversation or {"previous_response_id": first.id}
    second = ask(tools, [answer], tool, **more)
    assert types(second) == ["mcp_call", "message"]
    assert second.output[0].approval_request_id == request.id
    assert second.output_text == "The server says: Rain in Oslo."
    assert weather.calls == [("weather", "Oslo")]
    more = conversation or {"previous_response_id": second.id}
    third = ask(tools, "hm", tool, **more)
    assert "mcp_call" not in types(third)
    assert weather.calls == [("weather", "Oslo")]


def test_an_approved_call_goes_to_its_own_server(tools: OpenAI, weather: Weather):
    """Where the next request has another, the call fails and says so. An approval that is sent
    again makes no other call."""
    tool = weather.tool | {"require_approval": "always"}
    conversation = tools.conversations.create().id
    first = ask(tools, "weather in Oslo", tool, conversation=conversation)
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": first.output[1].id,
        "approve": True,
    }
    other = weather.tool | {"server_label": "other"}
    second = ask(tools, [answer], other, conversation=conversation)
    call = next(item for item in second.output if item.type == "mcp_call")
    assert (call.status, call.server_label) == ("failed", "weather")
    assert "no MCP server 'weather'" in str(call.error)
    third = ask(tools, [answer], tool, conversation=conversation)
    assert "mcp_call" not in types(third)
    assert weather.calls == []


def test_a_refusal_is_told_to_the_model(tools: OpenAI, weather: Weather):
    """Nothing is called; the model reads why."""
    tool = weather.tool | {"require_approval": "always"}
    first = ask(tools, "weather in Oslo", tool)
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": first.output[1].id,
        "approve": False,
        "reason": "not today",
    }
    second = ask(tools, [answer], tool, previous_response_id=first.id)
    assert types(second) == ["message"]
    assert "did not approve" in second.output_text
    assert "not today" in second.output_text
    assert weather.calls == []


def test_what_a_server_says_went_wrong_is_in_the_call(tools: OpenAI, weather: Weather):
    """The run goes on; only a list that cannot be had ends it, with the server's label."""
    response = ask(tools, "order bread", weather.tool)
    call = response.output[1]
    assert (call.status, call.output) == ("failed", None)
    assert "no bread left" in str(call.error)
    assert "no bread left" in response.output_text
    gone = weather.tool | {"server_url": "http://127.0.0.1:9/mcp"}
    failed = ask(tools, "order bread", gone)
    assert (failed.status, failed.output) == ("failed", [])
    said = "Error retrieving tool list from MCP server: 'weather'."
    assert failed.error.message.startswith(said)


def test_secrets_go_to_the_server_and_nowhere_else(
    tooled: Live,
    tools: OpenAI,
    project: str,
    weather: Weather,
    caplog: pytest.LogCaptureFixture,
):
    """Not into answers, items, events or the log; the run itself forgets them when it ends."""
    caplog.set_level(logging.DEBUG)
    tool = weather.tool | {"headers": {"x-key": SECRET}, "authorization": TOKEN}
    raw = tools.responses.with_raw_response.create(
        model="scripted",
        input="weather in Oslo",
        tools=[tool],  # type: ignore[list-item]
    )
    response = raw.parse()
    sent = [headers for _, method, headers in weather.seen.requests if method == "tools/call"]
    assert [(one["x-key"], one["authorization"]) for one in sent] == [(SECRET, f"Bearer {TOKEN}")]
    stream = tools.responses.with_raw_response.create(
        model="scripted",
        input="order bread",
        tools=[tool],
        stream=True,  # type: ignore[list-item]
    )
    seen = [raw.text, stream.http_response.read().decode(), caplog.text]
    seen.append(tools.responses.with_raw_response.retrieve(response.id).text)
    seen.append(tools.responses.input_items.with_raw_response.list(response.id).text)
    key = response.id.removeprefix("resp_")
    seen.append(str(tooled.here.get_run(project, key[:30], key)))
    assert all("x-key" in text for text in (seen[0], seen[-1]))
    for text in seen:
        assert SECRET not in text
        assert TOKEN not in text


def test_a_model_over_http_is_offered_functions(tools: OpenAI, upstream: Doubles, weather: Weather):
    """It calls one by its name, and reads the result as a function's."""
    call = chat.call(0, "call_1", "mcp__weather__weather", '{"city": "Oslo"}')
    upstream.reply(chat.streams(call), chat.says("Take an umbrella."))
    response = tools.responses.create(model="gpt", input="Oslo?", tools=[weather.tool])  # type: ignore[list-item]
    asked, told = (request.body for request in upstream.double.requests)
    offered = {tool["function"]["name"]: tool["function"] for tool in asked["tools"]}
    schema = offered["mcp__weather__weather"]["parameters"]
    assert schema["properties"]["city"]["type"] == "string"
    assert told["messages"][-1]["content"] == "Rain in Oslo."
    assert response.output_text == "Take an umbrella."
