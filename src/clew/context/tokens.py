"""How many tokens an item costs: an estimate, and labelled as one."""

from __future__ import annotations

from clew.core.items import Item

BYTES_PER_TOKEN = 4
"""OpenAI's rule of thumb for English text."""

TOKENS_PER_ITEM = 4
"""What role and separators cost in the chat format."""


def estimate_tokens(item: Item) -> int:
    return TOKENS_PER_ITEM + -(-len(item.body) // BYTES_PER_TOKEN)
