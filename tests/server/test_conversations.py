"""Conversations and their items by the official client; one thread through both faces at once."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI


def user(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


def other_face(id: str) -> str:
    """The same thread's id on the other face."""
    noun, _, key = id.partition("_")
    return f"{'conv' if noun == 'thread' else 'thread'}_{key}"


def test_a_conversation_is_created_read_changed_and_erased(client: OpenAI):
    """Every method of conversations does what it says."""
    made = client.conversations.create(metadata={"k": "v"}, items=[user("one"), user("two")])
    assert made.metadata == {"k": "v"}
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, metadata={"other": "w"})
    assert changed.metadata == {"other": "w"}
    assert client.conversations.retrieve(made.id) == changed
    assert client.conversations.delete(made.id).deleted
    for act in (client.conversations.retrieve, client.conversations.delete):
        with pytest.raises(openai.NotFoundError) as refusal:
            act(made.id)
        assert refusal.value.body["message"] == f"Conversation with id '{made.id}' not found."


def test_items_are_added_read_listed_and_erased(client: OpenAI):
    """Every method of items does what it says; the request's order is the log's."""
    conversation = client.conversations.create()
    items = client.conversations.items
    added = items.create(conversation.id, items=[user("one"), user("two"), user("three")])
    ids = [item.id for item in added.data]
    assert [item.content[0].text for item in added.data] == ["one", "two", "three"]
    assert (added.first_id, added.last_id, added.has_more) == (ids[0], ids[2], False)
    assert items.retrieve(ids[1], conversation_id=conversation.id) == added.data[1]
    assert items.delete(ids[1], conversation_id=conversation.id).id == conversation.id
    with pytest.raises(openai.NotFoundError) as refusal:
        items.retrieve(ids[1], conversation_id=conversation.id)
    said = f"Item with id '{ids[1]}' not found in conversation."
    assert refusal.value.body["message"] == said
    assert [item.id for item in items.list(conversation.id, order="asc")] == [ids[0], ids[2]]


def test_an_iterator_walks_all_items(client: OpenAI):
    """Auto-paging gives each item once, in either order."""
    conversation = client.conversations.create()
    items = client.conversations.items
    ids = [items.create(conversation.id, items=[user(str(n))]).data[0].id for n in range(5)]
    assert [item.id for item in items.list(conversation.id, limit=2, order="asc")] == ids
    assert [item.id for item in items.list(conversation.id, limit=2)] == ids[::-1]
    page = items.list(conversation.id, after=ids[2], order="asc")
    assert [item.id for item in page.data] == ids[3:]


RICH: list[Any] = [
    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "42"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "because"}]},
    {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "high"},
        ],
    },
    {"type": "message", "role": "system", "content": "Be brief."},
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Mind."}]},
]


def test_rich_items_come_back_as_they_went(client: OpenAI):
    """Calls, outputs, reasoning and pictures keep every field, in one request's order."""
    conversation = client.conversations.create()
    added = client.conversations.items.create(conversation.id, items=RICH)
    assert [item.type for item in added.data] == [item["type"] for item in RICH]
    listed = list(client.conversations.items.list(conversation.id, order="asc"))
    assert listed == added.data
    call, output, reasoning, picture = listed[:4]
    assert (call.call_id, call.name, call.arguments) == ("call_1", "f", "{}")
    assert (output.call_id, output.output) == ("call_1", "42")
    assert reasoning.summary[0].text == "because"
    assert picture.content[1].image_url == "https://x.test/a.png"


def test_what_one_face_writes_the_other_reads(client: OpenAI):
    """Items of a conversation are messages of its thread and back: same ids, same order."""
    thread = client.beta.threads.create(metadata={"k": "v"}).id
    conversation = other_face(thread)
    first = client.beta.threads.messages.create(thread, role="user", content="by threads").id
    second = client.conversations.items.create(conversation, items=[user("by items")]).data[0].id
    third = client.beta.threads.messages.create(thread, role="assistant", content="ok").id
    messages = list(client.beta.threads.messages.list(thread, order="asc"))
    items = list(client.conversations.items.list(conversation, order="asc"))
    assert [m.id for m in messages] == [i.id for i in items] == [first, second, third]
    assert [m.role for m in messages] == [i.role for i in items] == ["user", "user", "assistant"]
    said = ["by threads", "by items", "ok"]
    assert [m.content[0].text.value for m in messages] == said
    assert [i.content[0].text for i in items] == said
    assert client.conversations.retrieve(conversation).metadata == {"k": "v"}
    client.conversations.update(conversation, metadata={"k": "w"})
    assert client.beta.threads.retrieve(thread).metadata == {"k": "w"}


def test_a_conversation_made_first_is_a_thread_too(client: OpenAI):
    """The other way round: what the Conversations face made, the Threads face reads and erases."""
    conversation = client.conversations.create(items=[user("hi")]).id
    thread = other_face(conversation)
    [message] = client.beta.threads.messages.list(thread)
    assert message.content[0].text.value == "hi"
    client.beta.threads.messages.delete(message.id, thread_id=thread)
    assert list(client.conversations.items.list(conversation)) == []
    client.beta.threads.delete(thread)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation)


def test_items_that_are_no_messages_stay_off_the_threads_face(client: OpenAI):
    """Calls, reasoning and system messages are in the log, and no Assistants message."""
    conversation = client.conversations.create().id
    added = client.conversations.items.create(conversation, items=RICH).data
    messages = list(client.beta.threads.messages.list(other_face(conversation)))
    assert [message.id for message in messages] == [added[3].id]
    with pytest.raises(openai.NotFoundError):
        client.beta.threads.messages.retrieve(added[0].id, thread_id=other_face(conversation))


def test_a_cursor_of_one_face_works_on_the_other(client: OpenAI):
    """Item ids are message ids, also as cursors beside items the Threads face does not show."""
    conversation = client.conversations.create().id
    added = client.conversations.items.create(conversation, items=[*RICH, user("last")]).data
    page = client.beta.threads.messages.list(
        other_face(conversation), after=added[0].id, order="asc"
    )
    assert [message.id for message in page.data] == [added[3].id, added[-1].id]


def test_details_of_items_are_shown_when_asked_for(client: OpenAI):
    """What a client stored is all there; lists, reads and new items show it with `include`."""
    conversation = client.conversations.create().id
    found = {"type": "file_search_call", "id": "fs_x", "status": "completed", "queries": ["q"]}
    items: Any = [found | {"results": [{"text": "found"}]}]
    calls = client.conversations.items
    added = calls.create(conversation, items=items).data[0]
    asked: Any = {"include": ["file_search_call.results"]}
    again = calls.create(conversation, items=items, **asked).data[0]
    read = [calls.retrieve(added.id, conversation_id=conversation, **how) for how in ({}, asked)]
    lists = [calls.list(conversation, **how).data[-1] for how in ({}, asked)]
    results: Any = [item.results for item in (added, again, *read, *lists)]
    assert [bool(one) for one in results] == [False, True, False, True, False, True]
    assert results[1][0].text == "found"
