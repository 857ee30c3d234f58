"""Two faces, one thread: what one writes the other reads, both ways."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from clew.core.items import THREAD_ROLES, Item
from clew.wire import items, messages

from .official import read_item, read_message
from .strategies import allowed, examples

NOW = 1_700_000_000_999


def as_message(item: Item) -> dict[str, Any]:
    encoded = messages.encode_message(item, "T")
    read_message(encoded)
    return msgspec.json.decode(encoded)


def as_item(item: Item) -> dict[str, Any]:
    encoded = items.encode_item(item)
    read_item(encoded)
    return msgspec.json.decode(encoded)


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": value, "annotations": []}}


FROM_THREADS: list[tuple[str, Any, list[dict[str, Any]]]] = [
    ("user", "hi", [{"type": "input_text", "text": "hi"}]),
    (
        "assistant",
        "hi",
        [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}],
    ),
    (
        "assistant",
        [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        [
            {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
            {"type": "output_text", "text": "b", "annotations": [], "logprobs": []},
        ],
    ),
    (
        "user",
        [{"type": "image_file", "image_file": {"file_id": "file-1"}}],
        [{"type": "input_image", "detail": "auto", "file_id": "file-1"}],
    ),
    (
        "user",
        [{"type": "image_url", "image_url": {"url": "https://x.test/a", "detail": "high"}}],
        [{"type": "input_image", "detail": "high", "image_url": "https://x.test/a"}],
    ),
]


@pytest.mark.parametrize(("role", "content", "expected"), FROM_THREADS)
def test_what_threads_write_conversations_read(
    role: str, content: Any, expected: list[dict[str, Any]]
) -> None:
    """A message becomes an item with parts of the Conversations face."""
    item = messages.decode_message({"role": role, "content": content}, NOW)
    body = as_item(item)
    assert (body["role"], body["content"]) == (role, expected)


FROM_CONVERSATIONS: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"type": "input_text", "text": "a"}, [text("a")]),
    ({"type": "output_text", "text": "a"}, [text("a")]),
    ({"type": "text", "text": "a"}, [text("a")]),
    ({"type": "summary_text", "text": "a"}, [text("a")]),
    ({"type": "refusal", "refusal": "no"}, [{"type": "refusal", "refusal": "no"}]),
    (
        {"type": "input_image", "file_id": "file-1", "detail": "original"},
        [{"type": "image_file", "image_file": {"file_id": "file-1", "detail": "high"}}],
    ),
    (
        {"type": "input_image", "image_url": "https://x.test/a"},
        [{"type": "image_url", "image_url": {"url": "https://x.test/a", "detail": "auto"}}],
    ),
    (
        {"type": "computer_screenshot", "image_url": "https://x.test/a"},
        [{"type": "image_url", "image_url": {"url": "https://x.test/a", "detail": "auto"}}],
    ),
]


@pytest.mark.parametrize("role", THREAD_ROLES)
@pytest.mark.parametrize(("part", "expected"), FROM_CONVERSATIONS)
def test_what_conversations_write_threads_read(
    role: str, part: dict[str, Any], expected: list[dict[str, Any]]
) -> None:
    """Text, refusals and images are shown in the parts of the Threads face."""
    (item,) = items.decode_items([{"role": role, "content": [part]}], NOW)
    assert as_message(item)["content"] == expected
    assert "clew" not in as_message(item)


def test_a_file_is_shown_as_an_attachment() -> None:
    """The Threads face has no file part, but it has files attached to a message."""
    parts = [{"type": "input_text", "text": "see"}, {"type": "input_file", "file_id": "file-1"}]
    (item,) = items.decode_items([{"role": "user", "content": parts}], NOW)
    body = as_message(item)
    assert body["content"] == [text("see")]
    assert body["attachments"] == [{"file_id": "file-1", "tools": []}]


def test_what_threads_cannot_show_is_named() -> None:
    """A part without a rendering is left out and said to be, not replaced by invented text."""
    parts = [
        {"type": "input_file", "filename": "a.txt", "file_data": "aGk="},
        {"type": "reasoning_text", "text": "hm"},
    ]
    (item,) = items.decode_items([{"role": "user", "content": parts}], NOW)
    body = as_message(item)
    assert body["content"] == []
    assert body["clew"] == {"left_out": ["input_file", "reasoning_text"]}
    assert [part["type"] for part in as_item(item)["content"]] == ["input_file", "reasoning_text"]


def test_attachments_and_metadata_are_on_both_faces() -> None:
    """What only the Threads face has types for is not lost on the other."""
    extras = {"metadata": {"a": "b"}, "attachments": [{"file_id": "file-1", "tools": []}]}
    item = messages.decode_message({"role": "user", "content": "x", **extras}, NOW)
    assert {name: as_item(item)[name] for name in extras} == extras
    (again,) = items.decode_items([as_item(item)], NOW)
    assert {name: as_message(again)[name] for name in extras} == extras


@given(allowed(messages.CREATE))
@examples(100)
def test_a_message_survives_the_way_over_the_other_face(body: dict[str, Any]) -> None:
    """Read as an item, sent again as one and read as a message, nothing has changed."""
    item = messages.decode_message(body, NOW)
    (again,) = items.decode_items([as_item(item)], NOW)
    assert as_message(again) | {"id": item.id} == as_message(item)
    assert again.body == item.body
