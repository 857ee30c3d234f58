"""What the user said is on disk before a model is asked; a broken model loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI

from clew.core.paging import Page
from clew.providers.catalog import Catalog
from clew.testing.upstream import Reply, Upstream, refuses, says

from .live import Live, run

PROJECT = "proj_upstream"


@asynccontextmanager
async def asking(
    store_url: str, *replies: Reply
) -> AsyncIterator[tuple[Upstream, Live, AsyncOpenAI]]:
    """A model that gives these replies, a server that asks it, a client of the server."""
    async with Upstream(*replies) as upstream:
        live = await asyncio.to_thread(Live, store_url, Catalog(upstream.base_url, "secret"))
        try:
            async with live.async_client(project=PROJECT) as client:
                yield upstream, live, client
        finally:
            await asyncio.to_thread(live.close)


async def asked(upstream: Upstream) -> dict[str, Any]:
    """The body of the first request to the model, once it is there."""
    while not upstream.requests:
        await asyncio.sleep(0)
    return upstream.requests[0].body


async def stored(live: Live, conversation: str) -> list[tuple[str, str]]:
    """Role and text of what the store has."""
    key = conversation.removeprefix("conv_").removeprefix("thread_")
    listing = live.here.app.server.store.list_items(PROJECT, key, Page(100, "asc"))
    items, _ = await asyncio.wrap_future(live.here.submit(listing))
    return [(item.kind, item.text()) for item in items]


HANGING = Reply(says("Hel", finish=None, done=False).pieces, ending="hang")


@pytest.mark.parametrize("stream", [False, True])
def test_the_question_is_stored_while_the_model_thinks(store_url: str, stream: bool):
    """At the moment the model is asked, the store has the question; cancelled, it keeps both."""

    async def play() -> None:
        async with asking(store_url, HANGING) as (upstream, live, client):
            conversation = (await client.conversations.create()).id
            turn = client.responses.create(
                model="gpt-x", input="Are you there?", conversation=conversation, stream=stream
            )
            task = asyncio.create_task(read(turn))
            body = await asked(upstream)
            assert await stored(live, conversation) == [("user", "Are you there?")]
            assert body["messages"][-1] == {"role": "user", "content": "Are you there?"}
            assert upstream.requests[0].headers["authorization"] == "Bearer secret"
            thread = conversation.replace("conv_", "thread_")
            [active] = (await client.beta.threads.runs.list(thread)).data
            await client.beta.threads.runs.cancel(active.id, thread_id=thread)
            await task
            await upstream.let_go.wait()
            assert (await stored(live, conversation))[0] == ("user", "Are you there?")

    run(play())


async def read(turn: Any) -> None:
    answer = await turn
    if hasattr(answer, "__aiter__"):
        async for _ in answer:
            pass


def test_a_run_is_stored_while_the_model_thinks(store_url: str):
    """The same for create_thread_and_run: thread, message and run are there."""

    async def play() -> None:
        async with asking(store_url, HANGING) as (upstream, live, client):
            assistant = await client.beta.assistants.create(model="gpt-x")
            made = await client.beta.threads.create_and_run(
                assistant_id=assistant.id,
                thread={"messages": [{"role": "user", "content": "Are you there?"}]},
            )
            await asked(upstream)
            assert await stored(live, made.thread_id) == [("user", "Are you there?")]
            await client.beta.threads.runs.cancel(made.id, thread_id=made.thread_id)
            await upstream.let_go.wait()

    run(play())


def test_a_model_that_fails_loses_no_question(store_url: str):
    """A refusal, and a connection that breaks in the middle: the question stays, and what came."""

    async def play() -> None:
        broken = Reply(says("Half an", finish=None, done=False).pieces, ending="reset")
        async with asking(store_url, refuses(400, "No such model."), broken) as (_, live, client):
            conversation = (await client.conversations.create()).id
            failed = await client.responses.create(
                model="gpt-x", input="One?", conversation=conversation
            )
            assert (failed.status, failed.error.code) == ("failed", "invalid_prompt")
            assert await stored(live, conversation) == [("user", "One?")]
            failed = await client.responses.create(
                model="gpt-x", input="Two?", conversation=conversation
            )
            assert failed.status == "failed"
            assert (await stored(live, conversation))[1:] == [
                ("user", "Two?"),
                ("assistant", "Half an"),
            ]

    run(play())


def test_the_answer_of_a_model_is_streamed_and_stored(store_url: str):
    """Text of an upstream arrives piece by piece and is one item in the end; so does usage."""

    async def play() -> None:
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        async with asking(store_url, says("Hel", "lo", usage=usage)) as (_, live, client):
            conversation = (await client.conversations.create()).id
            stream = await client.responses.create(
                model="gpt-x", input="Hi", conversation=conversation, stream=True
            )
            events = [event async for event in stream]
            deltas = [event.delta for event in events if event.type.endswith("text.delta")]
            assert deltas == ["Hel", "lo"]
            assert events[-1].response.usage.total_tokens == 5
            assert await stored(live, conversation) == [("user", "Hi"), ("assistant", "Hello")]

    run(play())
