"""Tokens: what of an item a model is sent, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.context.tokens import (
    FILE_TOKENS,
    IMAGE_TOKENS,
    SMALL_IMAGE_TOKENS,
    TOKENS_PER_ITEM,
    TOKENS_PER_REPLY,
    Counter,
    Estimate,
    item_tokens,
    prompt_tokens,
)
from clew.core.compactions import compaction
from clew.core.items import Item, message, new_item

NOW = 1_700_000_000_000


class Words:
    """A vocabulary in which each word is a token; it remembers what it was asked."""

    exact = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def count(self, text: str) -> int:
        self.asked.append(text)
        return len(text.split())

    def starts(self, text: str) -> list[int]:
        raise NotImplementedError


def item(data: dict[str, Any]) -> Item:
    return new_item("x_1", data, NOW)


def said(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts)}


@pytest.mark.parametrize(
    ("data", "texts", "flat"),
    [
        (said("user", {"type": "input_text", "text": "a b"}), ["a b"], 0),
        (
            said(
                "assistant",
                {"type": "output_text", "text": "a", "annotations": [{"title": "b"}]},
                {"type": "refusal", "refusal": "c"},
            ),
            ["a", "c"],
            0,
        ),
        (
            said(
                "user",
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": "data:xyz", "detail": "auto"},
                {"type": "input_image", "file_id": "file-1", "detail": "low"},
                {"type": "input_file", "file_data": "xyz", "filename": "b.pdf"},
            ),
            ["a", "b.pdf"],
            IMAGE_TOKENS + SMALL_IMAGE_TOKENS + FILE_TOKENS,
        ),
        (
            {"type": "function_call", "call_id": "x", "name": "f", "arguments": "{}"},
            ["f", "{}"],
            0,
        ),
        ({"type": "function_call_output", "call_id": "x", "output": "1 2"}, ["1 2"], 0),
        (
            {
                "type": "function_call_output",
                "call_id": "x",
                "output": [
                    {"type": "input_text", "text": "t"},
                    {"type": "input_image", "image_url": "u"},
                ],
            },
            ["t"],
            IMAGE_TOKENS,
        ),
        (
            {"type": "computer_call_output", "call_id": "x", "output": {
                "type": "computer_screenshot", "image_url": "data:xyz"}},
            [],
            IMAGE_TOKENS,
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}],
             "encrypted_content": "xyz"},
            ["s"],
            0,
        ),
        (
            {"type": "shell_call", "call_id": "x", "action": {"commands": ["ls", "pwd"]}},
            ["ls", "pwd"],
            0,
        ),
        ({"type": "image_generation_call", "result": "xyz"}, [], IMAGE_TOKENS),
        (compaction("a b c", 3), ["a b c"], 0),
        ({"type": "compaction", "encrypted_content": "x" * 32}, [], 6),
    ],
)  # fmt: skip
def test_what_a_model_is_sent_of_an_item(data: dict[str, Any], texts: list[str], flat: int) -> None:
    """Texts in the model's vocabulary, images and files at a flat price, ids and notes free."""
    words = Words()
    cost = item_tokens(item(data), words)
    assert words.asked == texts
    assert cost == TOKENS_PER_ITEM + sum(len(text.split()) for text in texts) + flat


def test_a_plain_message_costs_its_text_not_its_json() -> None:
    """Escapes on disk are no tokens, and metadata is not sent."""
    plain = message("msg_1", "user", 'say "\n" twice', NOW)
    assert item_tokens(plain, Words()) == TOKENS_PER_ITEM + 4
    rich = item(said("user", {"type": "input_text", "text": "a"}) | {"metadata": {"k": "b c d"}})
    assert item_tokens(rich, Words()) == TOKENS_PER_ITEM + 1


def test_a_prompt_costs_more_than_its_items() -> None:
    """The reply's marks, the instructions, each tool and the answer's schema."""
    words = Words()
    assert prompt_tokens(words) == TOKENS_PER_REPLY
    assert prompt_tokens(words, "Be brief.") == TOKENS_PER_REPLY + TOKENS_PER_ITEM + 2
    tool = {"type": "function", "name": "f"}
    assert prompt_tokens(words, None, [tool, tool]) == TOKENS_PER_REPLY + 2 * (TOKENS_PER_ITEM + 1)
    assert prompt_tokens(words, None, [], {"type": "text"}) == TOKENS_PER_REPLY
    schema = {"type": "json_schema", "name": "s", "schema": {}}
    assert prompt_tokens(words, None, [], schema) == TOKENS_PER_REPLY + TOKENS_PER_ITEM + 1


def test_an_item_is_counted_once() -> None:
    """As long as it is remembered; what was used last is forgotten last."""
    words = Words()
    counter = Counter(words, kept=2)
    a, b, c = (message(f"msg_{text}", "user", text, NOW) for text in "abc")
    assert counter.exact
    assert counter.all([a, b, a, c, a, b]) == 6 * (TOKENS_PER_ITEM + 1)
    assert words.asked == ["a", "b", "c", "b"]


def test_what_an_item_says_decides_not_its_id() -> None:
    """Two threads may hold different items of one id."""
    counter = Counter(Words())
    assert counter(message("msg_1", "user", "a", NOW)) == TOKENS_PER_ITEM + 1
    assert counter(message("msg_1", "user", "a b", NOW)) == TOKENS_PER_ITEM + 2


@given(st.text(max_size=60))
def test_an_estimate_is_a_quarter_of_the_bytes(text: str) -> None:
    """In any script; its pieces begin at characters and are as many as it counts, or fewer."""
    estimate = Estimate()
    size = len(text.encode("utf-8", "replace"))
    starts = estimate.starts(text)
    assert estimate.count(text) == -(-size // 4)
    assert starts == sorted(set(starts))
    assert len(starts) <= estimate.count(text)
    assert starts[:1] == ([0] if text else [])
    assert not estimate.exact
