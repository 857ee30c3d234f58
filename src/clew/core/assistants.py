"""Assistants: named settings for runs. Stored whole; the wire face says what is in them."""

from __future__ import annotations

from typing import Any

import msgspec


class Assistant(msgspec.Struct):
    """An assistant; `settings` holds model, instructions, tools, … as OpenAI names them."""

    key: str
    created_at: int
    settings: dict[str, Any]
