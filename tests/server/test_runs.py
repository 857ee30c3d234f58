"""Runs by the official client: to their end, cancelled, failed, expired; the thread's lock."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.core.runs import Run, move

from .live import Live


@pytest.fixture
def assistant(client: OpenAI) -> str:
    return client.beta.assistants.create(model="scripted", instructions="Be brief.").id


def asking(client: OpenAI, text: str) -> str:
    """The id of a thread in which a user said this."""
    return client.beta.threads.create(messages=[{"role": "user", "content": text}]).id


def poll(client: OpenAI, thread: str, assistant: str, **options: Any) -> Any:
    return client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant, poll_interval_ms=5, **options
    )


def newest_text(client: OpenAI, thread: str) -> str:
    text: str = client.beta.threads.messages.list(thread, limit=1).data[0].content[0].text.value
    return text


def until(client: OpenAI, thread: str, run: str, *statuses: str) -> Any:
    """The run, once it has one of these statuses."""
    while True:
        found = client.beta.threads.runs.retrieve(run, thread_id=thread)
        if found.status in statuses:
            return found


def test_a_run_answers_the_thread(client: OpenAI, assistant: str):
    """create_and_poll ends with a completed run and its message, usage counted."""
    thread = asking(client, "count")
    run = poll(client, thread, assistant, metadata={"k": "v"}, temperature=0.5)
    assert (run.status, run.thread_id, run.assistant_id) == ("completed", thread, assistant)
    assert (run.metadata, run.temperature) == ({"k": "v"}, 0.5)
    assert (run.instructions, run.model) == ("Be brief.", "scripted")
    assert run.usage.model_dump(include={"prompt_tokens", "completion_tokens", "total_tokens"}) == {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
    }
    assert run.created_at <= run.started_at <= run.completed_at
    assert newest_text(client, thread) == "one two three four five"


def test_a_run_may_say_otherwise_than_its_assistant(client: OpenAI, assistant: str):
    """Model, instructions and additions of the request win; additional messages come first."""
    thread = client.beta.threads.create().id
    run = poll(
        client,
        thread,
        assistant,
        model="other",
        instructions="Be loud.",
        additional_instructions="And clear.",
        additional_messages=[
            {"role": "user", "content": "nobody"},
            {"role": "user", "content": "hello"},
        ],
    )
    assert (run.model, run.instructions) == ("other", "Be loud.\nAnd clear.")
    said = client.beta.threads.messages.list(thread, order="asc")
    assert [message.content[0].text.value for message in said] == [
        "nobody",
        "hello",
        "Hello there, dear friend.",
    ]


def test_runs_are_listed_changed_and_retrieved(client: OpenAI, assistant: str):
    """Pages of runs, metadata replaced, steps of a run."""
    thread = asking(client, "hello")
    ids = [poll(client, thread, assistant).id for _ in range(3)]
    runs = client.beta.threads.runs
    assert [run.id for run in runs.list(thread, limit=2)] == ids[::-1]
    assert [run.id for run in runs.list(thread, limit=1, order="asc")] == ids
    assert [run.id for run in runs.list(thread, after=ids[1]).data] == [ids[0]]
    assert [run.id for run in runs.list(thread, before=ids[1]).data] == [ids[2]]
    changed = runs.update(ids[0], thread_id=thread, metadata={"k": "v"})
    assert changed.metadata == {"k": "v"}
    assert runs.retrieve(ids[0], thread_id=thread) == changed


def test_the_steps_of_a_run_name_what_it_wrote(client: OpenAI, assistant: str):
    """A message is a step; it is found in the list and by its id."""
    thread = asking(client, "hello")
    run = poll(client, thread, assistant)
    steps = client.beta.threads.runs.steps
    [step] = steps.list(run.id, thread_id=thread)
    assert (step.type, step.status, step.run_id) == ("message_creation", "completed", run.id)
    [message] = client.beta.threads.messages.list(thread, run_id=run.id)
    assert step.step_details.message_creation.message_id == message.id
    assert steps.retrieve(step.id, run_id=run.id, thread_id=thread) == step
    with pytest.raises(openai.NotFoundError):
        steps.retrieve("step_none", run_id=run.id, thread_id=thread)


def test_a_thread_may_be_made_and_run_at_once(client: OpenAI, assistant: str):
    """create_and_run_poll makes the thread, answers it and keeps both in place."""
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant,
        thread={"messages": [{"role": "user", "content": "hello"}], "metadata": {"k": "v"}},
        poll_interval_ms=5,
    )
    assert run.status == "completed"
    assert client.beta.threads.retrieve(run.thread_id).metadata == {"k": "v"}
    assert newest_text(client, run.thread_id) == "Hello there, dear friend."


def test_a_run_sees_what_was_changed_since_the_last(client: OpenAI, assistant: str):
    """What is added by the other face, or erased, counts at the next turn."""
    thread = asking(client, "My invoice number is INV-1.")
    poll(client, thread, assistant)
    client.conversations.items.create(
        thread.replace("thread_", "conv_"),
        items=[{"type": "message", "role": "user", "content": "My customer number is C-77."}],
    )
    ask = client.beta.threads.messages.create
    ask(thread, role="user", content="What is the customer number I gave you?")
    poll(client, thread, assistant)
    assert "C-77" in newest_text(client, thread)
    for message in list(client.beta.threads.messages.list(thread)):
        client.beta.threads.messages.delete(message.id, thread_id=thread)
    ask(thread, role="user", content="What is the customer number I gave you?")
    poll(client, thread, assistant)
    assert "C-77" not in newest_text(client, thread)


def test_an_answer_says_when_to_look_again(client: OpenAI, assistant: str):
    """While a run goes on, its answers tell polling helpers how long to wait; then they do not."""
    thread = asking(client, "wait")
    raw = client.beta.threads.runs.with_raw_response
    run = client.beta.threads.runs.create(thread, assistant_id=assistant).id
    assert int(raw.retrieve(run, thread_id=thread).headers["openai-poll-after-ms"]) < 1000
    client.beta.threads.runs.cancel(run, thread_id=thread)
    until(client, thread, run, "cancelled")
    assert "openai-poll-after-ms" not in raw.retrieve(run, thread_id=thread).headers


def test_a_slow_run_is_cancelled_at_once(client: OpenAI, assistant: str):
    """Cancelling lets go of the model; the thread is free again and has no answer."""
    thread = asking(client, "wait")
    run = client.beta.threads.runs.create(thread, assistant_id=assistant)
    assert run.status == "queued"
    until(client, thread, run.id, "in_progress")
    cancelling = client.beta.threads.runs.cancel(run.id, thread_id=thread)
    assert cancelling.status in ("cancelling", "cancelled")
    ended = until(client, thread, run.id, "cancelled")
    assert ended.cancelled_at >= ended.created_at
    client.beta.threads.messages.create(thread, role="user", content="free")
    with pytest.raises(openai.BadRequestError) as refusal:
        client.beta.threads.runs.cancel(run.id, thread_id=thread)
    assert refusal.value.body["message"] == "Cannot cancel run with status 'cancelled'."
    assert client.beta.threads.runs.retrieve(run.id, thread_id=thread) == ended


def test_a_cancellation_that_comes_at_the_end_leaves_the_run_ended(
    client: OpenAI, live: Live, project: str, assistant: str
):
    """Whoever wins, the run is over, its stream ends with that, and the thread is free."""
    thread = asking(client, "hello")
    for delay in range(30):
        with client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True) as events:
            kinds = []
            for event in events:
                kinds.append(event.event)
                if len(kinds) == 1 + delay % 14:
                    key = event_run(client, thread)
                    with suppress(openai.BadRequestError):
                        client.beta.threads.runs.cancel(key, thread_id=thread)
        ended = client.beta.threads.runs.list(thread, limit=1).data[0]
        assert kinds[-1] == f"thread.run.{ended.status}"
        assert ended.status in ("cancelled", "completed")


def event_run(client: OpenAI, thread: str) -> str:
    return client.beta.threads.runs.list(thread, limit=1).data[0].id


def test_a_run_cancelled_as_it_begins_ends(live: Live, project: str):
    """Cancelled while its first or last move is being stored, it ends all the same."""

    async def play() -> None:
        async with live.async_client(project=project) as client:
            assistant = (await client.beta.assistants.create(model="scripted")).id
            runs = client.beta.threads.runs

            async def one() -> str:
                made = await client.beta.threads.create_and_run(
                    assistant_id=assistant,
                    thread={"messages": [{"role": "user", "content": "hello"}]},
                )
                with suppress(openai.BadRequestError):
                    await runs.cancel(made.id, thread_id=made.thread_id)
                while True:
                    run = await runs.retrieve(made.id, thread_id=made.thread_id)
                    if run.status in ("cancelled", "completed"):
                        return run.status

            await asyncio.wait_for(asyncio.gather(*(one() for _ in range(40))), 20)

    asyncio.run(play())


def test_a_cancelled_run_keeps_what_it_had_said(client: OpenAI, assistant: str):
    """The text so far stays, as an incomplete message."""
    thread = asking(client, "dictate")
    with client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True) as events:
        for event in events:
            if event.event == "thread.message.delta":
                run = client.beta.threads.runs.list(thread).data[0].id
                client.beta.threads.runs.cancel(run, thread_id=thread)
    until(client, thread, run, "cancelled")
    message = client.beta.threads.messages.list(thread).data[0]
    assert (message.role, message.status) == ("assistant", "incomplete")
    assert message.content[0].text.value == "one"
    assert event.event == "thread.run.cancelled"


def test_a_failed_run_says_why_and_keeps_what_it_had_said(client: OpenAI, assistant: str):
    """`last_error` has the model's complaint, the partial text is an incomplete message."""
    thread = asking(client, "break")
    run = poll(client, thread, assistant)
    assert run.status == "failed"
    assert (run.last_error.code, run.last_error.message) == ("server_error", "It broke.")
    assert run.failed_at >= run.created_at
    message = client.beta.threads.messages.list(thread).data[0]
    assert (message.status, message.content[0].text.value) == ("incomplete", "I was about to")
    [step] = client.beta.threads.runs.steps.list(run.id, thread_id=thread)
    assert (step.status, step.last_error.message) == ("failed", "It broke.")
    client.beta.threads.messages.create(thread, role="user", content="free")


def test_a_limit_of_the_model_is_told_by_its_code(client: OpenAI, assistant: str):
    """A rate limit is no server error."""
    run = poll(client, asking(client, "limit"), assistant)
    assert (run.status, run.last_error.code) == ("failed", "rate_limit_exceeded")


def test_a_run_that_reaches_its_budget_is_incomplete(client: OpenAI, assistant: str):
    """`max_completion_tokens` cuts the answer and says so."""
    thread = asking(client, " ".join(["w"] * 400))
    run = poll(client, thread, assistant, max_completion_tokens=256)
    assert run.status == "incomplete"
    assert run.incomplete_details.reason == "max_completion_tokens"
    message = client.beta.threads.messages.list(thread).data[0]
    assert (message.status, len(message.content[0].text.value.split())) == ("incomplete", 256)


def test_a_busy_thread_refuses_in_openais_words(client: OpenAI, assistant: str):
    """Messages, runs, items and responses are refused with the texts that clients match."""
    thread = asking(client, "wait")
    conversation = thread.replace("thread_", "conv_")
    run = client.beta.threads.runs.create(thread, assistant_id=assistant).id
    refused: list[tuple[Any, tuple[str, str | None, str | None]]] = [
        (
            lambda: client.beta.threads.messages.create(thread, role="user", content="x"),
            (f"Can't add messages to {thread} while a run {run} is active.", None, None),
        ),
        (
            lambda: client.beta.threads.runs.create(thread, assistant_id=assistant),
            (f"Thread {thread} already has an active run {run}.", None, None),
        ),
        (
            lambda: client.conversations.items.create(
                conversation, items=[{"type": "message", "role": "user", "content": "x"}]
            ),
            (LOCKED, "conversation", "conversation_locked"),
        ),
        (
            lambda: client.responses.create(model="scripted", conversation=conversation, input="x"),
            (LOCKED, "conversation", "conversation_locked"),
        ),
    ]
    for act, expected in refused:
        with pytest.raises(openai.BadRequestError) as refusal:
            act()
        error = refusal.value
        assert (error.body["message"], error.param, error.code) == expected
        assert error.type == "invalid_request_error"
    assert re.match(r"Can't add messages to thread_([a-zA-Z0-9]+) while a run", refused[0][1][0])
    client.beta.threads.runs.cancel(run, thread_id=thread)
    until(client, thread, run, "cancelled")
    assert [m.content[0].text.value for m in client.beta.threads.messages.list(thread)] == ["wait"]


LOCKED = (
    "Another process is currently operating on this conversation. Please retry in a few seconds."
)


def test_a_busy_thread_may_still_be_read_renamed_and_forked(client: OpenAI, assistant: str):
    """Only its log is locked."""
    thread = asking(client, "wait")
    run = client.beta.threads.runs.create(thread, assistant_id=assistant).id
    assert client.beta.threads.update(thread, metadata={"k": "v"}).metadata == {"k": "v"}
    forked: Any = client.post(f"/threads/{thread}/fork", cast_to=object, body={})
    client.beta.threads.messages.create(forked["id"], role="user", content="free here")
    client.beta.threads.runs.cancel(run, thread_id=thread)
    until(client, thread, run, "cancelled")


def test_a_thread_erased_under_its_run_is_gone(client: OpenAI, assistant: str):
    """The run ends without a trace, its stream with it; nothing comes back."""
    thread = asking(client, "wait")
    with client.beta.threads.runs.create(thread, assistant_id=assistant, stream=True) as events:
        begun = next(event for event in events if event.event == "thread.run.in_progress")
        run = begun.data.id
        assert client.beta.threads.delete(thread).deleted
        assert "thread.run.completed" not in [event.event for event in events]
    for act in (
        lambda: client.beta.threads.retrieve(thread),
        lambda: client.beta.threads.runs.retrieve(run, thread_id=thread),
    ):
        with pytest.raises(openai.NotFoundError):
            act()


def abandoned(live: Live, project: str, thread: str, expires_at: int) -> str:
    """The id of a run whose client never answered."""
    key = thread.removeprefix("thread_")
    run = Run(f"{key}{'r' * 30}", key, 1_000, "scripted", expires_at=expires_at, assistant="gone")
    live.here.create_run(project, run)
    for status in ("in_progress", "requires_action"):
        was, run = run.status, move(run, status, 1_000)
        live.here.move_run(project, was, run, now_ms=1_000)
    return f"run_{run.key}"


def test_an_expired_run_frees_its_thread(client: OpenAI, live: Live, project: str):
    """A message comes through although an abandoned run was never ended; it has expired then."""
    thread = asking(client, "hi")
    run = abandoned(live, project, thread, expires_at=2_000)
    client.beta.threads.messages.create(thread, role="user", content="through")
    assert client.beta.threads.runs.retrieve(run, thread_id=thread).status == "expired"


def test_an_expired_run_is_shown_as_such(client: OpenAI, live: Live, project: str):
    """Whoever polls a run whose time is over is told so, and the wait ends."""
    thread = asking(client, "hi")
    run = abandoned(live, project, thread, expires_at=2_000)
    polled = client.beta.threads.runs.poll(run, thread_id=thread, poll_interval_ms=5)
    assert (polled.status, polled.expires_at) == ("expired", None)
    assert client.beta.threads.runs.list(thread).data[0].status == "expired"


def test_a_list_shows_a_run_whose_time_is_over_as_expired(client: OpenAI, live: Live, project: str):
    """The list says the same as the run itself."""
    thread = asking(client, "hi")
    abandoned(live, project, thread, expires_at=2_000)
    assert client.beta.threads.runs.list(thread).data[0].status == "expired"


def test_a_run_whose_time_is_not_over_keeps_its_thread(client: OpenAI, live: Live, project: str):
    """Its client may still answer."""
    thread = asking(client, "hi")
    run = abandoned(live, project, thread, expires_at=int(time.time() * 1000) + 60_000)
    with pytest.raises(openai.BadRequestError, match="while a run"):
        client.beta.threads.messages.create(thread, role="user", content="x")
    assert client.beta.threads.runs.cancel(run, thread_id=thread).status == "cancelled"
    client.beta.threads.messages.create(thread, role="user", content="free")


def test_an_unknown_run_is_not_found(client: OpenAI, http: httpx2.Client):
    """Also when the id belongs to a run of another thread."""
    thread, other = asking(client, "hello"), asking(client, "hello")
    assistant = client.beta.assistants.create(model="scripted").id
    run = poll(client, thread, assistant).id
    for path in (f"{other}/runs/{run}", f"{thread}/runs/run_none", f"{thread}/runs/none"):
        answer = http.get(f"/v1/threads/{path}")
        message = answer.json()["error"]["message"]
        assert (answer.status_code, message.startswith("No run found with id")) == (404, True)
