"""Assistants: named settings for runs, on the Threads face."""

from __future__ import annotations

from typing import Any

from clew.core.assistants import Assistant
from clew.core.ids import new_key
from clew.wire.checks import ListOf, Nullable, Record, Spec, Text
from clew.wire.fields import (
    METADATA,
    PAGE,
    REASONING_EFFORT,
    TEMPERATURE,
    TEXT_MAX,
    TOOL_RESOURCES,
    TOP_P,
    seconds,
)
from clew.wire.tool_resources import NEW_TOOL_RESOURCES
from clew.wire.tools import ASSISTANT_TOOL, NESTED_FORMAT

TOOLS_MAX = 128
MODEL = Text(min_length=1, nul=False)

_FIELDS: dict[str, Spec] = {
    "model": MODEL,
    "name": Nullable(Text(256)),
    "description": Nullable(Text(512)),
    "instructions": Nullable(Text(TEXT_MAX)),
    "tools": ListOf(ASSISTANT_TOOL, max_items=TOOLS_MAX),
    "tool_resources": TOOL_RESOURCES,
    "metadata": METADATA,
    "temperature": TEMPERATURE,
    "top_p": TOP_P,
    "response_format": NESTED_FORMAT,
    "reasoning_effort": REASONING_EFFORT,
}
CREATE = Record(_FIELDS | {"tool_resources": NEW_TOOL_RESOURCES}, required=("model",))
UPDATE = Record(_FIELDS)
LIST = Record(PAGE)


def _defaults() -> dict[str, Any]:
    """What an assistant has where nothing, or null, was said."""
    return {
        "name": None,
        "description": None,
        "instructions": None,
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "response_format": "auto",
        "reasoning_effort": None,
    }


def decode_assistant(body: Any, now_ms: int) -> Assistant:
    """A new assistant from a checked body, every setting filled in."""
    CREATE.check(body)
    given = {name: value for name, value in body.items() if value is not None}
    return Assistant(new_key(now_ms), now_ms, _defaults() | given)


def decode_changes(body: Any) -> dict[str, Any]:
    """The settings a checked update replaces; null puts the default back."""
    UPDATE.check(body)
    defaults = _defaults()
    return {n: defaults[n] if value is None else value for n, value in body.items()}


def encode_assistant(assistant: Assistant) -> dict[str, Any]:
    """The assistant object."""
    return {
        "id": f"asst_{assistant.key}",
        "object": "assistant",
        "created_at": seconds(assistant.created_at),
        **assistant.settings,
    }
