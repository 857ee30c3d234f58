"""A window in the words of chat completions: canonical items in, chat messages out. Pure.

What a chat model cannot be told is refused by name, with three exceptions that carry nothing
another vendor's model could read: `reasoning`, `compaction` (both sealed for the model that wrote
them) and `configuration_update` are left out. What a compaction stood for is still in the log.

Chat wants the outputs of calls right behind the message that made them, whatever was written to the
thread meanwhile, so each output moves up to its call. A call without an output stays as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from clew.core.items import Item
from clew.providers.provider import ProviderError

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
"""Role of a stored message -> role in chat. `system` is the one every server knows."""

SEALED = frozenset({"reasoning", "compaction", "configuration_update"})
"""Items that only the model that wrote them can read."""

TEXT_PARTS = frozenset({"input_text", "output_text", "text", "summary_text"})

Message = dict[str, Any]


def chat_messages(items: Sequence[Item], instructions: str | None = None) -> list[Message]:
    """The window as chat messages, the instructions first."""
    readable = [item for item in items if item.kind not in SEALED]
    outputs = _outputs(readable)
    messages: list[Message] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    for message in _said(readable):
        messages += [message, *_answers(message, outputs)]
    _refuse_strays(outputs)
    return messages


def _said(items: Sequence[Item]) -> list[Message]:
    """Everything but the outputs, calls gathered into the assistant message they belong to."""
    messages: list[Message] = []
    previous: Item | None = None
    for item in items:
        if item.kind == "function_call":
            if previous is None or not _same_turn(previous, item):
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(_call(item.data()))
        elif item.kind != "function_call_output":
            messages.append(_message(item))
        previous = item
    return messages


def _same_turn(previous: Item, call: Item) -> bool:
    return previous.kind in ("assistant", "function_call") and previous.run == call.run


def _call(data: Mapping[str, Any]) -> Message:
    function = {"name": data["name"], "arguments": data.get("arguments") or "{}"}
    return {"id": data["call_id"], "type": "function", "function": function}


def _outputs(items: Sequence[Item]) -> dict[str, deque[Message]]:
    """Call id -> its outputs as tool messages, in order: servers do reuse call ids."""
    outputs: dict[str, deque[Message]] = {}
    for item in items:
        if item.kind == "function_call_output":
            call_id, output = item.data()["call_id"], item.data()["output"]
            if not isinstance(output, str):
                output = _joined(output, f"a function's output ({item.id})")
            message = {"role": "tool", "tool_call_id": call_id, "content": output}
            outputs.setdefault(call_id, deque()).append(message)
    return outputs


def _answers(message: Message, outputs: Mapping[str, deque[Message]]) -> list[Message]:
    waiting = [outputs.get(call["id"]) for call in message.get("tool_calls", ())]
    return [answers.popleft() for answers in waiting if answers]


def _refuse_strays(outputs: Mapping[str, deque[Message]]) -> None:
    for call_id, left in outputs.items():
        if left:
            raise cannot_carry(f"an output of call '{call_id}', which the window does not contain")


def _message(item: Item) -> Message:
    role = ROLES.get(item.kind)
    if role is None:
        noun = f"a message of role '{item.kind}'" if item.is_message else f"a {item.kind} item"
        raise cannot_carry(f"{noun} ({item.id})")
    if item.is_plain:
        return {"role": role, "content": item.text()}
    parts = [part for part in item.data().get("content") or () if part["type"] != "reasoning_text"]
    return {"role": role, "content": _content(role, parts, item)}


def _content(role: str, parts: Sequence[Mapping[str, Any]], item: Item) -> str | list[Message]:
    """One string where that loses nothing; parts are for users, many servers read no others."""
    if role == "user" and (len(parts) > 1 or any(_text(part) is None for part in parts)):
        return [_user_part(part, item) for part in parts]
    return _joined(parts, f"a message of role '{item.kind}' ({item.id})")


def _joined(parts: Sequence[Mapping[str, Any]], where: str) -> str:
    texts = []
    for part in parts:
        text = _text(part)
        if text is None:
            raise cannot_carry(f"a part of type '{part['type']}' in {where}")
        texts.append(text)
    return "\n".join(texts)


def _text(part: Mapping[str, Any]) -> str | None:
    if part["type"] in TEXT_PARTS:
        return str(part["text"])
    return str(part["refusal"]) if part["type"] == "refusal" else None


def _user_part(part: Mapping[str, Any], item: Item) -> Message:
    text = _text(part)
    if text is not None:
        return {"type": "text", "text": text}
    if part["type"] in ("input_image", "computer_screenshot") and part.get("image_url"):
        image = {"url": part["image_url"]}
        detail = part.get("detail")
        return {"type": "image_url", "image_url": image | ({"detail": detail} if detail else {})}
    if part["type"] == "input_file" and (part.get("file_data") or part.get("file_id")):
        fields = ("file_data", "file_id", "filename")
        return {"type": "file", "file": {name: part[name] for name in fields if part.get(name)}}
    raise cannot_carry(f"{_named(part)} ({item.id})")


def _named(part: Mapping[str, Any]) -> str:
    """What the part is and how it points at its content, since that is often what is wrong."""
    pointers = [name for name in ("file_id", "file_url") if part.get(name)]
    return f"a part of type '{part['type']}'" + "".join(f" by {name}" for name in pointers[:1])


def cannot_carry(what: str) -> ProviderError:
    return ProviderError("invalid_prompt", f"A chat completion cannot carry {what}.")
