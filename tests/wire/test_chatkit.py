"""ChatKit's objects pass the official client's strict check, whatever an item holds."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from openai.types.beta.chatkit import ChatKitThread
from openai.types.beta.chatkit.chatkit_thread_item_list import Data

from clew.core.items import new_item
from clew.core.threads import Thread
from clew.wire import chatkit
from clew.wire.items import INPUT_ITEM, items_of

from .official import strict
from .strategies import examples, of_kind

T0 = 1_700_000_000_000


def shown(item: Any, outputs: dict[str, Any] | None = None) -> dict[str, Any]:
    encoded = chatkit.encode_item(item, "X", outputs or {})
    strict(cast(Any, Data), encoded)
    return encoded


@pytest.mark.parametrize("kind", ["message", "function_call", "reasoning"])
def test_every_item_that_is_shown_has_a_shape(kind: str):
    """Whatever an item of a shown kind holds, the client accepts what it becomes."""

    @examples(40)
    @given(of_kind(INPUT_ITEM, kind))
    def play(body: dict[str, Any]) -> None:
        for item in items_of([body], T0):
            if item.kind in chatkit.KINDS:
                assert shown(item)["thread_id"] == "cthr_X"

    play()


def test_threads_are_as_the_client_types_them():
    """Active or locked, with a title or without."""
    thread = Thread("X", T0, T0, {"title": "Yarn", "user": "ada"})
    for each in (thread, Thread("X", T0, T0, active_run="R")):
        strict(ChatKitThread, chatkit.encode_thread(each))
    assert chatkit.encode_thread(thread)["created_at"] == T0 // 1000


def test_a_refusal_is_what_the_assistant_said():
    """ChatKit knows no refusals: it is shown as text."""
    data = {"type": "message", "role": "assistant", "content": []}
    data["content"].append({"type": "refusal", "refusal": "No."})
    data["content"].append({"type": "computer_screenshot", "file_id": "file-1"})
    encoded = shown(new_item("msg_1", data, T0))
    assert [part["text"] for part in encoded["content"]] == ["No."]
    assert encoded["clew"] == {"left_out": ["computer_screenshot"]}


def test_reasoning_without_a_summary_shows_its_text():
    """What a model shows of its thought is in the summary, or in the content, or nowhere."""
    for fields, summary in (
        ({"summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}, "Hm."),
        ({"summary": [], "encrypted_content": "x"}, None),
    ):
        assert shown(new_item("rs_1", {"type": "reasoning", **fields}, T0))["summary"] == summary


def test_a_list_is_by_user_or_of_all():
    """The user is a condition on metadata; a cursor may have any of a thread's prefixes."""
    query = chatkit.decode_list([("user", "ada"), ("after", "cthr_X"), ("limit", "0")])
    assert (query.metadata, query.page.after, query.page.limit) == ({"user": "ada"}, "X", 0)
    assert chatkit.decode_list([]).metadata == {}
