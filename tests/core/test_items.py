"""Items: the canonical form, kept short for plain messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.core.items import (
    Item,
    call_id,
    message,
    new_item,
    text_part,
    unanswered,
    with_metadata,
)

NOW = 1_700_000_000_000
USER = {"type": "message", "role": "user", "status": "completed"}
IMAGE = {"type": "input_image", "detail": "auto", "file_id": "file-1"}
NOTE = {"type": "file_citation", "file_id": "f", "filename": "f.txt", "index": 3}


def said(*content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {**USER, "role": role, "content": list(content), **more}


def call(id: str, call: str, kind: str = "function_call") -> Item:
    data = {"type": kind, "call_id": call, "name": "f", "arguments": "{}"}
    return new_item(id, data, NOW)


def output(id: str, call: str, kind: str = "function_call_output") -> Item:
    return new_item(id, {"type": kind, "call_id": call, "output": "1"}, NOW)


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_a_plain_message_is_its_text(role: str) -> None:
    """One text part and nothing else is stored as a JSON string."""
    item = new_item("msg_1", said(text_part(role, 'a "b"\n'), role=role), NOW)
    assert (item.kind, item.body, item.is_plain, item.is_message) == (
        role,
        rb'"a \"b\"\n"',
        True,
        True,
    )
    assert item == message("msg_1", role, 'a "b"\n', NOW)
    assert item.data() == said(text_part(role, 'a "b"\n'), role=role)


def test_what_the_assistant_says_is_output() -> None:
    """The text of an assistant is output_text, that of all others input_text."""
    output_text = {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
    assert message("m", "assistant", "a", NOW).data()["content"] == [output_text]
    for role in ("user", "system", "developer", "tool"):
        content = message("m", role, "a", NOW).data()["content"]
        assert content == [{"type": "input_text", "text": "a"}]


@pytest.mark.parametrize(
    "data",
    [
        said(text_part("user", "a"), text_part("user", "b")),
        said(IMAGE),
        said(),
        said({"type": "text", "text": "a"}),
        said(text_part("user", "a") | {"x": 1}),
        said(text_part("user", "a"), status="incomplete"),
        said(text_part("user", "a"), metadata={"k": "v"}),
        said(text_part("user", "a"), attachments=[{"file_id": "f"}]),
        said(text_part("user", "a"), of_later="kept"),
        said(text_part("assistant", "a") | {"annotations": [NOTE]}, role="assistant"),
        said(text_part("user", "a"), role="assistant"),
    ],
)
def test_a_richer_message_keeps_all_it_has(data: dict[str, Any]) -> None:
    """Anything beyond one text part is stored as an object and given back whole."""
    item = new_item("msg_1", data, NOW)
    assert not item.is_plain
    assert item.data() == data


def test_one_string_is_one_part() -> None:
    """Content given as a string becomes the text part of its role."""
    item = new_item("m", {**USER, "content": "a", "metadata": {"k": "v"}}, NOW)
    assert item.data() == said(text_part("user", "a"), metadata={"k": "v"})


@pytest.mark.parametrize("nothing", [None, {}, []])
def test_fields_that_say_nothing_are_not_stored(nothing: Any) -> None:
    """Empty metadata and attachments leave a plain message plain; its own id is not stored."""
    data = said(text_part("user", "a"), metadata=nothing, attachments=nothing, id="theirs")
    assert new_item("m", data, NOW) == message("m", "user", "a", NOW)


def test_a_message_without_a_status_is_completed() -> None:
    """What does not say its status is done."""
    data = said(IMAGE)
    del data["status"]
    assert new_item("m", data, NOW).data()["status"] == "completed"


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
fields = st.dictionaries(st.text(max_size=8).filter(lambda name: name not in ("type", "id")), json)


@given(st.sampled_from(["function_call", "reasoning", "mcp_call", "of_later"]), fields)
def test_other_items_keep_every_field(kind: str, more: dict[str, Any]) -> None:
    """Whatever fields an item of another type has, known or not, come back as they were."""
    item = new_item("i", {"type": kind, "id": "theirs", **more}, NOW, "R")
    assert (item.id, item.kind, item.run, item.seq) == ("i", kind, "R", 0)
    assert item.data() == {"type": kind, **more}
    assert msgspec.json.decode(item.body) == more


@pytest.mark.parametrize(
    "data",
    [
        said(text_part("user", "a")),
        said(text_part("user", "a"), IMAGE, attachments=[{"file_id": "f"}]),
        said(text_part("assistant", "a") | {"annotations": [NOTE]}, role="assistant"),
        said(text_part("assistant", "a"), role="assistant", status="incomplete"),
        said(text_part("assistant", "a"), role="assistant", assistant_id="asst_1", of_later=1),
    ],
)
def test_metadata_is_replaced_and_nothing_else(data: dict[str, Any]) -> None:
    """A message with other metadata has every other field, and its place, as before."""
    item = msgspec.structs.replace(new_item("m", data, NOW, "R"), seq=7)
    changed = with_metadata(with_metadata(item, {"old": "gone"}), {"k": "v"})
    assert changed.data() == data | {"metadata": {"k": "v"}}
    assert (changed.id, changed.seq, changed.run, changed.created_at) == ("m", 7, "R", NOW)
    assert with_metadata(changed, {}) == item


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (said(text_part("user", "a")), "a"),
        (said(text_part("user", "a"), IMAGE, text_part("user", "b")), "ab"),
        (said({"type": "refusal", "refusal": "no"}, role="assistant"), "no"),
        (said(), ""),
        (said(IMAGE), ""),
        ({"type": "reasoning", "summary": []}, ""),
        ({"type": "reasoning", "content": None}, ""),
    ],
)
def test_the_text_of_an_item(data: dict[str, Any], text: str) -> None:
    """The text is what a reader would read: texts and refusals joined, nothing for the rest."""
    assert new_item("i", data, NOW).text() == text


def test_calls_without_outputs() -> None:
    """Calls are unanswered until their output comes, in the order they were made."""
    first, second, third = call("i1", "a"), call("i2", "b"), call("i3", "c", "custom_tool_call")
    items = [first, second, third]
    assert list(unanswered(items)) == ["a", "b", "c"]
    assert unanswered([*items, output("o", "b")]) == {"a": first, "c": third}
    assert list(unanswered([*items, output("o", "c", "custom_tool_call_output")])) == ["a", "b"]
    assert unanswered([message("m", "user", "hi", NOW)]) == {}


def test_a_call_made_again_is_open_again() -> None:
    """A call id that is used again after its output waits for another; a stray output is none."""
    assert unanswered([output("o", "a")]) == {}
    again = call("i2", "a")
    assert unanswered([call("i1", "a"), output("o", "a"), again]) == {"a": again}
    assert call_id(again) == "a"
