"""ChatKit's read side by the official client: one more view of the same threads."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.core.items import message, new_item

from .live import Live, run

T0 = 1_700_000_000_000


def new_thread(client: OpenAI, **metadata: str) -> str:
    """The ChatKit id of a new thread."""
    return client.beta.threads.create(metadata=metadata).id.replace("thread_", "cthr_")


def add(client: OpenAI, id: str, *items: dict[str, Any]) -> None:
    client.conversations.items.create(id.replace("cthr_", "conv_"), items=list(items))


def test_threads_are_listed_by_user(client: OpenAI):
    """By their metadata `user`, newest first; without a user, all of them."""
    ids = [new_thread(client, user=user) for user in ("ada", "bob", "ada", "ada")]
    nobodys = new_thread(client)
    threads = client.beta.chatkit.threads
    of_ada = [ids[0], *ids[2:]]
    assert [each.id for each in threads.list(user="ada", limit=2)] == of_ada[::-1]
    assert [each.id for each in threads.list(user="ada", order="asc", limit=1)] == of_ada
    assert [each.id for each in threads.list()] == [nobodys, *ids[::-1]]
    page = threads.list(user="ada", order="asc", before=of_ada[1], limit=1)
    assert [each.id for each in page.data] == of_ada[:1]
    assert threads.list(limit=0).data == []
    assert list(threads.list(user="nobody")) == []


def test_a_thread_has_title_user_and_status(client: OpenAI):
    """Title and user are its metadata; it is locked while a run is active."""
    id = new_thread(client, user="ada", title="Yarn")
    threads = client.beta.chatkit.threads
    found = threads.retrieve(id)
    assert (found.id, found.title, found.user, found.status.type) == (id, "Yarn", "ada", "active")
    bare = threads.retrieve(new_thread(client))
    assert (bare.title, bare.user) == (None, "")
    assistant = client.beta.assistants.create(model="scripted")
    thread = id.replace("cthr_", "thread_")
    client.beta.threads.messages.create(thread, role="user", content="weather in Rome")
    paused = client.beta.threads.runs.create_and_poll(
        thread_id=thread,
        assistant_id=assistant.id,
        tools=[{"type": "function", "function": {"name": "get_weather"}}],
        poll_interval_ms=5,
    )
    assert threads.retrieve(id).status.type == "locked"
    client.beta.threads.runs.cancel(paused.id, thread_id=thread)
    assert threads.retrieve(id).status.type == "active"


def test_items_have_chatkits_shapes(live: Live, client: OpenAI, project: str):
    """Messages, tool calls with their outputs, and reasoning; all else is left out."""
    id = new_thread(client)
    cited = {
        "type": "output_text",
        "text": "See there.",
        "annotations": [
            {"type": "url_citation", "url": "https://x", "title": "x", "start_index": 0,
             "end_index": 3},
            {"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 0},
        ],
    }  # fmt: skip
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    add(
        client,
        id,
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_file", "file_id": "file-1", "filename": "a.txt"},
                {"type": "input_image", "image_url": "https://x/y.png"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [
                {"type": "summary_text", "text": "First."},
                {"type": "summary_text", "text": "Then."},
            ],
        },
        call,
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
        call | {"call_id": "c2"},
        {"type": "message", "role": "assistant", "content": [cited]},
    )
    items = list(client.beta.chatkit.threads.list_items(id, order="asc", limit=2))
    assert [item.type for item in items] == [
        "chatkit.user_message",
        "chatkit.task",
        "chatkit.client_tool_call",
        "chatkit.client_tool_call",
        "chatkit.assistant_message",
    ]
    asked, thought, answered, waiting, said = items
    assert [part.text for part in asked.content] == ["look"]
    assert [(each.id, each.name) for each in asked.attachments] == [("file-1", "a.txt")]
    assert asked.model_extra["clew"] == {"left_out": ["input_image"]}
    assert (thought.task_type, thought.summary) == ("thought", "First.\nThen.")
    assert (answered.output, answered.status) == ("done", "completed")
    assert (waiting.output, waiting.status) == (None, "in_progress")
    assert [note.type for note in said.content[0].annotations] == ["url", "file"]
    assert {item.thread_id for item in items} == {id}
    newest_first = list(client.beta.chatkit.threads.list_items(id, limit=3))
    assert newest_first == items[::-1]
    page = client.beta.chatkit.threads.list_items(id, before=items[2].id, order="asc")
    assert page.data == items[:2]


def test_pages_of_items_pass_over_what_is_not_shown(live: Live, client: OpenAI, project: str):
    """Many items without a shape between two that have one break no page."""
    id = new_thread(client)
    key = id.removeprefix("cthr_")
    hidden = [message(f"msg_h{n}", "system", "x", T0) for n in range(150)]
    shown = [message(f"msg_s{n}", "user", str(n), T0) for n in range(3)]
    output = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text"}]}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    log = [
        shown[0], new_item("fc_1", call, T0), *hidden, new_item("fco_1", output, T0), *shown[1:]
    ]  # fmt: skip
    live.here.append_items(project, key, log, T0)
    expected = ["msg_s0", "fc_1", "msg_s1", "msg_s2"]
    listed = client.beta.chatkit.threads.list_items
    items = list(listed(id, order="asc", limit=1))
    assert [item.id for item in items] == expected
    assert [item.id for item in listed(id, limit=2)] == expected[::-1]
    assert items[1].output == '[{"type":"input_text"}]'


def test_a_thread_is_deleted(client: OpenAI):
    """It is gone for every face; what is asked of it then is told in ChatKit's ids."""
    id = new_thread(client, user="ada")
    threads = client.beta.chatkit.threads
    assert threads.delete(id).deleted
    for act in (threads.retrieve, threads.delete, threads.list_items):
        with pytest.raises(openai.NotFoundError) as refusal:
            act(id)
        assert refusal.value.body["message"] == f"No thread found with id '{id}'."
    with pytest.raises(openai.NotFoundError) as refusal:
        client.conversations.retrieve(id.replace("cthr_", "conv_"))
    assert "Conversation with id 'conv_" in refusal.value.body["message"]


def test_an_asynchronous_client_reads_the_same(live: Live, client: OpenAI, project: str):
    """List, retrieve, items and delete, by a client that awaits."""
    id = new_thread(client, user="ada")
    add(client, id, {"role": "user", "content": "hello"})

    async def play() -> None:
        async with live.async_client(project=project) as waiting:
            threads = waiting.beta.chatkit.threads
            assert [each.id async for each in threads.list(user="ada")] == [id]
            assert (await threads.retrieve(id)).id == id
            [item] = [item async for item in threads.list_items(id)]
            assert item.content[0].text == "hello"
            assert (await threads.delete(id)).id == id

    run(play())


def test_sessions_are_refused_with_a_reason(client: OpenAI):
    """Sessions are for OpenAI's hosted widget and workflows."""
    with pytest.raises(openai.BadRequestError, match="hosted widget and workflows"):
        client.beta.chatkit.sessions.create(user="ada", workflow={"id": "wf_1"})
    with pytest.raises(openai.NotFoundError, match="No session found with id 'cksess_1'"):
        client.beta.chatkit.sessions.cancel("cksess_1")


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=101", "limit"), ("user=", "user"), ("order=up", "order"), ("after=msg_1", "after"),
     ("user=a&user=b", "user"), ("metadata[k]=v", "metadata[k]")],
)  # fmt: skip
def test_a_bad_query_is_refused_by_name(http: httpx2.Client, query: str, param: str):
    """What a list cannot be asked is named."""
    answer = http.get(f"/v1/chatkit/threads?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
