"""A model request in the shape of chat completions. Pure; what is not said is not sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.providers.chat_messages import CHAT, chat_messages
from clew.providers.provider import ModelRequest

PASSED_ON = """prompt_cache_key prompt_cache_retention safety_identifier service_tier user
    verbosity""".split()
"""Settings that have the same name and meaning here."""

LOGPROBS = "message.output_text.logprobs"


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
        **_scores(request),
        **{name: request.settings.get(name) for name in PASSED_ON},
    }
    return body | {name: value for name, value in wanted.items() if value is not None}


def asks_for_scores(request: ModelRequest) -> bool:
    """Whether log probabilities are wanted."""
    settings = request.settings
    return LOGPROBS in (settings.get("include") or ()) or bool(settings.get("top_logprobs"))


def _scores(request: ModelRequest) -> dict[str, Any]:
    if not asks_for_scores(request):
        return {}
    return {"logprobs": True, "top_logprobs": request.settings.get("top_logprobs")}


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
    kind = tool.get("type")
    if kind == "function":
        return {"type": kind, kind: _said(tool, "name description parameters strict")}
    if kind == "custom":
        custom = _said(tool, "name description")
        return {"type": kind, kind: custom | _custom_format(tool.get("format"))}
    raise CHAT.cannot_carry(f"a tool of type '{kind}'")


def _custom_format(format: Mapping[str, Any] | None) -> dict[str, Any]:
    """Chat nests a grammar under its type."""
    if format is None:
        return {}
    rest = {name: value for name, value in format.items() if name != "type"}
    kind = format["type"]
    return {"format": {"type": kind, kind: rest} if rest else {"type": kind}}


def _tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if choice is None or isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind in ("function", "custom"):
        return {"type": kind, kind: {"name": choice["name"]}}
    if kind == "allowed_tools":
        tools = [_tool_choice(tool) for tool in choice["tools"]]
        return {"type": kind, kind: {"mode": choice["mode"], "tools": tools}}
    raise CHAT.cannot_carry(f"a tool choice of type '{kind}'")


def _response_format(text_format: Mapping[str, Any] | None) -> dict[str, Any] | None:
    kind = (text_format or {"type": "text"})["type"]
    if text_format is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    if kind == "json_schema":
        return {"type": kind, kind: _said(text_format, "name description schema strict")}
    raise CHAT.cannot_carry(f"a text format of type '{kind}'")


def _said(data: Mapping[str, Any], names: str) -> dict[str, Any]:
    return {name: data[name] for name in names.split() if data.get(name) is not None}
