"""The chunks of a streamed chat completion, turned into deltas. Pure but for fresh call ids.

Servers differ, so this reads what they mean: a call's index may be missing, or be 0 for every
call while the ids differ; ids may be missing; `finish_reason` may say "stop" after a call; usage
may come in a chunk of its own, or never. A refusal is what the model said, so it is text. Reasoning
that some servers stream beside the text is not part of the answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from clew.providers.provider import Delta, Finish, ProviderError, TextDelta, ToolCallDelta
from clew.providers.upstream_errors import broke_off, failed_midway

DONE = "[DONE]"

REASONS = {
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
"""The server's finish reason -> ours; all others, some servers' own inventions, are "stop"."""


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class CallPart(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: Function | None = None

    @property
    def name(self) -> str:
        return (self.function and self.function.name) or ""

    @property
    def arguments(self) -> str:
        return (self.function and self.function.arguments) or ""


class Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None


class Choice(msgspec.Struct):
    """`message` is there instead of `delta` when the server answered whole, not in a stream."""

    index: int = 0
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(Chunk).decode


class ChatAnswer:
    """One answer as it grows: feed it chunks, then ask for its end."""

    def __init__(self, new_call_id: Callable[[], str] | None = None) -> None:
        self._new_call_id = new_call_id or (lambda: f"call_{secrets.token_hex(12)}")
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}
        self._calls: list[bool] = []  # of each call, whether its arguments have begun
        self._reason: str | None = None
        self._usage = Usage()
        self.done = False

    @property
    def is_whole(self) -> bool:
        """Whether the model came to its end: it gave a reason, or the server said [DONE]."""
        return self.done or self._reason is not None

    def feed(self, data: str | bytes) -> list[Delta]:
        """The deltas in one chunk. Raises ProviderError for one that is broken or an error."""
        if data == DONE:
            self.done = True
            return []
        chunk = _read(data)
        if chunk.error:
            raise failed_midway(chunk.error)
        self._usage = chunk.usage or self._usage
        return [delta for choice in chunk.choices or () for delta in self._deltas(choice)]

    def end(self, attempts: int = 1) -> list[Delta]:
        """The last deltas; the very last is the Finish. Raises ProviderError when cut off."""
        if not self.is_whole:
            raise broke_off()
        reason = REASONS.get(self._reason or "", "stop")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        usage = self._usage
        finish = Finish(
            reason,
            usage.prompt_tokens,
            usage.completion_tokens,
            (usage.prompt_tokens_details or Details()).cached_tokens or 0,
            (usage.completion_tokens_details or Details()).reasoning_tokens or 0,
            attempts,
        )
        return [*self._empty_arguments(reason), finish]

    def _deltas(self, choice: Choice) -> list[Delta]:
        if choice.index != 0:
            return []
        said = choice.delta or choice.message or Said()
        self._reason = choice.finish_reason or self._reason
        texts = [text for text in (said.content, said.refusal) if text]
        calls = [self._call(part) for part in said.tool_calls or ()]
        return [*map(TextDelta, texts), *calls]

    def _call(self, part: CallPart) -> ToolCallDelta:
        slot = self._slot(part)
        if slot is None:
            return self._open(part)
        self._calls[slot] |= bool(part.arguments)
        return ToolCallDelta(slot, part.arguments)

    def _slot(self, part: CallPart) -> int | None:
        """Which call this is more of; None when a new one begins."""
        if part.id and part.id in self._by_id:
            return self._by_id[part.id]
        if part.name and (part.id or part.index not in self._by_index):
            return None
        if part.index is not None:
            return self._by_index.get(part.index)
        return len(self._calls) - 1 if self._calls else None

    def _open(self, part: CallPart) -> ToolCallDelta:
        if not part.name:
            raise _unreadable("a function call without a name")
        slot, call_id = len(self._calls), part.id or self._new_call_id()
        self._calls.append(bool(part.arguments))
        self._by_id[call_id] = slot
        if part.index is not None:
            self._by_index[part.index] = slot
        return ToolCallDelta(slot, part.arguments, call_id, part.name)

    def _empty_arguments(self, reason: str) -> list[Delta]:
        """Calls of functions without parameters: some servers send no arguments at all for them,
        where OpenAI sends an empty object."""
        if reason != "tool_calls":
            return []
        return [ToolCallDelta(slot, "{}") for slot, some in enumerate(self._calls) if not some]


def _read(data: str | bytes) -> Chunk:
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _unreadable("a chunk that is no chat completion chunk") from error


def _unreadable(what: str) -> ProviderError:
    return ProviderError("server_error", f"The model's stream has {what}.")
