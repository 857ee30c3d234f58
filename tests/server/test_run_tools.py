"""Function tools on the Threads face: pause, outputs, and what is refused."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import openai
import pytest
from openai import OpenAI

from .live import Live, run


@pytest.fixture
def assistant(client: OpenAI) -> str:
    function: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    return client.beta.assistants.create(model="scripted", tools=[function]).id


@pytest.fixture
def paused(client: OpenAI, assistant: str) -> Any:
    """A run that waits for the outputs of two calls."""
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "weather in Rome and Oslo"}]
    )
    return client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant, poll_interval_ms=5
    )


def calls_of(run: Any) -> list[Any]:
    return list(run.required_action.submit_tool_outputs.tool_calls)


def answers(run: Any) -> Any:
    return [{"tool_call_id": call.id, "output": "sunny"} for call in calls_of(run)]


def refusal(client: OpenAI, run: Any, outputs: Any) -> str:
    """What submitting these outputs is refused with; the run must stand as it stood."""
    before = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=run.thread_id, tool_outputs=outputs
        )
    assert client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id) == before
    message: str = refused.value.body["message"]
    return message


def test_a_run_waits_for_its_functions(client: OpenAI, paused: Any):
    """requires_action names the calls, with their arguments; the thread is held."""
    assert (paused.status, paused.required_action.type) == (
        "requires_action",
        "submit_tool_outputs",
    )
    functions = [call.function for call in calls_of(paused)]
    assert [(f.name, f.arguments) for f in functions] == [
        ("get_weather", '{"city":"Rome"}'),
        ("get_weather", '{"city":"Oslo"}'),
    ]
    found = client.beta.threads.runs.retrieve(paused.id, thread_id=paused.thread_id)
    assert found == paused
    assert client.beta.threads.runs.list(paused.thread_id).data == [paused]
    with pytest.raises(openai.BadRequestError):
        client.beta.threads.messages.create(paused.thread_id, role="user", content="x")


def test_outputs_let_the_run_go_on(client: OpenAI, paused: Any):
    """submit_tool_outputs_and_poll ends with the answer; steps have calls and outputs."""
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=paused.id,
        thread_id=paused.thread_id,
        tool_outputs=answers(paused),
        poll_interval_ms=5,
    )
    assert (run.id, run.status) == (paused.id, "completed")
    steps = list(
        client.beta.threads.runs.steps.list(run.id, thread_id=run.thread_id, order="asc", limit=1)
    )
    assert [step.type for step in steps] == [
        "message_creation",
        "tool_calls",
        "message_creation",
    ]
    assert {step.status for step in steps} == {"completed"}
    outputs = [call.function.output for call in steps[1].step_details.tool_calls]
    assert outputs == ["sunny", "sunny"]
    newest = client.beta.threads.messages.list(run.thread_id, limit=1).data[0]
    assert newest.content[0].text.value == "It is sunny."


def test_the_calls_are_items_of_the_conversation(client: OpenAI, paused: Any):
    """The Conversations face shows calls and outputs between the messages, in order."""
    client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=paused.id,
        thread_id=paused.thread_id,
        tool_outputs=answers(paused)[::-1],
        poll_interval_ms=5,
    )
    conversation = paused.thread_id.replace("thread_", "conv_")
    items = list(client.conversations.items.list(conversation, order="asc"))
    assert [item.type for item in items] == [
        "message",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "message",
    ]
    ids = [call.id for call in calls_of(paused)]
    assert [item.call_id for item in items[2:6]] == [*ids, *ids]


def test_outputs_that_do_not_fit_the_calls_are_refused(client: OpenAI, paused: Any):
    """Missing, unknown and doubled outputs are named in OpenAI's words; the run waits on."""
    a, b = (call.id for call in calls_of(paused))
    one, two = answers(paused)
    stranger = {"tool_call_id": "call_x", "output": ""}
    expected = f"Expected tool outputs for call_ids ['{a}', '{b}'], got "
    assert refusal(client, paused, [one]) == f"{expected}['{a}']"
    assert refusal(client, paused, [one, stranger]) == f"{expected}['{a}', 'call_x']"
    assert refusal(client, paused, [one, two, one]) == f"{expected}['{a}', '{b}', '{a}']"
    too_large = [one, {"tool_call_id": b, "output": "x" * (512 * 1024)}]
    assert refusal(client, paused, too_large) == (
        "'tool_outputs' too large: the combined tool outputs must be less than 512kb."
    )
    missing = [{"output": "x"}]
    said = "Missing required parameter: 'tool_outputs[0].tool_call_id'."
    assert refusal(client, paused, missing) == said


def test_outputs_are_taken_once(client: OpenAI, paused: Any):
    """A run that has gone on accepts none."""
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=paused.id,
        thread_id=paused.thread_id,
        tool_outputs=answers(paused),
        poll_interval_ms=5,
    )
    said = 'Runs in status "completed" do not accept tool outputs.'
    assert refusal(client, run, answers(paused)) == said


def test_a_paused_run_is_cancelled_at_once(client: OpenAI, paused: Any):
    """It waits for nobody; the thread is free and its calls are answered by nobody."""
    cancelled = client.beta.threads.runs.cancel(paused.id, thread_id=paused.thread_id)
    assert cancelled.status == "cancelled"
    said = 'Runs in status "cancelled" do not accept tool outputs.'
    assert refusal(client, paused, answers(paused)) == said
    client.beta.threads.messages.create(paused.thread_id, role="user", content="hello")
    run = client.beta.threads.runs.create_and_poll(
        thread_id=paused.thread_id, assistant_id=paused.assistant_id, poll_interval_ms=5
    )
    assert run.status == "completed"


def test_a_function_may_be_insisted_on(client: OpenAI, assistant: str):
    """`tool_choice` reaches the model and is shown by the run."""
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "anything"}])
    choice: Any = {"type": "function", "function": {"name": "get_weather"}}
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id,
        assistant_id=assistant,
        tool_choice=choice,
        parallel_tool_calls=False,
        poll_interval_ms=5,
    )
    assert run.tool_choice.function.name == "get_weather"
    assert run.parallel_tool_calls is False
    assert [call.function.name for call in calls_of(run)] == ["get_weather"]


def test_outputs_of_another_run_are_refused(client: OpenAI, paused: Any, assistant: str):
    """Calls belong to the run that made them; each names what it waits for."""
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "weather in Bonn"}])
    other = client.beta.threads.runs.create_and_poll(
        thread_id=thread.id, assistant_id=assistant, poll_interval_ms=5
    )
    expected, got = ([call.id for call in calls_of(run)] for run in (paused, other))
    said = f"Expected tool outputs for call_ids {expected}, got {got}"
    assert refusal(client, paused, answers(other)) == said
    said = f"Expected tool outputs for call_ids {got}, got {expected}"
    assert refusal(client, other, answers(paused)) == said


def test_outputs_that_come_twice_at_once_are_taken_once(live: Live, project: str, paused: Any):
    """One request wins, the others are refused; the model reads one output of each call."""

    async def main() -> None:
        async with live.async_client(project=project) as client:
            submit = client.beta.threads.runs.submit_tool_outputs
            place = {"run_id": paused.id, "thread_id": paused.thread_id}
            came = await asyncio.gather(
                *(submit(**place, tool_outputs=answers(paused)) for _ in range(8)),
                return_exceptions=True,
            )
            refused = [one for one in came if isinstance(one, openai.BadRequestError)]
            assert len(refused) == 7
            for one in refused:
                words = (
                    r'Runs in status "(queued|in_progress|completed)" do not accept tool outputs\.'
                )
                assert re.fullmatch(words, one.body["message"])  # type: ignore[index]
            ended = await client.beta.threads.runs.poll(**place, poll_interval_ms=5)
            assert ended.status == "completed"
            conversation = paused.thread_id.replace("thread_", "conv_")
            items = [item.type async for item in client.conversations.items.list(conversation)]
            assert items.count("function_call_output") == 2

    run(main())


def test_outputs_may_be_as_large_as_said(client: OpenAI, paused: Any):
    """512 kB in all, to the letter."""
    one, two = answers(paused)
    large = [one | {"output": "x" * (512 * 1024 - 1)}, two | {"output": "y"}]
    done = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=paused.id, thread_id=paused.thread_id, tool_outputs=large, poll_interval_ms=5
    )
    assert done.status == "completed"
