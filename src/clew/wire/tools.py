"""Tools and answer formats: the Threads face nests what the Responses face writes flat.

The canonical form is the flat one; `flatten_…` turns the nested form into it, `nest_…` back.
"""

from __future__ import annotations

from typing import Any

from clew.wire.checks import (
    Anything,
    Choice,
    Either,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Nullable,
    Number,
    Record,
    Spec,
    Tagged,
    Text,
)
from clew.wire.item_tools import ITEM_TOOL


def closed(spec: Spec) -> Spec:
    """The same rule, but what it does not know is refused, however deep it stands."""
    match spec:
        case Record():
            fields = {name: closed(field) for name, field in spec.fields.items()}
            return Record(fields, spec.required, any_of=spec.any_of)
        case Tagged():
            kinds = {kind: closed(one) for kind, one in spec.kinds.items()}
            return Tagged(spec.tag, kinds, spec.default)
        case Either():
            return Either(*(closed(one) for one in spec.specs))
        case Nullable():
            return Nullable(closed(spec.spec))
        case ListOf():
            return ListOf(closed(spec.spec), spec.max_items, spec.min_items)
    return spec


def _named(spec: Spec) -> Spec:
    """A tool whose name the model says."""
    known = closed(spec)
    assert isinstance(known, Record)
    return Record(known.fields | {"name": FUNCTION_NAME}, known.required)


FUNCTION_NAME = Text(64, 1, pattern="^[a-zA-Z0-9_-]+$")
_FUNCTION: dict[str, Spec] = {
    "name": FUNCTION_NAME,
    "description": Nullable(Text()),
    "parameters": Nullable(MapOf(Anything())),
    "strict": Nullable(Flag()),
}
_KIND = Text()
_FILE_SEARCH = Record(
    {
        "max_num_results": Integer(1, 50),
        "ranking_options": Record(
            {
                "ranker": Choice("auto", "default_2024_08_21"),
                "score_threshold": Number(0, 1),
            },
            ["score_threshold"],
        ),
    }
)

ASSISTANT_TOOL = Tagged(
    "type",
    {
        "function": Record(
            {"type": _KIND, "function": Record(_FUNCTION, ["name"])}, ["type", "function"]
        ),
        "code_interpreter": Record({"type": _KIND}, ["type"]),
        "file_search": Record({"type": _KIND, "file_search": _FILE_SEARCH}, ["type"]),
    },
)
"""A tool of an assistant or a run. What a run's model cannot do is refused when it is created."""

FLAT_TOOL = Tagged(
    "type",
    {kind: closed(spec) for kind, spec in ITEM_TOOL.kinds.items()}
    | {
        "function": Record(
            {
                "type": _KIND,
                **_FUNCTION,
                "output_schema": Nullable(MapOf(Anything())),
                "allowed_callers": Nullable(ListOf(Choice("direct", "programmatic"), min_items=1)),
                "defer_loading": Nullable(Flag()),
                "async": Nullable(Flag()),
            },
            ["type", "name"],
        ),
        "custom": _named(ITEM_TOOL.kinds["custom"]),
    },
)
"""A tool of a response, of any of the kinds there are."""

_CHOICES = Choice("none", "auto", "required")
NESTED_CHOICE = Nullable(
    Either(
        _CHOICES,
        Tagged(
            "type",
            {
                "function": Record(
                    {"type": _KIND, "function": Record({"name": FUNCTION_NAME}, ["name"])},
                    ["type", "function"],
                ),
                "code_interpreter": Record({"type": _KIND}, ["type"]),
                "file_search": Record({"type": _KIND}, ["type"]),
            },
        ),
    )
)
_HOSTED_CHOICES = """file_search web_search_preview web_search_preview_2025_03_11 computer
    computer_use_preview computer_use image_generation code_interpreter
    programmatic_tool_calling apply_patch shell""".split()
FLAT_CHOICE = Nullable(
    Either(
        _CHOICES,
        Tagged(
            "type",
            {
                "function": Record({"type": _KIND, "name": FUNCTION_NAME}, ["type", "name"]),
                "custom": Record({"type": _KIND, "name": FUNCTION_NAME}, ["type", "name"]),
                "mcp": Record(
                    {"type": _KIND, "server_label": Text(), "name": Nullable(Text())},
                    ["type", "server_label"],
                ),
                "allowed_tools": Record(
                    {
                        "type": _KIND,
                        "mode": Choice("auto", "required"),
                        "tools": ListOf(
                            Record({"type": Text()}, ["type"], extra="keep"), min_items=1
                        ),
                    },
                    ["type", "mode", "tools"],
                ),
                **{kind: Record({"type": Choice(kind)}, ["type"]) for kind in _HOSTED_CHOICES},
            },
        ),
    )
)

_SCHEMA: dict[str, Spec] = {
    "name": FUNCTION_NAME,
    "description": Nullable(Text()),
    "schema": MapOf(Anything()),
    "strict": Nullable(Flag()),
}
_PLAIN_FORMATS: dict[str, Spec] = {
    "text": Record({"type": _KIND}, ["type"]),
    "json_object": Record({"type": _KIND}, ["type"]),
}
NESTED_FORMAT = Nullable(
    Either(
        Choice("auto"),
        Tagged(
            "type",
            _PLAIN_FORMATS
            | {
                "json_schema": Record(
                    {"type": _KIND, "json_schema": Record(_SCHEMA, ["name"])},
                    ["type", "json_schema"],
                )
            },
        ),
    )
)
FLAT_FORMAT = Nullable(
    Tagged(
        "type",
        _PLAIN_FORMATS
        | {"json_schema": Record({"type": _KIND, **_SCHEMA}, ["type", "name", "schema"])},
    )
)


def flatten_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": tool["type"], **tool.get(tool["type"], {})}


def nest_tool(tool: dict[str, Any]) -> dict[str, Any]:
    kind = tool["type"]
    rest = {name: value for name, value in tool.items() if name != "type"}
    return {"type": kind, kind: rest} if rest else {"type": kind}


def flatten_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if isinstance(choice, dict):
        return {"type": choice["type"], **choice.get("function", {})}
    return choice


def nest_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any]:
    if isinstance(choice, dict):
        return nest_tool(choice)
    return choice or "auto"


def flatten_format(format: str | dict[str, Any] | None) -> dict[str, Any] | None:
    if not isinstance(format, dict):
        return None
    return {"type": format["type"], **format.get("json_schema", {})}


def nest_format(format: dict[str, Any] | None) -> str | dict[str, Any]:
    return "auto" if format is None else nest_tool(format)
