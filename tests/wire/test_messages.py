"""Messages: the Threads face of an item, both ways."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.pagination import SyncCursorPage
from openai.types.beta.threads import Message

from clew.core.errors import BadRequest
from clew.core.items import Item, message, new_item
from clew.wire import messages
from clew.wire.messages import decode_message, decode_messages, encode_message, encode_messages

from .official import read_message, strict
from .strategies import allowed, bodies_like, examples

NOW = 1_700_000_000_999


def shown(item: Item) -> dict[str, Any]:
    return msgspec.json.decode(encode_message(item, "T"))


def said(body: dict[str, Any]) -> Item:
    return decode_message(body, NOW)


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_a_plain_message_is_stored_as_its_text(role: str) -> None:
    """Plain text becomes a plain item, whatever else was said about it being nothing."""
    for body in (
        {"role": role, "content": 'He said "Hé"\n'},
        {"role": role, "content": 'He said "Hé"\n', "metadata": {}, "attachments": []},
        {"role": role, "content": 'He said "Hé"\n', "metadata": None, "attachments": None},
        {"role": role, "content": [{"type": "text", "text": 'He said "Hé"\n'}]},
    ):
        item = said(body)
        assert (item.kind, item.created_at, item.text()) == (role, NOW, 'He said "Hé"\n')
        assert item.body == '"He said \\"Hé\\"\\n"'.encode()


def test_a_plain_message_has_every_field() -> None:
    """The whole message object is sent, as the SDK types it."""
    item = message("msg_1", "assistant", 'He said "Hé"\n', NOW, run="R")
    assert shown(item) == {
        "id": "msg_1",
        "object": "thread.message",
        "created_at": 1_700_000_000,
        "thread_id": "thread_T",
        "status": "completed",
        "incomplete_details": None,
        "completed_at": 1_700_000_000,
        "incomplete_at": None,
        "role": "assistant",
        "content": [{"type": "text", "text": {"value": 'He said "Hé"\n', "annotations": []}}],
        "assistant_id": None,
        "run_id": "run_R",
        "attachments": [],
        "metadata": {},
    }
    assert read_message(encode_message(item, "T")).run_id == "run_R"


def test_plain_and_rich_messages_have_the_same_fields() -> None:
    """The template and the long way round say the same of the same message."""
    plain = message("msg_1", "user", "hello", NOW)
    rich = new_item(
        "msg_1",
        {"type": "message", "role": "user", "content": "hello", "metadata": {"a": "b"}},
        NOW,
    )
    assert not rich.is_plain
    assert shown(rich) == shown(plain) | {"metadata": {"a": "b"}}
    assert list(shown(rich)) == list(shown(plain))


def test_everything_a_message_may_have_comes_back() -> None:
    """Text, images, attachments and metadata are given back as they were sent."""
    attachment = {
        "file_id": "file-1",
        "tools": [{"type": "file_search"}, {"type": "code_interpreter"}],
    }
    item = said(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_file", "image_file": {"file_id": "file-2", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
            ],
            "attachments": [attachment],
            "metadata": {"account_id": "A-1"},
        }
    )
    body = shown(item)
    assert body["content"] == [
        {"type": "text", "text": {"value": "look", "annotations": []}},
        {"type": "image_file", "image_file": {"file_id": "file-2", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "auto"}},
    ]
    assert body["attachments"] == [attachment]
    assert body["metadata"] == {"account_id": "A-1"}
    read_message(encode_message(item, "T"))


CITATION = {"type": "file_citation", "file_id": "f", "filename": "a.txt", "index": 4}
PATH = {"type": "file_path", "file_id": "f", "index": 4}
CONTAINER = {
    "type": "container_file_citation",
    "container_id": "c",
    "file_id": "f",
    "filename": "a.txt",
    "start_index": 4,
    "end_index": 7,
}
WEB = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}


@pytest.mark.parametrize(
    ("canonical", "expected"),
    [
        (
            CITATION,
            [
                {
                    "type": "file_citation",
                    "text": "",
                    "start_index": 4,
                    "end_index": 4,
                    "file_citation": {"file_id": "f"},
                }
            ],
        ),
        (
            CITATION | {"start_index": 4, "end_index": 7, "text": "【1】"},
            [
                {
                    "type": "file_citation",
                    "text": "【1】",
                    "start_index": 4,
                    "end_index": 7,
                    "file_citation": {"file_id": "f"},
                }
            ],
        ),
        (
            PATH,
            [
                {
                    "type": "file_path",
                    "text": "",
                    "start_index": 4,
                    "end_index": 4,
                    "file_path": {"file_id": "f"},
                }
            ],
        ),
        (
            CONTAINER,
            [
                {
                    "type": "file_path",
                    "text": "【1】",
                    "start_index": 4,
                    "end_index": 7,
                    "file_path": {"file_id": "f"},
                }
            ],
        ),
        (WEB, []),
    ],
)
def test_annotations(canonical: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    """Citations of files keep their place; the Threads face has no citation of a web page."""
    part = {"type": "output_text", "text": "see 【1】.", "annotations": [canonical], "logprobs": []}
    item = new_item("msg_1", {"type": "message", "role": "assistant", "content": [part]}, NOW)
    read = read_message(encode_message(item, "T"))
    assert [note.to_dict() for note in read.content[0].text.annotations] == expected  # type: ignore[union-attr]


def test_an_incomplete_message_says_when_and_why() -> None:
    """What a run could not finish is marked as such."""
    data = {
        "type": "message",
        "role": "assistant",
        "content": "half a",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_tokens"},
        "assistant_id": "asst_A",
    }
    read = read_message(encode_message(new_item("msg_1", data, NOW, run="R"), "T"))
    assert read.status == "incomplete"
    assert (read.incomplete_at, read.completed_at) == (1_700_000_000, None)
    assert read.incomplete_details is not None
    assert read.incomplete_details.reason == "max_tokens"
    assert (read.assistant_id, read.run_id) == ("asst_A", "run_R")


def test_a_page_of_messages() -> None:
    """A list names its first and last entries and keeps the order it was given."""
    items = [
        message("msg_2", "assistant", "two", NOW),
        said({"role": "user", "content": "one", "metadata": {"a": "b"}}),
    ]
    page = msgspec.json.decode(encode_messages(items, "T", True))
    assert [entry["id"] for entry in page["data"]] == ["msg_2", items[1].id]
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == (
        "list",
        "msg_2",
        items[1].id,
        True,
    )
    strict(SyncCursorPage[Message], page)


def test_an_empty_page() -> None:
    """A page of nothing has no first and no last."""
    assert msgspec.json.decode(encode_messages([], "T", False)) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


LONG = "x" * 256_001
TOO_LONG = (
    "string too long. Expected a string with maximum length 256000, "
    "but got a string with length 256001 instead."
)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"role": "user"}, "content", "Missing required parameter: 'content'."),
        ({"content": "x"}, "role", "Missing required parameter: 'role'."),
        (
            {"role": "system", "content": "x"},
            "role",
            "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.",
        ),
        ({"role": "user", "content": LONG}, "content", f"Invalid 'content': {TOO_LONG}"),
        (
            {"role": "user", "content": [{"type": "text", "text": LONG}]},
            "content[0].text",
            f"Invalid 'content[0].text': {TOO_LONG}",
        ),
        (
            {"role": "user", "content": ""},
            "content",
            "Invalid 'content': empty string. Expected a string with minimum length 1, "
            "but got an empty string instead.",
        ),
        (
            {"role": "user", "content": []},
            "content",
            "Invalid 'content': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
        ),
        (
            {"role": "user", "content": None},
            "content",
            "Invalid type for 'content': expected one of a string or array of objects, "
            "but got null instead.",
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
            "content[0].type",
            "Invalid value: 'input_file'. "
            "Supported values are: 'text', 'image_file', and 'image_url'.",
        ),
        (
            {"role": "user", "content": "x", "attachments": [{"file_id": "file-1", "tools": [{}]}]},
            "attachments[0].tools[0].type",
            "Missing required parameter: 'attachments[0].tools[0].type'.",
        ),
        (
            {"role": "user", "content": "x", "file_ids": []},
            "file_ids",
            "Unknown parameter: 'file_ids'.",
        ),
    ],
)
def test_bad_messages_are_refused_by_name(body: dict[str, Any], param: str, message: str) -> None:
    """A message that cannot be stored is refused with the path to the mistake."""
    with pytest.raises(BadRequest) as caught:
        decode_message(body, NOW)
    assert (caught.value.param, caught.value.message) == (param, message)


def test_the_longest_message_is_accepted() -> None:
    """256,000 characters are allowed, whatever they weigh in bytes."""
    assert said({"role": "user", "content": "🧵" * 256_000}).is_plain


def test_one_bad_message_of_many_is_named() -> None:
    """Messages that come together are refused together, by the index of the bad one."""
    with pytest.raises(BadRequest) as caught:
        decode_messages([{"role": "user", "content": "x"}, {"role": "user"}], NOW)
    assert caught.value.param == "messages[1].content"


def test_messages_keep_their_order_and_get_ids_of_their_own() -> None:
    """Several messages become several items in the order given."""
    items = decode_messages([{"role": "user", "content": str(n)} for n in range(5)], NOW)
    assert [item.text() for item in items] == ["0", "1", "2", "3", "4"]
    assert len({item.id for item in items}) == 5
    assert all(item.id.startswith("msg_") for item in items)


def test_metadata_is_replaced() -> None:
    """An update replaces the metadata; null clears it."""
    assert messages.decode_metadata({"metadata": {"a": "b"}}) == {"a": "b"}
    assert messages.decode_metadata({"metadata": None}) == {}
    with pytest.raises(BadRequest, match="Unknown parameter: 'content'"):
        messages.decode_metadata({"content": "x"})


@given(allowed(messages.CREATE))
@examples(150)
def test_whatever_is_let_in_can_be_read_back(body: dict[str, Any]) -> None:
    """Every message the spec allows comes back as the SDK types it."""
    item = said(body)
    read = read_message(encode_message(item, "T"))
    assert read.role == body["role"]
    assert len(read.content) == (1 if isinstance(body["content"], str) else len(body["content"]))


NAMES = ["role", "content", "attachments", "metadata", "type", "text", "image_url", "file_id"]


@given(bodies_like(NAMES))
@examples(200)
def test_no_body_breaks_the_decoder(body: Any) -> None:
    """Whatever comes as a message, the answer is an item or a refusal."""
    try:
        item = said(body)
    except BadRequest as error:
        error.message.encode()
    else:
        read_message(encode_message(item, "T"))
