"""The events of a streamed Anthropic message, turned into deltas. Pure.

Text blocks in a row are one text: they are only cut where a citation begins. Thinking is reasoning,
each block an item of its own, with its signature; what is redacted is sealed whole. Blocks and
events that nobody here knows say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clew.providers.anthropic_messages import REDACTED, THINKING
from clew.providers.provider import (
    Delta,
    Finish,
    ItemDone,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.providers.upstream_errors import broke_off, failed_midway

REASONS = {
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""The model's stop reason -> ours; all others are "stop"."""


class Piece(msgspec.Struct):
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    stop_reason: str | None = None


class Details(msgspec.Struct):
    thinking_tokens: int | None = None


class Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: Details | None = None


class Message(msgspec.Struct):
    usage: Usage | None = None


class Event(msgspec.Struct):
    """An event; or, where the server answered whole, the message itself."""

    type: str = ""
    index: int = 0
    delta: Piece | None = None
    content_block: dict[str, Any] | None = None
    message: Message | None = None
    usage: Usage | None = None
    error: Any = None
    content: list[dict[str, Any]] = []
    stop_reason: str | None = None


class Named(msgspec.Struct):
    type: str = ""


KNOWN = frozenset(
    """message content_block_start content_block_delta content_block_stop message_start
    message_delta message_stop error""".split()
)

_decode = msgspec.json.Decoder(Event).decode
_decode_name = msgspec.json.Decoder(Named).decode


class AnthropicAnswer:
    """One answer as it grows (`clew.providers.upstream.Answer`)."""

    def __init__(self) -> None:
        self.done = False
        self._reason: str | None = None
        self._usage = Usage()
        self._thought: list[str] = []
        self._signature: list[str] = []
        self._calls: dict[int, bool] = {}  # index of a call -> whether its arguments have begun
        self._thinking: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.done or self._reason is not None

    def feed(self, data: bytes) -> Sequence[Delta]:
        """The deltas in one event. Raises ProviderError for one that is broken or an error."""
        event = _read(data)
        if event is None:
            return ()
        if event.type == "content_block_delta":
            return self._more(event.index, event.delta or Piece())
        if event.error:
            raise failed_midway(event.error)
        return self._rare(event)

    def end(self, attempts: int = 1) -> Sequence[Delta]:
        """The Finish. Raises ProviderError when the answer was cut off."""
        if not self.is_whole:
            raise broke_off()
        reason = REASONS.get(self._reason or "", "stop")
        usage = self._usage
        read = usage.input_tokens
        if read is not None:
            read += (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        return (
            Finish(
                reason,
                read,
                usage.output_tokens,
                usage.cache_read_input_tokens or 0,
                (usage.output_tokens_details or Details()).thinking_tokens or 0,
                attempts,
            ),
        )

    def _more(self, index: int, piece: Piece) -> Sequence[Delta]:
        if piece.text:
            return (TextDelta(piece.text),)
        if piece.partial_json and index in self._calls:
            self._calls[index] = True
            return (ToolCallDelta(index, piece.partial_json),)
        if piece.thinking:
            self._thought.append(piece.thinking)
            return (TextDelta(piece.thinking, "reasoning_text"),)
        self._signature.append(piece.signature)
        return ()

    def _rare(self, event: Event) -> Sequence[Delta]:
        match event.type:
            case "content_block_start":
                return self._began(event.index, event.content_block or {})
            case "content_block_stop":
                return self._over(event.index)
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                self._reason = (event.delta or Piece()).stop_reason or self._reason
            case "message_stop":
                self.done = True
            case "message":
                return self._whole(event)
        return ()

    def _began(self, index: int, block: Mapping[str, Any]) -> Sequence[Delta]:
        match block.get("type"):
            case "text" if block.get("text"):
                return (TextDelta(block["text"]),)
            case "thinking":
                self._thinking = index
                return self._more(index, Piece(thinking=block.get("thinking") or ""))
            case "redacted_thinking" if isinstance(block.get("data"), str):
                return (ItemDone(sealed(REDACTED + block["data"])),)
            case "tool_use":
                if not (block.get("id") and block.get("name")):
                    message = "The model's stream has a tool use without an id or a name."
                    raise ProviderError("server_error", message)
                self._calls[index] = False
                return (ToolCallDelta(index, "", block["id"], block["name"]),)
        return ()

    def _over(self, index: int) -> Sequence[Delta]:
        if index == self._thinking:
            thought, signature = "".join(self._thought), "".join(self._signature)
            self._thinking, self._thought, self._signature = None, [], []
            return (ItemDone(sealed(THINKING + signature, thought)),)
        if self._calls.get(index) is False:
            return (ToolCallDelta(index, "{}"),)
        return ()

    def _whole(self, event: Event) -> Sequence[Delta]:
        """An answer that came as one document, told like the stream it was meant to be."""
        deltas: list[Delta] = []
        for index, block in enumerate(event.content):
            deltas += self._began(index, block)
            if block.get("type") == "tool_use" and block.get("input"):
                said = msgspec.json.encode(block["input"]).decode()
                deltas += self._more(index, Piece(partial_json=said))
            if block.get("type") == "thinking":
                self._signature.append(block.get("signature") or "")
            deltas += self._over(index)
        self._count(event.usage)
        self._reason, self.done = event.stop_reason, True
        return deltas

    def _count(self, usage: Usage | None) -> None:
        """Counts are cumulative, and a later event may leave out what an earlier one said."""
        for name in Usage.__struct_fields__:
            count = getattr(usage, name, None)
            if count is not None:
                setattr(self._usage, name, count)


def sealed(seal: str, thought: str = "") -> dict[str, Any]:
    """A reasoning item that goes back to the model as it came."""
    content = {"content": [{"type": "reasoning_text", "text": thought}]} if thought else {}
    return {"type": "reasoning", "summary": [], **content, "encrypted_content": seal}


def _read(data: bytes) -> Event | None:
    """The event; None for one that is not known, in whatever shape it comes."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        if _name(data) not in KNOWN | {None, ""}:
            return None
        message = "The model's stream has an event that is no such event."
        raise ProviderError("server_error", message) from error


def _name(data: bytes) -> str | None:
    """The name of an event; None when it is no JSON object at all."""
    try:
        return _decode_name(data).type
    except (msgspec.MsgspecError, UnicodeError):
        return None
