"""A window in the words of chat completions: canonical items in, chat messages out. Pure.

Chat wants the outputs of calls right behind the message that made them, whatever was written to the
thread meanwhile, so each output moves up to its call. A call without an output stays as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from clew.core.items import OUTPUTS, Item
from clew.providers.windows import Dialect, is_call, named, outputs_of, payload, text_of

CHAT = Dialect("A chat completion")

ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
"""Role of a stored message -> role in chat. `system` is the one every server knows."""

Message = dict[str, Any]


def chat_messages(items: Sequence[Item], instructions: str | None = None) -> list[Message]:
    """The window as chat messages, the instructions first."""
    readable = CHAT.readable(items)
    outputs = outputs_of(readable, _output)
    messages: list[Message] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    for message in _said(readable):
        messages += [message, *_answers(message, outputs)]
    CHAT.refuse_strays(outputs)
    return messages


def _said(items: Sequence[Item]) -> list[Message]:
    """Everything but the outputs, calls gathered into the assistant message they belong to."""
    messages: list[Message] = []
    previous: Item | None = None
    for item in items:
        if is_call(item):
            if previous is None or not _same_turn(previous, item):
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(_call(item.data()))
        elif item.kind not in OUTPUTS:
            messages.append(_message(item))
        previous = item
    return messages


def _same_turn(previous: Item, call: Item) -> bool:
    return (previous.kind == "assistant" or is_call(previous)) and previous.run == call.run


def _call(data: Mapping[str, Any]) -> Message:
    if data["type"] == "custom_tool_call":
        custom = {"name": data["name"], "input": payload(data)}
        return {"id": data["call_id"], "type": "custom", "custom": custom}
    function = {"name": data["name"], "arguments": payload(data) or "{}"}
    return {"id": data["call_id"], "type": "function", "function": function}


def _output(item: Item) -> Message:
    call_id, output = item.data()["call_id"], item.data()["output"]
    if not isinstance(output, str):
        output = CHAT.joined(output, f"a function's output ({item.id})")
    return {"role": "tool", "tool_call_id": call_id, "content": output}


def _answers(message: Message, outputs: Mapping[str, deque[Message]]) -> list[Message]:
    waiting = [outputs.get(call["id"]) for call in message.get("tool_calls", ())]
    return [answers.popleft() for answers in waiting if answers]


def _message(item: Item) -> Message:
    role = ROLES.get(item.kind)
    if role is None:
        noun = f"a message of role '{item.kind}'" if item.is_message else f"a {item.kind} item"
        raise CHAT.cannot_carry(f"{noun} ({item.id})")
    if item.is_plain:
        return {"role": role, "content": item.text()}
    parts = [part for part in item.data().get("content") or () if part["type"] != "reasoning_text"]
    return {"role": role, "content": _content(role, parts, item)}


def _content(role: str, parts: Sequence[Mapping[str, Any]], item: Item) -> str | list[Message]:
    """One string where that loses nothing; parts are for users, many servers read no others."""
    if role == "user" and (len(parts) > 1 or any(text_of(part) is None for part in parts)):
        return [_user_part(part, item) for part in parts]
    return CHAT.joined(parts, f"a message of role '{item.kind}' ({item.id})")


def _user_part(part: Mapping[str, Any], item: Item) -> Message:
    text = text_of(part)
    if text is not None:
        return {"type": "text", "text": text}
    if part["type"] in ("input_image", "computer_screenshot") and part.get("image_url"):
        image = {"url": part["image_url"]}
        detail = part.get("detail")
        return {"type": "image_url", "image_url": image | ({"detail": detail} if detail else {})}
    if part["type"] == "input_file" and (part.get("file_data") or part.get("file_id")):
        fields = ("file_data", "file_id", "filename")
        return {"type": "file", "file": {name: part[name] for name in fields if part.get(name)}}
    raise CHAT.cannot_carry(f"{named(part)} ({item.id})")
