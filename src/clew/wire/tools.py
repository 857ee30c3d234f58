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
    MapOf,
    Nullable,
    Number,
    Record,
    Spec,
    Tagged,
    Text,
    Unsupported,
)

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
"""A tool of an assistant. What a run cannot do yet is refused when the run is created."""

_NO_TOOL = Unsupported("Clew runs function tools only, for now.")
RUN_TOOL = Tagged(
    "type",
    ASSISTANT_TOOL.kinds | {"code_interpreter": _NO_TOOL, "file_search": _NO_TOOL},
)
"""A tool of one run on the Threads face."""

_HOSTED = """file_search code_interpreter mcp web_search web_search_preview computer
    computer_use_preview image_generation local_shell shell custom apply_patch tool_search
    namespace programmatic_tool_calling""".split()
FLAT_TOOL = Tagged(
    "type",
    {
        "function": Record({"type": _KIND, **_FUNCTION}, ["type", "name"]),
        **dict.fromkeys(
            "file_search code_interpreter mcp web_search web_search_preview computer "
            "computer_use_preview image_generation local_shell shell custom apply_patch "
            "tool_search namespace programmatic_tool_calling".split(),
            _NO_TOOL,
        ),
    },
)
"""A tool of a response."""

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
                "code_interpreter": _NO_TOOL,
                "file_search": _NO_TOOL,
            },
        ),
    )
)
FLAT_CHOICE = Nullable(
    Either(
        _CHOICES,
        Tagged(
            "type", {"function": Record({"type": _KIND, "name": FUNCTION_NAME}, ["type", "name"])}
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
        return {"type": "function", "function": {"name": choice["name"]}}
    return choice or "auto"


def flatten_format(format: str | dict[str, Any] | None) -> dict[str, Any] | None:
    if not isinstance(format, dict):
        return None
    return {"type": format["type"], **format.get("json_schema", {})}


def nest_format(format: dict[str, Any] | None) -> str | dict[str, Any]:
    return "auto" if format is None else nest_tool(format)
