"""Vector stores by the official client: stores, files, batches, search."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from clew.core.vector_stores import DAY_MS

from .live import Live

FABLE = "The fox praised the crow. The crow opened its beak to sing, and the cheese fell."
POLL_MS = 20


def text_file(text: str | bytes, name: str = "fable.txt") -> io.BytesIO:
    content = io.BytesIO(text.encode() if isinstance(text, str) else text)
    content.name = name
    return content


def uploaded(client: OpenAI, text: str | bytes = FABLE, name: str = "fable.txt") -> str:
    return client.files.create(file=text_file(text, name), purpose="assistants").id


def polled(client: OpenAI, store: str, file: str, **options: Any) -> Any:
    return client.vector_stores.files.create_and_poll(
        file, vector_store_id=store, poll_interval_ms=POLL_MS, **options
    )


def said(refusal: pytest.ExceptionInfo[openai.APIStatusError]) -> str:
    return str(refusal.value.body["message"])


def test_a_store_is_created_read_changed_and_deleted(client: OpenAI):
    """Every method of vector stores does what it says."""
    made = client.vector_stores.create(
        name="fables",
        description="Old ones.",
        metadata={"k": "v"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    assert (made.name, made.status, made.file_counts.total) == ("fables", "completed", 0)
    assert made.expires_at == made.last_active_at + 7 * DAY_MS // 1000
    assert client.vector_stores.retrieve(made.id) == made
    changed = client.vector_stores.update(made.id, name=None, expires_after=None, metadata={})
    assert (changed.name, changed.expires_after, changed.expires_at) == ("", None, None)
    assert client.vector_stores.retrieve(made.id) == changed
    assert client.vector_stores.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as refusal:
        client.vector_stores.retrieve(made.id)
    assert said(refusal) == f"No vector store found with id '{made.id}'."


def test_stores_are_listed_page_by_page(client: OpenAI):
    """Newest first unless asked otherwise; the iterator walks all pages."""
    ids = [client.vector_stores.create().id for _ in range(5)]
    assert [each.id for each in client.vector_stores.list(limit=2)] == ids[::-1]
    page = client.vector_stores.list(before=ids[3], order="asc", limit=1)
    assert [each.id for each in page.data] == [ids[2]]


def test_a_file_is_indexed_and_found(client: OpenAI):
    """A file that is added can soon be found, read and counted."""
    store = client.vector_stores.create().id
    file = uploaded(client)
    done = polled(client, store, file, attributes={"year": 1668, "old": True})
    assert (done.status, done.last_error, done.attributes) == (
        "completed",
        None,
        {"year": 1668, "old": True},
    )
    assert done.usage_bytes == len(FABLE)
    assert done.chunking_strategy.static.max_chunk_size_tokens == 800
    (found,) = client.vector_stores.search(store, query="Who praised the crow?").data
    assert (found.file_id, found.filename, found.content[0].text) == (file, "fable.txt", FABLE)
    assert 0 < found.score <= 1
    text = [part.text for part in client.vector_stores.files.content(file, vector_store_id=store)]
    assert text == [FABLE]
    now = client.vector_stores.retrieve(store)
    assert (now.status, now.file_counts.completed, now.usage_bytes) == (
        "completed",
        1,
        len(FABLE),
    )


def test_a_stores_file_is_changed_listed_and_taken_out(client: OpenAI):
    """Attributes are replaced, lists are filtered by status, and a file taken out stays a file."""
    store = client.vector_stores.create().id
    good, bad = uploaded(client), uploaded(client, b"%PDF-1.7 ...", "paper.pdf")
    files = client.vector_stores.files
    polled(client, store, good)
    failed = polled(client, store, bad)
    assert (failed.status, failed.last_error.code) == ("failed", "invalid_file")
    assert [each.id for each in files.list(store, order="asc")] == [good, bad]
    assert [each.id for each in files.list(store, filter="failed")] == [bad]
    changed = files.update(good, vector_store_id=store, attributes={"a": "b"})
    assert files.retrieve(good, vector_store_id=store) == changed
    assert changed.attributes == {"a": "b"}
    assert files.delete(good, vector_store_id=store).deleted
    with pytest.raises(openai.NotFoundError) as refusal:
        files.retrieve(good, vector_store_id=store)
    assert said(refusal) == f"No file found with id '{good}' in vector store '{store}'."
    assert client.files.retrieve(good).id == good


def test_upload_helpers_wait_until_indexed(client: OpenAI):
    """`upload_and_poll` of files and of batches uploads, adds and waits."""
    store = client.vector_stores.create().id
    done = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=text_file(FABLE), poll_interval_ms=POLL_MS
    )
    assert done.status == "completed"
    assert client.vector_stores.files.upload(vector_store_id=store, file=text_file("Hen")).id
    batch = client.vector_stores.file_batches.upload_and_poll(
        store,
        files=[text_file("The ant.", "ant.txt"), text_file("The bee.", "bee.txt")],
        poll_interval_ms=POLL_MS,
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == (
        "completed",
        2,
        2,
    )
    (found,) = client.vector_stores.search(store, query="bee").data
    assert found.filename == "bee.txt"


def test_a_batch_tells_how_its_files_went(client: OpenAI):
    """Files of a batch may have settings of their own; what fails harms no other."""
    store = client.vector_stores.create().id
    good, bad = uploaded(client), uploaded(client, b"caf\xe9, not in UTF-8", "x.txt")
    static = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}
    batches = client.vector_stores.file_batches
    batch = batches.create_and_poll(
        store,
        files=[
            {
                "file_id": good,
                "attributes": {"n": 1},
                "chunking_strategy": {"type": "static", "static": static},
            },
            {"file_id": bad},
        ],
        poll_interval_ms=POLL_MS,
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == (
        "completed",
        1,
        1,
    )
    assert batches.retrieve(batch.id, vector_store_id=store) == batch
    (done,) = batches.list_files(batch.id, vector_store_id=store, filter="completed")
    assert (done.id, done.attributes) == (good, {"n": 1})
    assert done.chunking_strategy.static.model_dump() == static
    (failed,) = batches.list_files(batch.id, vector_store_id=store, filter="failed")
    assert (failed.id, failed.last_error.code) == (bad, "invalid_file")
    assert batches.cancel(batch.id, vector_store_id=store) == batch


def test_search_takes_filters_thresholds_and_many_queries(client: OpenAI):
    """Filters leave files out, a threshold leaves weak results out, each query adds its own."""
    store = client.vector_stores.create().id
    texts = {"ant": 1, "bee": 2, "cat": 3}
    for word, number in texts.items():
        polled(client, store, uploaded(client, f"The {word} here."), attributes={"n": number})

    def search(**options: Any) -> list[str]:
        return [
            each.content[0].text.split()[1]
            for each in client.vector_stores.search(store, **options)
        ]

    assert sorted(search(query="here")) == ["ant", "bee", "cat"]
    assert search(query=["ant", "cat"]) in (["ant", "cat"], ["cat", "ant"])
    above = {"type": "gt", "key": "n", "value": 1}
    below = {"type": "lt", "key": "n", "value": 3}
    both = {"type": "and", "filters": [above, {"type": "or", "filters": [below]}]}
    assert search(query="here", filters=both) == ["bee"]
    listed = {"type": "in", "key": "n", "value": [3]}
    assert search(query="here", filters=listed, max_num_results=1) == ["cat"]
    strict = {"ranker": "auto", "score_threshold": 0.3}
    assert search(query="bee here", ranking_options=strict) == ["bee"]
    page = client.vector_stores.search(store, query=["ant"], rewrite_query=True)
    assert page.object == "vector_store.search_results.page"
    assert page.search_query == ["ant"]


def test_polling_is_told_when_to_look_again(live: Live, client: OpenAI, project: str):
    """A file and a batch in progress say when to look again; finished ones do not."""
    store, file = client.vector_stores.create().id, uploaded(client)
    batch = client.vector_stores.file_batches.create(store, file_ids=[file]).id
    with live.http(project) as http:
        for path in (f"files/{file}", f"file_batches/{batch}"):
            waiting = True
            while waiting:
                answer = http.get(f"/v1/vector_stores/{store}/{path}")
                waiting = answer.json()["status"] == "in_progress"
                assert ("openai-poll-after-ms" in answer.headers) == waiting


def test_deleting_a_file_takes_it_out_of_every_store(client: OpenAI):
    """A deleted file is found by no search any more."""
    stores = [client.vector_stores.create().id for _ in range(2)]
    file = uploaded(client)
    for store in stores:
        polled(client, store, file)
    client.files.delete(file)
    for store in stores:
        assert client.vector_stores.search(store, query="crow").data == []
        assert client.vector_stores.retrieve(store).file_counts.total == 0


def test_a_thread_and_an_assistant_bring_their_store(client: OpenAI):
    """`vector_stores` makes a store with the files; the thread's expires after seven days."""
    asked = {
        "file_search": {"vector_stores": [{"file_ids": [uploaded(client)], "metadata": {"a": "b"}}]}
    }
    thread = client.beta.threads.create(tool_resources=asked)
    assistant = client.beta.assistants.create(model="scripted", tool_resources=asked)
    for made, days in ((thread, 7), (assistant, None)):
        (id,) = made.tool_resources.file_search.vector_store_ids
        store = client.vector_stores.retrieve(id)
        assert (store.file_counts.total, store.metadata) == (1, {"a": "b"})
        assert (store.expires_after and store.expires_after.days) == days
    assert client.beta.threads.retrieve(thread.id) == thread
    run = client.beta.threads.create_and_run_poll(
        assistant_id=assistant.id,
        thread={"tool_resources": asked, "messages": [{"role": "user", "content": "hi"}]},
        poll_interval_ms=POLL_MS,
    )
    resources = client.beta.threads.retrieve(run.thread_id).tool_resources
    assert len(resources.file_search.vector_store_ids) == 1


def test_a_thread_that_fails_leaves_no_store(client: OpenAI, http: httpx2.Client):
    """When the thread cannot be made, or was made before, no store is left behind."""
    shorthand = {"file_search": {"vector_stores": [{}]}}
    bad = {"file_search": {"vector_stores": [{"file_ids": ["file-nobody"]}]}}
    key = {"idempotency-key": "once"}
    first = http.post("/v1/threads", json={"tool_resources": shorthand}, headers=key)
    assert first.status_code == 200
    again = http.post("/v1/threads", json={"tool_resources": shorthand}, headers=key)
    assert again.content == first.content
    other = {"tool_resources": shorthand, "metadata": {"a": "b"}}
    assert http.post("/v1/threads", json=other, headers=key).status_code == 422
    assert http.post("/v1/threads", json={"tool_resources": bad}).status_code == 404
    ids = [each.id for each in client.vector_stores.list()]
    assert ids == first.json()["tool_resources"]["file_search"]["vector_store_ids"]
    both = {"file_search": {"vector_stores": [{}], "vector_store_ids": ids}}
    assert http.post("/v1/threads", json={"tool_resources": both}).status_code == 400


def test_an_expired_store_is_refused(live: Live, client: OpenAI, project: str):
    """An expired store says so, and is not searched, filled or revived."""
    store = client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1}).id
    polled(client, store, uploaded(client))
    key, server = store.removeprefix("vs_"), live.here.app.server
    real = server.now
    server.now = lambda: real() + 2 * DAY_MS
    try:
        assert client.vector_stores.retrieve(store).status == "expired"
        for act in (
            lambda: client.vector_stores.search(store, query="crow"),
            lambda: client.vector_stores.files.create(store, file_id=uploaded(client)),
            lambda: client.vector_stores.update(
                store, expires_after={"anchor": "last_active_at", "days": 365}
            ),
        ):
            with pytest.raises(openai.BadRequestError) as refusal:
                act()
            assert said(refusal) == f"Vector store '{store}' has expired."
    finally:
        server.now = real
    assert live.here.get_vector_store(project, key).key == key


BAD = [
    ("", {"file_ids": "x"}, "file_ids", "invalid_type"),
    (
        "",
        {"expires_after": {"anchor": "created_at", "days": 1}},
        "expires_after.anchor",
        "invalid_value",
    ),
    (
        "",
        {"expires_after": {"anchor": "last_active_at", "days": 366}},
        "expires_after.days",
        "integer_above_max_value",
    ),
    ("", {"chunking_strategy": {"type": "best"}}, "chunking_strategy.type", "invalid_value"),
    ("/files", {}, "file_id", "missing_required_parameter"),
    ("/files", {"file_id": "file-x", "attributes": {"a": []}}, "attributes.a", "invalid_type"),
    (
        "/files",
        {"file_id": "file-x", "attributes": {str(n): n for n in range(17)}},
        "attributes",
        "object_above_max_properties",
    ),
    (
        "/files",
        {
            "file_id": "file-x",
            "chunking_strategy": {
                "type": "static",
                "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
            },
        },
        "chunking_strategy.static.max_chunk_size_tokens",
        "integer_below_min_value",
    ),
    (
        "/files",
        {
            "file_id": "file-x",
            "chunking_strategy": {
                "type": "static",
                "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
            },
        },
        "chunking_strategy.static.chunk_overlap_tokens",
        "invalid_value",
    ),
    ("/files", {"file_id": "file-x"}, "id", None),
    ("/file_batches", {}, "file_ids", "missing_required_parameter"),
    ("/file_batches", {"file_ids": []}, "file_ids", "empty_array"),
    ("/file_batches", {"file_ids": ["a"], "files": [{"file_id": "b"}]}, "files", "invalid_value"),
    ("/search", {}, "query", "missing_required_parameter"),
    ("/search", {"query": []}, "query", "empty_array"),
    (
        "/search",
        {"query": "x", "max_num_results": 51},
        "max_num_results",
        "integer_above_max_value",
    ),
    (
        "/search",
        {"query": "x", "filters": {"type": "like", "key": "a", "value": "b"}},
        "filters.type",
        "invalid_value",
    ),
    (
        "/search",
        {"query": "x", "filters": {"type": "and", "filters": []}},
        "filters.filters",
        "empty_array",
    ),
    (
        "/search",
        {"query": "x", "filters": {"type": "in", "key": "a", "value": "b"}},
        "filters.value",
        "invalid_type",
    ),
    (
        "/search",
        {"query": "x", "ranking_options": {"score_threshold": 2}},
        "ranking_options.score_threshold",
        "decimal_above_max_value",
    ),
]


def test_bad_input_is_refused_by_name(http: httpx2.Client):
    """What is wrong is said with the parameter it is in, and nothing is stored."""
    store = http.post("/v1/vector_stores", json={}).json()
    for path, body, param, code in BAD:
        base = f"/v1/vector_stores/{store['id']}" if path else "/v1/vector_stores"
        answer = http.post(base + path, json=body)
        error = answer.json()["error"]
        assert answer.status_code in (400, 404), (path, body)
        assert (error["param"], error["code"]) == (param, code), (path, body, error)
    assert http.get("/v1/vector_stores").json()["data"] == [store]


def test_strange_queries_find_nothing_and_break_nothing(client: OpenAI):
    """Quotes, operators, emoji, NUL, nothing and 10 kB are words or no words."""
    store = client.vector_stores.create().id
    polled(client, store, uploaded(client))
    for query in (
        '"',
        "NEAR(",
        "*",
        "crow*",
        "a AND",
        "🧶",
        "a\0b",
        "",
        " ",
        "x" * 10_000,
        "'--",
        "text:",
    ):
        results = client.vector_stores.search(store, query=query)
        assert {each.filename for each in results.data} <= {"fable.txt"}


def test_adding_a_file_twice_is_refused(client: OpenAI):
    """A file is in a store once."""
    store, file = client.vector_stores.create(), uploaded(client)
    polled(client, store.id, file)
    with pytest.raises(openai.BadRequestError) as refusal:
        client.vector_stores.files.create(store.id, file_id=file)
    assert said(refusal) == f"File '{file}' is already in vector store '{store.id}'."


def test_the_asynchronous_client_does_the_same(live: Live, project: str):
    """Store, batch, search and deletion, awaited."""

    async def play() -> None:
        async with live.async_client(project=project) as client:
            store = await client.vector_stores.create(name="a")
            batch = await client.vector_stores.file_batches.upload_and_poll(
                store.id, files=[text_file(FABLE)], poll_interval_ms=POLL_MS
            )
            assert batch.file_counts.completed == 1
            found = [each async for each in client.vector_stores.search(store.id, query="fox")]
            assert len(found) == 1
            assert (await client.vector_stores.delete(store.id)).deleted

    asyncio.run(play())


def test_the_server_answers_while_it_indexes(client: OpenAI):
    """Two megabytes are indexed in the background; meanwhile a request takes its usual time."""
    store = client.vector_stores.create().id
    text = " ".join(f"word{n % 5_000} and" for n in range(180_000))
    file = uploaded(client, text)
    client.vector_stores.files.create(store, file_id=file)
    slowest, polls = 0.0, 0
    status = "in_progress"
    while status == "in_progress":
        begun = time.perf_counter()
        status = client.vector_stores.files.retrieve(file, vector_store_id=store).status
        slowest, polls = max(slowest, time.perf_counter() - begun), polls + 1
    assert status == "completed"
    assert polls > 5
    assert slowest < 1.0
    read = client.vector_stores.files.content(file, vector_store_id=store)
    assert "".join(part.text for part in read) == text
