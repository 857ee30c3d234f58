"""Responses on the wire: a run as the Responses face shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clew.core.items import Item
from clew.core.runs import EXPIRES_AFTER_MS, Run
from clew.wire import items
from clew.wire.checks import (
    Choice,
    Either,
    Flag,
    Id,
    Integer,
    ListOf,
    Nullable,
    Record,
    Spec,
    Text,
    Unsupported,
)
from clew.wire.fields import INCLUDE, METADATA, REASONING_EFFORT, TEMPERATURE, TOP_P, seconds
from clew.wire.refusals import unsupported_parameter
from clew.wire.tools import FLAT_CHOICE, FLAT_FORMAT, FLAT_TOOL

INPUT_MAX = 10_485_760
"""Characters of a string input."""

_LATER = Unsupported("Clew cannot do this yet; nothing was stored.")
_IGNORED_WITHOUT_EFFECT: dict[str, Spec] = {
    "user": Nullable(Text(512)),
    "safety_identifier": Nullable(Text(128)),
    "prompt_cache_key": Nullable(Text(512)),
    "prompt_cache_retention": Nullable(Choice("in_memory", "24h")),
    "service_tier": Nullable(Choice("auto", "default", "flex", "scale", "priority")),
}
"""Hints to OpenAI's own machines: taken and given back, they mean nothing here."""

CREATE = Record(
    {
        "model": Text(256, 1),
        "input": Nullable(Either(Text(INPUT_MAX), ListOf(items.INPUT_ITEM, min_items=1))),
        "instructions": Nullable(Text()),
        "conversation": Nullable(Either(Id(), Record({"id": Id()}, ["id"]))),
        "previous_response_id": Nullable(Id()),
        "store": Nullable(Flag()),
        "stream": Nullable(Flag()),
        "stream_options": Nullable(Record({"include_obfuscation": Nullable(Flag())})),
        "metadata": METADATA,
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "max_output_tokens": Nullable(Integer(16)),
        "tools": Nullable(ListOf(FLAT_TOOL, max_items=128)),
        "tool_choice": FLAT_CHOICE,
        "parallel_tool_calls": Nullable(Flag()),
        "text": Nullable(
            Record({"format": FLAT_FORMAT, "verbosity": Nullable(Choice("low", "medium", "high"))})
        ),
        "reasoning": Nullable(
            Record(
                {
                    "effort": REASONING_EFFORT,
                    "summary": Nullable(Choice("auto", "concise", "detailed")),
                    "generate_summary": Nullable(Choice("auto", "concise", "detailed")),
                }
            )
        ),
        "truncation": Nullable(Choice("auto", "disabled")),
        "include": Nullable(INCLUDE),
        "background": Nullable(Flag()),
        "max_tool_calls": _LATER,
        "prompt": _LATER,
        "context_management": _LATER,
        "top_logprobs": _LATER,
        "moderation": _LATER,
        "prompt_cache_options": _LATER,
        **_IGNORED_WITHOUT_EFFECT,
    },
    ["model"],
)


def decode_response(
    body: Mapping[str, Any], thread: str, key: str, now_ms: int, *, chain: bool
) -> Run:
    """A queued run; `chain` when it is not in a conversation that people named."""
    given = {name: value for name, value in body.items() if value is not None}
    if given.get("background"):
        raise unsupported_parameter(("background",), "Clew cannot do this yet.")
    if "message.output_text.logprobs" in given.get("include", ()):
        raise unsupported_parameter(("include",), "Clew asks no model for log probabilities yet.")
    text = given.get("text") or {}
    kept = ("temperature", "top_p", "tool_choice", "parallel_tool_calls", "max_output_tokens")
    shown = ("reasoning", "truncation", "previous_response_id", *_IGNORED_WITHOUT_EFFECT)
    settings = {name: given[name] for name in (*kept, *shown) if name in given}
    if text.get("format"):
        settings["text_format"] = text["format"]
    if text.get("verbosity"):
        settings["verbosity"] = text["verbosity"]
    if given.get("store") is False:
        settings["store"] = False
    if not chain:
        settings["conversation"] = True
    return Run(
        key=key,
        thread=thread,
        created_at=now_ms,
        model=given["model"],
        instructions=given.get("instructions"),
        tools=given.get("tools") or [],
        settings=settings,
        metadata=given.get("metadata") or {},
        pauses=False,
        expires_at=now_ms + EXPIRES_AFTER_MS,
    )


def decode_input(body: Mapping[str, Any], now_ms: int) -> list[Item]:
    """The items a request adds to the thread, in order."""
    given = body.get("input")
    if given is None:
        return []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return items.items_of(given, now_ms)


def conversation_id(body: Mapping[str, Any]) -> str | None:
    """The id of the conversation a request names."""
    given = body.get("conversation")
    return given["id"] if isinstance(given, dict) else given


def encode_response(run: Run, output: Sequence[Item]) -> dict[str, Any]:
    """The response object; `output` are the items the run wrote, oldest first."""
    settings = run.settings
    text = {"format": settings.get("text_format", {"type": "text"})}
    return {
        "id": f"resp_{run.key}",
        "object": "response",
        "created_at": seconds(run.created_at),
        "status": _status(run),
        "background": False,
        "completed_at": _completed_at(run),
        "error": _error(run),
        "incomplete_details": _incomplete_details(run),
        "instructions": run.instructions,
        "max_output_tokens": settings.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": run.model,
        "output": [_raw(item) for item in output if not item.kind.endswith("_output")],
        "parallel_tool_calls": settings.get("parallel_tool_calls", True),
        "previous_response_id": settings.get("previous_response_id"),
        "conversation": {"id": f"conv_{run.thread}"} if settings.get("conversation") else None,
        "prompt_cache_key": settings.get("prompt_cache_key"),
        "prompt_cache_retention": settings.get("prompt_cache_retention"),
        "reasoning": {"effort": None, "summary": None} | settings.get("reasoning", {}),
        "safety_identifier": settings.get("safety_identifier"),
        "service_tier": "default",
        "store": settings.get("store", True),
        "temperature": settings.get("temperature", 1.0),
        "text": text | {"verbosity": settings.get("verbosity", "medium")},
        "tool_choice": settings.get("tool_choice", "auto"),
        "tools": [_whole_tool(tool) for tool in run.tools],
        "top_logprobs": 0,
        "top_p": settings.get("top_p", 1.0),
        "truncation": settings.get("truncation", "disabled"),
        "usage": _usage(run.usage),
        "user": settings.get("user"),
        "metadata": run.metadata,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def _raw(item: Item) -> msgspec.Raw:
    return msgspec.Raw(items.encode_item(item))


def _whole_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"description": None, "parameters": None, "strict": None} | tool


def _status(run: Run) -> str:
    if run.status in ("requires_action", "cancelling"):
        return "in_progress"
    return "failed" if run.status == "expired" else run.status


def _completed_at(run: Run) -> int | None:
    if run.status != "completed" or run.completed_at is None:
        return None
    return seconds(run.completed_at)


def _error(run: Run) -> dict[str, str] | None:
    if run.status == "expired":
        return {"code": "server_error", "message": "The run took too long."}
    return run.error


def _incomplete_details(run: Run) -> dict[str, str] | None:
    if run.status != "incomplete":
        return None
    cut = run.incomplete_reason == "length"
    return {"reason": "max_output_tokens" if cut else "content_filter"}


def _usage(usage: Mapping[str, int] | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": {"cached_tokens": usage["cached_tokens"], "cache_write_tokens": 0},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["reasoning_tokens"]},
        "total_tokens": usage["input_tokens"] + usage["output_tokens"],
    }
