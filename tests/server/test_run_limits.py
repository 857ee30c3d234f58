"""What limits a run on the Threads face: tokens, time, tools; and every parameter it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from clew.options import Options
from clew.providers.catalog import Catalog

from .conftest import RULES
from .live import Live

TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}


@pytest.fixture
def assistant(client: OpenAI) -> str:
    return client.beta.assistants.create(model="scripted").id


def asking(client: OpenAI, *texts: str) -> str:
    messages: Any = [{"role": "user", "content": text} for text in texts]
    return client.beta.threads.create(messages=messages).id


def poll(client: OpenAI, thread: str, assistant: str, **options: Any) -> Any:
    return client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant, poll_interval_ms=5, **options
    )


def test_a_message_larger_than_the_prompt_budget(client: OpenAI, assistant: str) -> None:
    """The run is incomplete and says which budget; no model was asked, and the thread is free."""
    thread = asking(client, "hello", "word " * 300)
    run = poll(client, thread, assistant, max_prompt_tokens=256)
    assert run.status == "incomplete"
    assert run.incomplete_details.reason == "max_prompt_tokens"
    assert (run.max_prompt_tokens, run.usage) == (256, None)
    assert len(client.beta.threads.messages.list(thread).data) == 2
    assert poll(client, thread, assistant).status == "completed"


def test_older_messages_are_left_out_to_keep_the_prompt_budget(
    client: OpenAI, assistant: str
) -> None:
    """What fits is shown: the newest, to the token."""
    thread = asking(client, "My customer number is C-77.", "word " * 240, QUESTION)
    run = poll(client, thread, assistant, max_prompt_tokens=256)
    assert run.status == "completed"
    assert "C-77" not in newest_text(client, thread)
    assert poll(client, asking(client, FACT, QUESTION), assistant, max_prompt_tokens=256)


FACT, QUESTION = "My customer number is C-77.", "What is my customer number?"


def newest_text(client: OpenAI, thread: str) -> str:
    text: str = client.beta.threads.messages.list(thread, limit=1).data[0].content[0].text.value
    return text


def test_the_last_messages(client: OpenAI, assistant: str) -> None:
    """`truncation_strategy` shows the model that many messages and no more."""
    for shown, knows in ((2, True), (1, False)):
        thread = asking(client, FACT, QUESTION)
        strategy: Any = {"type": "last_messages", "last_messages": shown}
        run = poll(client, thread, assistant, truncation_strategy=strategy)
        assert run.truncation_strategy.model_dump() == strategy
        assert ("C-77" in newest_text(client, thread)) == knows


def test_a_broken_off_message_says_why(client: OpenAI, assistant: str) -> None:
    """In the words that messages have for it."""
    thread = asking(client, " ".join(["w"] * 400))
    poll(client, thread, assistant, max_completion_tokens=256)
    message = client.beta.threads.messages.list(thread).data[0]
    assert (message.status, message.incomplete_details.reason) == ("incomplete", "max_tokens")
    assert message.incomplete_at is not None
    assert message.completed_at is None
    thread = asking(client, "break")
    poll(client, thread, assistant)
    message = client.beta.threads.messages.list(thread).data[0]
    assert message.incomplete_details.reason == "run_failed"


def test_every_parameter_comes_back(client: OpenAI) -> None:
    """What was asked for is in the run, as it was asked for; the assistant's where nothing was."""
    assistant = client.beta.assistants.create(
        model="scripted", reasoning_effort="low", temperature=0.1, tools=[TOOL]
    )
    thread = asking(client, "hello")
    schema: Any = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}
    asked: dict[str, Any] = {
        "temperature": 0.2,
        "top_p": 0.3,
        "max_prompt_tokens": 300,
        "max_completion_tokens": 400,
        "truncation_strategy": {"type": "last_messages", "last_messages": 2},
        "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
        "parallel_tool_calls": False,
        "metadata": {"k": "v"},
        "response_format": schema,
        "instructions": "Be brief.",
        "reasoning_effort": "high",
    }
    run = client.beta.threads.runs.create(thread, assistant_id=assistant.id, **asked)
    shown = run.model_dump(exclude_none=True, by_alias=True)
    assert {name: shown[name] for name in asked if name != "reasoning_effort"} == {
        name: value for name, value in asked.items() if name != "reasoning_effort"
    }
    assert shown["reasoning_effort"] == "high"
    assert [tool.type for tool in run.tools] == ["function"]
    client.beta.threads.runs.poll(run.id, thread_id=thread)
    plain = poll(client, asking(client, "hello"), assistant.id)
    shown = plain.model_dump()
    assert (shown["temperature"], shown["reasoning_effort"]) == (0.1, "low")
    assert plain.truncation_strategy.type == "auto"
    assert (plain.tool_choice, plain.response_format) == ("auto", "auto")
    assert plain.parallel_tool_calls is True


def test_a_list_of_runs_says_when_to_look_again(client: OpenAI, assistant: str) -> None:
    """As long as one of them goes on."""
    thread = asking(client, "wait")
    run = client.beta.threads.runs.create(thread, assistant_id=assistant).id
    raw = client.beta.threads.runs.with_raw_response
    assert int(raw.list(thread).headers["openai-poll-after-ms"]) < 1000
    client.beta.threads.runs.cancel(run, thread_id=thread)
    client.beta.threads.runs.poll(run, thread_id=thread, poll_interval_ms=5)
    assert "openai-poll-after-ms" not in raw.list(thread).headers


@pytest.fixture(scope="module")
def hasty(new_store_url: Callable[[], str]) -> Iterator[Live]:
    """A server whose runs have one second."""
    with Live(new_store_url(), Catalog(script=RULES), Options(run_expires_s=1)) as server:
        yield server


@pytest.fixture
def hurried(hasty: Live, project: str) -> Iterator[OpenAI]:
    with hasty.client(project=project) as client:
        yield client


def test_a_run_over_its_time_expires_while_its_model_speaks(hurried: OpenAI) -> None:
    """Its stream ends with that; what was said stays, as incomplete; the thread is free."""
    assistant = hurried.beta.assistants.create(model="scripted").id
    thread = asking(hurried, "dictate")
    with hurried.beta.threads.runs.create(thread, assistant_id=assistant, stream=True) as events:
        kinds = [event.event for event in events]
    assert kinds[-1] == "thread.run.expired"
    [run] = hurried.beta.threads.runs.list(thread)
    assert (run.status, run.last_error, run.expires_at) == ("expired", None, None)
    message = hurried.beta.threads.messages.list(thread).data[0]
    assert (message.status, message.incomplete_details.reason) == ("incomplete", "run_expired")
    assert message.content[0].text.value == "one"
    [step] = hurried.beta.threads.runs.steps.list(run.id, thread_id=thread)
    assert step.status == "expired"
    hurried.beta.threads.messages.create(thread, role="user", content="free")


def test_a_run_that_waits_for_outputs_expires(hurried: OpenAI) -> None:
    """After its time the thread takes messages again, and outputs come too late."""
    assistant = hurried.beta.assistants.create(model="scripted", tools=[TOOL]).id
    thread = asking(hurried, "weather in Lisbon")
    run = poll(hurried, thread, assistant)
    assert run.status == "requires_action"
    assert run.expires_at - run.created_at == 1
    [call] = run.required_action.submit_tool_outputs.tool_calls
    while run.status == "requires_action":
        run = hurried.beta.threads.runs.retrieve(run.id, thread_id=thread)
    assert run.status == "expired"
    with pytest.raises(openai.BadRequestError) as refusal:
        hurried.beta.threads.runs.submit_tool_outputs(
            run.id, thread_id=thread, tool_outputs=[{"tool_call_id": call.id, "output": "x"}]
        )
    words = 'Runs in status "expired" do not accept tool outputs.'
    assert refusal.value.body["message"] == words
    hurried.beta.threads.messages.create(thread, role="user", content="free")


def test_a_stuck_run_expires_though_nobody_looks(hurried: OpenAI) -> None:
    """What waits in line behind it has its turn then."""
    assistant = hurried.beta.assistants.create(model="scripted", tools=[TOOL]).id
    thread = asking(hurried, "weather in Lima")
    stuck = poll(hurried, thread, assistant)
    assert stuck.status == "requires_action"
    answer = hurried.responses.create(
        model="scripted",
        conversation=thread.replace("thread_", "conv_"),
        input="hello",
        extra_body={"on_busy": "queue"},
    )
    assert (answer.status, answer.output_text) == ("completed", "Hello there, dear friend.")
    assert hurried.beta.threads.runs.retrieve(stuck.id, thread_id=thread).status == "expired"
