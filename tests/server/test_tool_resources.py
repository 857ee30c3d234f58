"""tool_resources mean what OpenAI says, by the official client."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.core.errors import BadRequest
from clew.core.tool_resources import merged
from clew.core.vector_stores import DAY_MS
from clew.executor.resources import usable

from .live import Live
from .test_vector_stores import FABLE, polled, said, uploaded

CODE: Any = [{"type": "code_interpreter"}]
SEARCH: Any = [{"type": "file_search"}]
BOTH: Any = [*CODE, *SEARCH]


def attached(*files: str, tools: Any = BOTH, text: str = "Look.") -> Any:
    """A message with files."""
    files_given = [{"file_id": file, "tools": tools} for file in files]
    return {"role": "user", "content": text, "attachments": files_given}


def files_of(client: OpenAI, thread: str) -> list[str]:
    held = client.beta.threads.retrieve(thread).tool_resources.code_interpreter
    return list(held.file_ids or ()) if held else []


def store_of(client: OpenAI, thread: str) -> str:
    held = client.beta.threads.retrieve(thread).tool_resources.file_search
    (id,) = held.vector_store_ids if held else ()
    return str(id)


def all_stores(client: OpenAI) -> list[str]:
    return [each.id for each in client.vector_stores.list()]


@pytest.fixture
def assistant(client: OpenAI) -> str:
    return client.beta.assistants.create(model="scripted").id


def check_attached(client: OpenAI, thread: str, file: str) -> None:
    """The file is at hand for code, and in the thread's own store, which expires."""
    assert files_of(client, thread) == [file]
    store = client.vector_stores.retrieve(store_of(client, thread))
    assert (store.expires_after.anchor, store.expires_after.days) == ("last_active_at", 7)
    assert [each.id for each in client.vector_stores.files.list(store.id)] == [file]
    assert all_stores(client) == [store.id]


def test_a_messages_files_join_its_thread(client: OpenAI):
    """An attachment is at hand for code_interpreter, and is found by file_search."""
    file, thread = uploaded(client), client.beta.threads.create().id
    message = client.beta.threads.messages.create(thread, **attached(file))
    assert [each.file_id for each in message.attachments] == [file]
    check_attached(client, thread, file)
    store = store_of(client, thread)
    while client.vector_stores.retrieve(store).status == "in_progress":
        pass
    (found,) = client.vector_stores.search(store, query="crow").data
    assert found.content[0].text == FABLE


def test_first_messages_bring_their_files(client: OpenAI):
    """The messages of a new thread do the same."""
    file = uploaded(client)
    thread = client.beta.threads.create(messages=[attached(file), attached(file)])
    check_attached(client, thread.id, file)
    assert client.beta.threads.retrieve(thread.id) == thread


def test_a_runs_messages_bring_their_files(client: OpenAI, assistant: str):
    """Additional messages of a run, and those of a thread made with a run, do the same."""
    file, thread = uploaded(client), client.beta.threads.create().id
    client.beta.threads.runs.create(
        thread, assistant_id=assistant, additional_messages=[attached(file)]
    )
    check_attached(client, thread, file)
    client.vector_stores.delete(store_of(client, thread))
    run = client.beta.threads.create_and_run(
        assistant_id=assistant, thread={"messages": [attached(file)]}
    )
    check_attached(client, run.thread_id, file)


def test_a_tool_gets_what_is_for_it(client: OpenAI):
    """A file for one tool is not given to the other; one for none to none."""
    code, search, none = (uploaded(client, name) for name in ("code", "search", "none"))
    thread = client.beta.threads.create().id
    for file, tools in ((code, CODE), (search, SEARCH), (none, [])):
        client.beta.threads.messages.create(thread, **attached(file, tools=tools))
    assert files_of(client, thread) == [code]
    listed = client.vector_stores.files.list(store_of(client, thread))
    assert [each.id for each in listed] == [search]


def test_files_go_into_the_store_that_is_there(client: OpenAI):
    """A thread that has a store keeps it, with its own end, and attached files are added."""
    mine = client.vector_stores.create(name="mine").id
    resources: Any = {"file_search": {"vector_store_ids": [mine]}}
    thread = client.beta.threads.create(tool_resources=resources).id
    file = uploaded(client)
    for _ in range(2):
        client.beta.threads.messages.create(thread, **attached(file, tools=SEARCH))
    assert store_of(client, thread) == mine
    assert client.vector_stores.retrieve(mine).expires_after is None
    assert [each.id for each in client.vector_stores.files.list(mine)] == [file]


def test_the_shorthand_and_attachments_share_a_store(client: OpenAI):
    """A thread made with `vector_stores` and with messages that bring files has one store."""
    first, second = uploaded(client, "one"), uploaded(client, "two")
    static: Any = {
        "type": "static",
        "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50},
    }
    asked: Any = {
        "file_search": {"vector_stores": [{"file_ids": [first], "chunking_strategy": static}]}
    }
    thread = client.beta.threads.create(
        tool_resources=asked, messages=[attached(first, second, tools=SEARCH)]
    )
    store = store_of(client, thread.id)
    sizes = {
        each.id: each.chunking_strategy.static.max_chunk_size_tokens
        for each in client.vector_stores.files.list(store)
    }
    assert sizes == {first: 100, second: 800}
    assert client.vector_stores.retrieve(store).expires_after.days == 7


def test_a_run_takes_no_resources_of_its_own(client: OpenAI, http: httpx2.Client, assistant: str):
    """Only a thread that is made with its run may come with resources."""
    thread, file = client.beta.threads.create().id, uploaded(client)
    resources = {"code_interpreter": {"file_ids": [file]}}
    body = {"assistant_id": assistant, "tool_resources": resources}
    answer = http.post(f"/v1/threads/{thread}/runs", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tool_resources")
    own: Any = {"tool_resources": {"file_search": {"vector_stores": [{}]}}}
    run = client.beta.threads.create_and_run(
        assistant_id=assistant, tool_resources=resources, thread=own
    )
    assert files_of(client, run.thread_id) == [file]
    assert store_of(client, run.thread_id) in all_stores(client)


def bad_resources() -> list[Any]:
    return [
        ({"code_interpreter": {"file_ids": ["file-nobody"]}}, "No such File object: file-nobody"),
        ({"code_interpreter": {"file_ids": ["nonsense"]}}, "No such File object: nonsense"),
        (
            {"file_search": {"vector_store_ids": ["vs_nobody"]}},
            "No vector store found with id 'vs_nobody'.",
        ),
    ]


@pytest.mark.parametrize(("resources", "message"), bad_resources())
def test_what_is_not_there_is_refused(client: OpenAI, assistant: str, resources: Any, message: str):
    """Threads and assistants, new or changed, are refused by the name of what they lack."""
    thread = client.beta.threads.create().id
    with_store: Any = {"file_search": {"vector_stores": [{}]}} | resources
    for act in (
        lambda: client.beta.threads.create(tool_resources=with_store),
        lambda: client.beta.threads.update(thread, tool_resources=resources),
        lambda: client.beta.assistants.create(model="scripted", tool_resources=with_store),
        lambda: client.beta.assistants.update(assistant, tool_resources=resources),
        lambda: client.beta.threads.create_and_run(
            assistant_id=assistant, tool_resources=resources
        ),
    ):
        with pytest.raises(openai.NotFoundError) as refusal:
            act()
        assert said(refusal) == message
    assert all_stores(client) == []


def test_a_message_with_a_file_that_is_not_there_is_refused(client: OpenAI, assistant: str):
    """Nothing of it is kept: no message, no run, no store, no file of the others."""
    good, thread = uploaded(client), client.beta.threads.create().id
    bad = attached(good, "file-nobody")
    for act in (
        lambda: client.beta.threads.messages.create(thread, **bad),
        lambda: client.beta.threads.runs.create(
            thread, assistant_id=assistant, additional_messages=[bad]
        ),
        lambda: client.beta.threads.create(messages=[bad]),
        lambda: client.beta.threads.create_and_run(
            assistant_id=assistant, thread={"messages": [bad]}
        ),
    ):
        with pytest.raises(openai.NotFoundError) as refusal:
            act()
        assert said(refusal) == "No such File object: file-nobody"
    assert client.beta.threads.messages.list(thread).data == []
    assert client.beta.threads.runs.list(thread).data == []
    assert files_of(client, thread) == []
    assert all_stores(client) == []


def test_a_thread_holds_twenty_files(client: OpenAI, http: httpx2.Client):
    """The twenty-first is refused, whether it is named or attached; other messages are not."""
    files = [uploaded(client, str(n)) for n in range(21)]
    named = {"tool_resources": {"code_interpreter": {"file_ids": files}}}
    assert http.post("/v1/threads", json=named).status_code == 400
    assert http.post("/v1/assistants", json=named | {"model": "scripted"}).status_code == 400
    thread = client.beta.threads.create(messages=[attached(*files[:20], tools=CODE)]).id
    with pytest.raises(openai.BadRequestError) as refusal:
        client.beta.threads.messages.create(thread, **attached(files[20], tools=CODE))
    assert refusal.value.code == "array_above_max_length"
    client.beta.threads.messages.create(thread, **attached(files[0], tools=CODE))
    assert files_of(client, thread) == files[:20]


def test_a_retry_makes_no_second_store(client: OpenAI, http: httpx2.Client, assistant: str):
    """With an Idempotency-Key the first answer comes again, and the store is the only one."""
    file, thread = uploaded(client), client.beta.threads.create().id
    requests: list[tuple[str, dict[str, Any]]] = [
        (f"/v1/threads/{thread}/messages", attached(file)),
        ("/v1/threads", {"messages": [attached(file)]}),
        ("/v1/threads/runs", {"assistant_id": assistant, "thread": {"messages": [attached(file)]}}),
        (
            "/v1/assistants",
            {"model": "scripted", "tool_resources": {"file_search": {"vector_stores": [{}]}}},
        ),
    ]
    for number, (path, body) in enumerate(requests, 1):
        key = {"idempotency-key": f"once{number}"}
        first = http.post(path, json=body, headers=key)
        assert first.status_code == 200
        assert http.post(path, json=body, headers=key).content == first.content
        assert len(all_stores(client)) == number


def test_messages_at_once_share_a_store(client: OpenAI, live: Live, project: str):
    """Eight messages that bring a file each to a thread without a store make one."""
    files, thread = [uploaded(client, str(n)) for n in range(8)], client.beta.threads.create().id

    async def play() -> None:
        async with live.async_client(project=project) as many:
            send = many.beta.threads.messages.create
            await asyncio.gather(*(send(thread, **attached(file)) for file in files))

    asyncio.run(play())
    assert sorted(files_of(client, thread)) == sorted(files)
    listed = client.vector_stores.files.list(store_of(client, thread))
    assert sorted(each.id for each in listed) == sorted(files)
    assert all_stores(client) == [store_of(client, thread)]


def test_a_deleted_file_is_no_longer_shown(client: OpenAI):
    """Of threads and assistants, read alone, in a list or after a change."""
    gone, kept = uploaded(client, "gone"), uploaded(client, "kept")
    resources: Any = {"code_interpreter": {"file_ids": [gone, kept]}}
    thread = client.beta.threads.create(tool_resources=resources).id
    assistant = client.beta.assistants.create(model="scripted", tool_resources=resources).id
    client.files.delete(gone)
    assert files_of(client, thread) == [kept]
    shown = client.beta.threads.update(thread, metadata={"a": "b"})
    assert shown.tool_resources.code_interpreter.file_ids == [kept]
    for held in (
        client.beta.assistants.retrieve(assistant),
        client.beta.assistants.list().data[0],
        client.beta.assistants.update(assistant, name="Ada"),
    ):
        assert held.tool_resources.code_interpreter.file_ids == [kept]


def test_a_run_uses_what_is_there(live: Live, client: OpenAI, project: str):
    """The thread's and the assistant's, without deleted files; a use puts off a store's end."""
    gone, kept = uploaded(client, "gone"), uploaded(client, "kept")
    thread = client.beta.threads.create(messages=[attached(kept)]).id
    resources: Any = {"code_interpreter": {"file_ids": [gone]}}
    made = client.beta.assistants.create(model="scripted", tool_resources=resources)
    held = client.beta.threads.retrieve(thread).tool_resources.to_dict()
    both = merged(held, made.tool_resources.to_dict())
    store, now = store_of(client, thread), live.here.app.server.now()
    client.files.delete(gone)

    def used(at: int) -> dict[str, Any]:
        work = usable(live.here.app.server.store, project, both, at)
        result: dict[str, Any] = live.here.submit(work).result(10)
        return result

    assert used(now + 6 * DAY_MS)["code_interpreter"]["file_ids"] == [kept]
    assert client.vector_stores.retrieve(store).last_active_at == (now + 6 * DAY_MS) // 1000
    assert used(now + 12 * DAY_MS)["file_search"]["vector_store_ids"] == [store]
    with pytest.raises(BadRequest, match=f"Vector store '{store}' has expired."):
        used(now + 20 * DAY_MS)


def test_an_expired_store_takes_no_attachment(live: Live, client: OpenAI):
    """The message is refused until the thread is given another store."""
    file, thread = uploaded(client), client.beta.threads.create().id
    client.beta.threads.messages.create(thread, **attached(file))
    server = live.here.app.server
    real = server.now
    server.now = lambda: real() + 8 * DAY_MS
    try:
        with pytest.raises(openai.BadRequestError) as refusal:
            client.beta.threads.messages.create(thread, **attached(file))
        assert said(refusal) == f"Vector store '{store_of(client, thread)}' has expired."
        none: Any = {"file_search": {"vector_store_ids": []}}
        client.beta.threads.update(thread, tool_resources=none)
        client.beta.threads.messages.create(thread, **attached(file))
    finally:
        server.now = real
    polled(client, new := client.vector_stores.create().id, file)
    assert new in all_stores(client)
