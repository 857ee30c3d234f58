"""A model request in the shape of chat completions. Pure; what is not said is not sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.providers.chat_messages import cannot_carry, chat_messages
from clew.providers.provider import ModelRequest


def chat_request(request: ModelRequest, tokens_field: str = "max_tokens") -> dict[str, Any]:
    """The body of `POST /chat/completions`; `tokens_field` is what the server calls its limit."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": chat_messages(request.items, request.instructions),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    wanted = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        tokens_field: request.tokens_max,
        "response_format": _response_format(request.text_format),
        "reasoning_effort": request.reasoning_effort,
        **_tools(request),
    }
    return body | {name: value for name, value in wanted.items() if value is not None}


def _tools(request: ModelRequest) -> dict[str, Any]:
    """Servers refuse a choice between no tools, so without tools nothing is said about them."""
    if not request.tools:
        return {}
    return {
        "tools": [_tool(tool) for tool in request.tools],
        "tool_choice": _tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls,
    }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise cannot_carry(f"a tool of type '{tool.get('type')}'")
    return {"type": "function", "function": _said(tool, "name description parameters strict")}


def _tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if choice is None or isinstance(choice, str):
        return choice
    if choice.get("type") != "function":
        raise cannot_carry(f"a tool choice of type '{choice.get('type')}'")
    return {"type": "function", "function": {"name": choice["name"]}}


def _response_format(text_format: Mapping[str, Any] | None) -> dict[str, Any] | None:
    kind = (text_format or {"type": "text"})["type"]
    if text_format is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    if kind == "json_schema":
        return {"type": kind, kind: _said(text_format, "name description schema strict")}
    raise cannot_carry(f"a text format of type '{kind}'")


def _said(data: Mapping[str, Any], names: str) -> dict[str, Any]:
    return {name: data[name] for name in names.split() if data.get(name) is not None}
