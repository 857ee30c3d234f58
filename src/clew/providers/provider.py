"""The seam between Clew and a language model: ask with a window, get deltas back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal, Protocol

import msgspec

from clew.core.items import Item

TextKind = Literal["output_text", "refusal", "reasoning_text", "summary_text"]
"""What a piece of text is part of: a message (the first two) or the reasoning before it."""


class ModelRequest(msgspec.Struct):
    """What one model call is asked.

    `items` is the window, oldest first. `tools` are in the Responses shape (`{type: "function",
    name, description, parameters, strict}`), `tool_choice` is "auto", "none", "required" or an
    object like `{type: "function", name}`, `text_format` the Responses `text.format` object.
    `settings` is whatever else the run was asked for, by the names of the Responses face; a
    provider reads there what it is able to do beyond the fields of its own here.
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
    settings: dict[str, Any] = {}


class TextDelta(msgspec.Struct):
    """More text of the message, or of the reasoning, that is open; it opens one if none is.

    `part` counts the parts of that item that have this kind of place (content or summary).
    """

    text: str
    kind: TextKind = "output_text"
    part: int = 0


class AnnotationDelta(msgspec.Struct):
    """A citation in `part` of the message that is open, in the Responses shape."""

    annotation: dict[str, Any]
    part: int = 0


class ToolCallDelta(msgspec.Struct):
    """More of the call at `index`; its first delta has `call_id` and `name`.

    `kind` is "function_call" (`arguments` are JSON) or "custom_tool_call" (`arguments` is its
    free-form input).
    """

    index: int
    arguments: str = ""
    call_id: str | None = None
    name: str | None = None
    kind: str = "function_call"


class HostedDelta(msgspec.Struct):
    """An item that the upstream itself works on: a web search, an MCP call, an image.

    The first delta at `index` has `item`, the item as it begins, in its Responses shape. A later
    one has a `stage`, named as the event `response.<item type>.<stage>` is ("searching",
    "partial_image", "code.delta"), with the event's own `data`.
    """

    index: int
    item: dict[str, Any] | None = None
    stage: str | None = None
    data: dict[str, Any] = {}


class ItemDone(msgspec.Struct):
    """An item is complete, and `item` is all of it, in its Responses shape, without its id.

    A message or reasoning is the one that is open, a call is told by its `call_id`, a hosted item
    by its `index`. One that was never begun begins and ends with this. Providers whose upstream
    does not say so leave it out: items then end where the next begins, or with the answer.
    """

    item: dict[str, Any]
    index: int | None = None


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


Delta = TextDelta | AnnotationDelta | ToolCallDelta | HostedDelta | ItemDone | Finish


class ProviderError(Exception):
    """The model call failed. `code` is one of OpenAI's run error codes:

    `server_error`, `rate_limit_exceeded` or `invalid_prompt`; or `context_length_exceeded`, when
    the window was more than the model can read. What was yielded before stays said.
    """

    def __init__(self, code: str, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.code, self.message, self.attempts = code, message, attempts


class Abilities(msgspec.Struct, frozen=True):
    """What a provider can do beyond text, functions and the fields of `ModelRequest`.

    `tools` are tool types, `settings` names of the Responses face that it reads in
    `ModelRequest.settings` ("top_logprobs", "prompt", "reasoning.summary", …), `include` values of
    `include`, `formats` types of `text.format`. What is asked for and not among them is refused by
    name before anything is stored (`clew.providers.abilities`). `files`: the upstream keeps files
    of its own, so a file id that Clew does not know may be one of its.
    """

    tools: frozenset[str] = frozenset({"function"})
    settings: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset({"text", "json_object", "json_schema"})
    temperature_max: float = 2.0
    compacts: bool = False
    files: bool = False


class ModelEntry(msgspec.Struct, frozen=True):
    """A model that can be asked, as people see it in a list; `created` is in seconds."""

    id: str
    owned_by: str
    created: int


class Provider(Protocol):
    """Something that answers. `name` goes into the call record."""

    name: str
    abilities: Abilities

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield deltas as they come, then exactly one Finish. Raises ProviderError.

        Closing the generator ends the model's work.
        """
        ...

    async def close(self) -> None: ...


class Relay(Protocol):
    """A provider whose upstream speaks chat completions itself, so a request can go through whole.

    With `stream` in the body it yields the JSON of each chunk, without it the one completion.
    Raises ProviderError.
    """

    def relay(self, body: dict[str, Any]) -> AsyncGenerator[bytes, None]: ...


class Compacts(Protocol):
    """A provider whose upstream compacts a window itself (`Abilities.compacts`)."""

    async def compact(self, request: ModelRequest) -> tuple[list[dict[str, Any]], Finish]:
        """The items that stand for the window from now on, in their Responses shape."""
        ...
