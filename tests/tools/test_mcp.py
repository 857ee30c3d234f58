"""The tool `mcp` with real servers of the official SDK, over real HTTP."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from openai.types.responses.response_output_item import (
    McpApprovalRequest,
    McpCall,
    McpListTools,
)
from pydantic import Field, TypeAdapter

from clew.tools import mcp, mcp_http, mcp_lists, mcp_sessions
from clew.tools.mcp import Mcp
from clew.tools.tool import Place, Tool, ToolError
from tests.tools.mcp_peers import Seen, liar, served, weather_server

KINDS_OF_SERVERS = {
    "new, JSON": ({"json_response": True}, False),
    "new, streams": ({}, False),
    "old, JSON": ({"json_response": True}, True),
    "old, streams": ({}, True),
    "old, no sessions": ({"stateless_http": True}, True),
    "old, no sessions, JSON": ({"stateless_http": True, "json_response": True}, True),
}


class Served:
    """A server, what was asked of it, and which tools were called."""

    def __init__(self, url: str, seen: Seen, calls: list[Any]) -> None:
        self.url, self.seen, self.calls = url, seen, calls

    def asked(self) -> list[str]:
        return [method or http for http, method, _ in self.seen.requests]

    def place(self, run: str = "r", **config: Any) -> Place:
        named = {"type": "mcp", "server_label": "w", "server_url": self.url}
        return Place("p", "t", run, {**named, "require_approval": "never", **config})


@pytest.fixture(params=KINDS_OF_SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    options, is_old = KINDS_OF_SERVERS[request.param]
    yield from serving(options, is_old)


@pytest.fixture
def old_server() -> Iterator[Served]:
    """One that keeps sessions."""
    yield from serving({}, True)


def serving(options: dict[str, Any], is_old: bool) -> Iterator[Served]:
    calls: list[Any] = []
    seen = Seen(weather_server(calls).streamable_http_app(**options), is_old=is_old)
    with served(seen) as url:
        yield Served(f"{url}/mcp", seen, calls)


@asynccontextmanager
async def opened(**options: Any) -> AsyncIterator[Mcp]:
    tool = Mcp(**options)
    try:
        yield tool
    finally:
        await tool.close()


def running(test: Callable[[Mcp], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with opened(**options) as tool:
            await test(tool)

    asyncio.run(run())


async def call(tool: Mcp, place: Place, name: str, arguments: str) -> dict[str, Any]:
    item = tool.ask(place, f"mcp__w__{name}", arguments)
    done = await tool.act(place, item, lambda stage, data: None)
    TypeAdapter(McpCall).validate_python({"id": "mcp_1", **done}, strict=True)
    return done


def test_it_is_a_tool():
    """It has the shape of all tools."""
    tool: Tool = Mcp()
    assert (tool.type, tool.kind, tool.begun, tool.repeats) == ("mcp", "mcp_call", "calling", False)


def test_the_tools_of_a_server_are_offered_and_called(server: Served):
    """A list becomes functions and an item; a call of a function is a call of the tool, once."""

    async def test(tool: Mcp) -> None:
        place = server.place(server_description="Weather of Norway.")
        offer = await tool.offer(place, [])
        first = offer.functions[0]
        assert first.name == "mcp__w__weather"
        assert first.description == "The weather.\n\nWeather of Norway."
        assert first.parameters["properties"]["city"]["type"] == "string"
        (listed,) = offer.items
        TypeAdapter(McpListTools).validate_python({"id": "mcpl_1", **listed}, strict=True)
        assert listed["tools"][0]["annotations"] == {"readOnlyHint": True}
        done = await call(tool, place, "weather", '{"city": "Oslo"}')
        assert (done["status"], done["output"]) == ("completed", "Rain in Oslo.")
        assert server.calls == [("weather", "Oslo")]
        assert tool.told(done) == ("mcp__w__weather", '{"city": "Oslo"}', "Rain in Oslo.")

    running(test)


def test_what_a_tool_gives_back_is_text(server: Served):
    """Structured results are JSON, pictures are noted, errors are what the tool says of them."""

    async def test(tool: Mcp) -> None:
        place = server.place()
        numbers = await call(tool, place, "numbers", '{"count": 3}')
        assert numbers["output"].split() == ["{", '"count":', "3", "}"]
        picture = await call(tool, place, "picture", "{}")
        assert picture["output"] == "A dot:\n[image, image/gif, 24 bytes: not shown]"
        order = await call(tool, place, "order", '{"thing": "tea"}')
        assert (order["status"], order["output"]) == ("failed", None)
        content = [{"type": "text", "text": "Error executing tool order: no tea left"}]
        assert order["error"] == {"type": "mcp_tool_execution_error", "content": content}
        asked = ("mcp__w__order", '{"thing": "tea"}')
        assert tool.told(order) == (*asked, "Error: Error executing tool order: no tea left")
        assert server.calls == [("numbers", 3), ("picture",), ("order", "tea")]

    running(test)


def test_unknown_tools_and_wrong_arguments_fail_the_call(server: Served):
    """What the server says of them is in the item."""

    async def test(tool: Mcp) -> None:
        unknown = await call(tool, server.place(), "nothing", "{}")
        assert "nothing" in str(unknown["error"])
        wrong = await call(tool, server.place(), "weather", '{"town": "Oslo"}')
        assert wrong["status"] == "failed"
        assert server.calls == []

    running(test)


@pytest.mark.parametrize(
    "arguments", ['{"city": "Os', "[1]", "5", '"Oslo"', "{'a': 1}", "[" * 9000]
)
def test_arguments_that_are_no_object_are_not_sent(arguments: str, old_server: Served):
    """A model that writes no JSON object is told so; the server hears nothing."""

    async def test(tool: Mcp) -> None:
        done = await call(tool, old_server.place(), "weather", arguments)
        assert (done["status"], done["error"]["code"]) == ("failed", -32602)
        assert done["error"]["message"].endswith("No call was made.")
        assert done["arguments"] == arguments
        assert old_server.asked() == []

    running(test)


def test_a_list_in_the_thread_is_used_again(server: Served):
    """A server is asked for its tools once in a thread; another label's list is another's."""

    async def test(tool: Mcp) -> None:
        offer = await tool.offer(server.place(), [])
        asked = server.asked()
        again = await tool.offer(server.place("r2"), offer.items)
        assert (again.functions, again.items) == (offer.functions, [])
        assert server.asked() == asked
        failed = [{**offer.items[0], "error": "none"}]
        other = [{**offer.items[0], "server_label": "x"}]
        for seen in ([], failed, other):
            assert len((await tool.offer(server.place("r3"), seen)).items) == 1

    running(test)


def test_allowed_tools_are_all_that_is_known(old_server: Served):
    """Others are not in the list, not offered from an older list, and not called either."""

    async def test(tool: Mcp) -> None:
        everything = (await tool.offer(old_server.place(), [])).items
        for allowed, names in (
            (["weather", "slow"], ["weather", "slow"]),
            ({"read_only": True}, ["weather"]),
            ({"tool_names": ["weather", "slow"], "read_only": False}, ["slow"]),
            ([], []),
        ):
            place = old_server.place("r2", allowed_tools=allowed)
            for seen in ([], everything):
                offer = await tool.offer(place, seen)
                assert [one.name for one in offer.functions] == [f"mcp__w__{n}" for n in names]
            assert [one["name"] for one in (await tool.offer(place, [])).items[0]["tools"]] == names
            done = await call(tool, place, "order", '{"thing": "tea"}')
            assert "not among allowed_tools" in done["error"]["message"]
        assert old_server.calls == []

    running(test)


def test_a_call_that_another_process_asked_for_is_checked(old_server: Served):
    """Who takes a turn over knows no list yet, and makes one where the rule needs it."""

    async def test(tool: Mcp) -> None:
        for name, allowed, status in (
            ("weather", {"read_only": True}, "completed"),
            ("order", {"read_only": True}, "failed"),
            ("weather", ["weather"], "completed"),
        ):
            place = old_server.place(allowed_tools=allowed)
            done = await call(tool, place, name, '{"city": "Oslo", "thing": "tea"}')
            assert done["status"] == status
        assert old_server.calls == [("weather", "Oslo")] * 2

    running(test)


def test_a_list_that_lacks_an_allowed_tool_is_made_anew(old_server: Served):
    """Who asks for another tool than before gets it."""

    async def test(tool: Mcp) -> None:
        offer = await tool.offer(old_server.place(allowed_tools=["weather"]), [])
        more = old_server.place("r2", allowed_tools=["weather", "slow"])
        assert len((await tool.offer(more, offer.items)).functions) == 2

    running(test)


def test_a_call_waits_for_approval(old_server: Served):
    """By default a call is a question first; the answer makes it a call, or tells the model no."""

    async def test(tool: Mcp) -> None:
        place = old_server.place(require_approval=None)
        await tool.offer(place, [])
        asked = tool.ask(place, "mcp__w__weather", '{"city": "Oslo"}')
        TypeAdapter(McpApprovalRequest).validate_python({"id": "mcpr_1", **asked}, strict=True)
        assert old_server.calls == []
        call = tool.approved({"id": "mcpr_1", **asked})
        assert call["approval_request_id"] == "mcpr_1"
        done = await tool.act(place, call, lambda stage, data: None)
        TypeAdapter(McpCall).validate_python({"id": "mcp_1", **done}, strict=True)
        assert done["output"] == "Rain in Oslo."
        assert old_server.calls == [("weather", "Oslo")]
        name, arguments, said = tool.declined(asked, "too wet")
        assert (name, arguments) == ("mcp__w__weather", '{"city": "Oslo"}')
        assert said == "The user did not approve this call. It was not made. Reason: too wet"

    running(test)


def test_approval_can_depend_on_the_tool(old_server: Served):
    """Tools that only read need no approval where the rule says so; the others do."""

    async def test(tool: Mcp) -> None:
        place = old_server.place(require_approval={"never": {"read_only": True}})
        await tool.offer(place, [])
        kinds = [tool.ask(place, f"mcp__w__{n}", "{}")["type"] for n in ("weather", "order")]
        assert kinds == ["mcp_call", "mcp_approval_request"]

    running(test)


def test_calls_of_a_run_share_a_session(old_server: Served):
    """One after the other they need one handshake; another run gets a session of its own."""

    async def test(tool: Mcp) -> None:
        await tool.offer(old_server.place(), [])
        for _ in range(3):
            await call(tool, old_server.place(), "numbers", '{"count": 1}')
        assert old_server.asked().count("initialize") == 1
        await call(tool, old_server.place("r2"), "numbers", '{"count": 1}')
        await call(tool, old_server.place(headers={"X-Key": "k"}), "numbers", '{"count": 1}')
        assert old_server.asked().count("initialize") == 3
        await tool.close()
        assert old_server.asked().count("DELETE") == 3
        assert "GET" not in old_server.asked()  # nobody listens to what is said unasked

    running(test)


def test_arguments_that_belong_into_headers_get_there():
    """A newer server may want that; who did not list its tools, as after a takeover, learns it."""
    calls: list[Any] = []
    weather = weather_server(calls)

    @weather.tool()
    def region(name: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
        calls.append(name)
        return name

    seen = Seen(weather.streamable_http_app())

    async def test(tool: Mcp) -> None:
        place = Served(f"{url}/mcp", seen, calls).place()
        for _ in range(2):
            done = await call(tool, place, "region", '{"name": "north"}')
            assert (done["status"], done["output"]) == ("completed", "north")
        methods = [method for _, method, _ in seen.requests]
        assert methods == ["server/discover", "tools/list", "tools/call", "tools/call"]
        assert seen.requests[-1][2]["mcp-param-region"] == "north"
        assert calls == ["north", "north"]

    with served(seen) as url:
        running(test)


def test_calls_at_the_same_time_do_not_wait(server: Served):
    """Each has a session of its own, and all are answered."""

    async def test(tool: Mcp) -> None:
        place, gate = server.place(), [f'{{"count": {number}}}' for number in range(8)]
        done = await asyncio.gather(*(call(tool, place, "numbers", each) for each in gate))
        assert [one["output"].split()[2] for one in done] == [str(number) for number in range(8)]
        assert len(server.calls) == 8

    running(test)


def test_a_session_nobody_needs_is_ended(old_server: Served, monkeypatch: pytest.MonkeyPatch):
    """The server is told, so it can forget the session."""
    monkeypatch.setattr(mcp_sessions.Sessions.__init__, "__defaults__", (0.01,))

    async def test(tool: Mcp) -> None:
        await call(tool, old_server.place(), "numbers", '{"count": 1}')
        end = time.monotonic() + 10
        while "DELETE" not in old_server.asked():
            assert time.monotonic() < end
            await asyncio.sleep(0.01)

    running(test)


CAN_HEAR = [
    name for name in KINDS_OF_SERVERS if name not in ("new, JSON", "old, no sessions, JSON")
]
"""Servers that notice while their tool works. One that answers with a document and keeps no session
looks at its connection only afterwards."""


@pytest.mark.parametrize("how", ["cancelled", "late"])
@pytest.mark.parametrize("server", CAN_HEAR, indirect=True)
def test_a_call_that_is_given_up_is_given_up_there(how: str, server: Served):
    """The server's tool is cancelled as well; the run's next call has another session."""

    async def test(tool: Mcp) -> None:
        place = server.place()
        await tool.offer(place, [])
        task = asyncio.create_task(call(tool, place, "slow", '{"seconds": 60}'))
        await until(lambda: ("slow", "began") in server.calls)
        if how == "cancelled":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            assert "did not answer within 2 s" in (await task)["error"]["message"]
        await until(lambda: ("slow", "cancelled") in server.calls)
        done = await call(tool, place, "weather", '{"city": "Oslo"}')
        assert done["status"] == "completed"
        assert server.calls.count(("slow", "began")) == 1

    running(test, call_timeout_s=60 if how == "cancelled" else 2)


async def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_a_lost_call_is_not_made_again():
    """Nobody knows what it did; the item says so, in OpenAI's shape."""
    tool = Mcp()
    place = Place("p", "t", "r", {"server_label": "w", "require_approval": "never"})
    begun = {**tool.ask(place, "mcp__w__order", "{}"), "status": "calling"}
    lost = tool.lost(begun)
    TypeAdapter(McpCall).validate_python({"id": "mcp_1", **lost}, strict=True)
    assert (lost["status"], lost["error"]["type"]) == ("failed", "mcp_protocol_error")
    assert "was not repeated" in (tool.told(lost) or ("", "", ""))[2]


def test_a_server_that_dies_fails_the_call_and_is_not_asked_again():
    """The connection breaks in the middle of a call; a later call finds nobody."""
    calls: list[Any] = []
    app = weather_server(calls).streamable_http_app()

    async def test(tool: Mcp) -> None:
        stop = threading.Event()
        urls: list[str] = []

        def serve() -> None:
            with served(app) as url:
                urls.append(url)
                stop.wait()

        thread = threading.Thread(target=serve)
        thread.start()
        await until(lambda: bool(urls))
        named = {"type": "mcp", "server_label": "w", "server_url": f"{urls[0]}/mcp"}
        place = Place("p", "t", "r", {**named, "require_approval": "never"})
        task = asyncio.create_task(call(tool, place, "slow", '{"seconds": 30}'))
        await until(lambda: ("slow", "began") in calls)
        stop.set()
        done = await task
        assert done["status"] == "failed"
        await asyncio.to_thread(thread.join)
        assert calls.count(("slow", "began")) == 1
        later = await call(tool, place, "slow", "{}")
        assert "cannot be connected to" in later["error"]["message"]

    running(test)


def test_a_tool_that_is_closed_leaves_nothing_running(old_server: Served):
    """Sessions and their tasks end with it."""

    async def test(tool: Mcp) -> None:
        await tool.offer(old_server.place(), [])
        await tool.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    running(test)


def test_without_the_sdk_the_run_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """The extra is named."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(mcp_sessions.importlib, "import_module", missing)
    place = Place("p", "t", "r", {"server_label": "w", "server_url": "http://127.0.0.1:1/mcp"})

    async def test(tool: Mcp) -> None:
        listed = {"type": "mcp_list_tools", "server_label": "w", "tools": []}
        for seen in ([], [listed]):
            with pytest.raises(ToolError, match=r"pip install 'clew\[mcp\]'"):
                await tool.offer(place, seen)

    running(test)


def test_hosts_that_are_not_allowed_are_not_connected_to(old_server: Served):
    """The operator's list holds for lists and calls."""

    async def test(tool: Mcp) -> None:
        with pytest.raises(ToolError, match="not among those that this server may connect to"):
            await tool.offer(old_server.place(), [])
        done = await call(tool, old_server.place(), "weather", "{}")
        assert "not among those" in done["error"]["message"]
        assert old_server.asked() == []

    running(test, allow=["*.example.com"])


def test_a_name_of_a_host_is_looked_up(old_server: Served):
    """All of its addresses are tried: localhost may be that of IPv6 first."""

    async def test(tool: Mcp) -> None:
        url = old_server.url.replace("127.0.0.1", "localhost")
        offer = await tool.offer(old_server.place(server_url=url), [])
        assert len(offer.functions) == 5

    running(test, allow=["localhost"])


def trusted(names: list[str], place: Path, patch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for those names that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "key.pem").write_bytes(private)
    (place / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    patch.setenv("SSL_CERT_FILE", str(place / "certificate.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "certificate.pem", place / "key.pem")
    return context


@pytest.mark.parametrize("names", [["localhost"], ["other.example.com"]])
def test_a_certificate_is_checked_against_the_name(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The connection goes to an address, but the server has to prove the name in the URL."""

    async def test(tool: Mcp) -> None:
        async with liar(tls=trusted(names, tmp_path, monkeypatch)) as server:
            url = server.url.replace("http://127.0.0.1", "https://localhost")
            named = {"type": "mcp", "server_label": "w", "server_url": url}
            place = Place("p", "t", "r", {**named, "require_approval": "never"})
            done = await call(tool, place, "weather", "{}")
            if names == ["localhost"]:
                assert done["output"] == "Rain."
                assert f"Host: {url[8:-4]}\r\n" in server.asked[0].head
            else:
                assert "cannot be connected to" in done["error"]["message"]
                assert "certificate" in done["error"]["message"]
                assert server.asked == []

    running(test)


def test_headers_and_token_go_to_the_server(server: Served):
    """With every request, and nothing of them into items."""

    async def test(tool: Mcp) -> None:
        place = server.place(headers={"X-Team": "north-west"}, authorization="tok-4711")
        offer = await tool.offer(place, [])
        done = await call(tool, place, "weather", '{"city": "Oslo"}')
        for _, _, headers in server.seen.requests:
            assert headers["x-team"] == "north-west"
            assert headers["authorization"] == "Bearer tok-4711"
        assert "4711" not in repr((offer, done))

    running(test)


def test_the_documented_limits_are_the_limits():
    """Each limit is in the table of the page, with its value."""
    page = Path(__file__).parents[2] / "docs" / "tools" / "mcp.md"
    rows = re.findall(r"^\| (.+) \| (\d+)[^|]* \|$", page.read_text("utf-8"), re.MULTILINE)
    values = [int(value) for _, value in rows]
    assert values == [
        mcp_http.CONNECT_TIMEOUT_S,
        mcp.LIST_TIMEOUT_S,
        mcp.CALL_TIMEOUT_S,
        mcp_http.ANSWER_BYTES_MAX,
        mcp_http.OBJECTS_MAX,
        mcp_http.EVENTS_MAX,
        mcp_http.REQUESTS_MAX,
        mcp.OUTPUT_BYTES_MAX,
        mcp_lists.TOOLS_MAX,
        mcp_lists.PAGES_MAX,
        mcp_lists.NAME_MAX,
        mcp_lists.DESCRIPTION_MAX,
        mcp_lists.SCHEMA_BYTES_MAX,
        mcp_lists.LIST_BYTES_MAX,
    ]
