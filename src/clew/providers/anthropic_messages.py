"""A window in the words of Anthropic's Messages: canonical items in, messages out. Pure.

Users and the assistant take turns there, so what one side says in a row is one message; the
results of tools begin the user's message right behind the call, whatever was written meanwhile.
There is one system prompt: instructions, then what the thread's system and developer messages
say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from clew.core.items import OUTPUTS, Item
from clew.providers.windows import Dialect, is_call, named, outputs_of, payload, text_of

MESSAGES = Dialect("An Anthropic message", frozenset({"reasoning"}))

THINKING = "anthropic:thinking:"
REDACTED = "anthropic:redacted:"
"""How `encrypted_content` of a reasoning item begins; the signature, or the data, follows."""

SYSTEM = frozenset({"system", "developer"})

OPENING = "(What came before is not shown.)"
"""Said for the user where a window begins with the assistant: the first word must be a user's."""

Block = dict[str, Any]


def system_of(items: Sequence[Item], instructions: str | None) -> str | None:
    """The system prompt; None when there is nothing to say."""
    said = [item.text() for item in items if item.kind in SYSTEM]
    return "\n\n".join(filter(None, [instructions, *said])) or None


def messages_of(items: Sequence[Item]) -> list[dict[str, Any]]:
    """The rest of the window, as messages whose roles alternate."""
    outputs = outputs_of(items, _result)
    messages: list[dict[str, Any]] = []
    waiting: list[Block] = []  # results of the calls in the message that is being made
    for role, blocks in _said(items):
        if role == "user" and waiting:
            _add(messages, "user", waiting)
            waiting = []
        _add(messages, role, blocks)
        waiting += _results(blocks, outputs)
    _add(messages, "user", waiting)
    MESSAGES.refuse_strays(outputs)
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
    return messages


def _add(messages: list[dict[str, Any]], role: str, blocks: Sequence[Block]) -> None:
    if not blocks:
        return
    if not messages or messages[-1]["role"] != role:
        messages.append({"role": role, "content": []})
    messages[-1]["content"] += blocks


def _said(items: Sequence[Item]) -> Iterator[tuple[str, list[Block]]]:
    """Who says what, but for the outputs.

    A call whose output was given before something else was said ends the assistant's message, so
    that the output can follow: a new model call begins there.
    """
    answered = False
    for item in items:
        if item.kind in OUTPUTS:
            answered = True
        elif item.kind not in SYSTEM:
            role, blocks = _blocks(item)
            if answered and role == "assistant":
                yield "user", []
            answered = False
            yield role, blocks


def _results(blocks: Sequence[Block], outputs: Mapping[str, deque[Block]]) -> list[Block]:
    calls = [outputs.get(block["id"]) for block in blocks if block["type"] == "tool_use"]
    return [answers.popleft() for answers in calls if answers]


def _blocks(item: Item) -> tuple[str, list[Block]]:
    if item.kind == "reasoning":
        return "assistant", _thoughts(item.data())
    if is_call(item):
        return "assistant", [_call(item.data())]
    if item.kind not in ("user", "assistant"):
        noun = f"a message of role '{item.kind}'" if item.is_message else f"a {item.kind} item"
        raise MESSAGES.cannot_carry(f"{noun} ({item.id})")
    if item.is_plain:
        return item.kind, _text(item.text())
    parts = [part for part in item.data().get("content") or () if part["type"] != "reasoning_text"]
    return item.kind, [block for part in parts for block in _part(part, item.kind, item.id)]


def _thoughts(data: Mapping[str, Any]) -> list[Block]:
    """Thinking goes back as it came; what another vendor's model thought is not for this one."""
    seal = str(data.get("encrypted_content") or "")
    if seal.startswith(REDACTED):
        return [{"type": "redacted_thinking", "data": seal.removeprefix(REDACTED)}]
    if seal.startswith(THINKING):
        text = "".join(part["text"] for part in data.get("content") or ())
        signature = seal.removeprefix(THINKING)
        return [{"type": "thinking", "thinking": text, "signature": signature}]
    return []


def _call(data: Mapping[str, Any]) -> Block:
    kind, id, name = "tool_use", data["call_id"], data["name"]
    return {"type": kind, "id": id, "name": name, "input": _input(data)}


def _input(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as an object; what is none goes in under the name it had."""
    said = payload(data)
    if data["type"] == "custom_tool_call":
        return {"input": said}
    try:
        return msgspec.json.decode(said or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return {"arguments": said}


def _result(item: Item) -> Block:
    data = item.data()
    output = data["output"]
    if not isinstance(output, str):
        where = f"a function's output ({item.id})"
        output = [block for part in output for block in _part(part, "user", where)]
    return {"type": "tool_result", "tool_use_id": data["call_id"], "content": output}


def _text(text: str) -> list[Block]:
    """Empty texts are refused there, and say nothing."""
    return [{"type": "text", "text": text}] if text.strip() else []


def _part(part: Mapping[str, Any], role: str, where: str) -> list[Block]:
    text = text_of(part)
    if text is not None:
        return _text(text)
    if role == "user" and part["type"] in ("input_image", "computer_screenshot"):
        if part.get("image_url"):
            return [{"type": "image", "source": _source(part["image_url"])}]
    elif role == "user" and part["type"] == "input_file":
        if part.get("file_url"):
            source = {"type": "url", "url": part["file_url"]}
            return [{"type": "document", "source": source, **_title(part)}]
        if part.get("file_data"):
            return [{"type": "document", "source": _source(part["file_data"]), **_title(part)}]
    raise MESSAGES.cannot_carry(f"{named(part)} ({where})")


def _title(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"title": part["filename"]} if part.get("filename") else {}


def _source(url: str) -> dict[str, Any]:
    """What a URL points at, or holds itself (`data:image/png;base64,…`)."""
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(",")
    return {"type": "base64", "media_type": kind.partition(";")[0], "data": data}
