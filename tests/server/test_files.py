"""Files by the official client, and by others."""

from __future__ import annotations

import asyncio
import io
import time

import httpx2
import msgspec
import openai
import pytest
from openai import OpenAI

from clew.core.files import FILE_BYTES_MAX, PIECE_BYTES_MAX

from .live import Live, run
from .test_http import request, talk

BIG = bytes(range(256)) * 4_000
"""A million bytes, of every value: some pieces, the last one not full."""


def put(client: OpenAI, content: bytes = b"hello", name: str = "hello.txt", **more):
    more = {"purpose": "user_data", **more}
    return client.files.create(file=(name, io.BytesIO(content)), **more)


def form(http: httpx2.Client, *fields: tuple[str, str], file: tuple[str, bytes] | None = None):
    """What the server says to a form with these fields, in this order, and a file at its end."""
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    if file is not None:
        head = f'--B\r\nContent-Disposition: form-data; name="file"; filename="{file[0]}"\r\n\r\n'
        parts.append(head.encode() + file[1] + b"\r\n")
    headers = {"content-type": "multipart/form-data; boundary=B"}
    return http.post("/v1/files", content=b"".join([*parts, b"--B--\r\n"]), headers=headers)


def test_a_file_is_stored_read_and_deleted(client: OpenAI):
    """Every method of files does what it says."""
    before = int(time.time())
    made = put(client, BIG, "Größe 🧶.bin", purpose="assistants")
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename) == ("file", len(BIG), "Größe 🧶.bin")
    assert (made.purpose, made.expires_at) == ("assistants", None)
    assert before <= made.created_at <= time.time()
    assert client.files.retrieve(made.id) == made
    assert client.files.wait_for_processing(made.id, poll_interval=0.01) == made
    content = client.files.content(made.id)
    assert content.read() == BIG
    assert content.response.headers["content-type"] == "application/octet-stream"
    assert content.response.headers["content-length"] == str(len(BIG))
    deleted = client.files.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "file", True)
    for method in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as refusal:
            method(made.id)
        assert refusal.value.body == {
            "message": f"No such File object: {made.id}",
            "type": "invalid_request_error",
            "param": "id",
            "code": None,
        }


def test_files_by_the_asynchronous_client(live: Live, project: str):
    """The same by a client that awaits, streaming the content out."""

    async def play() -> None:
        async with live.async_client(project=project) as client:
            made = await client.files.create(file=("a.bin", BIG), purpose="vision")
            assert await client.files.retrieve(made.id) == made
            assert await client.files.wait_for_processing(made.id, poll_interval=0.01) == made
            assert [file async for file in client.files.list()] == [made]
            async with client.files.with_streaming_response.content(made.id) as content:
                found = b"".join([piece async for piece in content.iter_bytes()])
            assert found == BIG
            assert (await client.files.delete(made.id)).deleted
            assert [file async for file in client.files.list()] == []

    run(play())


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES_MAX - 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1])
def test_every_size_comes_back(client: OpenAI, size: int):
    """Nothing, a byte, just less and just more than a piece."""
    content = BIG[:size]
    made = put(client, content)
    assert made.bytes == size
    assert client.files.content(made.id).read() == content


def test_what_looks_like_the_form_is_content(client: OpenAI):
    """Boundaries, heads of HTTP answers and line ends in a file are bytes like all others."""
    content = b"\r\n--boundary\r\n\r\n--\r\n--B--\r\nHTTP/1.1 200 OK\r\n\r\n"
    made = put(client, content)
    assert client.files.content(made.id).read() == content
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert client.files.content(put(client, head).id).read() == head


def test_files_are_listed_page_by_page(client: OpenAI):
    """Newest first unless asked otherwise; all at once unless asked; of one purpose if asked."""
    ids = [put(client, purpose=purpose).id for purpose in ["vision", "batch"] * 12]
    assert [file.id for file in client.files.list().data] == ids[::-1]
    assert [file.id for file in client.files.list(limit=5)] == ids[::-1]
    assert [file.id for file in client.files.list(limit=5, order="asc")] == ids
    assert [file.id for file in client.files.list(purpose="vision", order="asc")] == ids[::2]
    page = client.files.list(after=ids[3], order="asc", limit=2)
    assert ([file.id for file in page.data], page.has_more) == (ids[4:6], True)
    assert client.files.list(purpose="no such purpose").data == []
    for limit in (0, 10_001):
        with pytest.raises(openai.BadRequestError) as refusal:
            client.files.list(limit=limit)
        assert refusal.value.param == "limit"


def test_a_file_expires_when_it_says(client: OpenAI):
    """After the seconds asked for; after 30 days if it is for a batch; else never."""
    rule = {"anchor": "created_at", "seconds": 3600}
    asked = put(client, expires_after=rule)
    assert asked.expires_at == asked.created_at + 3600
    batch = put(client, purpose="batch")
    assert batch.expires_at == batch.created_at + 30 * 86_400
    assert put(client, purpose="batch", expires_after=rule).expires_at == batch.created_at + 3600


@pytest.mark.parametrize(
    ("fields", "message", "param", "code"),
    [
        ([], "'purpose' is a required property", None, None),
        (
            [("purpose", "vector_store")],
            "'vector_store' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', "
            "'vision', 'evals'] - 'purpose'",
            "purpose",
            None,
        ),
        (
            [("purpose", "evals"), ("porpose", "x")],
            "Unknown parameter: 'porpose'. Did you mean 'purpose'?",
            "porpose",
            "unknown_parameter",
        ),
        (
            [("purpose", "evals"), ("purpose", "batch")],
            "Duplicate parameter: 'purpose'.",
            "purpose",
            "duplicate_parameter",
        ),
        (
            [("purpose", "evals"), ("expires_after[seconds]", "3600")],
            "Missing required parameter: 'expires_after.anchor'.",
            "expires_after.anchor",
            "missing_required_parameter",
        ),
        (
            [
                ("purpose", "evals"),
                ("expires_after[anchor]", "created_at"),
                ("expires_after[seconds]", "3599"),
            ],
            "Invalid 'expires_after[seconds]': integer below minimum value. "
            "Expected a value >= 3600, but got 3599 instead.",
            "expires_after[seconds]",
            "integer_below_min_value",
        ),
        (
            [
                ("purpose", "evals"),
                ("expires_after[anchor]", "last_active_at"),
                ("expires_after[seconds]", "3600"),
            ],
            "Invalid value: 'last_active_at'. Supported values are: 'created_at'.",
            "expires_after[anchor]",
            "invalid_value",
        ),
    ],
)
def test_a_wrong_field_is_refused_by_name(
    http: httpx2.Client, fields: list[tuple[str, str]], message: str, param: str, code: str
):
    """Whatever the order of the fields; and nothing is stored."""
    for order in (fields, fields[::-1]):
        answer = form(http, *order, file=("a.txt", b"x"))
        error = answer.json()["error"]
        assert (answer.status_code, error["message"]) == (400, message)
        assert (error["param"], error["code"]) == (param, code)
    assert http.get("/v1/files").json()["data"] == []


def test_a_form_without_a_file_is_refused(http: httpx2.Client):
    """No such field, one that is text, or one where nobody chose a file."""
    for answer in (
        form(http, ("purpose", "evals")),
        form(http, ("purpose", "evals"), ("file", "not a file")),
        form(http, ("purpose", "evals"), file=("", b"")),
    ):
        assert answer.status_code == 400
        assert answer.json()["error"] == {
            "message": "'file' is a required property",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }


def test_another_content_type_is_refused(http: httpx2.Client):
    """In the words that OpenAI has for it."""
    answer = http.post("/v1/files", json={"purpose": "evals"})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "Unsupported content type: 'application/json'. This API method only accepts "
        "'multipart/form-data' requests, but you specified the header 'Content-Type: "
        "application/json'. Please try again with a supported content type.",
        "type": "invalid_request_error",
        "param": None,
        "code": "unsupported_content_type",
    }
    assert http.post("/v1/files").status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"--B\r\n", b"no form", b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--"],
)
def test_a_broken_form_is_refused(http: httpx2.Client, body: bytes):
    """One that ends too soon, is none, or has a part without a name."""
    headers = {"content-type": "multipart/form-data; boundary=B"}
    answer = http.post("/v1/files", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_multipart")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\secret\\plan.txt", "plan.txt"),
        ("a%22b.txt", 'a"b.txt'),
        ("ни хао 你好.txt", "ни хао 你好.txt"),
        ("x" * 512, "x" * 512),
    ],
)
def test_a_file_name_is_data(http: httpx2.Client, given: str, kept: str):
    """It is kept without its folders, and no header can be made with it."""
    made = form(http, ("purpose", "evals"), file=(given, b"x")).json()
    assert made["filename"] == kept
    answer = http.get(f"/v1/files/{made['id']}/content")
    said = answer.headers["content-disposition"]
    assert said.startswith('attachment; filename="')
    assert said.isascii()
    assert said.count('"') == 2
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["..", "a/..", "folder/", "a\tb", "a\x7fb", "x" * 513, "\u0085"])
def test_a_name_no_file_can_have_is_refused(http: httpx2.Client, name: str):
    """Control characters, nothing at all, or too much."""
    answer = form(http, ("purpose", "evals"), file=(name, b"x"))
    assert answer.status_code == 400
    assert http.get("/v1/files").json()["data"] == []


def test_a_file_that_is_too_large_is_refused(live: Live):
    """By its announced length at once, before any of it is read."""
    size = str(FILE_BYTES_MAX + 100_000)
    media = "multipart/form-data; boundary=B"
    head = request("POST /v1/files", **{"content-type": media, "content-length": size})
    status, _, body = talk(live, head, until=b"}}").partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 413")
    assert msgspec.json.decode(body)["error"] == {
        "message": "File is too large. The maximum size is 536870912 bytes.",
        "type": "invalid_request_error",
        "param": "file",
        "code": "file_too_large",
    }


def test_a_file_that_turns_out_too_large_is_refused(
    http: httpx2.Client, monkeypatch: pytest.MonkeyPatch
):
    """However it is announced; and what came of it is gone."""
    monkeypatch.setattr("clew.server.files.FILE_BYTES_MAX", PIECE_BYTES_MAX * 2)
    answer = form(http, ("purpose", "evals"), file=("big", b"x" * (PIECE_BYTES_MAX * 2 + 1)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    assert http.get("/v1/files").json()["data"] == []
    assert form(http, ("purpose", "evals"), file=("big", b"x" * PIECE_BYTES_MAX * 2)).json()["id"]


def test_another_projects_file_is_not_found(client: OpenAI, live: Live):
    """Its id opens nothing there, and it is in no list."""
    made = put(client)
    with live.client(project="proj_stranger_of_files") as stranger:
        for method in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
            with pytest.raises(openai.NotFoundError):
                method(made.id)
        assert stranger.files.list().data == []
    assert client.files.content(made.id).read() == b"hello"


@pytest.mark.parametrize("name", ['say "hi".txt', "naïve €😀.txt", "a;b=c.txt", "100%.txt"])
def test_a_name_comes_back_as_the_client_gave_it(client: OpenAI, name: str):
    """However the official client writes it into its form."""
    assert client.files.create(file=(name, b"x"), purpose="user_data").filename == name


def test_a_retry_is_not_a_second_file(client: OpenAI):
    """The same key and form give the first answer, whatever the boundary; another is refused."""
    key = {"extra_headers": {"Idempotency-Key": "once"}}
    first = put(client, **key)
    assert put(client, **key) == first
    assert len(client.files.list().data) == 1
    for other in ({"content": b"other"}, {"name": "other"}, {"purpose": "batch"}):
        with pytest.raises(openai.UnprocessableEntityError):
            put(client, **{**key, **other})
    client.files.delete(first.id)
    with pytest.raises(openai.NotFoundError) as refusal:
        put(client, **key)
    assert refusal.value.code == "erased"
    assert client.files.list().data == []


def test_a_client_that_leaves_in_the_middle_leaves_nothing(live: Live, project: str):
    """Neither a file, nor any of the bytes that had come."""

    async def play() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(live.url.split(":")[-1]))
        body = (
            b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nevals\r\n--B\r\n'
            b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        ) + b"half" * PIECE_BYTES_MAX
        head = (
            f"POST /v1/files HTTP/1.1\r\nhost: clew\r\nopenai-project: {project}\r\n"
            f"content-type: multipart/form-data; boundary=B\r\ncontent-length: {10**7}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        while not await blobs(live):
            await asyncio.sleep(0)
        writer.close()
        while await blobs(live):
            await asyncio.sleep(0)
        reader.feed_eof()

    async def blobs(live: Live) -> bool:
        return bool(await asyncio.to_thread(live.here.run, loose(live)))

    run(asyncio.wait_for(play(), 20))
    with live.client(project=project) as client:
        assert client.files.list().data == []


async def loose(live: Live) -> bool:
    """Whether there are blobs that belong to nothing."""
    store = live.here.app.server.store
    if hasattr(store, "snapshot"):
        query = "SELECT 1 FROM blobs WHERE upload IS NULL AND file IS NULL"
        return bool(store.snapshot().execute(query).fetchall())
    return bool(await store.read("loose_blobs", before=1 << 60, limit=1))
