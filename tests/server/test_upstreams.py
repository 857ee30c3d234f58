"""A live server in front of model servers of each kind: what they say, and how they fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from openai import OpenAI

from clew.providers.catalog import Catalog
from clew.testing import upstream, upstream_messages, upstream_responses
from clew.testing.upstream import Reply, Upstream, cut

from .live import Live

SAYS: dict[str, Callable[..., Reply]] = {
    "openai-compatible": upstream.says,
    "openai-responses": upstream_responses.says,
    "anthropic": upstream_messages.says,
}
every_kind = pytest.mark.parametrize("kind", SAYS)

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}


@contextmanager
def served(kind: str, *replies: Reply) -> Iterator[tuple[OpenAI, Upstream]]:
    """A client of a live server whose upstream gives these replies."""
    with listening(Upstream(*replies)) as double:
        catalog = Catalog(double.base_url, upstream_kind=kind)
        with Live("sqlite://:memory:", catalog) as live, live.client() as client:
            yield client, double


@contextmanager
def listening(double: Upstream) -> Iterator[Upstream]:
    """The double on an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(double.__aenter__(), loop).result(10)
    try:
        yield double
    finally:
        asyncio.run_coroutine_threadsafe(double.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@every_kind
def test_an_answer_streams_through_from_every_kind(kind: str):
    """The deltas of the upstream are the client's, and the response is kept."""
    with served(kind, SAYS[kind]("Hel", "lo")) as (client, _):
        events = list(client.responses.create(model="m", input="Hi", stream=True))
        said = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert said == ["Hel", "lo"]
        assert events[-1].type == "response.completed"
        kept = client.responses.retrieve(events[-1].response.id)
        assert kept.output_text == "Hello"
        assert kept.usage is not None or kind == "openai-compatible"


@every_kind
def test_a_stream_that_breaks_ends_visibly_with_what_was_said(kind: str):
    """The response is failed, its message incomplete and kept."""
    with served(kind, cut(SAYS[kind]("Hel", "lo"), "Hel", "reset")) as (client, _):
        events = list(client.responses.create(model="m", input="Hi", stream=True))
        assert events[-1].type == "response.failed"
        kept = client.responses.retrieve(events[-1].response.id)
        assert (kept.status, kept.output_text) == ("failed", "Hel")
        assert kept.error is not None
        assert kept.error.code == "server_error"
        (message,) = kept.output
        assert message.type == "message"
        assert message.status == "incomplete"


def test_reasoning_that_a_chat_server_shows_is_an_item_and_no_message():
    """Responses shows it, Threads does not, and it does not go back."""
    reply = upstream.streams({"reasoning_content": "hm"}, {"content": "Yes."})
    with served("openai-compatible", reply, upstream.says("No."), reply) as (client, double):
        before = client.responses.create(model="m", input="Hi")
        assert [item.type for item in before.output] == ["reasoning", "message"]
        client.responses.create(model="m", input="And?", previous_response_id=before.id)
        roles = [message["role"] for message in double.requests[-1].body["messages"]]
        assert roles == ["user", "assistant", "user"]
        assistant = client.beta.assistants.create(model="m")
        run = client.beta.threads.create_and_run_poll(assistant_id=assistant.id)
        assert run.status == "completed"
        (message,) = client.beta.threads.messages.list(run.thread_id).data
        (step,) = client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id).data
        assert message.content[0].to_dict()["text"] == {"value": "Yes.", "annotations": []}
        assert step.type == "message_creation"


def test_sealed_reasoning_goes_back_to_the_upstream_that_sealed_it():
    """The second turn carries the reasoning of the first, without its id."""
    first = upstream_responses.streams(
        *upstream_responses.reasoning(0, "hm", seal="gAAAA"),
        *upstream_responses.message(1, "Yes."),
    )
    with served("openai-responses", first, upstream_responses.says("No.")) as (client, double):
        before = client.responses.create(model="m", input="Hi")
        assert [item.type for item in before.output] == ["reasoning", "message"]
        client.responses.create(model="m", input="And?", previous_response_id=before.id)
        sent = double.requests[-1].body["input"]
    assert [item["type"] for item in sent] == ["message", "reasoning", "message", "message"]
    assert sent[1]["encrypted_content"] == "gAAAA"
    assert "id" not in sent[1]


def test_a_hosted_search_is_told_stage_by_stage_and_kept():
    """The events of the search are OpenAI's own, and the item is in the response."""
    search = {"id": "ws_1", "type": "web_search_call", "action": {"type": "search", "query": "q"}}
    stages = ["in_progress", "searching", "completed"]
    reply = upstream_responses.streams(
        *upstream_responses.hosted(0, search, stages), *upstream_responses.message(1, "Found.")
    )
    with served("openai-responses", reply) as (client, _):
        tools: Any = [{"type": "web_search"}]
        events = list(client.responses.create(model="m", input="q", tools=tools, stream=True))
    told = [event.type for event in events if ".web_search_call." in event.type]
    assert told == [f"response.web_search_call.{stage}" for stage in stages]
    assert [item.type for item in events[-1].response.output] == ["web_search_call", "message"]


def test_thinking_goes_back_with_its_signature_when_a_tool_has_answered():
    """Anthropic gets the thinking, the call and the result as it gave them."""
    first = upstream_messages.streams(
        upstream_messages.thinking(0, "Look it up.", signature="sig=="),
        upstream_messages.call(1, "toolu_1", "get_weather", "{}"),
        stop="tool_use",
    )
    with served("anthropic", first, upstream_messages.says("Sunny.")) as (client, double):
        asked = client.responses.create(model="m", input="Weather?", tools=[WEATHER])
        (call,) = [item for item in asked.output if item.type == "function_call"]
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
        after = client.responses.create(
            model="m", input=[output], tools=[WEATHER], previous_response_id=asked.id
        )
        assert after.output_text == "Sunny."
        _, assistant, user = double.requests[-1].body["messages"]
    assert assistant["content"] == [
        {"type": "thinking", "thinking": "Look it up.", "signature": "sig=="},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}},
    ]
    assert user["content"] == [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}]


def test_a_custom_tool_is_called_through_chat_completions():
    """Its input comes back as the model wrote it."""
    part = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}
    reply = upstream.streams({"tool_calls": [part]}, finish="tool_calls")
    with served("openai-compatible", reply) as (client, double):
        tools: Any = [{"type": "custom", "name": "sql"}]
        (call,) = client.responses.create(model="m", input="Count.", tools=tools).output
        assert call.type == "custom_tool_call"
        assert (call.call_id, call.input) == ("c1", "SELECT")
        assert double.requests[-1].body["tools"] == [{"type": "custom", "custom": {"name": "sql"}}]


@pytest.mark.parametrize(
    ("kind", "asked", "param"),
    [
        ("openai-compatible", {"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ("anthropic", {"top_logprobs": 2}, "top_logprobs"),
        ("anthropic", {"text": {"format": {"type": "json_object"}}}, "text.format"),
        ("anthropic", {"text": {"verbosity": "low"}}, "text.verbosity"),
    ],
)
def test_what_the_upstream_cannot_do_is_refused_by_name(kind: str, asked: Any, param: str):
    """400 before anything is asked of the upstream."""
    with served(kind) as (client, double):
        with pytest.raises(openai.BadRequestError) as refusal:
            client.responses.create(model="m", input="Hi", **asked)
        assert refusal.value.param == param
        assert double.requests == []
