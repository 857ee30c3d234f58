"""Results of MCP servers' tools as text, and their errors."""

from __future__ import annotations

from typing import Any

import pytest

from clew.tools.mcp_failures import execution_error, refused, text_of_error
from clew.tools.mcp_results import cut, text_of_result


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"content": []}, ""),
        ({"content": [text("a"), text("b\n"), text("c")]}, "a\nb\n\nc"),
        ({"content": [], "structuredContent": {"a": [1, None]}}, '{"a":[1,null]}'),
        ({"content": [], "structuredContent": 0}, "0"),
        ({"content": [text("a")], "structuredContent": {"a": 1}}, "a"),
        (
            {"content": [{"type": "image", "data": "QUJD", "mimeType": "image/png"}]},
            "[image, image/png, 3 bytes: not shown]",
        ),
        ({"content": [{"type": "audio"}]}, "[audio, unknown type, 0 bytes: not shown]"),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "hi"}}]}, "hi"),
        (
            {"content": [{"type": "resource", "resource": {"uri": "a:b", "blob": "QUJD"}}]},
            "[resource a:b, unknown type, 3 bytes: not shown]",
        ),
        (
            {"content": [{"type": "resource_link", "uri": "a:b", "name": "n"}]},
            '{"type":"resource_link","uri":"a:b","name":"n"}',
        ),
    ],
)
def test_a_result_is_text(result: dict[str, Any], said: str):
    """Texts as they are, structured content where there are none, and notes for the rest."""
    assert text_of_result(result) == said


def test_a_long_text_is_cut_between_characters():
    """The reader is told how much is missing."""
    assert cut("abc", 3) == "abc"
    assert cut("äöü", 6) == "äöü"
    assert cut("äöü", 3) == "ä\n[Cut off: 3 of 6 bytes are not shown.]"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (execution_error("no tea"), "no tea"),
        (execution_error(""), "The tool failed."),
        ({"type": "http_error", "code": 500, "message": "Http status code: 500"}, "Http status"),
        ("an old one", "an old one"),
        ({"type": "mcp_tool_execution_error", "content": {"a": 1}}, '{"a":1}'),
        ({"type": "mcp_tool_execution_error", "content": [5, {"text": 5}]}, "The tool failed."),
    ],
)
def test_an_error_is_text(error: Any, said: str):
    """Of every shape that the log may hold: clients can bring their own items."""
    assert text_of_error(error).startswith(said)


def test_a_status_is_said_in_words():
    """Also one that HTTP does not know."""
    assert refused(403).message == "Http status code: 403 (Forbidden)"
    assert refused(799).message == "Http status code: 799 (unknown)"
