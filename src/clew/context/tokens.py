"""How many tokens an item costs: what of it a model is sent, in the vocabulary of that model.

A text costs what the vocabulary says. Beyond its texts, an item costs `TOKENS_PER_ITEM` (its role
and the marks around it), a prompt `TOKENS_PER_REPLY` (the marks that open the answer). What an
image or a file costs is known to the upstream alone; they are charged a flat price. Ids, statuses,
annotations and metadata are not sent, so they are free.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from clew.core.compactions import summary_of
from clew.core.items import Item

BYTES_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text."""

TOKENS_PER_ITEM = 4
TOKENS_PER_REPLY = 3
"""What OpenAI says its chat format costs: three per message and one for the role; three to reply.
https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken"""

IMAGE_TOKENS, SMALL_IMAGE_TOKENS, FILE_TOKENS = 765, 85, 1_000
"""Flat prices: an image of 1024 by 1024 in high and in low detail; some two pages of a file."""

COUNTS_KEPT = 65_536
"""Items whose cost is remembered: what the windows of a few hundred busy threads hold."""

_UNSENT = frozenset(
    """id type role status call_id approval_request_id caller created_by encrypted_content
    annotations logprobs metadata attachments incomplete_details assistant_id fingerprint detail
    file_id file_data file_url image_url result phase execution""".split()
)
"""Fields that are no text for the model, or are charged a flat price."""

_IMAGES = frozenset({"input_image", "computer_screenshot", "image_generation_call"})

_to_json = msgspec.json.encode


class Tokens(Protocol):
    """A vocabulary. `exact` says whether it is the model's own."""

    exact: bool

    def count(self, text: str) -> int: ...

    def starts(self, text: str) -> list[int]:
        """The place in `text` at which each of its tokens begins, in characters, ascending."""
        ...


class Estimate:
    """Four bytes are a token: for where no vocabulary is installed."""

    exact = False

    def count(self, text: str) -> int:
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        return -(-size // BYTES_PER_TOKEN)

    def starts(self, text: str) -> list[int]:
        if text.isascii():
            return list(range(0, len(text), BYTES_PER_TOKEN))
        places: list[int] = []
        free = 0
        for place, character in enumerate(text):
            if free <= 0:
                places.append(place)
                free += BYTES_PER_TOKEN
            free -= len(character.encode("utf-8", "replace"))
        return places


class Counter:
    """What items cost in one vocabulary; each is counted once while it is remembered."""

    def __init__(self, tokens: Tokens, kept: int = COUNTS_KEPT) -> None:
        self.tokens, self._kept = tokens, kept
        self._known: dict[tuple[str, int, int], int] = {}

    @property
    def exact(self) -> bool:
        return self.tokens.exact

    def __call__(self, item: Item) -> int:
        key = item.kind, len(item.body), hash(item.body)
        cost = self._known.pop(key, None)
        if cost is None:
            cost = item_tokens(item, self.tokens)
            if len(self._known) >= self._kept:
                self._known.pop(next(iter(self._known), key), None)
        self._known[key] = cost  # now the last to be forgotten
        return cost

    def all(self, items: Iterable[Item]) -> int:
        return sum(map(self, items))


def item_tokens(item: Item, tokens: Tokens) -> int:
    """What one item costs in a prompt."""
    if item.is_plain:
        return TOKENS_PER_ITEM + tokens.count(item.text())
    if item.kind == "compaction":
        return TOKENS_PER_ITEM + _compaction_tokens(item, tokens)
    data = item.data()
    texts = sum(map(tokens.count, texts_of(data)))
    return TOKENS_PER_ITEM + texts + _flat(data)


def prompt_tokens(
    tokens: Tokens,
    instructions: str | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    text_format: Mapping[str, Any] | None = None,
) -> int:
    """What a prompt costs beside its items: tools and answer formats are charged as their JSON."""
    cost = TOKENS_PER_REPLY
    if instructions:
        cost += TOKENS_PER_ITEM + tokens.count(instructions)
    shapes = [*tools, *([text_format] if text_format and "schema" in text_format else [])]
    return cost + sum(TOKENS_PER_ITEM + tokens.count(_to_json(s).decode()) for s in shapes)


def _compaction_tokens(item: Item, tokens: Tokens) -> int:
    """A summary costs its text; of an opaque one only the size is known, as base64."""
    summary = summary_of(item)
    if summary is not None:
        return tokens.count(summary)
    return len(item.data().get("encrypted_content") or "") * 3 // 4 // BYTES_PER_TOKEN


def texts_of(value: Any) -> Iterator[str]:
    """The texts in an item's data that a model reads."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for entry in value:
            yield from texts_of(entry)
    elif isinstance(value, dict):
        for name, entry in value.items():
            if name not in _UNSENT:
                yield from texts_of(entry)


def _flat(value: Any) -> int:
    """The flat prices in an item: of its own, its parts' or its output's images and files."""
    if isinstance(value, list):
        return sum(map(_flat, value))
    if not isinstance(value, dict):
        return 0
    if value.get("type") in _IMAGES:
        return SMALL_IMAGE_TOKENS if value.get("detail") == "low" else IMAGE_TOKENS
    if value.get("type") == "input_file":
        return FILE_TOKENS
    return _flat(value.get("content")) + _flat(value.get("output"))
