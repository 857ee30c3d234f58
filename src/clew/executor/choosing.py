"""`tool_choice` for a model that knows our own tools as functions only. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clew.tools.mcp_servers import function_name

Json = dict[str, Any]


def chosen(choice: Any, tools: Sequence[Json], ours: Mapping[str, Json], *, free: bool) -> Any:
    """The choice among `tools`, as they are offered; `ours` are our functions, offered or not, each
    with the tool that it is of.

    A model that had to call a tool, and has, is `free`: else it would have to call on for ever.
    """
    if not tools:
        return None
    if isinstance(choice, dict):
        choice = _translated(choice, tools, ours)
    if not free or choice in (None, "none"):
        return choice
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        return {**choice, "mode": "auto"}
    return "auto"


def _translated(choice: Json, tools: Sequence[Json], ours: Mapping[str, Json]) -> Any:
    """A choice of our tools as one of their functions; one of what is not offered is none."""
    if choice["type"] == "allowed_tools":
        allowed = [one for tool in choice["tools"] for one in _functions(tool, tools, ours)]
        return {**choice, "tools": allowed} if allowed else "none"
    functions = _functions(choice, tools, ours)
    if len(functions) < 2:
        return functions[0] if functions else None
    if len(functions) == len(tools):
        return "required"
    return {"type": "allowed_tools", "mode": "required", "tools": functions}


def _functions(tool: Json, tools: Sequence[Json], ours: Mapping[str, Json]) -> list[Json]:
    """What stands for a tool in a choice: itself, unless it is one of ours."""
    if not any(config["type"] == tool["type"] for config in ours.values()):
        return [tool]
    meant = {name for name, config in ours.items() if _is_of(name, tool, config)}
    offered = (one.get("name") for one in tools)
    return [{"type": "function", "name": name} for name in offered if name in meant]


def _is_of(function: str, tool: Json, config: Json) -> bool:
    if config["type"] != tool["type"] or config.get("server_label") != tool.get("server_label"):
        return False
    name = tool.get("name")
    return name is None or function == function_name(tool["server_label"], name)
