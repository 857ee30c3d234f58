"""Chat completions: those that are kept, and what a model says piece by piece."""

from __future__ import annotations

from typing import Literal

import msgspec

from clew.core.paging import Page


class Completion(msgspec.Struct):
    """A chat completion that is kept. `created_at` is in milliseconds since 1970.

    `body` is the completion object as JSON, as it was answered; its id and metadata are the fields
    here. The request's messages are kept beside it, numbered from 0.
    """

    key: str
    created_at: int
    model: str
    body: bytes
    metadata: dict[str, str] = {}


class CompletionQuery(msgspec.Struct):
    """Which completions: all conditions must hold."""

    page: Page = msgspec.field(default_factory=Page)
    model: str | None = None
    metadata: dict[str, str] = {}


class TextPiece(msgspec.Struct):
    """More of the answer's text, or of a refusal, or of the reasoning before it."""

    text: str
    kind: Literal["text", "refusal", "reasoning"] = "text"


class CitationPiece(msgspec.Struct):
    """A web page the answer cites, in the Responses shape."""

    annotation: dict[str, object]


class CallPiece(msgspec.Struct):
    """More of the call at `index`; its first piece has `call_id` and `name`."""

    index: int
    text: str = ""
    call_id: str | None = None
    name: str | None = None
    kind: Literal["function", "custom"] = "function"


class End(msgspec.Struct):
    """The last piece. Tokens are counted, or None when the model did not say."""

    reason: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int = 0
    tokens_reasoning: int = 0


Piece = TextPiece | CitationPiece | CallPiece | End
