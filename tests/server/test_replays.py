"""A stream told again: the same bytes, from any process, also after the one that began it died."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from clew.providers.catalog import Catalog
from clew.testing.upstream import Reply, Upstream, says

from .conftest import RULES
from .live import Live, run
from .served import serving

PROJECT = "proj_replayed"
HEADERS = {"openai-project": PROJECT, "idempotency-key": "again"}
FACES = ["responses", "threads"]


def request(face: str, assistant: str, text: str) -> tuple[str, dict[str, Any]]:
    """A path and a body that stream an answer to `text`."""
    if face == "responses":
        return "/v1/responses", {"model": "scripted", "input": text, "stream": True}
    thread = {"messages": [{"role": "user", "content": text}]}
    return "/v1/threads/runs", {"assistant_id": assistant, "thread": thread, "stream": True}


def new_assistant(http: httpx2.Client, **settings: Any) -> str:
    body = {"model": "scripted", **settings}
    return str(http.post("/v1/assistants", json=body).json()["id"])


def new_assistant_of(server: Live, **settings: Any) -> str:
    with server.http(PROJECT) as http:
        return new_assistant(http, **settings)


@pytest.mark.parametrize("text", ["hello", "weather in Rome and Oslo", "break", "limit"])
@pytest.mark.parametrize("face", FACES)
def test_a_retry_is_told_the_same_bytes(http: httpx2.Client, face: str, text: str):
    """Deltas, calls, failures: a stream asked for again is the stream it was."""
    path, body = request(face, new_assistant(http), text)
    if face == "responses":
        body["tools"] = [{"type": "function", "name": "get_weather", "parameters": {}}]
    key = {"idempotency-key": f"{face} {text}"}
    first = http.post(path, json=body, headers=key).content
    assert first.count(b"event: ") > 2
    assert http.post(path, json=body, headers=key).content == first


@pytest.mark.parametrize("face", FACES)
def test_a_stream_is_told_again_after_a_restart(new_store_url: Callable[[], str], face: str):
    """The next process tells what the one before it told, byte for byte."""
    url, told = new_store_url(), []
    assistant = ""
    for _ in range(2):
        with Live(url, Catalog(script=RULES)) as live, live.http(PROJECT) as http:
            assistant = assistant or new_assistant(http)
            path, body = request(face, assistant, "hello")
            told.append(http.post(path, json=body, headers=HEADERS).content)
    assert told[0].count(b"delta") >= 4
    assert told[1] == told[0]


def test_a_turn_after_tool_outputs_is_told_again(new_store_url: Callable[[], str]):
    """Each turn of a paused run has a stream of its own, also in another process."""
    url, told = new_store_url(), []
    for _ in range(2):
        with Live(url, Catalog(script=RULES)) as live, live.http(PROJECT) as http:
            if not told:
                tool = {"type": "function", "function": {"name": "get_weather"}}
                assistant = new_assistant(http, tools=[tool])
                path, body = request("threads", assistant, "weather in Rome")
                waiting = http.post(path, json=body | {"stream": False}).json()
                place = f"/v1/threads/{waiting['thread_id']}/runs/{waiting['id']}"
                call = awaited(http, place)
            outputs = {"tool_outputs": [{"tool_call_id": call, "output": "sunny"}], "stream": True}
            path = f"{place}/submit_tool_outputs"
            told.append(http.post(path, json=outputs, headers=HEADERS).content)
    assert told[0].startswith(b"event: thread.run.step.completed")
    assert told[1] == told[0]


def awaited(http: httpx2.Client, place: str) -> str:
    """The id of the call that a run waits for, as soon as it does."""
    for _ in range(200):
        action = http.get(place).json()["required_action"]
        if action:
            return str(action["submit_tool_outputs"]["tool_calls"][0]["id"])
        time.sleep(0.02)
    raise AssertionError("the run asked for nothing")


# other processes


class Reading:
    """A stream as far as it was read."""

    def __init__(self, response: httpx2.Response) -> None:
        self.told = b""
        self._pieces = response.aiter_raw()

    async def until(self, word: bytes) -> bytes:
        while word not in self.told or not self.told.endswith(b"\n\n"):
            self.told += await anext(self._pieces)
        return self.told

    async def whole(self) -> bytes:
        async for piece in self._pieces:
            self.told += piece
        return self.told


@asynccontextmanager
async def streamed(url: str, path: str, body: Any) -> AsyncIterator[Reading]:
    client = httpx2.AsyncClient(base_url=url, headers=HEADERS, timeout=30)
    async with client, client.stream("POST", path, json=body) as response:
        assert response.status_code == 200
        yield Reading(response)


@pytest.mark.parametrize("face", FACES)
def test_another_process_goes_on_with_what_a_killed_one_said(
    new_store_url: Callable[[], str], tmp_path: Path, face: str
):
    """It follows while the first one lives; when that is killed it takes the run over, the stream
    goes on to its end, and from then on it is the same again and again."""
    url = new_store_url()

    async def main() -> None:
        partly = Reply(says("Hel", "lo").pieces[:2], ending="hang")
        async with Upstream(partly, says("Good", "bye")) as upstream:
            flags = ("--store", url, "--port", "0", "--upstream", upstream.base_url)
            with (
                serving(*flags, folder=tmp_path) as killed,
                Live(url, Catalog(upstream.base_url)) as other,
            ):
                assistant = await asyncio.to_thread(new_assistant_of, other, model="m")
                path, body = request(face, assistant, "hi")
                if face == "responses":
                    body["model"] = "m"
                async with (
                    streamed(killed.url, path, body) as first,
                    streamed(other.url, path, body) as second,
                ):
                    said = await first.until(b'"lo"')
                    assert await second.until(b'"lo"') == said
                    killed.kill()
                    whole = await second.whole()
                assert whole.startswith(said)
                ending = whole[len(said) :]
                done = b"response.completed" if face == "responses" else b"thread.run.completed"
                assert done in ending
                assert ending.index(b'"incomplete"') < ending.index(b'"Good"')
                async with streamed(other.url, path, body) as third:
                    assert await third.whole() == whole

    run(main())


# followers that leave


@pytest.mark.parametrize("face", FACES)
def test_a_client_that_leaves_is_followed_by_nobody(new_store_url: Callable[[], str], face: str):
    """Its run goes on and is told to others; nothing waits for it any more, and nothing is kept in
    memory once the run is over."""

    async def main(live: Live) -> None:
        path, body = request(face, await asyncio.to_thread(new_assistant_of, live), "dictate")
        executor = live.here.app.server.executor
        async with streamed(live.url, path, body) as reading:
            said = await reading.until(b'"one"')
            [turn] = executor._turns.values()
            await until(lambda: len(turn.live._waiting) == 2)  # this client and the recorder
        await until(lambda: len(turn.live._waiting) == 1)
        assert not turn.live.over
        async with streamed(live.url, path, body) as again:
            assert await again.until(b'"one"') == said
        live.here.run(executor.cancel(PROJECT, turn.run))
        await until(lambda: not executor._turns and not executor._tasks)
        await until(lambda: not executor._recorder._records)

    with Live(new_store_url(), Catalog(script=RULES)) as live:
        run(main(live))


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again, for as long as a slow machine may take."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to that")
