"""Streams of responses: order and numbers of events, and what the client's helper makes of them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import openai
import pytest
from openai import OpenAI

from .live import Live

PLAIN = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]
"""What OpenAI sends for a plain response; a row of deltas counts as one."""

WEATHER: Any = {"type": "function", "name": "get_weather", "parameters": {}, "strict": False}


def streamed(client: OpenAI, text: str, **options: Any) -> list[Any]:
    """All events; they are numbered from 0 without a gap."""
    stream = client.responses.create(model="scripted", input=text, stream=True, **options)
    events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return events


def kinds(events: list[Any]) -> list[str]:
    return [kind for kind, _ in groupby(event.type for event in events)]


def test_a_stream_has_openais_events_in_openais_order(client: OpenAI):
    """Every event of a plain response; deltas add up to the text, the end is the response."""
    events = streamed(client, "hello")
    assert kinds(events) == PLAIN
    deltas = [event.delta for event in events if event.type.endswith(".delta")]
    assert "".join(deltas) == events[-1].response.output_text == "Hello there, dear friend."
    assert len(deltas) == 4
    assert events[0].response.status == "in_progress"
    assert {event.response.id for event in (events[0], events[1], events[-1])} == {
        events[-1].response.id
    }
    assert client.responses.retrieve(events[-1].response.id) == events[-1].response


def test_a_stream_in_a_conversation_leaves_its_items_there(client: OpenAI):
    """The items of the stream are those of the conversation."""
    conversation = client.conversations.create().id
    events = streamed(client, "hello", conversation=conversation)
    newest = client.conversations.items.list(conversation).data[0]
    [done] = [event.item for event in events if event.type == "response.output_item.done"]
    assert newest.id == done.id
    assert newest.content[0].text == "Hello there, dear friend."


def test_items_come_one_after_the_other(client: OpenAI):
    """A message is done before the call after it begins."""
    events = streamed(client, "weather in Rome and Oslo", tools=[WEATHER])
    assert kinds(events)[:8] == PLAIN[:8]
    after = [event for event in events[:-1] if getattr(event, "output_index", 0) > 0]
    assert [(event.type.removeprefix("response."), event.output_index) for event in after] == [
        ("output_item.added", 1),
        ("function_call_arguments.delta", 1),
        ("output_item.added", 2),
        ("function_call_arguments.delta", 2),
        ("function_call_arguments.done", 1),
        ("output_item.done", 1),
        ("function_call_arguments.done", 2),
        ("output_item.done", 2),
    ]
    assert [item.type for item in events[-1].response.output] == [
        "message",
        "function_call",
        "function_call",
    ]


def test_a_failing_response_streams_to_its_end(client: OpenAI):
    """The partial message is done as incomplete, then the response has failed."""
    events = streamed(client, "break")
    assert kinds(events) == [*PLAIN[:8], "response.failed"]
    assert events[-1].response.error.message == "It broke."
    assert events[-2].item.status == "incomplete"


def test_a_response_that_reaches_its_budget_streams_to_its_end(client: OpenAI):
    """The last event is response.incomplete."""
    events = streamed(client, " ".join(["w"] * 40), max_output_tokens=16)
    assert kinds(events) == [*PLAIN[:8], "response.incomplete"]
    assert events[-1].response.incomplete_details.reason == "max_output_tokens"


def test_an_unstored_response_streams_too(client: OpenAI):
    """Nothing can be retrieved afterwards."""
    events = streamed(client, "hello", store=False)
    assert kinds(events) == PLAIN
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(events[-1].response.id)


def test_the_helper_of_the_client_follows_a_stream(client: OpenAI):
    """`responses.stream()` gives text snapshots and the final response."""
    with client.responses.stream(model="scripted", input="hello") as stream:
        snapshots = [e.snapshot for e in stream if e.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == [
        "Hello",
        "Hello there,",
        "Hello there, dear",
        "Hello there, dear friend.",
    ]
    assert final.output_text == snapshots[-1]


def test_the_helper_follows_function_calls(client: OpenAI):
    """Calls arrive whole, and their arguments are parsed by the client."""
    with client.responses.stream(
        model="scripted", input="weather in Rome", tools=[WEATHER]
    ) as stream:
        final = stream.get_final_response()
    [call] = final.output
    assert (call.name, call.arguments) == ("get_weather", '{"city":"Rome"}')


def test_a_refused_stream_is_an_ordinary_error(client: OpenAI):
    """What is wrong is told before the stream begins."""
    with pytest.raises(openai.BadRequestError, match="Previous response"):
        streamed(client, "hello", previous_response_id="resp_none")


def test_events_come_as_they_happen(client: OpenAI, live: Live, project: str):
    """The first text is here while the model still speaks; the response is not over then."""
    conversation = client.conversations.create().id
    with client.responses.create(
        model="scripted", input="dictate", conversation=conversation, stream=True
    ) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
        assert event.delta == "one"
        run = live.here.get_thread(project, conversation.removeprefix("conv_")).active_run
        thread = conversation.replace("conv_", "thread_")
        client.beta.threads.runs.cancel(f"run_{run}", thread_id=thread)
        rest = list(stream)
    assert rest[-1].type == "response.failed"
    assert rest[-1].response.status == "cancelled"
