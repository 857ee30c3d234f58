"""Fields: the specs and shapes that several nouns share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clew.core.busy import ON_BUSY as BUSY_POLICIES
from clew.core.ids import PREFIXES, key_of
from clew.core.paging import LIMIT_DEFAULT, LIMIT_MAX, Page
from clew.wire import refusals
from clew.wire.checks import (
    Choice,
    Id,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Number,
    Record,
    Spec,
    Text,
)

TEXT_MAX = 256_000
"""Characters in the text of one message, and in instructions."""

METADATA_MAP = MapOf(Text(512, nul=False), max_items=16, key_max=64)
METADATA = Nullable(METADATA_MAP)

TEMPERATURE = Nullable(Number(0, 2))
TOP_P = Nullable(Number(0, 1))
REASONING_EFFORT = Nullable(Choice("none", "minimal", "low", "medium", "high", "xhigh", "max"))

ON_BUSY = Nullable(Choice(*BUSY_POLICIES))
"""What happens on a busy thread: Clew's own, on every route that writes to a thread's log."""

LIMITS = Nullable(
    Record(
        {
            "steps": Integer(1),
            "seconds": Number(0.001, 86_400),
            "tokens": Integer(1),
            "cost": Number(0, 1e9),
        }
    )
)
"""How much a run may do: Clew's own (`clew.core.limits`)."""

TOOL_FILES = Record({"file_ids": ListOf(Id(), max_items=20)})
VECTOR_STORE_IDS = ListOf(Id(), max_items=1)
TOOL_RESOURCES = Nullable(
    Record(
        {
            "code_interpreter": TOOL_FILES,
            "file_search": Record({"vector_store_ids": VECTOR_STORE_IDS}),
        }
    )
)

PAGE: dict[str, Spec] = {
    "limit": Integer(1, LIMIT_MAX),
    "order": Choice("asc", "desc"),
    "after": Id(),
    "before": Id(),
}
"""The query fields of a list, for `Record(PAGE)` or `Record(PAGE | {…})`."""

INCLUDE = ListOf(
    Choice(
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "message.input_image.image_url",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
        "reasoning.encrypted_content",
        "message.output_text.logprobs",
    )
)


def page_of(values: Mapping[str, Any], noun: str | None = None) -> Page:
    """The page a decoded query asks for.

    Cursors are ids of entries. With `noun`, entries are stored by key: `thread_X` becomes `X`,
    and a cursor of another noun is refused.
    """
    after, before = (_cursor(values, name, noun) for name in ("after", "before"))
    limit, order = values.get("limit", LIMIT_DEFAULT), values.get("order", "desc")
    return Page(limit, order, after, before)


def _cursor(values: Mapping[str, Any], name: str, noun: str | None) -> str | None:
    id: str | None = values.get(name)
    if id is None or noun is None:
        return id
    key = key_of(noun, id)
    if key is None:
        expected = PREFIXES[noun][0].rstrip("_")
        problem = f"'{refusals.shown(id)}'. Expected an ID that begins with '{expected}'."
        raise refusals.wrong_value((name,), problem)
    return key


def encode_page(entries: Sequence[Mapping[str, Any]], has_more: bool) -> dict[str, Any]:
    """OpenAI's list object around encoded entries, in the order given."""
    return {
        "object": "list",
        "data": list(entries),
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
        "has_more": has_more,
    }


def seconds(ms: int) -> int:
    """Core's milliseconds as the wire's whole seconds."""
    return ms // 1000
