"""The events of a streamed response, turned into deltas. Pure.

Events that nobody here knows say nothing: new ones come without notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from clew.providers.provider import (
    AnnotationDelta,
    Delta,
    Finish,
    HostedDelta,
    ItemDone,
    ProviderError,
    TextDelta,
    TextKind,
    ToolCallDelta,
)
from clew.providers.upstream_errors import UpstreamError, broke_off, failed_midway

TEXTS: dict[str, TextKind] = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_text",
    "response.reasoning_summary_text.delta": "summary_text",
}
PAYLOADS = {
    "response.function_call_arguments.delta": "function_call",
    "response.custom_tool_call_input.delta": "custom_tool_call",
}
CALLS = frozenset(PAYLOADS.values())
SPOKEN = CALLS | {"message", "reasoning"}
"""Items that come in pieces of text; every other is worked on by the upstream itself."""

ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})

REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}

PLACES = frozenset({"type", "item_id", "output_index", "sequence_number"})
"""Fields of an event that say where it belongs, not what it says."""


class Event(msgspec.Struct):
    type: str = ""
    delta: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    annotation: dict[str, Any] | None = None
    item: dict[str, Any] | None = None
    response: msgspec.Raw = msgspec.Raw()


class Kind(msgspec.Struct):
    type: str = ""
    output_index: int = 0
    object: str = ""
    error: Any = None


class Cached(msgspec.Struct):
    cached_tokens: int | None = None


class Thought(msgspec.Struct):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: Cached | None = None
    output_tokens_details: Thought | None = None


class Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    status: str = "completed"
    usage: Usage | None = None
    error: dict[str, Any] | None = None
    incomplete_details: Incomplete | None = None
    output: list[dict[str, Any]] = []


_decode = msgspec.json.Decoder(Event).decode
_decode_kind = msgspec.json.Decoder(Kind).decode
_decode_response = msgspec.json.Decoder(Response).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode


class ResponsesAnswer:
    """One answer as it grows (`clew.providers.upstream.Answer`)."""

    def __init__(self) -> None:
        self.done = False
        self._ended: Response | None = None
        self._hosted: dict[int, str] = {}  # output index -> item type
        self._calls = False

    @property
    def is_whole(self) -> bool:
        return self._ended is not None

    def feed(self, data: bytes) -> Sequence[Delta]:
        """The deltas in one event. Raises ProviderError for one that is broken or an error."""
        try:
            event = _decode(data)
        except (msgspec.MsgspecError, UnicodeError):
            return self._strange(data)
        kind = TEXTS.get(event.type)
        if kind is not None:
            part = event.summary_index if kind == "summary_text" else event.content_index
            return (TextDelta(event.delta, kind, part),)
        return self._rare(event, data)

    def end(self, attempts: int = 1) -> Sequence[Delta]:
        """The Finish. Raises ProviderError when the answer was cut off."""
        if self._ended is None:
            raise broke_off()
        return (finish(self._ended, self._calls, attempts),)

    def _rare(self, event: Event, data: bytes) -> Sequence[Delta]:
        call = PAYLOADS.get(event.type)
        if call is not None:
            return (ToolCallDelta(event.output_index, event.delta, kind=call),)
        match event.type:
            case "response.output_item.added" if event.item is not None:
                return self._began(event.output_index, event.item)
            case "response.output_item.done" if event.item is not None:
                return self._over(event.output_index, event.item)
            case "response.output_text.annotation.added" if event.annotation is not None:
                return (AnnotationDelta(event.annotation, event.content_index),)
            case "error":
                raise failed_midway(_error_in(data))
            case "":
                return self._whole(data)
            case kind if kind in ENDS:
                return self._end(bytes(event.response))
        return self._progress(event, data)

    def _began(self, index: int, item: dict[str, Any]) -> Sequence[Delta]:
        kind = item.get("type", "")
        if kind in CALLS:
            self._calls = True
            _check_call(item)
            return (ToolCallDelta(index, "", item["call_id"], item["name"], kind),)
        if kind in SPOKEN:
            return ()
        self._hosted[index] = kind
        return (HostedDelta(index, item),) if kind else ()

    def _over(self, index: int, item: dict[str, Any]) -> Sequence[Delta]:
        kind = item.get("type", "")
        if kind in CALLS:
            self._calls = True
            if item.get("status") == "incomplete":
                return ()  # cut off: its arguments are not what the model meant
            _check_call(item)
        return (ItemDone(item, index if kind not in SPOKEN else None),) if kind else ()

    def _progress(self, event: Event | Kind, data: bytes) -> Sequence[Delta]:
        """What an item the upstream works on came to, told by the name of its event."""
        kind = self._hosted.get(event.output_index)
        begin = f"response.{kind}"
        if kind is None or not event.type.startswith(begin):
            return ()
        stage = event.type[len(begin) + 1 :]
        said = {name: value for name, value in _decode_any(data).items() if name not in PLACES}
        return (HostedDelta(event.output_index, None, stage, said),)

    def _end(self, response: bytes) -> Sequence[Delta]:
        self._ended = _read(response)
        self.done = True
        if self._ended.status == "failed" or self._ended.error:
            raise failed(self._ended.error or {})
        return ()

    def _whole(self, data: bytes) -> Sequence[Delta]:
        """An answer that came as one document, or an error without the name of its event."""
        named = _decode_kind(data)
        if named.error:
            raise failed_midway(named.error)
        if named.object != "response":
            return ()
        self._end(data)
        output = self._ended.output if self._ended is not None else []
        return [delta for at, item in enumerate(output) for delta in self._over(at, item)]

    def _strange(self, data: bytes) -> Sequence[Delta]:
        """An event with known fields in an unknown shape: what hosted work came to (the delta of
        a shell's output is an object), or not ours to read, unless it is broken."""
        try:
            named = _decode_kind(data)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise _unreadable() from error
        if named.type in TEXTS or named.type in PAYLOADS or named.type in ENDS or not named.type:
            raise _unreadable()
        return self._progress(named, data)


def _check_call(item: dict[str, Any]) -> None:
    """A call without an id cannot be answered, one without a name not be made."""
    if not (item.get("call_id") and item.get("name")):
        message = "The model's stream has a function call without an id or a name."
        raise ProviderError("server_error", message)


def finish(response: Response, calls: bool, attempts: int = 1) -> Finish:
    """How a response ended, in our words."""
    usage = response.usage or Usage()
    reason = "tool_calls" if calls else "stop"
    if response.status == "incomplete":
        details = response.incomplete_details or Incomplete()
        reason = REASONS.get(details.reason or "", "length")
    return Finish(
        reason,
        usage.input_tokens,
        usage.output_tokens,
        (usage.input_tokens_details or Cached()).cached_tokens or 0,
        (usage.output_tokens_details or Thought()).reasoning_tokens or 0,
        attempts,
    )


def failed(error: dict[str, Any]) -> UpstreamError:
    """A response that failed."""
    return failed_midway({**error, "message": error.get("message") or "it did not say why"})


def read_compaction(body: bytes) -> tuple[list[dict[str, Any]], Finish]:
    """The items of a `response.compaction` and what it cost."""
    compaction = _read(body)
    return compaction.output, finish(compaction, calls=False)


def _error_in(data: bytes) -> Any:
    """The error of an `error` event, which some nest and some do not."""
    event = _decode_any(data)
    return event.get("error") or event


def _read(data: bytes) -> Response:
    try:
        return _decode_response(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _unreadable() from error


def _unreadable() -> ProviderError:
    return ProviderError("server_error", "The model's stream has an event that is no such event.")
