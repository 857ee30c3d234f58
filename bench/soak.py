"""`make soak`: minutes of mixed traffic against a real `clew serve`; does anything leak?

Sixteen official clients do what applications do: threads and runs polled and streamed, tools,
conversations, responses in chains, in the background and told again, files, vector stores, chat
completions, clients that leave in the middle of a stream, requests that are wrong. Everything made
is deleted, so that what still grows has leaked. Memory, open files and tasks are read from
`/metrics`; every line the server logs is looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

import httpx2
from openai import APIStatusError, AsyncOpenAI

WORKERS = 16
RULES = """\
rules:
  - {match: '^slow', reply: 'one two three four five six seven eight', token_delay_ms: 20}
  - match: '^weather'
    tool_calls: [{name: get_weather, arguments: {city: Rome}}]
  - {after_tool: get_weather, reply: 'It is {output}.'}
"""
MEMORY_GROWTH_MAX = 24 * 2**20
"""Bytes that memory may grow by between the first quarter of the soak and its end."""

WARM_SHARE = 0.25
GAUGES = ("process_resident_memory_bytes", "process_open_fds", "clew_tasks", "clew_runs")
Act = Callable[[AsyncOpenAI], Awaitable[None]]


async def thread_and_runs(client: AsyncOpenAI) -> None:
    threads = client.beta.threads
    assistant = await client.beta.assistants.create(model="scripted", name="Soak")
    thread = await threads.create(metadata={"kind": "soak"})
    ask: dict[str, Any] = {"thread_id": thread.id, "assistant_id": assistant.id}
    await threads.messages.create(thread.id, role="user", content="hello")
    await threads.runs.create_and_poll(**ask)
    await threads.messages.create(thread.id, role="user", content="slow please")
    async with threads.runs.stream(**ask) as stream:
        await stream.until_done()
    await threads.messages.create(thread.id, role="user", content="weather?")
    paused = await threads.runs.create_and_poll(**ask)
    assert paused.required_action is not None
    [call] = paused.required_action.submit_tool_outputs.tool_calls
    await threads.runs.submit_tool_outputs_and_poll(
        run_id=paused.id,
        thread_id=thread.id,
        tool_outputs=[{"tool_call_id": call.id, "output": "sunny"}],
    )
    assert len([one async for one in threads.messages.list(thread.id)]) == 6
    await threads.delete(thread.id)
    await client.beta.assistants.delete(assistant.id)


async def conversation(client: AsyncOpenAI) -> None:
    made = await client.conversations.create(items=[{"role": "user", "content": "I am Ada."}])
    for _ in range(3):
        await client.responses.create(model="scripted", input="Who am I?", conversation=made.id)
    assert len([one async for one in client.conversations.items.list(made.id)]) == 7
    await client.conversations.delete(made.id)


async def chain(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="scripted", input="My code is X-1.")
    second = await client.responses.create(
        model="scripted", input="What is my code?", previous_response_id=first.id
    )
    assert "X-1" in second.output_text
    await client.responses.delete(second.id)
    await client.responses.delete(first.id)


async def background(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(
        model="scripted", input="slow", background=True, stream=True
    )
    seen = [event async for event in stream]
    id = seen[0].response.id  # type: ignore[union-attr]
    again = await client.responses.retrieve(id, stream=True, starting_after=3)
    assert [event.sequence_number async for event in again] == list(range(4, len(seen)))
    await client.responses.delete(id)


async def leaving(client: AsyncOpenAI) -> None:
    """A client that goes away in the middle of a stream, and then reads the answer."""
    made = await client.conversations.create()
    stream = await client.responses.create(
        model="scripted", input="slow", conversation=made.id, stream=True
    )
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()
    while len((await client.conversations.items.list(made.id)).data) < 2:
        await asyncio.sleep(0.05)
    await client.conversations.delete(made.id)


async def files(client: AsyncOpenAI) -> None:
    text = "\n".join(f"line {n}: {random.random()}" for n in range(2000)) + "\nthe needle"
    file = await client.files.create(file=("soak.txt", text.encode()), purpose="assistants")
    store = await client.vector_stores.create(name="soak")
    await client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    found = await client.vector_stores.search(store.id, query="needle")
    assert found.data[0].file_id == file.id
    await client.vector_stores.delete(store.id)
    await client.files.delete(file.id)


async def completions(client: AsyncOpenAI) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    kept = await client.chat.completions.create(model="scripted", messages=messages, store=True)
    stream = await client.chat.completions.create(model="scripted", messages=messages, stream=True)
    assert [chunk async for chunk in stream]
    await client.chat.completions.delete(kept.id)


async def wrong(client: AsyncOpenAI) -> None:
    """Requests that are refused, each with the status it deserves."""
    for status, path, body in (
        (404, "/threads/thread_nowhere/messages", {"role": "user", "content": "x"}),
        (400, "/responses", {"model": "scripted", "input": "x", "sto": 1}),
        (400, "/conversations", {"metadata": 7}),
        (405, "/models", {}),
    ):
        answer = await _refusal(client, path, body)
        assert answer == status, f"{path} was answered {answer}"


async def _refusal(client: AsyncOpenAI, path: str, body: Any) -> int | None:
    try:
        await client.post(path, body=body, cast_to=object)
    except APIStatusError as error:
        return error.status_code
    return None


ACTS: list[Act] = [
    thread_and_runs,
    conversation,
    chain,
    background,
    leaving,
    files,
    completions,
    wrong,
]


class Soak:
    def __init__(self, url: str, seconds: float) -> None:
        self._url, self._seconds = url, seconds
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.samples: list[dict[str, float]] = []

    async def run(self) -> None:
        end = time.monotonic() + self._seconds
        client = AsyncOpenAI(base_url=f"{self._url}/v1", api_key="none", max_retries=0)
        async with client:
            await asyncio.gather(
                *(self._work(client, end) for _ in range(WORKERS)), self._watch(end)
            )
        await asyncio.sleep(3)  # connections are closed, what was under way ends
        self.samples.append(await self._sample())

    async def _work(self, client: AsyncOpenAI, end: float) -> None:
        while time.monotonic() < end and len(self.failures) < 20:
            act = random.choice(ACTS)
            try:
                await act(client)
                self.done[act.__name__] += 1
            except Exception as error:
                self.failures.append(f"{act.__name__}: {error!r}")

    async def _watch(self, end: float) -> None:
        while time.monotonic() < end:
            self.samples.append(await self._sample())
            await asyncio.sleep(min(10.0, max(0.1, self._seconds / 20)))

    async def _sample(self) -> dict[str, float]:
        async with httpx2.AsyncClient() as http:
            text = (await http.get(f"{self._url}/metrics")).text
        values = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in values if name in GAUGES}


def leaks(samples: list[dict[str, float]]) -> list[str]:
    """What grew that should not have, in words."""
    first, last = samples[0], samples[-1]
    warm = samples[int(len(samples) * WARM_SHARE)]
    found = [
        f"{name} was {first[name]:.0f} before and is {last[name]:.0f} after"
        for name in ("process_open_fds", "clew_tasks", "clew_runs")
        if last[name] > first[name] + 2  # the listener's own, a keep-alive of ours
    ]
    memory = "process_resident_memory_bytes"
    grown = last[memory] - warm[memory]
    if grown > MEMORY_GROWTH_MAX:
        found.append(f"memory grew by {grown / 2**20:.1f} MB after it was warm")
    return found


def soak(store: str | None, minutes: float) -> int:
    with tempfile.TemporaryDirectory(prefix="clew-soak-") as name:
        folder = Path(name)
        (folder / "rules.yaml").write_text(RULES, encoding="utf-8")
        with (folder / "log").open("w", encoding="utf-8") as log:
            server = _serve(folder, store or f"sqlite:///{folder}/soak.db", log)
            assert server.stdout is not None
            url = server.stdout.readline().removeprefix("clew listening on ").strip()
            work = Soak(url, minutes * 60)
            try:
                asyncio.run(work.run())
            finally:
                server.terminate()
                status = server.wait(60)
        lines = (folder / "log").read_text(encoding="utf-8").splitlines()
    return _report(work, [line for line in lines if " INFO " not in line], status, minutes)


def _serve(folder: Path, store: str, log: TextIO) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "clew", "serve", "--port", "0", "--script", "rules.yaml"]
    return subprocess.Popen(
        [*command, "--store", store], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
    )


def _report(work: Soak, unknown: list[str], status: int, minutes: float) -> int:
    first, last = work.samples[0], work.samples[-1]
    print(f"soak of {minutes:g} minutes, {sum(work.done.values())} acts: {dict(work.done)}")
    for name in GAUGES:
        most = max(sample[name] for sample in work.samples)
        print(f"  {name:32} {first[name]:>14.0f} → {last[name]:>14.0f}   most {most:.0f}")
    problems = [*leaks(work.samples), *work.failures, *(f"logged: {line}" for line in unknown)]
    if status:
        problems.append(f"the server ended with status {status}")
    for problem in problems[:40]:
        print(f"  PROBLEM {problem}")
    print("leaks nothing, logs no error" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--store", help="a store URL; a new SQLite file without")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # of the Threads calls, by the client
    sys.exit(soak(options.store, options.minutes))
