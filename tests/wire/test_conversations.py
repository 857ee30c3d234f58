"""Conversations: the Conversations face of a thread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from openai.types.conversations import Conversation

from clew.core.errors import BadRequest
from clew.core.threads import Thread
from clew.wire import conversations
from clew.wire.conversations import decode_changes, decode_conversation, encode_conversation

from .official import strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_999


def test_a_new_conversation() -> None:
    """A conversation is made from its metadata and first items."""
    thread, items = decode_conversation(
        {"metadata": {"a": "b"}, "items": [{"role": "user", "content": "hi"}]}, NOW
    )
    assert (thread.metadata, thread.created_at) == ({"a": "b"}, NOW)
    assert [(item.kind, item.text()) for item in items] == [("user", "hi")]


@pytest.mark.parametrize("body", [{}, {"items": None, "metadata": None}, {"items": []}])
def test_a_conversation_of_nothing(body: dict[str, Any]) -> None:
    """Both fields may be left out, null or empty."""
    thread, items = decode_conversation(body, NOW)
    assert (thread.metadata, items) == ({}, [])


def test_the_conversation_object() -> None:
    """The same thread, in the words of the other face."""
    thread = Thread("T", NOW, NOW, {"a": "b"}, active_run="TR", parent="P", parent_seq=2)
    body = encode_conversation(thread)
    assert body == {
        "id": "conv_T",
        "object": "conversation",
        "created_at": 1_700_000_000,
        "metadata": {"a": "b"},
        "clew": {
            "thread_id": "thread_T",
            "revision": 0,
            "updated_at": 1_700_000_000,
            "last_seq": 0,
            "forked_from": {"id": "conv_P", "seq": 2},
            "on_busy": None,
            "active_run": "resp_TR",
        },
    }
    assert strict(Conversation, body).id == "conv_T"


def test_an_update_needs_metadata() -> None:
    """An update replaces the metadata, and says what happens on a busy thread."""
    for metadata in ({"a": "b"}, None):
        changes = decode_changes({"metadata": metadata})
        assert changes == {"metadata": metadata or {}, "on_busy": None}
    changes = decode_changes({"metadata": None, "on_busy": "queue"})
    assert changes == {"metadata": {}, "on_busy": "queue"}
    with pytest.raises(BadRequest, match="Missing required parameter: 'metadata'"):
        decode_changes({})


def test_twenty_items_at_most() -> None:
    """A twenty-first item is refused before anything is stored."""
    items = [{"role": "user", "content": "x"}] * 21
    with pytest.raises(BadRequest) as caught:
        decode_conversation({"items": items}, NOW)
    assert caught.value.message == (
        "Invalid 'items': array too long. Expected an array with maximum length 20, "
        "but got an array with length 21 instead."
    )
    assert len(decode_conversation({"items": items[:20]}, NOW)[1]) == 20


@given(allowed(conversations.CREATE))
@examples(50)
def test_whatever_is_let_in_can_be_read_back(body: dict[str, Any]) -> None:
    """Every conversation the spec allows comes back as the SDK types it."""
    thread, items = decode_conversation(body, NOW)
    strict(Conversation, encode_conversation(thread))
    assert len(items) == len(body.get("items") or ())


@given(bodies_like(["items", "metadata", "role", "content", "type"]))
@examples(150)
def test_no_body_breaks_the_decoders(body: Any) -> None:
    """Whatever comes as a conversation, the answer is a conversation or a refusal."""
    for decode in (lambda: decode_conversation(body, NOW), lambda: decode_changes(body)):
        result: Any = None
        try:
            result = decode()
        except BadRequest as error:
            error.message.encode()
        assert result is None or isinstance(body, dict)
