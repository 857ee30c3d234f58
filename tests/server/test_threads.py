"""Threads by the official client, and what OpenAI never gave: list, fork, window."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from .live import Live
from .test_vector_stores import uploaded


def texts(client: OpenAI, thread: str) -> list[str]:
    """What a thread says, oldest first."""
    listed = client.beta.threads.messages.list(thread, order="asc")
    return [message.content[0].text.value for message in listed]


def filled(client: OpenAI, *said: str, **metadata: str) -> str:
    """The id of a new thread in which a user said this."""
    messages = [{"role": "user", "content": text} for text in said]
    return client.beta.threads.create(messages=messages, metadata=metadata).id


def test_a_thread_is_created_read_changed_and_erased(client: OpenAI):
    """Every method of threads does what it says."""
    made = client.beta.threads.create(
        messages=[{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}],
        metadata={"k": "v"},
        tool_resources={"code_interpreter": {"file_ids": [file := uploaded(client)]}},
    )
    assert made.metadata == {"k": "v"}
    assert made.tool_resources.code_interpreter.file_ids == [file]
    assert texts(client, made.id) == ["one", "two"]
    changed = client.beta.threads.update(made.id, metadata={"other": "w"})
    assert changed.metadata == {"other": "w"}
    assert changed.tool_resources == made.tool_resources
    assert client.beta.threads.retrieve(made.id) == changed
    assert client.beta.threads.delete(made.id).model_dump(include={"id", "object", "deleted"}) == {
        "id": made.id,
        "object": "thread.deleted",
        "deleted": True,
    }
    with pytest.raises(openai.NotFoundError) as refusal:
        client.beta.threads.retrieve(made.id)
    assert refusal.value.body["message"] == f"No thread found with id '{made.id}'."


def test_an_erasure_leaves_a_receipt(client: OpenAI):
    """The answer says how many items went."""
    gone = client.beta.threads.delete(filled(client, "one", "two"))
    receipt = gone.model_extra["clew"]["receipt"]
    assert receipt["items"] == 2
    assert receipt["id"].startswith("rcpt_")


def test_an_empty_thread_is_a_thread(client: OpenAI):
    """A thread needs nothing."""
    thread = client.beta.threads.create()
    assert thread.metadata == {}
    assert texts(client, thread.id) == []


def list_threads(client: OpenAI, face: str = "threads", **query: Any) -> list[str]:
    found: Any = client.get(f"/{face}", cast_to=object, options={"params": query})
    return [entry["id"] for entry in found["data"]]


def test_threads_are_found_by_metadata(client: OpenAI):
    """All conditions must hold; the newest comes first unless asked otherwise."""
    one = filled(client, "x", team="red", tier="1")
    two = filled(client, "x", team="red", tier="2")
    filled(client, "x", team="blue", tier="1")
    assert list_threads(client, **{"metadata[team]": "red"}) == [two, one]
    assert list_threads(client, **{"metadata[team]": "red", "order": "asc"}) == [one, two]
    assert list_threads(client, **{"metadata[team]": "red", "metadata[tier]": "2"}) == [two]
    assert list_threads(client, **{"metadata[team]": "green"}) == []
    as_conversations = list_threads(client, "conversations", **{"metadata[tier]": "2"})
    assert as_conversations == [two.replace("thread_", "conv_")]


def test_threads_are_found_by_time(client: OpenAI):
    """Bounds are inclusive seconds, of creation and of the last change."""
    thread = client.beta.threads.create()
    now = thread.created_at
    assert list_threads(client, created_after=now, created_before=now) == [thread.id]
    assert list_threads(client, created_after=now + 5) == []
    assert list_threads(client, created_before=now - 5) == []
    assert list_threads(client, updated_after=now, updated_before=now + 60) == [thread.id]
    assert list_threads(client, updated_after=now + 60) == []


def test_a_list_of_threads_is_paged(client: OpenAI, http: httpx2.Client):
    """`after` goes on where a page ended, `before` goes back, by the ids of either face."""
    ids = [client.beta.threads.create().id for _ in range(5)]
    first = http.get("/v1/threads", params={"limit": 2, "order": "asc"}).json()
    assert [entry["id"] for entry in first["data"]] == ids[:2]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[0], ids[1], True)
    assert list_threads(client, after=ids[1], limit=2, order="asc") == ids[2:4]
    assert list_threads(client, before=ids[3], limit=2, order="asc") == ids[1:3]
    assert list_threads(client, after=ids[0].replace("thread_", "conv_"), order="asc") == ids[1:]
    rest = http.get("/v1/threads", params={"after": ids[3], "order": "asc"}).json()
    assert ([entry["id"] for entry in rest["data"]], rest["has_more"]) == (ids[4:], False)


def fork(client: OpenAI, thread: str, **body: Any) -> dict[str, Any]:
    made: Any = client.post(f"/threads/{thread}/fork", cast_to=object, body=body)
    return made


def test_a_fork_shares_what_was_there_and_goes_its_own_way(client: OpenAI):
    """What is added to one afterwards is not in the other."""
    parent = filled(client, "one", "two", k="v")
    made = fork(client, parent)
    assert made["metadata"] == {"k": "v"}
    assert made["clew"]["forked_from"] == {"id": parent, "seq": 2}
    client.beta.threads.messages.create(made["id"], role="user", content="mine")
    client.beta.threads.messages.create(parent, role="user", content="theirs")
    assert texts(client, made["id"]) == ["one", "two", "mine"]
    assert texts(client, parent) == ["one", "two", "theirs"]


def test_a_fork_ends_at_the_item_it_is_made_at(client: OpenAI):
    """`at` is the newest item it shares; the ids of shared messages are the same."""
    parent = filled(client, "one", "two", "three")
    ids = [message.id for message in client.beta.threads.messages.list(parent, order="asc")]
    made = fork(client, parent, at=ids[1], metadata={"mine": "yes"})
    assert made["metadata"] == {"mine": "yes"}
    shared = client.beta.threads.messages.list(made["id"], order="asc")
    assert [message.id for message in shared] == ids[:2]
    assert {message.thread_id for message in shared} == {made["id"]}


def test_a_fork_outlives_its_parent(client: OpenAI):
    """Erasing the parent leaves what the fork shares, through the fork alone."""
    parent = filled(client, "kept")
    made = fork(client, parent)
    gone = client.beta.threads.delete(parent)
    assert len(gone.model_extra["clew"]["receipt"]["kept_by"]) == 1
    assert texts(client, made["id"]) == ["kept"]


def test_the_window_is_what_a_model_would_see(client: OpenAI):
    """The newest messages, oldest first; `last_messages` bounds it."""
    thread = filled(client, "one", "two", "three")
    window: Any = client.get(f"/threads/{thread}/window", cast_to=object)
    assert [item["content"][0]["text"] for item in window["data"]] == ["one", "two", "three"]
    assert (window["first_seq"], window["last_seq"], window["left_out"]) == (1, 3, 0)
    query = {"params": {"last_messages": 2}}
    window = client.get(f"/threads/{thread}/window", cast_to=object, options=query)
    assert [item["content"][0]["text"] for item in window["data"]] == ["two", "three"]


def test_another_project_sees_nothing_of_a_thread(client: OpenAI, live: Live):
    """Ids of one project lead nowhere in another, whatever is asked."""
    thread = filled(client, "mine")
    message = client.beta.threads.messages.list(thread).data[0].id
    with live.client(project="proj_stranger") as stranger:
        threads = stranger.beta.threads
        refused = [
            lambda: threads.retrieve(thread),
            lambda: threads.update(thread, metadata={}),
            lambda: threads.delete(thread),
            lambda: threads.messages.list(thread),
            lambda: threads.messages.retrieve(message, thread_id=thread),
            lambda: threads.messages.create(thread, role="user", content="x"),
            lambda: stranger.conversations.retrieve(thread.replace("thread_", "conv_")),
            lambda: fork(stranger, thread),
        ]
        for act in refused:
            with pytest.raises(openai.NotFoundError):
                act()
        assert list_threads(stranger, after=None) == []
    assert texts(client, thread) == ["mine"]
