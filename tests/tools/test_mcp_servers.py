"""An MCP server as a run names it: URL, secrets, names of its tools, who may call them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.tools.mcp_servers import (
    function_name,
    is_allowed,
    needs_approval,
    problem_of,
    read_server,
)
from clew.tools.tool import ToolError

URL = "https://mcp.example.com/mcp"


def config(**more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "docs", "server_url": URL, **more}


def test_a_server_has_its_headers_and_its_token():
    """The token is a bearer's, unless it says itself what it is."""
    server = read_server(config(headers={"X-Key": " a b "}, authorization="abc"))
    assert server.headers == (("x-key", "a b"), ("authorization", "Bearer abc"))
    assert read_server(config(authorization="bearer abc")).headers[0][1] == "bearer abc"
    assert read_server(config(headers=None, authorization=None)).headers == ()


@pytest.mark.parametrize(
    "url",
    [
        None, "", "mcp.example.com", "/mcp", "ftp://example.com/", "file:///etc/passwd", "https://",
        "http:///mcp", "http://[::1/mcp", "http://example.com:99999/", "http://example.com:0/",
        "http://exa mple.com/", "http://example.com/\n", "javascript:alert(1)", "ws://example.com/",
        "https://me:word@example.com/mcp", "https://bücher.example/mcp", "unix:///run/docker.sock",
    ],
)  # fmt: skip
def test_only_http_servers_are_servers(url: str | None):
    """Whatever else is refused by name, without being repeated: it may hold a password."""
    field, why = problem_of(config(server_url=url)) or ("", "")
    assert field == "server_url"
    assert "word" not in why.replace("a password", "")
    with pytest.raises(ToolError, match="MCP server 'docs': server_url"):
        read_server(config(server_url=url))


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("connector_id", {"connector_id": "connector_gmail"}),
        ("tunnel_id", {"tunnel_id": "tunnel_1"}),
        ("defer_loading", {"defer_loading": True}),
        ("allowed_callers", {"allowed_callers": ["programmatic"]}),
        ("headers", {"headers": {"Host": "other.example.com"}}),
        ("headers", {"headers": {"content-length": "5"}}),
        ("headers", {"headers": {"Mcp-Session-Id": "5"}}),
        ("headers", {"headers": {"X-A": "s3cret\r\nHost: b"}}),
        ("headers", {"headers": {"X-A": "s3cret\u00e9"}}),
        ("headers", {"headers": {"X A": "s3cret"}}),
        ("headers", {"headers": {"": "s3cret"}}),
        ("headers", {"headers": {"X-A": "s3cret", "x-a": "s3cret"}}),
        ("authorization", {"authorization": "s3cret\n"}),
        ("authorization", {"authorization": "s3cret", "headers": {"Authorization": "s3cret"}}),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(field: str, more: dict[str, Any]):
    """The field is named and no value is repeated."""
    found, why = problem_of(config(**more)) or ("", "")
    assert (found, "s3cret" in why) == (field, False)


@pytest.mark.parametrize(
    "more", [{}, {"defer_loading": False}, {"allowed_callers": ["direct", "programmatic"]}]
)
def test_what_can_be_done_is_no_problem(more: dict[str, Any]):
    """Fields that change nothing here are accepted."""
    assert problem_of(config(**more)) is None


def test_secrets_are_cut_out_of_texts():
    """Whole values and the token in them; what is short is a word like any other."""
    server = read_server(
        config(headers={"X-Key": "open-sesame", "X-N": "1"}, authorization="t0ken9")
    )
    said = server.redacted("open-sesame, Bearer t0ken9, t0ken9, 1")
    assert said == "[redacted], [redacted], [redacted], 1"


def test_a_plain_name_stays_readable():
    """The label and the tool's name are in the function's."""
    assert function_name("docs", "search_pages") == "mcp__docs__search_pages"


@pytest.mark.parametrize(
    "tool", ["search pages", "a/b", "ä", "", "_x", "x__y", "x" * 60, "💣", "\0"]
)
def test_an_odd_name_carries_a_digest(tool: str):
    """What had to be changed is made unlike every other name."""
    name = function_name("docs", tool)
    assert re.fullmatch(r"mcp_(docs[A-Za-z0-9_-]*)_[0-9a-f]{12}", name)


NAMES = st.text(max_size=80) | st.from_regex(r"[a-z_-]{0,12}", fullmatch=True)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=20, unique=True))
def test_every_tool_has_a_name_of_its_own(pairs: list[tuple[str, str]]):
    """Of any label and any tool: within OpenAI's pattern, and no two alike."""
    names = [function_name(label, tool) for label, tool in pairs]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    assert len(set(names)) == len(pairs)
    assert names == [function_name(label, tool) for label, tool in pairs]


@pytest.mark.parametrize(
    ("pairs"),
    [[("a", "b__c"), ("a__b", "c")], [("a_", "b"), ("a", "_b")], [("a-b", "c"), ("a", "b-c")]],
)
def test_names_that_run_together_are_told_apart(pairs: list[tuple[str, str]]):
    """Where one label ends and a tool begins is part of the name."""
    assert len({function_name(*pair) for pair in pairs}) == 2


READS = {"name": "read", "annotations": {"readOnlyHint": True}}
WRITES = {"name": "write", "annotations": {"readOnlyHint": False}}
SILENT = {"name": "silent"}
LIES = {"name": "lies", "annotations": ["readOnlyHint"]}
TOOLS = [READS, WRITES, SILENT, LIES]


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, "read write silent lies"),
        ([], ""),
        (["read", "gone"], "read"),
        ({}, "read write silent lies"),
        ({"tool_names": ["write"]}, "write"),
        ({"read_only": True}, "read"),
        ({"read_only": False}, "write silent lies"),
        ({"tool_names": ["read", "write"], "read_only": True}, "read"),
    ],
)
def test_allowed_tools_are_chosen_by_name_and_by_what_they_do(allowed: Any, names: str):
    """All that a filter says must be so; a tool that says nothing of itself may write."""
    found = [tool["name"] for tool in TOOLS if is_allowed(config(allowed_tools=allowed), tool)]
    assert found == names.split()


@pytest.mark.parametrize(
    ("rule", "free"),
    [
        (None, ""),
        ("always", ""),
        ("never", "read write silent lies"),
        ({}, ""),
        ({"never": {}}, ""),
        ({"never": None, "always": None}, ""),
        ({"never": {"read_only": True}}, "read"),
        ({"never": {"tool_names": ["read", "write"]}}, "read write"),
        ({"always": {"tool_names": ["write"]}}, ""),
        ({"never": {"tool_names": ["read", "write"]}, "always": {"read_only": False}}, "read"),
    ],
)
def test_approval_is_needed_unless_a_rule_says_never(rule: Any, free: str):
    """`always` wins over `never`, and what no rule is about is asked for."""
    asked = config(require_approval=rule)
    assert [tool["name"] for tool in TOOLS if not needs_approval(asked, tool)] == free.split()
