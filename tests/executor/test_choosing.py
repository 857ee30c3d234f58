"""A choice of tools, for a model that knows ours as functions."""

from __future__ import annotations

from typing import Any

import pytest

from clew.executor.choosing import chosen

SEARCH: Any = {"type": "file_search", "vector_store_ids": []}
DOCS: Any = {"type": "mcp", "server_label": "docs"}
OURS = {"file_search": SEARCH, "mcp__docs__find": DOCS, "mcp__docs__read": DOCS}


def function(name: str) -> Any:
    return {"type": "function", "name": name}


def allowed(mode: str, *tools: Any) -> Any:
    return {"type": "allowed_tools", "mode": mode, "tools": list(tools)}


FIND, READ, TIME = map(function, ("mcp__docs__find", "mcp__docs__read", "get_time"))
TOOLS = [TIME, *map(function, OURS)]


@pytest.mark.parametrize(
    ("choice", "meant", "once_called"),
    [
        (None, None, None),
        ("auto", "auto", "auto"),
        ("none", "none", "none"),
        ("required", "required", "auto"),
        (TIME, TIME, "auto"),
        ({"type": "file_search"}, function("file_search"), "auto"),
        (DOCS, allowed("required", FIND, READ), allowed("auto", FIND, READ)),
        ({**DOCS, "name": "read"}, READ, "auto"),
        ({**DOCS, "name": "write"}, None, None),
        ({**DOCS, "server_label": "others"}, None, None),
        ({"type": "web_search"}, {"type": "web_search"}, "auto"),
        (
            allowed("required", TIME, {"type": "file_search"}, {**DOCS, "name": "find"}),
            allowed("required", TIME, function("file_search"), FIND),
            allowed("auto", TIME, function("file_search"), FIND),
        ),
        (allowed("auto", {**DOCS, "name": "write"}), "none", "none"),
    ],
)
def test_a_choice_is_one_of_functions(choice: Any, meant: Any, once_called: Any):
    """Before the model has called a tool, and after."""
    assert chosen(choice, TOOLS, OURS, free=False) == meant
    assert chosen(choice, TOOLS, OURS, free=True) == once_called


def test_a_choice_of_what_is_not_offered_any_more():
    """A run whose calls are spent chooses among what is left, or nothing."""
    assert chosen({"type": "file_search"}, [TIME], OURS, free=False) is None
    assert chosen(allowed("auto", SEARCH), [TIME], OURS, free=False) == "none"
    assert chosen("required", [], OURS, free=False) is None


def test_a_server_with_all_there_is_has_to_be_called():
    """No list is needed where nothing else could be chosen."""
    assert chosen(DOCS, [FIND, READ], OURS, free=False) == "required"
