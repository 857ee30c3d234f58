"""mcp: tools on other people's servers, spoken to in the Model Context Protocol.

A server may lie, hang or never end; a call of its tool then fails, with what is known. A call may
have effects out there, so it is sent once: one whose end nobody knows is failed, not repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

from clew.tools.gate import Gate
from clew.tools.mcp_failures import (
    INVALID_PARAMS,
    Failure,
    error_of,
    execution_error,
    text_of_error,
    timed_out,
)
from clew.tools.mcp_lists import TOOLS_MAX, functions_of, learn_tools, read_tools
from clew.tools.mcp_results import cut, text_of_result
from clew.tools.mcp_servers import (
    Server,
    by_what_they_do,
    function_name,
    is_allowed,
    named_tools,
    needs_approval,
    problem_of,
    read_server,
)
from clew.tools.mcp_sessions import Session, Sessions, is_modern
from clew.tools.tool import Offer, Place, Tell, ToolError

if TYPE_CHECKING:
    from mcp import Client

LIST_TIMEOUT_S = 30.0
CALL_TIMEOUT_S = 60.0

OUTPUT_BYTES_MAX = 256 * 1024
"""Of a result, what is kept: a model reads all of it."""

OFFERS_MAX = 1024
"""Runs whose offers are remembered."""

_LOST = (
    "The call was begun, but Clew stopped before its end. Its outcome is not known: it may have "
    "had effects. It was not repeated."
)
_MAYBE = " The call may have had effects; it was not repeated."

log = logging.getLogger("clew.mcp")


class Mcp:
    """The tool `mcp` of all runs: `close` it in the end.

    `allow` are the hosts that may be connected to, as `Gate` has them; None for any.
    """

    type = "mcp"
    kind = "mcp_call"
    begun = "calling"
    repeats = False

    def __init__(
        self,
        allow: Sequence[str] | None = None,
        *,
        call_timeout_s: float = CALL_TIMEOUT_S,
        list_timeout_s: float = LIST_TIMEOUT_S,
    ) -> None:
        self._call_timeout_s, self._list_timeout_s = call_timeout_s, list_timeout_s
        self._sessions = Sessions(Gate(allow))
        self._offers: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}

    async def close(self) -> None:
        await self._sessions.close()

    def problem(self, config: dict[str, Any]) -> tuple[str, str] | None:
        if find_spec("mcp") is None:
            return "type", "needs the extra 'mcp': pip install 'clew[mcp]'."
        return problem_of(config)

    async def offer(self, place: Place, seen: Sequence[dict[str, Any]]) -> Offer:
        """The server's tools, as listed in the thread already, or else as it lists them now."""
        server = read_server(place.config)
        tools, items = _seen_tools(place.config, seen), []
        if tools is None:
            tools = await self._list(place, server)
            items = [_list_item(server.label, tools)]
        else:
            await self._load(server)
        functions = await asyncio.to_thread(
            functions_of, server, place.config.get("server_description"), tools
        )
        self._remember(place, dict(zip((one.name for one in functions), tools, strict=True)))
        return Offer(functions, items)

    def ask(self, place: Place, function: str, arguments: str) -> dict[str, Any]:
        label = place.config["server_label"]
        tool = self._offered(place).get(function) or {"name": _plain_name(label, function)}
        call = {"server_label": label, "name": tool["name"], "arguments": arguments}
        if needs_approval(place.config, tool):
            return {"type": "mcp_approval_request", **call}
        return _call_item(call, None)

    def approved(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The call that an approval request (with its id) asked about, now that somebody agreed."""
        return _call_item(request, request.get("id"))

    def declined(self, request: Mapping[str, Any], reason: str | None) -> tuple[str, str, str]:
        """An approval request as models read it that know only functions, after a no."""
        why = f" Reason: {reason}" if reason else ""
        return *_asked(request), f"The user did not approve this call. It was not made.{why}"

    async def act(self, place: Place, item: dict[str, Any], tell: Tell) -> dict[str, Any]:
        tell("in_progress", {})
        tell("arguments.delta", {"delta": item["arguments"]})
        tell("arguments.done", {"arguments": item["arguments"]})
        done = item | await self._outcome(place, item)
        tell(done["status"], {})
        return done

    def lost(self, item: dict[str, Any]) -> dict[str, Any]:
        return item | _failed(Failure(_LOST))

    def told(self, item: dict[str, Any]) -> tuple[str, str, str] | None:
        if item.get("type") != self.kind:
            return None
        if item.get("error") is not None:
            return *_asked(item), f"Error: {text_of_error(item['error'])}"
        return *_asked(item), item.get("output") or ""

    async def _load(self, server: Server) -> None:
        try:
            await self._sessions.load()
        except Failure as failure:
            raise _unlisted(server, failure) from None

    async def _list(self, place: Place, server: Server) -> list[dict[str, Any]]:
        async def listed(client: Client) -> list[dict[str, Any]]:
            return await read_tools(client, server, place.config)

        try:
            async with (
                asyncio.timeout(self._list_timeout_s),
                self._sessions.session(_key(place, server), server) as session,
            ):
                tools = await session.run(listed)
                session.has_listed = True
                return tools
        except TimeoutError:
            raise _unlisted(server, timed_out(self._list_timeout_s)) from None
        except Failure as failure:
            raise _unlisted(server, failure) from None

    async def _outcome(self, place: Place, item: Mapping[str, Any]) -> dict[str, Any]:
        """What the call changes of its item."""
        try:
            if "server_label" not in place.config:
                raise Failure(f"This run has no MCP server '{item['server_label']}'.")
            server = read_server(place.config)
            arguments = _arguments(item["arguments"])
            await self._check_allowed(place, server, item["name"])
            result = await self._call(place, server, item["name"], arguments)
            text = cut(server.redacted(text_of_result(result)), OUTPUT_BYTES_MAX)
        except ToolError as error:
            return _failed(Failure(error.message, INVALID_PARAMS))
        except Failure as failure:
            return _failed(failure)
        except Exception as error:  # of ours, or of the SDK's with an answer nobody foresaw
            log.error("A call of an MCP server failed unexpectedly (%s).", type(error).__name__)
            return _failed(Failure(f"The call failed unexpectedly.{_MAYBE}"))
        if result.get("isError"):
            return {"status": "failed", "output": None, "error": execution_error(text)}
        return {"status": "completed", "output": text, "error": None}

    async def _call(
        self, place: Place, server: Server, name: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """The result as it came. Raises Failure."""
        known = self._offered(place).get(function_name(server.label, name), {})
        is_plain = known.get("is_plain", False)
        try:
            async with (
                asyncio.timeout(self._call_timeout_s),
                self._sessions.session(_key(place, server), server) as session,
            ):
                return await session.run(
                    lambda client: _call_tool(session, client, name, arguments, is_plain)
                )
        except TimeoutError:
            failure = timed_out(self._call_timeout_s)
            raise Failure(failure.message + _MAYBE, failure.code) from None

    async def _check_allowed(self, place: Place, server: Server, name: str) -> None:
        """The item may have been made under other rules than the run's."""
        tool: Mapping[str, Any] = {"name": name}
        if by_what_they_do(place.config):
            tool = self._offered(place).get(function_name(server.label, name)) or next(
                (one for one in await self._list(place, server) if one["name"] == name), tool
            )
        if not is_allowed(place.config, tool):
            raise Failure(f"The tool '{name[:100]}' is not among allowed_tools.", INVALID_PARAMS)

    def _offered(self, place: Place) -> dict[str, dict[str, Any]]:
        return self._offers.get(_key(place), {})

    def _remember(self, place: Place, tools: dict[str, dict[str, Any]]) -> None:
        """What is needed of a tool when it is called; the schemas are not."""
        self._offers.pop(_key(place), None)
        self._offers[_key(place)] = {function: _of(tool) for function, tool in tools.items()}
        while len(self._offers) > OFFERS_MAX:
            del self._offers[next(iter(self._offers))]


async def _call_tool(
    session: Session, client: Client, name: str, arguments: dict[str, Any], is_plain: bool
) -> dict[str, Any]:
    """Call without what the SDK's own method adds: it may send a call again, and asks for the list
    of tools to check results by schemas that the server made up. The list is only needed where the
    tool is not known to be `is_plain`."""
    from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

    if not is_plain and is_modern(client) and not session.has_listed:
        await learn_tools(client)
        session.has_listed = True
    params = CallToolRequestParams(name=name, arguments=arguments)
    result = await client.session.send_request(CallToolRequest(params=params), CallToolResult)
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


def _of(tool: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a tool; one is plain that wants none of its arguments in headers."""
    is_plain = b'"x-mcp-header"' not in msgspec.json.encode(tool.get("input_schema"))
    return {"name": tool["name"], "annotations": tool.get("annotations"), "is_plain": is_plain}


def _key(place: Place, server: Server | None = None) -> tuple[Any, ...]:
    return place.project, place.run, place.config["server_label"], *((server,) if server else ())


def _seen_tools(
    config: Mapping[str, Any], seen: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]] | None:
    """The allowed tools of the thread's own list; None when there is none, or it lacks some."""
    lists = (item for item in reversed(seen) if _is_list_of(config["server_label"], item))
    listed = next(lists, None)
    if listed is None:
        return None
    tools = {tool["name"]: tool for tool in reversed(listed["tools"])}
    if not set(named_tools(config) or ()) <= tools.keys():
        return None
    return [tool for tool in reversed(tools.values()) if is_allowed(config, tool)][:TOOLS_MAX]


def _is_list_of(label: str, item: Mapping[str, Any]) -> bool:
    is_list = item.get("type") == "mcp_list_tools" and item.get("server_label") == label
    return is_list and item.get("error") is None


def _list_item(label: str, tools: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "mcp_list_tools", "server_label": label, "tools": tools, "error": None}


def _call_item(call: Mapping[str, Any], request: str | None) -> dict[str, Any]:
    return {
        "type": "mcp_call",
        "status": "in_progress",
        "server_label": call["server_label"],
        "name": call["name"],
        "arguments": call["arguments"],
        "output": None,
        "error": None,
        "approval_request_id": request,
    }


def _asked(item: Mapping[str, Any]) -> tuple[str, str]:
    return function_name(item["server_label"], item["name"]), item["arguments"]


def _plain_name(label: str, function: str) -> str:
    """What a model means that calls a function which was not offered to it."""
    return function.removeprefix(f"mcp__{label}__")


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(text or "{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Failure("The arguments are not JSON. No call was made.", INVALID_PARAMS) from None
    if not isinstance(arguments, dict):
        raise Failure("The arguments are no JSON object. No call was made.", INVALID_PARAMS)
    return arguments


def _failed(failure: Failure) -> dict[str, Any]:
    return {"status": "failed", "output": None, "error": error_of(failure)}


def _unlisted(server: Server, failure: Failure) -> ToolError:
    said = f"Error retrieving tool list from MCP server: '{server.label}'."
    return ToolError(f"{said} {failure.message}")
