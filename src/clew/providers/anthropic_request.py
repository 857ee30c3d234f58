"""A model request in the shape of Anthropic's Messages. Pure; what is not said is not sent.

`reasoning.effort` becomes thinking: "none" turns it off, any other is `thinking: {type:
"adaptive"}` with that effort ("minimal" is "low"). Models that know no effort get a budget of
tokens for it, `BUDGETS`. `reasoning.summary` asks for thinking that people can read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from clew.providers.anthropic_messages import MESSAGES, messages_of, system_of
from clew.providers.provider import ModelRequest, ProviderError

TOKENS_MAX = 32_000
"""Said when the run has no limit, since Messages demands one: what every model since Claude 4 can
say. A model that can say less is asked for less from its first refusal on."""

EFFORTS = {"minimal": "low"}
"""Efforts that go by another name here."""

BUDGETS = {"minimal": 1024, "low": 4096, "medium": 10_240, "high": 20_480}
"""Effort -> tokens to think with; any effort above has `BUDGET_MAX`."""

BUDGET_MIN, BUDGET_MAX = 1024, 28_672

CHOICES = {"auto": "auto", "required": "any", "none": "none"}


class Habits(msgspec.Struct):
    """What is known of a model: the most it says, and whether it thinks by effort."""

    tokens_max: int = TOKENS_MAX
    adapts: bool = True


def anthropic_request(request: ModelRequest, habits: Habits) -> dict[str, Any]:
    """The body of `POST /messages`."""
    readable = MESSAGES.readable(request.items)
    tokens_max = request.tokens_max or habits.tokens_max
    wanted = {
        "system": system_of(readable, request.instructions),
        "temperature": _unless_default(request.temperature),
        "top_p": _unless_default(request.top_p),
        "metadata": _metadata(request),
        "cache_control": _cache_control(request),
        **_tools(request),
        **_thinking(request, habits, tokens_max),
    }
    body = {"model": request.model, "messages": messages_of(readable), "max_tokens": tokens_max}
    said = {name: value for name, value in wanted.items() if value is not None}
    return body | said | {"stream": True}


def _unless_default(value: float | None) -> float | None:
    """1 is what happens anyway, and some models refuse to be told."""
    return None if value == 1 else value


def _metadata(request: ModelRequest) -> dict[str, Any] | None:
    user = request.settings.get("safety_identifier") or request.settings.get("user")
    return {"user_id": user} if user else None


def _cache_control(request: ModelRequest) -> dict[str, Any] | None:
    """Nothing is cached unasked here; whoever names a cache key or a retention asks."""
    if request.settings.get("prompt_cache_retention") == "24h":
        return {"type": "ephemeral", "ttl": "1h"}
    return {"type": "ephemeral"} if request.settings.get("prompt_cache_key") else None


def _tools(request: ModelRequest) -> dict[str, Any]:
    allowed = _allowed(request.tool_choice)
    tools = [tool for tool in request.tools if allowed is None or tool.get("name") in allowed]
    if not tools:
        return {}
    choice = _tool_choice(request.tool_choice)
    if request.parallel_tool_calls is False and choice != {"type": "none"}:
        choice = (choice or {"type": "auto"}) | {"disable_parallel_tool_use": True}
    return {"tools": [_tool(tool) for tool in tools], "tool_choice": choice}


def _allowed(choice: str | dict[str, Any] | None) -> set[str] | None:
    """The names of the only functions that may be called, where a choice lists them."""
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return {tool["name"] for tool in choice["tools"] if tool.get("name")}
    return None


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise MESSAGES.cannot_carry(f"a tool of type '{tool.get('type')}'")
    schema = tool.get("parameters") or {"type": "object", "properties": {}}
    said: dict[str, Any] = {"name": tool["name"], "input_schema": schema}
    if tool.get("description"):
        said["description"] = tool["description"]
    return said | ({"strict": True} if tool.get("strict") else {})


def _tool_choice(choice: str | dict[str, Any] | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        return {"type": CHOICES[choice]}
    if choice.get("type") == "allowed_tools":
        return {"type": CHOICES[choice["mode"]]}
    if choice.get("type") == "function":
        return {"type": "tool", "name": choice["name"]}
    raise MESSAGES.cannot_carry(f"a tool choice of type '{choice.get('type')}'")


def _thinking(request: ModelRequest, habits: Habits, tokens_max: int) -> dict[str, Any]:
    """Thinking and what else is in `output_config`: the effort, the format of the answer."""
    effort = request.reasoning_effort
    config = _format(request.text_format)
    if effort is None:
        return {"output_config": config or None}
    if effort == "none":
        return {"thinking": {"type": "disabled"}, "output_config": config or None}
    shown = (request.settings.get("reasoning") or {}).get("summary")
    display = {"display": "summarized"} if shown else {}
    if habits.adapts:
        config["effort"] = EFFORTS.get(effort, effort)
        return {"thinking": {"type": "adaptive", **display}, "output_config": config}
    budget = min(BUDGETS.get(effort, BUDGET_MAX), tokens_max - 1)
    if budget < BUDGET_MIN:
        needs = f"Reasoning here needs max_output_tokens of more than {BUDGET_MIN}."
        raise ProviderError("invalid_prompt", needs)
    return {
        "thinking": {"type": "enabled", "budget_tokens": budget},
        "output_config": config or None,
    }


def _format(text_format: Mapping[str, Any] | None) -> dict[str, Any]:
    kind = (text_format or {"type": "text"})["type"]
    if text_format is None or kind == "text":
        return {}
    if kind == "json_schema":
        schema = text_format.get("schema") or {"type": "object"}
        return {"format": {"type": kind, "schema": schema}}
    raise MESSAGES.cannot_carry(f"a text format of type '{kind}'")
