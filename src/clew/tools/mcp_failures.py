"""Why a call of an MCP server's tool came to nothing, in the shape that OpenAI gives it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

MESSAGE_MAX = 1000
"""Characters of a server's own words in a message."""

TIMED_OUT = -32001
LOST = -32000
INVALID_PARAMS = -32602
INVALID_ANSWER = -32603
"""JSON-RPC's and MCP's own numbers, as near as they come."""


class Failure(Exception):
    """`status` is HTTP's where the server refused a request; else `code` is JSON-RPC's."""

    def __init__(self, message: str, code: int = LOST, status: int | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.status = message, code, status


def refused(status: int) -> Failure:
    """What an HTTP status says; the body is not quoted, whatever page it is."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "unknown"
    return Failure(f"Http status code: {status} ({phrase})", status=status)


def timed_out(seconds: float) -> Failure:
    return Failure(f"The server did not answer within {seconds:g} s.", TIMED_OUT)


def error_of(failure: Failure) -> dict[str, Any]:
    """The `error` of an `mcp_call`."""
    if failure.status is not None:
        return {"type": "http_error", "code": failure.status, "message": failure.message}
    return {"type": "mcp_protocol_error", "code": failure.code, "message": failure.message}


def execution_error(text: str) -> dict[str, Any]:
    """The `error` of a call whose tool ran, and says itself that it failed."""
    return {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": text}]}


def text_of_error(error: Any) -> str:
    """An error as a model reads it."""
    if not isinstance(error, dict):
        return str(error or "The call failed.")
    content = error.get("content")
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "\n".join(text for text in texts if isinstance(text, str)) or "The tool failed."
    return str(error.get("message") or msgspec.json.encode(content).decode())
