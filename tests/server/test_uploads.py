"""Uploads by the official client: large files, sent in parts."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import httpx2
import openai
import pytest
from openai import OpenAI

from .live import Live, run

MIME = "application/octet-stream"
BIG = bytes(range(256)) * 4_000


def start(client: OpenAI, bytes: int, **more):
    return client.uploads.create(
        bytes=bytes, filename="big.bin", mime_type=MIME, purpose="user_data", **more
    )


def test_parts_become_a_file(client: OpenAI):
    """In the order in which they are named; the file is like any other."""
    rule = {"anchor": "created_at", "seconds": 7200}
    upload = start(client, 9, expires_after=rule)
    assert (upload.status, upload.bytes, upload.filename) == ("pending", 9, "big.bin")
    assert upload.expires_at == upload.created_at + 3600
    assert upload.file is None
    late, early = [client.uploads.parts.create(upload.id, data=b) for b in (b"world", b"big ")]
    assert (late.object, late.upload_id) == ("upload.part", upload.id)
    done = client.uploads.complete(upload.id, part_ids=[early.id, late.id])
    assert (done.id, done.status, done.file.bytes) == (upload.id, "completed", 9)
    assert done.file.expires_at == done.file.created_at + 7200
    assert client.files.retrieve(done.file.id) == done.file
    assert client.files.content(done.file.id).read() == b"big world"
    assert client.files.delete(done.file.id).deleted


def test_a_file_is_uploaded_in_chunks(client: OpenAI, tmp_path: Path):
    """By the client's own helper, from memory and from disk, with parts of any size."""
    path = tmp_path / "on-disk.bin"
    path.write_bytes(BIG)
    md5 = hashlib.md5(BIG).hexdigest()
    for options in (
        {"file": BIG, "filename": "x", "bytes": len(BIG), "part_size": 300_001},
        {"file": path, "part_size": 999_983, "md5": md5.upper()},
        {"file": path},
    ):
        done = client.uploads.upload_file_chunked(mime_type=MIME, purpose="assistants", **options)
        assert (done.status, done.file.purpose) == ("completed", "assistants")
        assert client.files.content(done.file.id).read() == BIG


def test_uploads_by_the_asynchronous_client(live: Live, project: str):
    """Two uploads at once, the parts of each at once: both files are whole."""

    async def play() -> None:
        async with live.async_client(project=project) as client:
            uploads = client.uploads

            async def upload(letter: bytes) -> None:
                contents = [letter * size for size in (300_000, 1, 262_144, 70_000)]
                made = await uploads.create(
                    bytes=632_145, filename="f", mime_type=MIME, purpose="vision"
                )
                parts = await asyncio.gather(
                    *(uploads.parts.create(made.id, data=part) for part in contents)
                )
                done = await uploads.complete(made.id, part_ids=[part.id for part in parts])
                content = await client.files.content(done.file.id)
                assert content.read() == b"".join(contents)

            await asyncio.gather(upload(b"a"), upload(b"b"))
            chunked = await uploads.upload_file_chunked(
                file=BIG, filename="x", bytes=len(BIG), mime_type=MIME, purpose="vision"
            )
            assert (await client.files.content(chunked.file.id)).read() == BIG

    run(play())


def test_what_does_not_fit_is_refused(client: OpenAI):
    """Other bytes than announced, another MD5, unknown or doubled parts: the upload stays."""
    upload = start(client, 4)
    part, other = [client.uploads.parts.create(upload.id, data=data).id for data in (b"good", b"x")]
    for options, param, code in (
        ({"part_ids": []}, "part_ids", "bytes_mismatch"),
        ({"part_ids": [part, other]}, "part_ids", "bytes_mismatch"),
        ({"part_ids": [part, part]}, "part_ids", "invalid_value"),
        ({"part_ids": ["file-1"]}, "part_ids[0]", "invalid_value"),
        ({"part_ids": [part], "md5": "0" * 32}, "md5", "md5_mismatch"),
        ({"part_ids": ["part_x"] * 10_001}, "part_ids", "array_above_max_length"),
    ):
        with pytest.raises(openai.BadRequestError) as refusal:
            client.uploads.complete(upload.id, **options)
        assert (refusal.value.param, refusal.value.code) == (param, code)
    with pytest.raises(openai.NotFoundError) as missing:
        client.uploads.complete(upload.id, part_ids=[part, "part_x"])
    assert missing.value.body["message"] == "No part found with id 'part_x'."
    md5 = hashlib.md5(b"good").hexdigest()
    assert client.uploads.complete(upload.id, part_ids=[part], md5=md5).file.bytes == 4


def test_a_cancelled_upload_is_over(client: OpenAI):
    """No part is added to it, and nothing is made of it."""
    upload = start(client, 1)
    part = client.uploads.parts.create(upload.id, data=b"x").id
    assert client.uploads.cancel(upload.id).status == "cancelled"
    for act in (
        lambda: client.uploads.parts.create(upload.id, data=b"x"),
        lambda: client.uploads.complete(upload.id, part_ids=[part]),
        lambda: client.uploads.cancel(upload.id),
    ):
        with pytest.raises(openai.BadRequestError) as refusal:
            act()
        assert refusal.value.code == "upload_cancelled"
    assert client.files.list().data == []


def test_an_upload_expires_after_an_hour(client: OpenAI, live: Live):
    """Then no part is added to it."""
    upload = start(client, 1)
    server = live.here.app.server
    now, server.now = server.now, lambda: upload.expires_at * 1000 + 1_000
    try:
        with pytest.raises(openai.BadRequestError) as refusal:
            client.uploads.parts.create(upload.id, data=b"x")
    finally:
        server.now = now
    assert refusal.value.code == "upload_expired"


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"bytes": 8 * 2**30 + 1}, "bytes", "integer_above_max_value"),
        ({"bytes": -1}, "bytes", "integer_below_min_value"),
        ({"bytes": "1"}, "bytes", "invalid_type"),
        ({"filename": ""}, "filename", "empty_string"),
        ({"filename": "a\nb"}, "filename", "invalid_value"),
        ({"purpose": "fun"}, "purpose", None),
        ({"mime_type": None}, "mime_type", "invalid_type"),
        ({"expires_after": {"anchor": "created_at"}}, "expires_after.seconds", None),
        ({"more": 1}, "more", "unknown_parameter"),
    ],
)
def test_a_bad_upload_is_refused_by_name(http: httpx2.Client, change: dict, param: str, code: str):
    """A field out of its limits is refused with its name."""
    body = {"bytes": 1, "filename": "f", "mime_type": MIME, "purpose": "batch", **change}
    answer = http.post("/v1/uploads", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert code is None or error["code"] == code


def test_a_part_has_a_limit(client: OpenAI, monkeypatch: pytest.MonkeyPatch):
    """More than 64 MB is refused, and the parts of an upload end at 8 GB together."""
    upload = start(client, 1)
    monkeypatch.setattr("clew.server.uploads.PART_BYTES_MAX", 9)
    with pytest.raises(openai.APIStatusError) as refusal:
        client.uploads.parts.create(upload.id, data=b"x" * 10)
    assert (refusal.value.status_code, refusal.value.code) == (413, "file_too_large")
    client.uploads.parts.create(upload.id, data=b"x" * 9)
    monkeypatch.setattr("clew.core.files.UPLOAD_BYTES_MAX", 17)
    with pytest.raises(openai.BadRequestError) as refused:
        client.uploads.parts.create(upload.id, data=b"x" * 9)
    assert refused.value.code == "upload_too_large"


def test_another_projects_upload_is_not_found(client: OpenAI, live: Live):
    """Its id opens nothing there, nor do its parts."""
    upload = start(client, 1)
    part = client.uploads.parts.create(upload.id, data=b"x").id
    with live.client(project="proj_stranger_of_uploads") as stranger:
        own = start(stranger, 1)
        for act in (
            lambda: stranger.uploads.parts.create(upload.id, data=b"x"),
            lambda: stranger.uploads.complete(upload.id, part_ids=[part]),
            lambda: stranger.uploads.complete(own.id, part_ids=[part]),
            lambda: stranger.uploads.cancel(upload.id),
        ):
            with pytest.raises(openai.NotFoundError):
                act()
    assert client.uploads.complete(upload.id, part_ids=[part]).status == "completed"


def test_a_retry_is_not_a_second_part(client: OpenAI):
    """Each step of an upload, tried again with its key, says what it said, even at the end."""

    def key(name: str):
        return {"extra_headers": {"Idempotency-Key": name}}

    upload = start(client, 3, **key("start"))
    part = client.uploads.parts.create(upload.id, data=b"abc", **key("part"))
    complete = {"part_ids": [part.id], "md5": hashlib.md5(b"abc").hexdigest(), **key("end")}
    done = client.uploads.complete(upload.id, **complete)
    assert start(client, 3, **key("start")) == upload
    assert client.uploads.parts.create(upload.id, data=b"abc", **key("part")) == part
    assert client.uploads.complete(upload.id, **complete) == done
    assert client.files.list().data == [done.file]
    with pytest.raises(openai.UnprocessableEntityError):
        client.uploads.parts.create(upload.id, data=b"abd", **key("part"))
