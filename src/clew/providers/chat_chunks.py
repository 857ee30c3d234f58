"""The chunks of a streamed chat completion, turned into deltas. Pure but for fresh call ids.

Servers differ, so this reads what they mean: a call's index may be missing, or be 0 for every
call while the ids differ; ids may be missing; `finish_reason` may say "stop" after a call; usage
may come in a chunk of its own, or never; reasoning goes by two names, and by both at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from clew.providers.provider import (
    AnnotationDelta,
    Delta,
    Finish,
    ItemDone,
    ProviderError,
    TextDelta,
    ToolCallDelta,
)
from clew.providers.upstream_errors import broke_off, failed_midway

DONE = b"[DONE]"

REASONS = {
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
"""The server's finish reason -> ours; all others, some servers' own inventions, are "stop"."""

_NEW_CALL_ID = lambda: f"call_{secrets.token_hex(12)}"  # noqa: E731


class Payload(msgspec.Struct):
    """What a call is for: `arguments` of a function, `input` of a custom tool."""

    name: str | None = None
    arguments: str | None = None
    input: str | None = None


class CallPart(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: Payload | None = None
    custom: Payload | None = None

    @property
    def payload(self) -> Payload:
        return self.function or self.custom or Payload()

    @property
    def name(self) -> str:
        return self.payload.name or ""

    @property
    def arguments(self) -> str:
        return self.payload.arguments or self.payload.input or ""

    @property
    def kind(self) -> str:
        return "custom_tool_call" if self.custom else "function_call"


class Said(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    annotations: Any = None


class Logprobs(msgspec.Struct):
    content: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct):
    """`message` is there instead of `delta` when the server answered whole, not in a stream."""

    index: int = 0
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


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
    """One answer as it grows (`clew.providers.upstream.Answer`).

    `scored`: log probabilities were asked for. They come beside the text, so the message is then
    also told whole, with them.
    """

    def __init__(
        self, new_call_id: Callable[[], str] | None = None, *, scored: bool = False
    ) -> None:
        self._new_call_id = new_call_id or _NEW_CALL_ID
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}
        self._calls: list[tuple[str, bool]] = []  # of each, its kind and whether it has arguments
        self._reason: str | None = None
        self._usage = Usage()
        self._scores = Scores() if scored else None
        self.done = False

    @property
    def is_whole(self) -> bool:
        """Whether the model came to its end: it gave a reason, or the server said [DONE]."""
        return self.done or self._reason is not None

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas in one chunk. Raises ProviderError for one that is broken or an error."""
        if data == DONE:
            self.done = True
            return []
        chunk = _read(data)
        if chunk.error:
            raise failed_midway(chunk.error)
        if chunk.usage is not None:
            self._usage = chunk.usage
        deltas: list[Delta] = []
        for choice in chunk.choices or ():
            if choice.index == 0:
                deltas += self._deltas(choice)
        return deltas

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
        cut = reason in ("length", "content_filter")
        return [*self._scored(cut), *self._empty_arguments(reason), finish]

    def _deltas(self, choice: Choice) -> Iterable[Delta]:
        said = choice.delta or choice.message
        if choice.finish_reason is not None:
            self._reason = choice.finish_reason
        if said is None:
            return ()
        if self._scores is not None:
            self._scores.take(said, choice.logprobs)
        if said.content and not said.tool_calls and said.annotations is None:
            return (*_thought(said), TextDelta(said.content))
        return self._rare(said)

    def _rare(self, said: Said) -> list[Delta]:
        deltas: list[Delta] = list(_thought(said))
        if said.content:
            deltas.append(TextDelta(said.content))
        if said.refusal:
            deltas.append(TextDelta(said.refusal, "refusal"))
        deltas += (AnnotationDelta(note) for note in _citations(said))
        if said.tool_calls:
            deltas += self._scored()
        deltas += (self._call(part) for part in said.tool_calls or ())
        return deltas

    def _scored(self, cut: bool = False) -> Sequence[Delta]:
        """The message with its log probabilities, once it is whole."""
        scores, self._scores = self._scores, None
        return scores.message(cut) if scores is not None else ()

    def _call(self, part: CallPart) -> ToolCallDelta:
        slot = self._slot(part)
        if slot is None:
            return self._open(part)
        kind, some = self._calls[slot]
        self._calls[slot] = (kind, some or bool(part.arguments))
        return ToolCallDelta(slot, part.arguments, kind=kind)

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
            raise unreadable("a function call without a name")
        slot, call_id = len(self._calls), part.id or self._new_call_id()
        self._calls.append((part.kind, bool(part.arguments)))
        self._by_id[call_id] = slot
        if part.index is not None:
            self._by_index[part.index] = slot
        return ToolCallDelta(slot, part.arguments, call_id, part.name, part.kind)

    def _empty_arguments(self, reason: str) -> list[Delta]:
        """Calls of functions without parameters: some servers send no arguments at all for them,
        where OpenAI sends an empty object."""
        if reason != "tool_calls":
            return []
        bare = ("function_call", False)
        return [ToolCallDelta(at, "{}") for at, call in enumerate(self._calls) if call == bare]


class Scores:
    """A message as it grows, with the log probabilities of its tokens."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._citations: list[dict[str, Any]] = []
        self._logprobs: list[dict[str, Any]] = []

    def take(self, said: Said, logprobs: Logprobs | None) -> None:
        self._texts.append(said.content or "")
        self._refusals.append(said.refusal or "")
        self._citations += _citations(said)
        if logprobs is not None:
            self._logprobs += logprobs.content or ()

    def message(self, cut: bool) -> Sequence[Delta]:
        """The whole message; nothing when the server sent no log probabilities."""
        if not self._logprobs:
            return ()
        part: dict[str, Any] = {"type": "output_text", "text": "".join(self._texts)}
        part |= {"annotations": self._citations, "logprobs": self._logprobs}
        refusal = "".join(self._refusals)
        content = [part, {"type": "refusal", "refusal": refusal}] if refusal else [part]
        status = "incomplete" if cut else "completed"
        whole = {"type": "message", "role": "assistant", "status": status, "content": content}
        return (ItemDone(whole),)


def _thought(said: Said) -> Sequence[TextDelta]:
    thought = said.reasoning_content or said.reasoning
    return (TextDelta(thought, "reasoning_text"),) if thought and isinstance(thought, str) else ()


def _citations(said: Said) -> list[dict[str, Any]]:
    """The citations in their flat form; chat nests them under their type."""
    notes = said.annotations if isinstance(said.annotations, list) else ()
    nested = (note for note in notes if isinstance(note, dict) and note.get("type") in note)
    return [{"type": note["type"], **note[note["type"]]} for note in nested]


def _read(data: bytes) -> Chunk:
    try:
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise unreadable("a chunk that is no chat completion chunk") from error


def unreadable(what: str) -> ProviderError:
    return ProviderError("server_error", f"The model's stream has {what}.")
