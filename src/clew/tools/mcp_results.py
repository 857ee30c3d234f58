"""What an MCP server's tool gave back, as text for a model, and no more of it than is kept."""

from __future__ import annotations

from typing import Any

import msgspec


def text_of_result(result: dict[str, Any]) -> str:
    """The texts of a result, one below the other. What is not text is noted.

    Structured content is taken where there are no texts: where there are, they say the same.
    """
    content = result.get("content") or []
    if not content and result.get("structuredContent") is not None:
        return _json(result["structuredContent"])
    return "\n".join(map(_text, content))


def cut(text: str, bytes_max: int) -> str:
    """The text, or its beginning and how much is missing."""
    data = text.encode()
    if len(data) <= bytes_max:
        return text
    kept = data[:bytes_max].decode(errors="ignore")
    return f"{kept}\n[Cut off: {len(data) - bytes_max} of {len(data)} bytes are not shown.]"


def _text(part: dict[str, Any]) -> str:
    match part.get("type"):
        case "text":
            return str(part.get("text") or "")
        case "resource":
            resource = part.get("resource") or {}
            if isinstance(resource.get("text"), str):
                return str(resource["text"])
            return _note(f"resource {resource.get('uri')}", resource, "blob")
        case "image" | "audio" as kind:
            return _note(kind, part, "data")
        case _:
            return _json(part)


def _note(what: str, holder: dict[str, Any], field: str) -> str:
    """In place of what a model cannot be shown as text. Four characters of base64 are 3 bytes."""
    size = len(str(holder.get(field) or "")) * 3 // 4
    return f"[{what}, {holder.get('mimeType') or 'unknown type'}, {size} bytes: not shown]"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
