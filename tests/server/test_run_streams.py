"""Streams of runs: the order of events, and what the client's own helpers make of them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest
from openai import AssistantEventHandler, OpenAI

PLAIN = [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
    "thread.run.completed",
]
"""What OpenAI sends for a plain run; a row of deltas counts as one."""


@pytest.fixture
def assistant(client: OpenAI) -> str:
    return client.beta.assistants.create(model="scripted").id


def asking(client: OpenAI, text: str) -> str:
    return client.beta.threads.create(messages=[{"role": "user", "content": text}]).id


def kinds(events: Any) -> list[str]:
    return [kind for kind, _ in groupby(event.event for event in events)]


class Listener(AssistantEventHandler):
    """Notes what the client's own handler was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self.said = ""
        self.snapshots: list[str] = []

    def on_text_created(self, text: Any) -> None:
        self.heard.append("text created")

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.said += delta.value
        self.snapshots.append(snapshot.value)

    def on_text_done(self, text: Any) -> None:
        self.heard.append(f"text {text.value}")

    def on_message_done(self, message: Any) -> None:
        self.heard.append(f"message {message.status}")

    def on_run_step_done(self, run_step: Any) -> None:
        self.heard.append(f"step {run_step.type} {run_step.status}")

    def on_tool_call_done(self, tool_call: Any) -> None:
        self.heard.append(f"call {tool_call.function.name} {tool_call.function.arguments}")

    def on_end(self) -> None:
        self.heard.append("end")


def test_a_stream_has_openais_events_in_openais_order(client: OpenAI, assistant: str):
    """Every event of a plain run, once; deltas add up to the message."""
    thread = asking(client, "hello")
    events = list(client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True))
    assert kinds(events) == PLAIN
    deltas = [e.data.delta.content[0].text.value for e in events if e.event.endswith(".delta")]
    assert len(deltas) == 4
    [done] = [e.data for e in events if e.event == "thread.message.completed"]
    assert "".join(deltas) == done.content[0].text.value == "Hello there, dear friend."
    assert done == client.beta.threads.messages.list(thread).data[0]
    assert events[-1].data == client.beta.threads.runs.list(thread).data[0]


def test_the_listener_hears_everything(client: OpenAI, assistant: str):
    """until_done returns; text, message, step and the end are heard, deltas accumulate."""
    listener = Listener()
    with client.beta.threads.runs.stream(
        thread_id=asking(client, "hello"), assistant_id=assistant, event_handler=listener
    ) as stream:
        stream.until_done()
    assert listener.heard == [
        "text created",
        "text Hello there, dear friend.",
        "message completed",
        "step message_creation completed",
        "end",
    ]
    assert listener.said == listener.snapshots[-1] == "Hello there, dear friend."
    assert listener.get_final_run().status == "completed"
    [message] = listener.get_final_messages()
    [step] = listener.get_final_run_steps()
    assert step.step_details.message_creation.message_id == message.id
    assert message.content[0].text.value == listener.said


def test_a_thread_made_with_its_run_is_announced_first(client: OpenAI, assistant: str):
    """create_and_run streams the thread, then the run."""
    thread: Any = {"messages": [{"role": "user", "content": "hello"}], "metadata": {"k": "v"}}
    events = list(
        client.beta.threads.create_and_run(assistant_id=assistant, thread=thread, stream=True)
    )
    assert kinds(events) == ["thread.created", *PLAIN]
    assert events[0].data.metadata == {"k": "v"}
    listener = Listener()
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant, thread=thread, event_handler=listener
    ) as stream:
        stream.until_done()
    assert listener.said == "Hello there, dear friend."


def test_the_iterator_of_text_gives_the_text(client: OpenAI, assistant: str):
    """`text_deltas` is what a chat window prints."""
    with client.beta.threads.runs.stream(
        thread_id=asking(client, "hello"), assistant_id=assistant
    ) as stream:
        assert "".join(stream.text_deltas) == "Hello there, dear friend."


def test_a_failing_run_streams_to_its_end(client: OpenAI, assistant: str):
    """Partial text, an incomplete message, a failed step, then the failed run."""
    thread = asking(client, "break")
    events = list(client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True))
    assert kinds(events) == [
        *PLAIN[:8],
        "thread.message.incomplete",
        "thread.run.step.failed",
        "thread.run.failed",
    ]
    assert events[-1].data.last_error.message == "It broke."
    assert events[-3].data.content[0].text.value == "I was about to"


def test_a_stream_that_needs_a_function_pauses(client: OpenAI, assistant: str):
    """It ends with requires_action; submit_tool_outputs_stream goes on from there."""
    thread = asking(client, "weather in Rome and Oslo")
    listener = Listener()
    with client.beta.threads.runs.stream(
        thread_id=thread, assistant_id=assistant, event_handler=listener
    ) as stream:
        stream.until_done()
    run = listener.current_run
    assert run.status == "requires_action"
    assert listener.heard == [
        "text created",
        "text Let me look.",
        "message completed",
        "step message_creation completed",
        'call get_weather {"city":"Rome"}',
        'call get_weather {"city":"Oslo"}',
        "end",
    ]
    calls = run.required_action.submit_tool_outputs.tool_calls
    outputs = [{"tool_call_id": call.id, "output": f"sun {n}"} for n, call in enumerate(calls)]
    after = Listener()
    with client.beta.threads.runs.submit_tool_outputs_stream(
        run_id=run.id,
        thread_id=thread,
        tool_outputs=outputs,
        event_handler=after,
    ) as stream:
        stream.until_done()
    assert after.heard == [
        "step tool_calls completed",
        "text created",
        "text It is sun 1.",
        "message completed",
        "step message_creation completed",
        "end",
    ]
    assert after.get_final_run().status == "completed"


def test_the_events_of_a_function_call_are_in_order(client: OpenAI, assistant: str):
    """The step is made before its deltas, and the pause comes last, naming the call."""
    thread = asking(client, "weather in Rome")
    events = list(client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True))
    assert kinds(events) == [
        *PLAIN[:5],
        "thread.run.step.delta",
        "thread.run.requires_action",
    ]
    [call] = events[-1].data.required_action.submit_tool_outputs.tool_calls
    after = list(
        client.beta.threads.runs.submit_tool_outputs(
            events[-1].data.id,
            thread_id=thread,
            tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}],
            stream=True,
        )
    )
    assert kinds(after) == [
        "thread.run.step.completed",
        "thread.run.queued",
        "thread.run.in_progress",
        *PLAIN[3:],
    ]
    assert after[0].data.step_details.tool_calls[0].function.output == "sunny"


def test_a_follower_that_goes_away_does_not_end_the_run(client: OpenAI, assistant: str):
    """The run goes on without anybody to listen."""
    thread = asking(client, "hello")
    with client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True) as events:
        run = next(iter(events)).data.id
    polled = client.beta.threads.runs.poll(run, thread_id=thread, poll_interval_ms=5)
    assert polled.status == "completed"
