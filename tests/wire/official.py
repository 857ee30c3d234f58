"""The official SDK as a judge: its own strict check of an answer against its own types."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec
from openai._models import validate_type
from openai.types.beta.threads import Message
from openai.types.conversations import ConversationItem

T = TypeVar("T")


def strict(kind: type[T], value: Any) -> T:
    """What a client with strict validation would be given; raises where it would."""
    return validate_type(type_=kind, value=value)


def read_message(encoded: bytes) -> Message:
    return strict(Message, msgspec.json.decode(encoded))


def read_item(encoded: bytes) -> Any:
    return strict(cast(Any, ConversationItem), msgspec.json.decode(encoded))
