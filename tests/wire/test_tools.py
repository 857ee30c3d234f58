"""Tools, choices and formats: the nested words of one face and the flat ones of the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from clew.core.errors import BadRequest
from clew.wire.tools import (
    ASSISTANT_TOOL,
    FLAT_CHOICE,
    FLAT_FORMAT,
    FLAT_TOOL,
    NESTED_CHOICE,
    NESTED_FORMAT,
    flatten_choice,
    flatten_format,
    flatten_tool,
    nest_choice,
    nest_format,
    nest_tool,
)

from .strategies import allowed, examples

FUNCTION = {"name": "f", "description": "does", "parameters": {"type": "object"}, "strict": True}
SEARCH = {"max_num_results": 3}
NAMED = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}


@pytest.mark.parametrize(
    ("nested", "flat"),
    [
        ({"type": "function", "function": FUNCTION}, {"type": "function", **FUNCTION}),
        ({"type": "code_interpreter"}, {"type": "code_interpreter"}),
        ({"type": "file_search", "file_search": SEARCH}, {"type": "file_search", **SEARCH}),
    ],
)
def test_a_tool_in_both_words(nested: dict[str, Any], flat: dict[str, Any]) -> None:
    """The flat form of a tool has the fields of the nested one, and leads back to it."""
    assert (flatten_tool(nested), nest_tool(flat)) == (flat, nested)


@given(allowed(ASSISTANT_TOOL))
@examples(60)
def test_a_tool_survives_the_way_there_and_back(tool: dict[str, Any]) -> None:
    """Nothing a tool says is lost by flattening it, but an empty box."""
    box = tool.get(tool["type"])
    said = {"type": tool["type"]} if not box else tool
    assert nest_tool(flatten_tool(tool)) == said


@pytest.mark.parametrize(
    ("nested", "flat", "shown"),
    [
        (None, None, "auto"),
        ("auto", "auto", "auto"),
        ("none", "none", "none"),
        ("required", "required", "required"),
        (NAMED, {"type": "function", "name": "f"}, NAMED),
    ],
)
def test_a_choice_in_both_words(nested: Any, flat: Any, shown: Any) -> None:
    """A word stays a word, a named function changes its shape, nothing said means auto."""
    assert (flatten_choice(nested), nest_choice(flat)) == (flat, shown)


@pytest.mark.parametrize(
    ("nested", "flat", "shown"),
    [
        (None, None, "auto"),
        ("auto", None, "auto"),
        ({"type": "text"}, {"type": "text"}, {"type": "text"}),
        ({"type": "json_object"}, {"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "json_schema": SCHEMA},
            {"type": "json_schema", **SCHEMA},
            {"type": "json_schema", "json_schema": SCHEMA},
        ),
    ],
)
def test_a_format_in_both_words(nested: Any, flat: Any, shown: Any) -> None:
    """A schema changes its shape, other formats do not, nothing said means auto."""
    assert (flatten_format(nested), nest_format(flat)) == (flat, shown)


MAX = "x.file_search.max_num_results"


@pytest.mark.parametrize("kind", ["file_search", "code_interpreter"])
def test_a_hosted_tool_may_be_chosen(kind: str) -> None:
    """A choice of a hosted tool says nothing but its type, on both faces."""
    NESTED_CHOICE.check({"type": kind})
    assert flatten_choice({"type": kind}) == nest_choice({"type": kind}) == {"type": kind}


@pytest.mark.parametrize(
    ("spec", "value", "param"),
    [
        (ASSISTANT_TOOL, {"type": "function"}, "x.function"),
        (ASSISTANT_TOOL, {"type": "function", "function": {}}, "x.function.name"),
        (ASSISTANT_TOOL, {"type": "function", "function": {"name": "a b"}}, "x.function.name"),
        (ASSISTANT_TOOL, {"type": "function", "function": {"name": "a" * 65}}, "x.function.name"),
        (ASSISTANT_TOOL, {"type": "retrieval"}, "x.type"),
        (ASSISTANT_TOOL, {"type": "function", "name": "f", "function": FUNCTION}, "x.name"),
        (ASSISTANT_TOOL, {"type": "file_search", "file_search": {"max_num_results": 51}}, MAX),
        (FLAT_TOOL, {"type": "function"}, "x.name"),
        (FLAT_TOOL, {"type": "function", "function": FUNCTION}, "x.function"),
        (FLAT_TOOL, {"type": "web_search", "blocked": 1}, "x.blocked"),
        (FLAT_TOOL, {"type": "mcp"}, "x.server_label"),
        (FLAT_TOOL, {"type": "nonsense"}, "x.type"),
        (NESTED_CHOICE, "sometimes", "x"),
        (NESTED_CHOICE, {"type": "function", "name": "f"}, "x.name"),
        (NESTED_CHOICE, {"type": "web_search"}, "x.type"),
        (FLAT_CHOICE, NAMED, "x.function"),
        (NESTED_FORMAT, "json", "x"),
        (NESTED_FORMAT, {"type": "json_schema", **SCHEMA}, "x.name"),
        (FLAT_FORMAT, {"type": "json_schema", "name": "s"}, "x.schema"),
        (FLAT_FORMAT, "auto", "x"),
    ],
)
def test_what_is_refused(spec: Any, value: Any, param: str) -> None:
    """The wrong shape for the face, an unknown kind, and what Clew cannot run, by name."""
    with pytest.raises(BadRequest) as refused:
        spec.check(value, ("x",))
    assert refused.value.param == param
