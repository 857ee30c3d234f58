"""What a request about a response may say: create, count and compact, and what contradicts itself.

A spec says what each field may be; `check_create` and its like say what the fields may be together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.core.errors import BadRequest
from clew.core.items import Item
from clew.wire import items
from clew.wire.checks import (
    Choice,
    Either,
    Flag,
    Id,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Record,
    Spec,
    Tagged,
    Text,
)
from clew.wire.fields import (
    INCLUDE,
    LIMITS,
    METADATA,
    ON_BUSY,
    PAGE,
    REASONING_EFFORT,
    TEMPERATURE,
    TOP_P,
)
from clew.wire.item_types import KINDS
from clew.wire.parts import kinds, shape
from clew.wire.refusals import refuse, unsupported_parameter
from clew.wire.tools import FLAT_CHOICE, FLAT_FORMAT, FLAT_TOOL

INPUT_MAX = 10_485_760
"""Characters of a string input."""

LOGPROBS_MAX = 20
COMPACT_THRESHOLD_MIN = 1_000

_REFERENCE = Record({"type": Choice("item_reference"), "id": Id()}, ["type", "id"])
_INPUT_ITEM = Tagged("type", {**KINDS, "item_reference": _REFERENCE}, default="message")
_INPUT = Nullable(Either(Text(INPUT_MAX), ListOf(_INPUT_ITEM, min_items=1)))
_CONVERSATION = Nullable(Either(Id(), Record({"id": Id()}, ["id"])))
_TEXT = Nullable(
    Record({"format": FLAT_FORMAT, "verbosity": Nullable(Choice("low", "medium", "high"))})
)
_SUMMARY = Nullable(Choice("auto", "concise", "detailed"))
_REASONING = Nullable(
    Record(
        {
            "effort": REASONING_EFFORT,
            "summary": _SUMMARY,
            "generate_summary": _SUMMARY,
            "context": Nullable(Choice("auto", "current_turn", "all_turns")),
            "mode": Nullable(Text(64, 1)),
        }
    )
)
_TOOLS = Nullable(ListOf(FLAT_TOOL, max_items=128))
_TRUNCATION = Nullable(Choice("auto", "disabled"))
_IMAGE = Nullable(Record({"context_compression": Nullable(Choice("auto", "enabled", "disabled"))}))
_VARIABLE = Tagged(
    "type",
    kinds(
        shape("input_text", {"text": Text()}),
        shape(
            "input_image",
            {},
            {
                "detail": Choice("low", "high", "auto", "original"),
                "file_id": Text(),
                "image_url": Text(),
            },
        ),
        shape(
            "input_file",
            {},
            {"file_id": Text(), "file_data": Text(), "file_url": Text(), "filename": Text()},
        ),
    ),
)
_PROMPT = Nullable(
    Record(
        {
            "id": Id(),
            "version": Nullable(Text(64)),
            "variables": Nullable(MapOf(Either(Text(), _VARIABLE))),
        },
        ["id"],
    )
)
_JUDGED = Nullable(Record({"mode": Choice("score", "block")}, ["mode"]))
_MODERATION = Nullable(
    Record(
        {
            "model": Text(256, 1),
            "policy": Nullable(Record({"input": _JUDGED, "output": _JUDGED})),
        },
        ["model"],
    )
)
_COMPACTION = Record(
    {
        "type": Choice("compaction"),
        "compact_threshold": Nullable(Integer(COMPACT_THRESHOLD_MIN)),
    },
    ["type"],
)
_CACHE: dict[str, Spec] = {
    "prompt_cache_key": Nullable(Text(512)),
    "prompt_cache_retention": Nullable(Choice("in_memory", "24h")),
    "prompt_cache_options": Nullable(
        Record(
            {
                "mode": Nullable(Choice("implicit", "explicit")),
                "ttl": Nullable(Choice("30m", "12h")),
                "comparison_response_id": Nullable(Id()),
                "prewarm": Nullable(Flag()),
            }
        )
    ),
}
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")

CREATE = Record(
    {
        "model": Text(256, 1),
        "input": _INPUT,
        "instructions": Nullable(Text()),
        "conversation": _CONVERSATION,
        "previous_response_id": Nullable(Id()),
        "store": Nullable(Flag()),
        "stream": Nullable(Flag()),
        "stream_options": Nullable(Record({"include_obfuscation": Nullable(Flag())})),
        "metadata": METADATA,
        "temperature": TEMPERATURE,
        "top_p": TOP_P,
        "top_logprobs": Nullable(Integer(0, LOGPROBS_MAX)),
        "max_output_tokens": Nullable(Integer(16)),
        "max_tool_calls": Nullable(Integer(1)),
        "tools": _TOOLS,
        "tool_choice": FLAT_CHOICE,
        "parallel_tool_calls": Nullable(Flag()),
        "text": _TEXT,
        "reasoning": _REASONING,
        "truncation": _TRUNCATION,
        "include": Nullable(INCLUDE),
        "background": Nullable(Flag()),
        "background_options": Nullable(
            Record(
                {
                    "completion_window": Nullable(Choice("soonest", "2h", "8h")),
                    "continuation_id": Nullable(Text(512)),
                }
            )
        ),
        "prompt": _PROMPT,
        "context_management": Nullable(ListOf(_COMPACTION, min_items=1)),
        "moderation": _MODERATION,
        "access_programs": Nullable(
            Record({"cyber": Nullable(Choice("standard", "daybreak_blue", "daybreak_red"))})
        ),
        "image": _IMAGE,
        "user": Nullable(Text(512)),
        "safety_identifier": Nullable(Text(128)),
        "service_tier": Nullable(Choice(*_TIERS)),
        "on_busy": ON_BUSY,
        "limits": LIMITS,
        **_CACHE,
    },
    ["model"],
)

COUNT = Record(
    {
        "model": Nullable(Text(256, 1)),
        "input": _INPUT,
        "instructions": Nullable(Text()),
        "conversation": _CONVERSATION,
        "previous_response_id": Nullable(Id()),
        "tools": _TOOLS,
        "tool_choice": FLAT_CHOICE,
        "parallel_tool_calls": Nullable(Flag()),
        "text": _TEXT,
        "reasoning": _REASONING,
        "truncation": _TRUNCATION,
        "personality": Nullable(Text(64, 1)),
    }
)

COMPACT = Record(
    {
        "model": Text(256, 1),
        "input": _INPUT,
        "instructions": Nullable(Text()),
        "previous_response_id": Nullable(Id()),
        "service_tier": Nullable(Choice(*_TIERS)),
        "image": _IMAGE,
        **_CACHE,
    },
    ["model"],
)

_BETA: dict[str, Spec] = {"beta": Flag()}
"""The SDK's `beta.responses` asks the same addresses with it."""

_READ: dict[str, Spec] = {"include": INCLUDE, **_BETA}
QUERY = Record(_BETA)
GET = Record(
    {
        **_READ,
        "stream": Flag(),
        "starting_after": Integer(0),
        "include_obfuscation": Flag(),
    }
)
INPUT_ITEMS = Record(PAGE | _READ)


def check_create(body: Mapping[str, Any]) -> None:
    """Refuse a request that contradicts itself, or leaves open what is to be answered."""
    _check_source(body)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise _only_with("stream_options", "stream")
    if body.get("background") and body.get("store") is False:
        reason = "A background response has to be stored: leave 'store' out or set it to true."
        raise unsupported_parameter(("background",), reason)
    window = (body.get("background_options") or {}).get("completion_window")
    if window in ("2h", "8h") and (not body.get("background") or body.get("stream")):
        reason = "This window is for requests with 'background' and without 'stream'."
        raise unsupported_parameter(("background_options", "completion_window"), reason)
    _check_choice(body)


def check_count(body: Mapping[str, Any]) -> None:
    _check_source(body)
    _check_choice(body)


def check_compact(body: Mapping[str, Any]) -> None:
    _check_source(body)


def check_read(query: Mapping[str, Any]) -> None:
    """`starting_after` is a place in a stream."""
    for name in ("starting_after", "include_obfuscation"):
        if name in query and not query.get("stream"):
            raise _only_with(name, "stream")


def decode_input(body: Mapping[str, Any], now_ms: int) -> list[Item]:
    """The items a request adds to the thread, in order; those it only refers to are there."""
    given = body.get("input")
    if given is None:
        return []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return items.items_of([one for one in given if not _is_reference(one)], now_ms)


def references(body: Mapping[str, Any]) -> list[str]:
    """The ids of items that the input refers to."""
    given = body.get("input")
    return [one["id"] for one in given if _is_reference(one)] if isinstance(given, list) else []


def conversation_id(body: Mapping[str, Any]) -> str | None:
    """The id of the conversation a request names."""
    given = body.get("conversation")
    return given["id"] if isinstance(given, dict) else given


def _is_reference(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "item_reference"


def _check_source(body: Mapping[str, Any]) -> None:
    if body.get("conversation") is not None and body.get("previous_response_id") is not None:
        raise BadRequest(
            "Mutually exclusive parameters: ''. Ensure you are only providing one of: "
            "'previous_response_id' or 'conversation'.",
            None,
            "mutually_exclusive_parameters",
        )
    sources = ("input", "previous_response_id", "prompt", "conversation")
    if all(body.get(name) is None for name in sources):
        raise BadRequest(
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be "
            "provided.",
            None,
            "missing_required_parameter",
        )


def _check_choice(body: Mapping[str, Any]) -> None:
    """A tool that has to be called is one of `tools`."""
    choice, tools = body.get("tool_choice"), body.get("tools") or []
    if choice == "required" and not tools:
        message = "Tool choice 'required' must be specified with 'tools' parameter."
        raise refuse(("tool_choice",), message, "invalid_value")
    if not isinstance(choice, dict):
        return
    wanted = choice["tools"] if choice["type"] == "allowed_tools" else [choice]
    for one in wanted:
        if not any(_is_meant(one, tool) for tool in tools):
            message = f"Tool choice '{one['type']}' not found in 'tools' parameter."
            raise refuse(("tool_choice",), message, "invalid_value")


def _is_meant(choice: Mapping[str, Any], tool: Mapping[str, Any]) -> bool:
    """Whether a tool is the one that is to be called: by type, and by its name or its server's."""
    if choice["type"] == "computer_use":
        return tool["type"] in ("computer", "computer_use_preview")
    name = "server_label" if choice["type"] == "mcp" else "name"
    return tool["type"] == choice["type"] and tool.get(name) == choice.get(name)


def _only_with(name: str, other: str) -> BadRequest:
    message = f"The '{name}' parameter is only allowed when '{other}' is enabled."
    return refuse((name,), message, "invalid_value")
