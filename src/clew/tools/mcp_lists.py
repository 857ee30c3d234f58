"""Which tools an MCP server has: asked for page by page, and checked before a model sees them.

A list that cannot be used as it is is refused as a whole, with what is wrong: a tool that is left
out silently would be missed. `allowed_tools` comes first, so it helps with servers of many tools.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from clew.tools.mcp_failures import INVALID_ANSWER, Failure
from clew.tools.mcp_servers import Server, function_name, is_allowed
from clew.tools.tool import Function

if TYPE_CHECKING:
    from mcp import Client

TOOLS_MAX = 128
NAME_MAX = 256
DESCRIPTION_MAX = 8 * 1024
SCHEMA_BYTES_MAX = 32 * 1024
LIST_BYTES_MAX = 256 * 1024
"""A model reads all of it at every step, so these are generous."""

PAGES_MAX = 32

_ANYTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}


async def read_tools(client: Client, server: Server, config: Mapping[str, Any]) -> list[Any]:
    """The allowed tools as an `mcp_list_tools` item has them. Raises Failure."""
    tools: dict[str, dict[str, Any]] = {}
    async for tool in _pages(client):
        entry = _entry(tool.model_dump(mode="json", by_alias=True, exclude_none=True), server)
        if is_allowed(config, entry):
            tools.setdefault(entry["name"], entry)
            if len(tools) > TOOLS_MAX:
                raise _refused(f"It has more than {TOOLS_MAX} tools.")
    listed = list(tools.values())
    await asyncio.to_thread(_check, listed)
    return listed


async def _pages(client: Client) -> Any:
    """Every tool, as the SDK reads it."""
    from mcp_types import PaginatedRequestParams

    cursor: str | None = None
    for _ in range(PAGES_MAX):
        params = PaginatedRequestParams(cursor=cursor) if cursor else None
        page = await client.session.list_tools(params=params)
        for tool in page.tools:
            yield tool
        if not page.next_cursor:
            return
        if page.next_cursor == cursor:
            raise Failure("Its list of tools has no end.", INVALID_ANSWER)
        cursor = page.next_cursor
    raise Failure(f"Its list of tools has more than {PAGES_MAX} pages.", INVALID_ANSWER)


async def learn_tools(client: Client) -> None:
    """Let the SDK see the tools: newer servers want some arguments in headers as well."""
    async for _ in _pages(client):
        pass


def _entry(tool: Mapping[str, Any], server: Server) -> dict[str, Any]:
    description = server.redacted(tool.get("description") or "")
    if len(description) > DESCRIPTION_MAX:
        description = f"{description[:DESCRIPTION_MAX]} [cut off]"
    return {
        "name": tool["name"],
        "description": description or None,
        "input_schema": tool.get("inputSchema"),
        "annotations": tool.get("annotations"),
    }


def _check(tools: list[dict[str, Any]]) -> None:
    size = 0
    for tool in tools:
        if not 0 < len(tool["name"]) <= NAME_MAX:
            raise _refused(
                f"A tool's name has {len(tool['name'])} characters, not 1 to {NAME_MAX}."
            )
        schema = len(msgspec.json.encode([tool["input_schema"], tool["annotations"]]))
        if schema > SCHEMA_BYTES_MAX:
            said = f"The schema of its tool '{tool['name']}' has {schema} bytes"
            raise _refused(f"{said}, of at most {SCHEMA_BYTES_MAX}.")
        size += schema + len(msgspec.json.encode([tool["name"], tool["description"]]))
    if size > LIST_BYTES_MAX:
        raise _refused(f"Its list of tools has {size} bytes, of at most {LIST_BYTES_MAX}.")


def _refused(message: str) -> Failure:
    return Failure(f"{message} Choose among them with allowed_tools.", INVALID_ANSWER)


def functions_of(server: Server, about: str | None, tools: Iterable[Any]) -> list[Function]:
    """What a model is offered. `about` says what the server is for."""
    return [
        Function(
            function_name(server.label, tool["name"]),
            "\n\n".join(filter(None, (tool.get("description"), about))),
            _parameters(tool.get("input_schema")),
        )
        for tool in tools
    ]


def _parameters(schema: Any) -> dict[str, Any]:
    """The schema, or one that lets everything pass where it is none: models' servers refuse it."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return _ANYTHING
    if not _is_schema(msgspec.json.encode(schema)):
        return _ANYTHING
    return schema if "properties" in schema else {**schema, "properties": {}}


@lru_cache(maxsize=512)
def _is_schema(encoded: bytes) -> bool:
    """Whether JSON is a schema. It takes milliseconds to say, and is asked at every step."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
    from jsonschema.validators import validator_for  # type: ignore[import-untyped]

    try:
        schema = msgspec.json.decode(encoded)
        validator_for(schema, Draft202012Validator).check_schema(schema)
    except Exception:  # whatever a schema of a stranger's brings it to
        return False
    return True
