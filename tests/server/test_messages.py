"""Messages by the official client: every method, pages, rich content, metadata."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI

from .test_vector_stores import uploaded


@pytest.fixture
def thread(client: OpenAI) -> str:
    return client.beta.threads.create().id


def say(client: OpenAI, thread: str, *texts: str) -> list[str]:
    """Add messages; their ids."""
    create = client.beta.threads.messages.create
    return [create(thread, role="user", content=text).id for text in texts]


def test_a_message_is_created_read_changed_and_erased(client: OpenAI, thread: str):
    """Every method of messages does what it says."""
    messages = client.beta.threads.messages
    made = messages.create(thread, role="user", content="hi", metadata={"a": "1"})
    assert (made.role, made.content[0].text.value, made.status) == ("user", "hi", "completed")
    assert made.thread_id == thread
    assert messages.retrieve(made.id, thread_id=thread) == made
    changed = messages.update(made.id, thread_id=thread, metadata={"b": "2"})
    assert changed == made.model_copy(update={"metadata": {"b": "2"}})
    assert messages.retrieve(made.id, thread_id=thread) == changed
    gone = messages.delete(made.id, thread_id=thread)
    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError) as refusal:
        messages.retrieve(made.id, thread_id=thread)
    assert refusal.value.body["message"] == f"No message found with id '{made.id}'."
    assert list(messages.list(thread)) == []


def test_content_parts_come_back_as_they_went(client: OpenAI, thread: str):
    """Text, pictures and attachments are kept."""
    made = client.beta.threads.messages.create(
        thread,
        role="user",
        content=[
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
            {"type": "image_file", "image_file": {"file_id": "file-9"}},
        ],
        attachments=[{"file_id": (file := uploaded(client)), "tools": [{"type": "file_search"}]}],
    )
    assert [part.type for part in made.content] == ["text", "image_url", "image_file"]
    assert made.content[1].image_url.url == "https://x.test/a.png"
    assert made.content[1].image_url.detail == "low"
    assert made.content[2].image_file.file_id == "file-9"
    assert made.attachments[0].file_id == file
    assert client.beta.threads.messages.retrieve(made.id, thread_id=thread) == made


def test_an_iterator_walks_all_pages_both_ways(client: OpenAI, thread: str):
    """Auto-paging gives each message once, in order, whatever the page size."""
    ids = say(client, thread, *map(str, range(7)))
    listed = client.beta.threads.messages.list
    assert [m.id for m in listed(thread, limit=3, order="asc")] == ids
    assert [m.id for m in listed(thread, limit=2)] == ids[::-1]
    assert [m.id for m in listed(thread, limit=100, order="asc")] == ids


def test_a_page_may_begin_after_or_end_before_a_message(client: OpenAI, thread: str):
    """Cursors are exclusive and follow the order asked for."""
    a, b, c, d = say(client, thread, "a", "b", "c", "d")
    listed = client.beta.threads.messages.list

    def ids(**query):
        return [message.id for message in listed(thread, **query).data]

    assert ids(after=b, order="asc") == [c, d]
    assert ids(before=c, order="asc") == [a, b]
    assert ids(before=c, order="asc", limit=1) == [b]
    assert ids(after=c) == [b, a]
    assert ids(before=b) == [d, c]
    assert ids(before=d) == []
    assert ids(after=a, before=d, order="asc") == [b, c]


def test_paging_is_not_disturbed_by_what_is_added_meanwhile(client: OpenAI, thread: str):
    """Messages that come while somebody pages are neither skipped nor repeated."""
    ids = say(client, thread, "a", "b", "c")
    page = client.beta.threads.messages.list(thread, limit=2, order="asc")
    ids += say(client, thread, "d")
    seen = [message.id for message in page.data]
    while page.has_next_page():
        page = page.get_next_page()
        seen += [message.id for message in page.data]
    assert seen == ids


def test_an_erased_message_still_serves_as_a_cursor(client: OpenAI, thread: str):
    """Somebody may be paging right there."""
    a, b, c = say(client, thread, "a", "b", "c")
    client.beta.threads.messages.delete(b, thread_id=thread)
    page = client.beta.threads.messages.list(thread, after=b, order="asc")
    assert [message.id for message in page.data] == [c]
    assert [m.id for m in client.beta.threads.messages.list(thread, order="asc")] == [a, c]


def test_messages_of_one_run_are_found(client: OpenAI, thread: str):
    """`run_id` shows what that run wrote."""
    assistant = client.beta.assistants.create(model="scripted")
    say(client, thread, "hello")
    run = client.beta.threads.runs.create_and_poll(
        thread_id=thread, assistant_id=assistant.id, poll_interval_ms=5
    )
    say(client, thread, "later")
    [written] = client.beta.threads.messages.list(thread, run_id=run.id).data
    assert (written.role, written.run_id) == ("assistant", run.id)
    assert written.assistant_id == assistant.id


def test_every_script_comes_back_as_it_went(client: OpenAI, thread: str):
    """Text in any script, with control characters and quotes, is kept to the character."""
    text = 'a "b" \\ \0 \x1f é 漢 🧶 \u2028 \ufeff'
    [id] = say(client, thread, text)
    message = client.beta.threads.messages.retrieve(id, thread_id=thread)
    assert message.content[0].text.value == text


def test_a_message_as_long_as_allowed_is_kept(client: OpenAI, thread: str):
    """256,000 characters, each of four bytes."""
    [id] = say(client, thread, "🧶" * 256_000)
    message = client.beta.threads.messages.retrieve(id, thread_id=thread)
    assert len(message.content[0].text.value) == 256_000
