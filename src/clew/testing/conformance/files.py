"""Proofs about files and uploads: whole or not there, counted, kept apart, gone when deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from clew.core.files import (
    LOOSE_KEPT_MS,
    PIECE_BYTES_MAX,
    UPLOAD_EXPIRES_AFTER_MS,
    File,
    Part,
    Upload,
    new_file,
)
from clew.core.ids import new_key
from clew.core.paging import Page
from clew.store.store import Store
from clew.testing.conformance.proof import (
    T0,
    Proof,
    new_project,
    not_found,
    proof,
    prove_paging,
    refusal,
    replay,
)
from clew.testing.conformance.retries import once

DAY_MS = 86_400_000


def file_at(at: int = T0, purpose: str = "user_data", lives_ms: int | None = None) -> File:
    return new_file(new_key(at), at, "a file.txt", purpose, lives_ms)


def new_upload(bytes: int, at: int = T0, **fields: Any) -> Upload:
    ends = at + UPLOAD_EXPIRES_AFTER_MS
    return Upload(new_key(at), at, ends, "b.bin", "assistants", bytes, "text/plain", **fields)


async def blob_of(store: Store, project: str, *pieces: bytes, at: int = T0) -> str:
    """A blob in the store, of these pieces."""
    blob = new_key(at)
    for piece in pieces:
        await store.write_blob(project, blob, piece, at)
    return blob


async def stored(store: Store, project: str, content: bytes, file: File | None = None) -> File:
    """A file in the store with this content."""
    blob = await blob_of(store, project, content)
    return await store.create_file(project, file or file_at(), blob)


async def parts_of(store: Store, project: str, upload: str, *contents: bytes) -> list[str]:
    """The keys of new parts with these contents."""
    keys = []
    for content in contents:
        blob = await blob_of(store, project, content)
        await store.add_part(project, Part(blob, upload, T0), T0)
        keys.append(blob)
    return keys


async def content(store: Store, project: str, file: File, step: int = PIECE_BYTES_MAX) -> bytes:
    """All of a file, read in steps."""
    pieces = [
        await store.read_file(project, file.key, start, step)
        for start in range(0, file.bytes + step, step)
    ]
    return b"".join(pieces)


class Files(Proof):
    """Files, and the blobs they are made of."""

    @proof
    async def test_a_file_is_what_was_written(self, store: Store, project: str) -> None:
        """Its bytes are those of its pieces in order, counted, whatever they are."""
        pieces = [bytes(range(256)) * 1024, b"\0", b"", b"tail"]
        blob = await blob_of(store, project, *pieces[:-1])
        assert await store.write_blob(project, blob, pieces[-1], T0) == PIECE_BYTES_MAX + 5
        given = file_at()
        made = await store.create_file(project, given, blob)
        assert (made.key, made.bytes) == (given.key, PIECE_BYTES_MAX + 5)
        assert await store.get_file(project, given.key, T0) == made
        assert await content(store, project, made) == b"".join(pieces)

    @proof
    async def test_an_empty_file_is_a_file(self, store: Store, project: str) -> None:
        """A file of no bytes is there, and has none."""
        made = await stored(store, project, b"")
        assert made.bytes == 0
        assert await store.read_file(project, made.key, 0, 10) == b""

    @proof
    async def test_any_range_can_be_read(self, store: Store, project: str) -> None:
        """A range across pieces, parts, or the end is the slice it should be."""
        contents = [b"0123456789", b"", b"abc", b"x", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        whole = b"".join(contents)
        upload = await store.create_upload(project, new_upload(len(whole)))
        parts = await parts_of(store, project, upload.key, *contents)
        _, file = await store.complete_upload(project, upload.key, new_key(T0), parts, T0)
        for start in range(len(whole) + 2):
            for length in (1, 3, 11, 100):
                found = await store.read_file(project, file.key, start, length)
                assert found == whole[start : start + length], (start, length)

    @proof
    async def test_a_blob_has_one_owner(self, store: Store, project: str) -> None:
        """What became a file cannot grow, cannot become another, and cannot be dropped."""
        blob = await blob_of(store, project, b"mine")
        made = await store.create_file(project, file_at(), blob)
        error = await refusal(store.write_blob(project, blob, b"more", T0))
        assert error.code == "conflict"
        assert await not_found(store.create_file(project, file_at(), blob)) == ("blob", blob)
        await store.drop_blob(project, blob)
        assert await content(store, project, made) == b"mine"

    @proof
    async def test_a_dropped_blob_is_gone(self, store: Store, project: str) -> None:
        """Nothing can be made of it; dropping it again, or what never was, is nothing."""
        blob = await blob_of(store, project, b"no")
        await store.drop_blob(project, blob)
        await store.drop_blob(project, blob)
        await store.drop_blob(project, new_key(T0))
        assert await not_found(store.create_file(project, file_at(), blob)) == ("blob", blob)

    @proof
    async def test_a_deleted_file_is_gone(self, store: Store, project: str) -> None:
        """By no verb and in no list; others stay, with all their bytes."""
        kept, gone = [await stored(store, project, text) for text in (b"kept", b"gone" * 99_999)]
        await store.delete_file(project, gone.key, T0)
        for act in (
            store.get_file(project, gone.key, T0),
            store.read_file(project, gone.key, 0, 1),
            store.delete_file(project, gone.key, T0),
            store.list_files(project, Page(after=gone.key), T0),
        ):
            assert await not_found(act) == ("file", gone.key)
        assert await store.list_files(project, Page(), T0) == ([kept], False)
        assert await content(store, project, kept) == b"kept"

    @proof
    async def test_pages_of_files_are_true(self, store: Store, project: str) -> None:
        """Files are listed by creation, then key; of all purposes, or of one."""
        times = [(2, "batch"), (1, "vision"), (2, "vision"), (3, "batch"), (2, "vision")]
        made = [await stored(store, project, b"", file_at(T0 + t, p)) for t, p in times]
        await stored(store, new_project(), b"")
        made.sort(key=lambda file: (file.created_at, file.key))
        for purpose in (None, "vision", "evals"):
            keys = [file.key for file in made if purpose in (None, file.purpose)]
            await prove_paging(
                lambda page, purpose=purpose: store.list_files(  # type: ignore[misc]
                    project, page, T0, purpose=purpose
                ),
                keys,
                lambda file: str(file.key),
            )

    @proof
    async def test_a_page_holds_ten_thousand(self, store: Store, project: str) -> None:
        """The limit of a page is what it asks for."""
        for _ in range(120):
            await stored(store, project, b"")
        found, more = await store.list_files(project, Page(10_000), T0)
        assert (len(found), more) == (120, False)

    @proof
    async def test_an_expired_file_is_not_found(self, store: Store, project: str) -> None:
        """From the moment it expires, by no verb and in no list; before it, by all."""
        file = await stored(store, project, b"old", file_at(lives_ms=1_000))
        ends = T0 + 1_000
        assert await store.get_file(project, file.key, ends - 1) == file
        assert await store.list_files(project, Page(), ends - 1) == ([file], False)
        for act in (
            store.get_file(project, file.key, ends),
            store.delete_file(project, file.key, ends),
        ):
            assert await not_found(act) == ("file", file.key)
        assert await store.list_files(project, Page(), ends) == ([], False)

    @proof
    async def test_a_sweep_removes_what_has_expired(self, store: Store, project: str) -> None:
        """The bytes of an expired file go; those of one that lives, and of none, stay."""
        old = await stored(store, project, b"old", file_at(lives_ms=1_000))
        young = await stored(store, project, b"young", file_at(lives_ms=2_000))
        ever = await stored(store, project, b"ever")
        await store.sweep_files(T0 + 1_000)
        assert await not_found(store.read_file(project, old.key, 0, 9)) == ("file", old.key)
        assert await content(store, project, young) == b"young"
        assert await content(store, project, ever) == b"ever"

    @proof
    async def test_a_sweep_leaves_what_still_grows(self, store: Store, project: str) -> None:
        """A blob that belongs to nothing goes a day after its last piece, not before."""
        stale = await blob_of(store, project, b"a", b"b")
        fresh = await blob_of(store, project, b"c")
        await store.write_blob(project, fresh, b"d", T0 + 1)
        await store.sweep_files(T0 + LOOSE_KEPT_MS)
        assert await not_found(store.create_file(project, file_at(), stale)) == ("blob", stale)
        made = await store.create_file(project, file_at(), fresh)
        assert await content(store, project, made) == b"cd"

    @proof
    async def test_many_at_once_do_not_mix(self, store: Store, project: str) -> None:
        """Eight files written at once, piece by piece, each have their own bytes."""

        async def write(letter: str) -> None:
            pieces = [letter.encode() * size for size in (1_000, 1, 70_000, 5)]
            blob = await blob_of(store, project, *pieces)
            made = await store.create_file(project, file_at(), blob)
            assert await content(store, project, made) == b"".join(pieces)

        await asyncio.gather(*map(write, "abcdefgh"))

    @proof
    async def test_other_projects_files_are_not_found(self, store: Store, project: str) -> None:
        """To each verb another project's file, upload, part or blob is not there."""
        file, stranger = await stored(store, project, b"mine"), new_project()
        upload = await store.create_upload(project, new_upload(1))
        [part] = await parts_of(store, project, upload.key, b"x")
        own = await store.create_upload(stranger, new_upload(1))
        blob = await blob_of(store, project, b"b")
        for act, missing in (
            (store.get_file(stranger, file.key, T0), ("file", file.key)),
            (store.read_file(stranger, file.key, 0, 1), ("file", file.key)),
            (store.delete_file(stranger, file.key, T0), ("file", file.key)),
            (store.list_files(stranger, Page(after=file.key), T0), ("file", file.key)),
            (store.create_file(stranger, file_at(), blob), ("blob", blob)),
            (store.get_upload(stranger, upload.key), ("upload", upload.key)),
            (store.cancel_upload(stranger, upload.key, T0), ("upload", upload.key)),
            (store.read_part(stranger, upload.key, part, 0, 1), ("part", part)),
            (store.add_part(stranger, Part(blob, own.key, T0), T0), ("blob", blob)),
            (store.complete_upload(stranger, own.key, "f", [part], T0), ("part", part)),
        ):
            assert await not_found(act) == missing
        error = await refusal(store.write_blob(stranger, blob, b"x", T0))
        assert error.code == "conflict"
        await store.drop_blob(stranger, blob)
        assert (await store.create_file(project, file_at(), blob)).bytes == 1

    @proof
    async def test_a_deleted_files_answers_say_nothing(self, store: Store, project: str) -> None:
        """What was answered to its Idempotency-Key is gone with it; the key stays used."""
        blob = await blob_of(store, project, b"x")
        made = await store.create_file(project, file_at(), blob, once=once("k"))
        again = await blob_of(store, project, b"x")
        said = await replay(store.create_file(project, file_at(), again, once=once("k")))
        assert made.filename.encode() in said
        await store.delete_file(project, made.key, T0)
        error = await refusal(store.create_file(project, file_at(), again, once=once("k")))
        assert (error.code, error.wire_code) == ("not_found", "erased")


class Uploads(Proof):
    """Files made of parts."""

    @proof
    async def test_parts_make_a_file_in_the_order_given(self, store: Store, project: str) -> None:
        """Not in the order they came; parts that are not named are gone."""
        upload = await store.create_upload(project, new_upload(6))
        a, b, c = await parts_of(store, project, upload.key, b"aa", b"BBB", b"cccc")
        assert await store.read_part(project, upload.key, b, 1, 9) == b"BB"
        done, file = await store.complete_upload(project, upload.key, new_key(T0), [c, a], T0 + 5)
        assert (done.status, done.file, file.bytes) == ("completed", file.key, 6)
        assert (file.created_at, file.filename, file.purpose) == (T0 + 5, "b.bin", "assistants")
        assert await content(store, project, file) == b"ccccaa"
        assert await store.get_upload(project, upload.key) == done
        assert await not_found(store.create_file(project, file_at(), b)) == ("blob", b)
        await store.delete_file(project, file.key, T0 + 5)
        assert await not_found(store.get_upload(project, upload.key)) == ("upload", upload.key)

    @proof
    async def test_the_bytes_must_be_those_announced(self, store: Store, project: str) -> None:
        """Else the upload stays as it is, and the right parts complete it."""
        upload = await store.create_upload(project, new_upload(3))
        parts = await parts_of(store, project, upload.key, b"aa", b"b")
        for wrong in ([], parts[:1]):
            refused = store.complete_upload(project, upload.key, new_key(T0), wrong, T0)
            assert (await refusal(refused)).code == "bad_request"
        missing = new_key(T0)
        refused = store.complete_upload(project, upload.key, new_key(T0), [*parts, missing], T0)
        assert await not_found(refused) == ("part", missing)
        assert await store.get_upload(project, upload.key) == upload
        assert await store.list_files(project, Page(), T0) == ([], False)
        _, file = await store.complete_upload(project, upload.key, new_key(T0), parts, T0)
        assert await content(store, project, file) == b"aab"

    @proof
    async def test_an_upload_that_has_ended_stays_so(self, store: Store, project: str) -> None:
        """Completed, cancelled or expired: no part is added, and it does not end again."""
        for end in ("completed", "cancelled", "expired"):
            upload, now = await store.create_upload(project, new_upload(0)), T0
            if end == "completed":
                await store.complete_upload(project, upload.key, new_key(T0), [], T0)
            elif end == "cancelled":
                ended = await store.cancel_upload(project, upload.key, T0)
                assert ended.status == "cancelled"
            else:
                now = upload.expires_at
            blob = await blob_of(store, project, b"")
            for act in (
                store.add_part(project, Part(blob, upload.key, now), now),
                store.complete_upload(project, upload.key, new_key(T0), [], now),
                store.cancel_upload(project, upload.key, now),
            ):
                error = await refusal(act)
                assert (error.code, error.wire_code) == ("bad_request", f"upload_{end}")

    @proof
    async def test_parts_go_with_their_upload(self, store: Store, project: str) -> None:
        """Cancelled, or swept when it has expired; a day later the upload is forgotten."""
        cancelled = await store.create_upload(project, new_upload(1))
        expired = await store.create_upload(project, new_upload(1))
        living = await store.create_upload(project, new_upload(1, T0 + 1))
        keys = {
            upload.key: await parts_of(store, project, upload.key, b"x")
            for upload in (cancelled, expired, living)
        }
        await store.cancel_upload(project, cancelled.key, T0)
        await store.sweep_files(expired.expires_at)
        for upload in (cancelled, expired):
            [part] = keys[upload.key]
            gone = store.read_part(project, upload.key, part, 0, 1)
            assert await not_found(gone) == ("part", part)
        assert (await store.get_upload(project, expired.key)).status == "expired"
        assert await store.read_part(project, living.key, keys[living.key][0], 0, 1) == b"x"
        await store.sweep_files(expired.expires_at + DAY_MS)
        for upload in (cancelled, expired):
            missing = await not_found(store.get_upload(project, upload.key))
            assert missing == ("upload", upload.key)

    @proof
    async def test_parts_may_come_at_once(self, store: Store, project: str) -> None:
        """Eight parts added at once are all there; of two that complete it, one does."""
        upload = await store.create_upload(project, new_upload(8))
        added = [parts_of(store, project, upload.key, letter.encode()) for letter in "abcdefgh"]
        parts = [part for [part] in await asyncio.gather(*added)]
        tries = [
            store.complete_upload(project, upload.key, new_key(T0), parts, T0) for _ in range(2)
        ]
        ends: Sequence[Any] = await asyncio.gather(*tries, return_exceptions=True)
        files = [end[1] for end in ends if not isinstance(end, BaseException)]
        assert len(files) == 1
        assert await content(store, project, files[0], 3) == b"abcdefgh"
        assert await store.list_files(project, Page(), T0) == (files, False)

    @proof
    async def test_a_retry_is_not_a_second_upload(self, store: Store, project: str) -> None:
        """Each verb of an upload gives its first answer again, whatever happened since."""
        upload = new_upload(1)
        await store.create_upload(project, upload, once=once("create"))
        part = Part(await blob_of(store, project, b"x"), upload.key, T0)
        await store.add_part(project, part, T0, once=once("add"))
        complete = (upload.key, new_key(T0), [part.key], T0)
        await store.complete_upload(project, *complete, once=once("complete"))
        other = Part(await blob_of(store, project, b"x"), upload.key, T0)
        for act, key in (
            (store.create_upload(project, new_upload(1), once=once("create")), upload.key),
            (store.add_part(project, other, T0, once=once("add")), part.key),
            (store.complete_upload(project, *complete, once=once("complete")), complete[1]),
        ):
            assert key.encode() in await replay(act)
        cancelled = await store.create_upload(project, new_upload(1))
        await store.cancel_upload(project, cancelled.key, T0, once=once("cancel"))
        again = store.cancel_upload(project, cancelled.key, T0, once=once("cancel"))
        assert b"cancelled" in await replay(again)
