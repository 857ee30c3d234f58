"""The seam between Clew and a language model: ask with a window, get deltas back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

import msgspec

from clew.core.items import Item


class ModelRequest(msgspec.Struct):
    """What one model call is asked.

    `items` is the window, oldest first. `tools` are function tools in the Responses shape
    (`{type, name, description, parameters, strict}`), `tool_choice` is "auto", "none", "required"
    or `{type: "function", name}`, `text_format` the Responses `text.format` object.
    None means "not said": it is not sent.
    """

    model: str
    items: Sequence[Item]
    instructions: str | None = None
    tools: list[dict[str, Any]] = []
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    tokens_max: int | None = None
    text_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None


class TextDelta(msgspec.Struct):
    """More of the answer's text."""

    text: str


class ToolCallDelta(msgspec.Struct):
    """More of the function call at `index`; its first delta has `call_id` and `name`."""

    index: int
    arguments: str = ""
    call_id: str | None = None
    name: str | None = None


class Finish(msgspec.Struct):
    """The last thing a provider yields. `usage` counts tokens; None when the model did not say.

    `reason` is "stop", "tool_calls", "length" or "content_filter".
    """

    reason: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    attempts: int = 1


Delta = TextDelta | ToolCallDelta | Finish


class ProviderError(Exception):
    """The model call failed. `code` is one of OpenAI's run error codes:

    `server_error`, `rate_limit_exceeded` or `invalid_prompt`. What was yielded before stays said.
    """

    def __init__(self, code: str, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.code, self.message, self.attempts = code, message, attempts


class Provider(Protocol):
    """Something that answers. `name` goes into the call record."""

    name: str

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield deltas as they come, then exactly one Finish. Raises ProviderError.

        Closing the generator ends the model's work.
        """
        ...

    async def close(self) -> None: ...
