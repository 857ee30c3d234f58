"""The world of the kill matrix: a model, an MCP server, and what is true after a kill.

A turn of two tool calls is worked on by a server that is killed at a `Point`. The model and the
MCP server note whatever they are asked; both kill the server where a point says so.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from mcp.server.mcpserver import MCPServer

import clew
from clew.core.items import Item, is_lost
from clew.core.runs import Call
from clew.executor.watch import LEASE_MS
from clew.server.http import DEFAULT_PROJECT
from clew.testing.upstream import Reply, Upstream, call, streams

from ..tools.mcp_peers import served
from .served import Served

DOOMED = [sys.executable, "-m", "tests.server.doomed"]
FOLDER = Path(__file__).parents[2]
MARGIN_S = 5.0
"""How long after its lease a run may take to its end."""

FLUSHED_S = 0.35
"""How long a model or a tool waits before it kills: what was told until then is on disk."""

WAIT_S = 60.0
PAUSE_S = 0.02
POLL_S = 0.2
TOOLS = ("book", "pay")
FIRST_WORDS, ANSWER = "Let me see.", ("All ", "is ", "booked ", "and ", "paid.")


class Point(msgspec.Struct, frozen=True):
    """Where a server is killed: `before` or `after` the `number`th time its store does `verb`, or
    while the model answers, or a tool is called, for the `number`th time. `shape` says whether the
    model asks for both tools at once (`together`) or for one after the other (`apart`)."""

    shape: str
    verb: str
    when: str
    number: int

    def __str__(self) -> str:
        return f"{self.shape}-{self.verb}-{self.when}-{self.number}"


class World:
    """What the model and the tools were asked, by case; whom they are to kill."""

    def __init__(self) -> None:
        self.asked: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
        self.called: dict[str, list[str]] = defaultdict(list)
        self.kills: dict[tuple[str, str, int], subprocess.Popen[str]] = {}
        self.lock = threading.Lock()
        self.go_on: threading.Event | None = None
        """Servers are stopped, not killed: model and tools answer them when this is set."""
        self.model = self.tools = ""

    def forget(self) -> None:
        """Other cases may have the same names."""
        self.asked.clear()
        self.called.clear()

    def heard(self, what: str, case: str, number: int) -> subprocess.Popen[str] | None:
        """Whom to kill now, if anybody."""
        with self.lock:
            return self.kills.pop((what, case, number), None)

    async def kill(self, victim: subprocess.Popen[str]) -> None:
        if self.go_on is None:
            await asyncio.sleep(FLUSHED_S)
            os.kill(victim.pid, signal.SIGKILL)
        else:
            await asyncio.sleep(PAUSE_S)  # what was just told is not on disk yet
            os.kill(victim.pid, signal.SIGSTOP)
            await asyncio.to_thread(self.go_on.wait, WAIT_S)


class Model(Upstream):
    """Answers by what it is shown: `case shape` asks for tools, until it has seen two outputs."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from clew.testing import upstream

        with suppress(ConnectionError):
            request = await upstream._received(reader)
            messages = request.body["messages"]
            case, shape = _said(messages)
            self.world.asked[case].append(messages)
            reply = _reply(case, shape, messages)
            victim = self.world.heard("model", case, len(self.world.asked[case]))
            half = max(1, len(reply.pieces) // 2) if victim is not None else 0
            if victim is not None:
                first = msgspec.structs.replace(reply, pieces=reply.pieces[:half], ending="hang")
                await upstream._send(first, writer)
                await self.world.kill(victim)
                writer.write(b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in reply.pieces[half:]))
                writer.write(b"0\r\n\r\n")
            else:
                await upstream._send(reply, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def _said(messages: list[dict[str, Any]]) -> tuple[str, str]:
    text = [one["content"] for one in messages if one["role"] == "user"][-1]
    if not isinstance(text, str):
        text = text[0]["text"]
    case, shape = text.split()
    return case, shape


def _reply(case: str, shape: str, messages: list[dict[str, Any]]) -> Reply:
    outputs = sum(one["role"] == "tool" for one in messages)
    arguments = json.dumps({"case": case})
    asks = [_call(at, at, arguments) for at in range(len(TOOLS))]
    words = {"content": FIRST_WORDS}
    if shape == "next":
        reply = streams({"content": "Seen."})
    elif shape == "together" and outputs == 0:
        reply = streams(words, *asks, finish="tool_calls")
    elif outputs < len(TOOLS):
        said = [words] if outputs == 0 else []
        ask = _call(0, outputs, arguments)
        reply = streams(*said, ask, finish="tool_calls")
    else:
        reply = streams(*({"content": word} for word in ANSWER))
    return msgspec.structs.replace(reply, pause_s=PAUSE_S)


def _call(index: int, tool: int, arguments: str) -> dict[str, Any]:
    return call(index, f"call_{tool}", f"mcp__desk__{TOOLS[tool]}", arguments)


def desk(world: World) -> MCPServer:
    """Two tools with effects: each notes that it was called."""
    server = MCPServer("desk", log_level="CRITICAL")

    async def act(tool: str, case: str) -> str:
        world.called[case].append(tool)
        victim = world.heard("tool", case, len(world.called[case]))
        if victim is not None:
            await world.kill(victim)
        await asyncio.sleep(PAUSE_S)
        return f"{tool}: done for {case}"

    @server.tool()
    async def book(case: str) -> str:
        return await act("book", case)

    @server.tool()
    async def pay(case: str) -> str:
        return await act("pay", case)

    return server


@contextmanager
def world() -> Iterator[World]:
    here = World()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(WAIT_S)

    model = Model(here)
    do(model.__aenter__())
    here.model = model.base_url
    try:
        with served(desk(here).streamable_http_app()) as url:
            here.tools = f"{url}/mcp"
            yield here
    finally:
        do(model.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def flags_of(here: World, store_url: str) -> tuple[str, ...]:
    return "--store", store_url, "--port", "0", "--upstream", here.model


class Killed(msgspec.Struct):
    """A turn whose server is dead: what was acknowledged of it, and when it died."""

    point: Point
    case: str
    conversation: str
    response: str | None
    at: float


def kill_at(here: World, store_url: str, point: Point, case: str) -> Killed:
    """Begin a turn with a server that does not live to see its end."""
    doom = (point.verb, point.when, str(point.number))
    doom = ("nothing", "-", "0") if point.verb in ("model", "tool") else doom
    command = [*DOOMED, *doom]
    server = Served(*flags_of(here, store_url), folder=FOLDER, command=command)
    try:
        if point.verb in ("model", "tool"):
            here.kills[point.verb, case, point.number] = server.process
        conversation = ask(server, "POST", "/v1/conversations", {})["id"]
        response = None
        with suppress(ConnectionError, http.client.HTTPException):
            response = begin(here, server, conversation, case, point.shape)
        status = server.process.wait(WAIT_S)
        assert status == -signal.SIGKILL, f"{point} was not reached"
        return Killed(point, case, conversation, response, time.monotonic())
    finally:
        server.close()


def begin(here: World, server: Served, conversation: str, case: str, shape: str) -> str:
    """Ask for a turn, or again for the same one; the id of its response."""
    id: str = turn(here, server, conversation, case, shape, background=True)["id"]
    return id


def turn(
    here: World, server: Served, conversation: str, case: str, shape: str, *, background: bool
) -> dict[str, Any]:
    tool = {"type": "mcp", "server_label": "desk", "server_url": here.tools}
    body = {
        "model": "double",
        "input": f"{case} {shape}",
        "conversation": conversation,
        "background": background,
        "tools": [tool | {"require_approval": "never"}],
    }
    said: dict[str, Any] = ask(server, "POST", "/v1/responses", body, {"idempotency-key": case})
    return said


def check(here: World, killed: Killed, server: Served, since: float) -> float:
    """All that is to be true after the kill, by a server that lives; how long it took."""
    known = killed.response
    if known is None:
        known = begin(here, server, killed.conversation, killed.case, killed.point.shape)
    response = ended(server, known)
    took = time.monotonic() - since
    assert response["status"] == "completed", response
    assert texts(response["output"])[-1] == "".join(ANSWER)
    follow_up(here, killed, server)
    return took


def follow_up(here: World, killed: Killed, server: Served) -> None:
    """The next turn works, and its model sees all of this one."""
    body = {"model": "double", "input": f"{killed.case} next", "conversation": killed.conversation}
    said = ask(server, "POST", "/v1/responses", body)
    assert texts(said["output"]) == ["Seen."], said
    messages = here.asked[killed.case][-1]
    seen = [(one["role"], one["content"]) for one in messages if one["role"] in ("user", "tool")]
    assert [text for role, text in seen if role == "user"] == [
        f"{killed.case} {killed.point.shape}",
        f"{killed.case} next",
    ]
    asked = [part for one in messages for part in one.get("tool_calls") or ()]
    names = sorted(part["function"]["name"] for part in asked)
    assert names == ["mcp__desk__book", "mcp__desk__pay"]
    outputs = [text for role, text in seen if role == "tool"]
    assert len(outputs) == len(TOOLS)
    for text in outputs:
        assert text.endswith(f"done for {killed.case}") or "It was not repeated." in text
    assert messages[-2]["content"] == "".join(ANSWER)


def check_log(here: World, killed: Killed, store: clew.Clew) -> None:
    """By the store itself: what the log of a case has, and what its model was shown."""
    key = killed.conversation.removeprefix("conv_")
    items = store.read_items(DEFAULT_PROJECT, key, below=1 << 62, limit=10_000)[::-1]
    assert [item.seq for item in items] == list(range(1, len(items) + 1))
    assert len({item.id for item in items}) == len(items)
    users = [item.text() for item in items if item.kind == "user"]
    assert users == [f"{killed.case} {killed.point.shape}", f"{killed.case} next"]
    answers = [item.text() for item in items if item.kind == "assistant" and not is_lost(item)]
    assert sorted(answers) == sorted([FIRST_WORDS, "".join(ANSWER), "Seen."])
    check_calls(here, killed, items)
    whole = {FIRST_WORDS, "".join(ANSWER)}
    for messages in here.asked[killed.case]:
        shown = [one.get("content") for one in messages if one["role"] == "assistant"]
        assert {text for text in shown if text} <= whole
    check_records(killed, items, store)


def check_calls(here: World, killed: Killed, items: list[Item]) -> None:
    """No tool was called twice; one that was, and whose end is not known, says so."""
    made = {item.data()["name"]: item.data() for item in items if item.kind == "mcp_call"}
    assert sorted(made) == sorted(TOOLS)
    assert sum(item.kind == "mcp_call" for item in items) == len(TOOLS)
    called = here.called[killed.case]
    assert len(set(called)) == len(called), called
    for name, data in made.items():
        if data["status"] == "completed":
            assert name in called
            assert data["output"] == f"{name}: done for {killed.case}"
        else:
            assert data["status"] == "failed"
            assert "It was not repeated." in json.dumps(data["error"])


def check_records(killed: Killed, items: list[Item], store: clew.Clew) -> None:
    """Each model call ended, or is recorded as lost: one at most; the thread is free."""
    key = killed.conversation.removeprefix("conv_")
    runs = {item.run for item in items if item.run is not None}
    calls: list[Call] = []
    for run in runs:
        calls += store.list_calls(DEFAULT_PROJECT, key, run)
        assert store.get_run(DEFAULT_PROJECT, key, run).attempts <= 2
    assert all(one.ended_at is not None for one in calls)
    lost = [one for one in calls if one.error is not None]
    assert all(one.error == LOST for one in lost), lost
    assert len(lost) <= 1
    steps = {"apart": 3, "together": 2}[killed.point.shape]
    assert len(calls) == len(lost) + steps + 1
    assert store.get_thread(DEFAULT_PROJECT, key).active_run is None


LOST = {"code": "lost", "message": "The process that made this call is gone."}


def ended(server: Served, response: str) -> dict[str, Any]:
    """A response once it is over: in time, or this fails."""
    until = time.monotonic() + LEASE_MS / 1000 + WAIT_S
    while True:
        found: dict[str, Any] = ask(server, "GET", f"/v1/responses/{response}")
        if found["status"] not in ("queued", "in_progress"):
            return found
        assert time.monotonic() < until, found
        time.sleep(POLL_S)


def texts(output: list[dict[str, Any]]) -> list[str]:
    return [one["content"][0]["text"] for one in output if one["type"] == "message"]


def ask(
    server: Served, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> Any:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=WAIT_S)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 200, said
        return said
    finally:
        connection.close()


def summary(name: str, took: dict[str, float]) -> str:
    """A line of the table, with the slowest three."""
    slowest = sorted(took, key=lambda point: -took[point])[:3]
    return (
        f"{name}: {len(took)} kills, to the end of the run median"
        f" {statistics.median(took.values()):.1f} s, max {max(took.values()):.1f} s"
        f" ({', '.join(f'{point} {took[point]:.1f}' for point in slowest)})"
    )
