"""The tool `mcp` and servers that lie, hang or never end: the call fails, and says why."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from clew.tools.mcp import Mcp
from clew.tools.tool import Place, ToolError
from tests.tools.mcp_peers import TOOL, Asked, Liar, Lie, liar

SOON_S = 5.0
"""A lie is found out at once, not at the end of a time-out; the machine may be busy."""

WAIT_S = 0.5
"""Of a tool that is given little time, for servers that hang."""

CALL = "tools/call"


def place(server: Liar, **config: Any) -> Place:
    named = {"type": "mcp", "server_label": "liar", "server_url": server.url}
    return Place("p", "t", "r", {**named, "require_approval": "never", **config})


async def called(server: Liar, call_timeout_s: float = 60.0, **config: Any) -> dict[str, Any]:
    """A call of the server's tool, after a list if it gives one."""
    tool = Mcp(call_timeout_s=call_timeout_s, list_timeout_s=call_timeout_s)
    try:
        here = place(server, **config)
        item = tool.ask(here, "mcp__liar__weather", "{}")
        told: list[str] = []
        done = await tool.act(here, item, lambda stage, data: told.append(stage))
        assert told == ["in_progress", "arguments.delta", "arguments.done", done["status"]]
        return done
    finally:
        await tool.close()


async def offered(server: Liar, list_timeout_s: float = 60.0, **config: Any) -> Any:
    tool = Mcp(list_timeout_s=list_timeout_s)
    try:
        return await tool.offer(place(server, **config), [])
    finally:
        await tool.close()


def says(body: str | bytes, kind: str = "application/json", status: str = "200 OK") -> Lie:
    async def lie(asked: Asked) -> None:
        await asked.reply(body, kind, status)

    return lie


def gives(result: Any) -> Lie:
    async def lie(asked: Asked) -> None:
        await asked.reply(asked.answer(result))

    return lie


def message(text: str) -> bytes:
    return f"event: message\ndata: {text}\n\n".encode()


async def wrong_id(asked: Asked) -> None:
    await asked.reply(json.dumps({"jsonrpc": "2.0", "id": 4711, "result": {"content": []}}))


async def question(asked: Asked) -> None:
    await asked.reply(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}))


async def closes(asked: Asked) -> None:
    asked.writer.close()


async def closes_midway(asked: Asked) -> None:
    await asked.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
    await asked.write(b'content-length: 1000\r\n\r\n{"jsonrpc"')
    asked.writer.close()


async def closes_stream(asked: Asked) -> None:
    await asked.begin()
    await asked.write(message('{"jsonrpc":"2.0","method":"notifications/message","params":{}}'))
    asked.writer.close()


async def no_http(asked: Asked) -> None:
    await asked.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    asked.writer.close()


async def broken_event(asked: Asked) -> None:
    await asked.begin()
    await asked.write(message("{broken"))
    asked.writer.close()


async def packed(asked: Asked) -> None:
    await asked.reply(b"\x1f\x8b", more="content-encoding: gzip\r\n")


async def elsewhere(asked: Asked) -> None:
    more = "location: http://127.0.0.1:1/mcp?secret=1\r\n"
    await asked.reply("", status="307 Temporary Redirect", more=more)


async def here_again(asked: Asked) -> None:
    await asked.reply("", status="307 Temporary Redirect", more="location: /other\r\n")


async def endless_json(asked: Asked) -> None:
    await asked.begin("application/json")
    await asked.write(b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"')
    while True:
        await asked.write(b"x" * 65_536)


async def endless_event(asked: Asked) -> None:
    await asked.begin()
    await asked.write(b"data: ")
    while True:
        await asked.write(b"x" * 65_536)


async def endless_events(asked: Asked) -> None:
    await asked.begin()
    progress = {"progressToken": 1, "progress": 1}
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}
    while True:
        await asked.write(message(json.dumps(note)))


async def endless_questions(asked: Asked) -> None:
    await asked.begin()
    number = 0
    while True:
        number += 1
        await asked.write(message(json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"})))


async def endless_comments(asked: Asked) -> None:
    await asked.begin()
    while True:
        await asked.write(b": still here\n\n" * 1000)


async def endless_resuming(asked: Asked) -> None:
    """Break off the stream so that it is resumed, for ever and at once."""
    await asked.begin()
    await asked.write(b"id: 1\nretry: 0\ndata: \n\n")
    asked.writer.close()


async def fifty_megabytes(asked: Asked) -> None:
    before, after = asked.answer({"content": [{"type": "text", "text": "|"}]}).split("|")
    size = len(before) + 50_000_000 + len(after)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    await asked.write((head + before).encode())
    for _ in range(500):
        await asked.write(b"x" * 100_000)
    await asked.write(after.encode())


async def long_header(asked: Asked) -> None:
    await asked.reply("{}", more=f"x-long: {'x' * 500_000}\r\n")


async def says_secret(asked: Asked) -> None:
    given = [line for line in asked.head.split("\r\n") if line.startswith(("author", "x-key"))]
    error = {"code": -32000, "message": f"I was sent {given}"}
    await asked.reply(json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "error": error}))


DEEP = '{"a":' * 9_000 + "1" + "}" * 9_000

LIES: dict[str, tuple[Lie, str]] = {
    "wrong JSON": (says('{"jsonrpc":'), "no JSON-RPC message"),
    "JSON of another kind": (says("[1, 2]"), "no JSON-RPC message"),
    "no UTF-8": (says(b'{"jsonrpc":"2.0","id":"\xff\xfe"}'), "no JSON-RPC message"),
    "half a character": (
        says(r'{"jsonrpc":"2.0","id":1,"result":{"a":"\ud800"}}'),
        "no JSON-RPC message",
    ),
    "deep JSON": (says(DEEP), "no JSON-RPC message"),
    "very deep JSON": (says(DEEP * 20), "more than 20000 objects"),
    "an HTML page": (
        says("<html>Log in</html>", "text/html"),
        "Unexpected content type: text/html",
    ),
    "a wrong content type": (says("{}", "text/plain"), "Unexpected content type: text/plain"),
    "no content": (says("", status="204 No Content"), "no JSON-RPC message"),
    "accepted": (says("", status="202 Accepted"), "answered a request with 202 Accepted"),
    "401": (says("no key", "text/plain", "401 Unauthorized"), "401 (Unauthorized)"),
    "404": (says("?", "text/plain", "404 Not Found"), "404 (Not Found)"),
    "500": (says("<html>", "text/html", "500 Internal Server Error"), "500 (Internal Server"),
    "an unknown status": (says("", status="799 Odd"), "799 (unknown)"),
    "no content at all": (gives({}), "wrong shape: content"),
    "a result of a wrong shape": (gives({"content": [{"type": "text", "text": 5}]}), "wrong shape"),
    "a result that is a list": (gives([1]), "no JSON-RPC message"),
    "an unknown kind of content": (gives({"content": [{"type": "smell"}]}), "wrong shape"),
    "another request's answer": (wrong_id, "to another request"),
    "a question for an answer": (question, "to another request"),
    "a closed connection": (closes, "connection broke off"),
    "a connection closed midway": (closes_midway, "connection broke off"),
    "a stream without an answer": (closes_stream, "ended without a response"),
    "a broken event": (broken_event, "no JSON-RPC message"),
    "no HTTP": (no_http, "connection broke off"),
    "a packed answer": (packed, "packed its answer"),
    "a redirect to another host": (elsewhere, "not followed"),
    "a redirect of a call": (here_again, "not followed"),
    "an endless document": (endless_json, "longer than 4194304 bytes"),
    "an endless event": (endless_event, "longer than 4194304 bytes"),
    "endless events": (endless_events, "more than 4096 events"),
    "endless questions": (endless_questions, "more than 64 requests"),
    "endless comments": (endless_comments, "longer than 4194304 bytes"),
    "endless resuming": (endless_resuming, "more than 64 requests"),
    "50 MB": (fifty_megabytes, "longer than 4194304 bytes"),
    "a million objects": (gives({"content": [], "structuredContent": [{}] * 10**6}), "20000 obj"),
    "a million lists": (gives({"content": [], "structuredContent": [[]] * 10**6}), "20000 obj"),
    "many parts": (gives({"content": [{"type": "text", "text": ""}] * 21_000}), "20000 objects"),
    "a long header": (long_header, "connection broke off"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_call_fails_the_call(lie: str):
    """The item is failed and says why, soon; the call was sent once, and is not sent again."""
    tell, why = LIES[lie]

    async def run() -> None:
        async with liar({CALL: tell, "GET": tell}) as server:
            began = time.monotonic()
            done = await called(server)
            assert time.monotonic() - began < SOON_S
            assert (done["status"], done["output"]) == ("failed", None)
            assert why in done["error"]["message"]
            assert len(done["error"]["message"]) <= 1000
            assert server.count(CALL) == 1

    asyncio.run(run())


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_the_connection_fails_the_list(lie: str):
    """A server that answers everything with a lie cannot be listed; the error names the server."""
    tell, _ = LIES[lie]

    async def run() -> None:
        async with liar({"*": tell}) as server:
            began = time.monotonic()
            with pytest.raises(ToolError) as caught:
                await offered(server)
            assert time.monotonic() - began < SOON_S
            said = caught.value.message
            assert said.startswith("Error retrieving tool list from MCP server: 'liar'. ")
            assert (caught.value.code, len(said) < 1200) == ("server_error", True)

    asyncio.run(run())


async def silent(asked: Asked) -> None:
    await asyncio.Event().wait()


async def silent_midway(asked: Asked) -> None:
    await asked.begin("application/json")
    await asked.write(b'{"jsonrpc":')
    await asyncio.Event().wait()


async def silent_stream(asked: Asked) -> None:
    await asked.begin()
    await asked.write(b": wait\n\n")
    await asyncio.Event().wait()


async def trickle(asked: Asked) -> None:
    await asked.begin()
    while True:
        await asked.write(b": wait\n\n")
        await asyncio.sleep(0.01)


HANGS = {
    "before the answer": silent,
    "within a document": silent_midway,
    "within a stream": silent_stream,
    "in a trickle": trickle,
}


@pytest.mark.parametrize("hang", HANGS)
def test_a_call_that_hangs_is_given_up(hang: str):
    """At the time-out the call fails, its connection is closed, and the server is told."""

    async def run() -> None:
        async with liar({CALL: HANGS[hang]}) as server:
            done = await called(server, WAIT_S)
            assert done["error"]["type"] == "mcp_protocol_error"
            assert "did not answer within 0.5 s" in done["error"]["message"]
            assert "may have had effects; it was not repeated" in done["error"]["message"]
            assert (server.count(CALL), server.count("notifications/cancelled")) == (1, 1)

    asyncio.run(run())


@pytest.mark.parametrize("hang", HANGS)
@pytest.mark.parametrize("where", ["*", "initialize", "tools/list"])
def test_a_list_that_hangs_is_given_up(hang: str, where: str):
    """At the time-out the run is told that there is no list."""

    async def run() -> None:
        async with liar({where: HANGS[hang]}) as server:
            with pytest.raises(ToolError, match=r"'liar'. The server did not answer within 0.5 s"):
                await offered(server, WAIT_S)

    asyncio.run(run())


def test_a_cancelled_call_ends_at_once():
    """Cancellation is raised, and the server sees its connection closed."""

    async def run() -> None:
        reached, ended = asyncio.Event(), asyncio.Event()

        async def lie(asked: Asked) -> None:
            reached.set()
            assert await asked.reader.read() == b""
            ended.set()

        async with liar({CALL: lie}) as server:
            tool = Mcp()
            here = place(server)
            item = tool.ask(here, "mcp__liar__weather", "{}")
            task = asyncio.create_task(tool.act(here, item, lambda stage, data: None))
            await reached.wait()
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - began < SOON_S
            await asyncio.wait_for(ended.wait(), SOON_S)
            assert [name for name in map(_name, asyncio.all_tasks()) if "_live" in name] == []
            assert (server.count(CALL), server.count("notifications/cancelled")) == (1, 1)
            await tool.close()

    asyncio.run(run())


def _name(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")


@pytest.mark.parametrize("lie", [endless_json, endless_event, endless_comments, fifty_megabytes])
def test_an_answer_without_end_fills_no_memory(lie: Lie):
    """Of what a server sends, a few times the bound is held at most."""

    async def run() -> None:
        async with liar({CALL: lie}) as server:
            await called(server)  # imports, caches
            tracemalloc.start()
            try:
                await called(server)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert peak < 40_000_000

    asyncio.run(run())


def test_code_and_json_within_a_text_are_not_counted():
    """A megabyte of JSON that a tool gives as text is a text like any other, and is cut."""
    rows = json.dumps([{"a": [{"b": 1}]}] * 50_000)

    async def run() -> None:
        async with liar({CALL: gives({"content": [{"type": "text", "text": rows}]})}) as server:
            done = await called(server)
            assert done["status"] == "completed"
            assert "Cut off:" in done["output"][-100:]
            assert len(done["output"]) < 263_000

    asyncio.run(run())


def many(count: int, **more: Any) -> list[Any]:
    return [{**TOOL, "name": f"tool_{number}", **more} for number in range(count)]


LISTS: dict[str, tuple[list[Any], str]] = {
    "10,000 tools": (many(10_000), "more than 20000 objects"),
    "2,000 tools": (many(2_000), "more than 128 tools. Choose among them with allowed_tools."),
    "a giant schema": ([{**TOOL, "inputSchema": {"type": "object", "x": "y" * 40_000}}], "schema"),
    "many large schemas": (many(100, inputSchema={"type": "object", "x": "y" * 9_000}), "list of"),
    "an empty name": ([{**TOOL, "name": ""}], "has 0 characters, not 1 to 256"),
    "a long name": ([{**TOOL, "name": "x" * 10_000}], "has 10000 characters"),
    "no schema": ([{"name": "weather"}], "wrong shape"),
    "a schema that is a text": ([{**TOOL, "inputSchema": "object"}], "wrong shape"),
    "properties that are a list": ([{**TOOL, "inputSchema": {"properties": []}}], "wrong shape"),
    "a name that is a number": ([{**TOOL, "name": 5}], "wrong shape"),
    "a tool that is none": ([None], "wrong shape"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_unusable_is_refused(name: str):
    """The error says what is wrong with the list."""
    tools, why = LISTS[name]

    async def run() -> None:
        async with liar(tools=tools) as server:
            with pytest.raises(ToolError, match="Error retrieving tool list") as caught:
                await offered(server)
            assert why in caught.value.message

    asyncio.run(run())


def test_allowed_tools_makes_a_long_list_usable():
    """What is not allowed is not counted."""

    async def run() -> None:
        async with liar(tools=many(2_000)) as server:
            offer = await offered(server, allowed_tools=["tool_7", "tool_1999"])
            assert [one.name for one in offer.functions] == [
                "mcp__liar__tool_7",
                "mcp__liar__tool_1999",
            ]

    asyncio.run(run())


def test_pages_without_end_are_refused():
    """A list whose next page is always another, or always the same, ends in an error."""

    def page(cursor: Callable[[Asked], str]) -> Lie:
        async def lie(asked: Asked) -> None:
            await asked.reply(asked.answer({"tools": [], "nextCursor": cursor(asked)}))

        return lie

    async def run() -> None:
        for cursor, pages in ((lambda asked: "same", 2), (lambda asked: str(id(asked)), 32)):
            async with liar({"tools/list": page(cursor)}) as server:
                with pytest.raises(ToolError, match=r"no end|more than 32 pages"):
                    await offered(server)
                assert server.count("tools/list") == pages

    asyncio.run(run())


def test_a_list_in_pages_is_read_whole():
    """The pages follow one another, each once."""

    async def lie(asked: Asked) -> None:
        at = int((asked.message.get("params") or {}).get("cursor", "0"))
        more = {"nextCursor": str(at + 1)} if at < 2 else {}
        await asked.reply(asked.answer({"tools": [{**TOOL, "name": f"t{at}"}], **more}))

    async def run() -> None:
        async with liar({"tools/list": lie}) as server:
            offer = await offered(server)
            assert [tool["name"] for tool in offer.items[0]["tools"]] == ["t0", "t1", "t2"]

    asyncio.run(run())


def test_tools_of_one_name_are_one():
    """A call names a tool, so of several of one name the first is offered."""

    async def run() -> None:
        twice = [{**TOOL, "description": "one"}, {**TOOL, "description": "two"}]
        async with liar(tools=twice) as server:
            offer = await offered(server)
            assert [one.description for one in offer.functions] == ["one"]

    asyncio.run(run())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "thing"}}},
        {"type": "object", "properties": {"a": {"minimum": "low"}}},
        {"type": "object", "$schema": "http://127.0.0.1:1/none", "$defs": 5},
    ],
)
def test_an_invalid_schema_lets_everything_pass(schema: dict[str, Any]):
    """A model's server would refuse it; the list has it as it came."""

    async def run() -> None:
        async with liar(tools=[{**TOOL, "inputSchema": schema}]) as server:
            offer = await offered(server)
            parameters = {"type": "object", "properties": {}, "additionalProperties": True}
            assert offer.functions[0].parameters == parameters
            assert offer.items[0]["tools"][0]["input_schema"] == schema

    asyncio.run(run())


def test_a_wrong_version_of_the_protocol_is_refused():
    """Nobody can say what such a server means."""

    async def lie(asked: Asked) -> None:
        about = {"serverInfo": {"name": "x", "version": "1"}, "capabilities": {}}
        await asked.reply(asked.answer({"protocolVersion": "1999-01-01", **about}))

    async def run() -> None:
        async with liar({"initialize": lie}) as server:
            with pytest.raises(ToolError, match=r"Unsupported protocol version.*1999-01-01"):
                await offered(server)

    asyncio.run(run())


def test_a_tool_that_has_gone_fails_its_call():
    """The list may change at any time; what the server says of it reaches the model."""

    async def lie(asked: Asked) -> None:
        error = {"code": -32602, "message": "Unknown tool: weather"}
        await asked.reply(json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "error": error}))

    async def run() -> None:
        async with liar({CALL: lie}) as server:
            done = await called(server)
            message = "Unknown tool: weather"
            error = {"type": "mcp_protocol_error", "code": -32602, "message": message}
            assert done["error"] == error

    asyncio.run(run())


def test_a_server_that_has_moved_is_found_before_the_call():
    """A redirect on the same server is followed while nothing was called, and never again."""

    async def run() -> None:
        async with liar() as server:

            async def moved(asked: Asked) -> None:
                if asked.head.startswith("POST /mcp "):
                    await here_again(asked)
                else:
                    await server.tell_truth(asked)

            server._lies["*"] = moved
            done = await called(server)
            assert (done["status"], done["output"]) == ("completed", "Rain.")
            assert server.count(CALL) == 1

    asyncio.run(run())


def test_a_server_cannot_send_secrets_back():
    """Headers and tokens that a server repeats are cut out of errors, outputs and lists."""
    secrets = {"headers": {"X-Key": "open-sesame"}, "authorization": "token-4711"}

    async def echo(asked: Asked) -> None:
        await asked.reply(asked.answer({"content": [{"type": "text", "text": asked.head}]}))

    async def tools(asked: Asked) -> None:
        await asked.reply(asked.answer({"tools": [{**TOOL, "description": asked.head}]}))

    async def run() -> None:
        async with liar({CALL: says_secret}) as server:
            told = json.dumps(await called(server, **secrets))
            assert "I was sent" in told
            assert "sesame" not in told + repr(secrets).replace("open-sesame", "")
            assert "4711" not in told
        async with liar({CALL: echo, "tools/list": tools}) as server:
            told = json.dumps(await called(server, **secrets))
            offer = await offered(server, **secrets)
            told += json.dumps(offer.items) + repr(offer.functions)
            assert told.count("x-key: [redacted]") == 3
            assert "open-sesame" not in told
            assert "4711" not in told

    asyncio.run(run())


def test_nothing_of_a_session_is_logged(caplog: pytest.LogCaptureFixture):
    """Neither secrets nor what a server says get into the log, at any level."""

    async def run() -> None:
        for lie in (says("{broken"), says_secret, closes, gives({"content": []})):
            async with liar({CALL: lie}) as server:
                server.url += "?key=in-the-url"
                await called(server, headers={"X-Key": "open-sesame"})

    with caplog.at_level("DEBUG"):
        asyncio.run(run())
    assert [record.name for record in caplog.records if record.name != "asyncio"] == []
