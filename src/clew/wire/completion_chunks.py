"""The chunks of a chat completion: written from what a model says, or gathered into the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.core.completions import CallPiece, CitationPiece, End, Piece, TextPiece

_FIELDS = {"text": "content", "refusal": "refusal", "reasoning": "reasoning_content"}

_WHOLE = frozenset({"role", "type", "id", "name", "index", "expires_at"})
"""What a delta says once and whole; all other text comes in pieces."""


def event(chunk: bytes) -> bytes:
    """A chunk as an event of its stream: without a name, its JSON on one line or on several."""
    return b"data: %b\n\n" % chunk.replace(b"\n", b"\ndata: ")


class Chunks:
    """Writes one answer as chunks. Usage comes last, in a chunk of its own, where asked for."""

    def __init__(self, id: str, created: int, model: str, include_usage: bool) -> None:
        self._head = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": None,
        }
        self._no_usage: dict[str, Any] = {"usage": None} if include_usage else {}
        self._begun = False

    def encode(self, piece: Piece) -> list[dict[str, Any]]:
        """The chunks that say this piece; the first of all says who speaks."""
        chunks = []
        if not self._begun:
            self._begun = True
            chunks.append(self._choice({"role": "assistant", "content": "", "refusal": None}))
        if isinstance(piece, End):
            chunks.append(self._choice({}, piece.reason))
            if self._no_usage:
                chunks.append({**self._head, "choices": [], "usage": encode_usage(piece)})
        else:
            chunks.append(self._choice(_delta(piece)))
        return chunks

    def _choice(self, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._head, "choices": [choice], **self._no_usage}


def encode_usage(end: End) -> dict[str, Any] | None:
    """The usage object; null when the model did not say."""
    if end.tokens_in is None or end.tokens_out is None:
        return None
    return {
        "prompt_tokens": end.tokens_in,
        "completion_tokens": end.tokens_out,
        "total_tokens": end.tokens_in + end.tokens_out,
        "prompt_tokens_details": {"cached_tokens": end.tokens_cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": end.tokens_reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _delta(piece: TextPiece | CitationPiece | CallPiece) -> dict[str, Any]:
    if isinstance(piece, TextPiece):
        return {_FIELDS[piece.kind]: piece.text}
    if isinstance(piece, CitationPiece):
        cited = {name: value for name, value in piece.annotation.items() if name != "type"}
        return {"annotations": [{"type": "url_citation", "url_citation": cited}]}
    said = {"arguments" if piece.kind == "function" else "input": piece.text}
    if piece.name is not None:
        said = {"name": piece.name, **said}
    call: dict[str, Any] = {"index": piece.index}
    if piece.call_id is not None:
        call |= {"id": piece.call_id, "type": piece.kind}
    return {"tool_calls": [call | {piece.kind: said}]}


class _Text(list[str]):
    """Text that is still coming, in pieces."""


class Whole:
    """Gathers the chunks of an answer into the completion they are pieces of.

    Reads what servers mean: an index that is missing, or the same for calls whose ids differ.
    """

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._failed = False

    def take(self, chunk: Mapping[str, Any]) -> None:
        self._failed |= bool(chunk.get("error"))
        for name, value in chunk.items():
            if name not in ("choices", "object", "obfuscation") and value is not None:
                self._head[name] = value
        for given in chunk.get("choices") or ():
            choice = self._choices.setdefault(given.get("index") or 0, {"message": {}})
            _merge(choice["message"], given.get("delta") or given.get("message") or {})
            if given.get("logprobs"):
                _merge(choice.setdefault("logprobs", {}), given["logprobs"])
            choice["finish_reason"] = given.get("finish_reason") or choice.get("finish_reason")

    @property
    def is_complete(self) -> bool:
        """Whether every choice came to its end."""
        ends = [choice["finish_reason"] for choice in self._choices.values()]
        return bool(ends) and all(ends) and not self._failed

    def completion(self) -> dict[str, Any]:
        """The completion object, as far as it came."""
        choices = [_choice(index, self._choices[index]) for index in sorted(self._choices)]
        return {**self._head, "object": "chat.completion", "choices": choices}


def _choice(index: int, choice: dict[str, Any]) -> dict[str, Any]:
    said = _joined(choice["message"])
    message = {"role": "assistant", "content": None, "refusal": None, **said}
    if not message["content"] and any(said.get(n) for n in ("tool_calls", "refusal", "audio")):
        message["content"] = None
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
    return {
        "index": index,
        "message": message,
        "logprobs": _joined(choice.get("logprobs")),
        "finish_reason": choice["finish_reason"],
    }


def _joined(value: Any) -> Any:
    """A copy of what was gathered, every text in one piece."""
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, list):
        return [_joined(one) for one in value]
    if isinstance(value, dict):
        return {name: _joined(one) for name, one in value.items()}
    return value


def _merge(whole: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name, value in delta.items():
        if value is None:
            continue
        had = whole.get(name)
        if name == "tool_calls":
            _merge_calls(whole.setdefault(name, []), value)
        elif isinstance(value, dict):
            _merge(whole.setdefault(name, {}), value)
        elif isinstance(value, list):
            whole[name] = [*(had or ()), *value]
        elif isinstance(value, str) and name not in _WHOLE:
            whole.setdefault(name, _Text()).append(value)
        else:
            whole[name] = value or had


def _merge_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        _merge(_call_of(calls, delta.get("id"), delta.get("index")), delta)


def _call_of(calls: list[dict[str, Any]], id: str | None, index: int | None) -> dict[str, Any]:
    """The call with this id; without one, the newest at this index. Else a new one."""
    same = [
        call for call in calls if (call.get("id") == id if id else index in (None, call["index"]))
    ]
    if not same:
        same = [{"index": index}]
        calls += same
    return same[-1]
