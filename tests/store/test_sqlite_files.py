"""Files in SQLite: deleted bytes are in no file, whatever became of the process meanwhile."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from clew.core.files import LOOSE_KEPT_MS, PIECE_BYTES_MAX, Part, Upload, new_file
from clew.core.ids import new_key
from clew.store.once import Once
from clew.store.sqlite import SQLiteStore, blobs

NOW = 1_700_000_000_000
PROJECT = "proj"
SIZES = [10, 3_000, 5_000, PIECE_BYTES_MAX * 20 + 17]


def play(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def secret(name: str, length: int) -> str:
    """A text that is recognised by any eleven bytes of it."""
    word = f"secret-{name:>5} "
    return (word * (length // len(word) + 1))[: max(length, len(word))]


def found(path: str, name: str) -> list[str]:
    """The files that hold the secret: the database, its log, its index."""
    files = [Path(path + ending) for ending in ("", "-wal", "-shm", "-journal")]
    mark = secret(name, 0).strip().encode()
    return [file.name for file in files if file.exists() and mark in file.read_bytes()]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clew.db")


async def write(store: SQLiteStore, name: str, size: int) -> str:
    """A blob with a secret all through it."""
    blob, content = new_key(NOW), secret(name, size).encode()
    for start in range(0, len(content), PIECE_BYTES_MAX):
        await store.write_blob(PROJECT, blob, content[start : start + PIECE_BYTES_MAX], NOW)
    return blob


async def store_file(store: SQLiteStore, name: str, size: int, lives_ms: int | None = None) -> str:
    file = new_file(new_key(NOW), NOW, secret(f"{name}n", 40), "evals", lives_ms)
    once = Once(file.key, "print", NOW, lambda made: made.filename.encode())
    await store.create_file(PROJECT, file, await write(store, name, size), once=once)
    return file.key


async def store_upload(store: SQLiteStore, name: str, size: int) -> tuple[str, str]:
    upload = Upload(new_key(NOW), NOW, NOW + 9, secret(f"{name}n", 40), "evals", size, "x/y")
    await store.create_upload(PROJECT, upload)
    blob = await write(store, name, size)
    await store.add_part(PROJECT, Part(blob, upload.key, NOW), NOW)
    return upload.key, blob


def traces(path: str, *names: str) -> list[str]:
    """The names of which content or file name is in some file of the database."""
    return [name for one in names for name in (one, f"{one}n") if found(path, name)]


@pytest.mark.parametrize("size", SIZES)
def test_a_deleted_file_is_in_no_file(path: str, size: int) -> None:
    """Its bytes, its name and what was answered about it are nowhere when the answer comes."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        gone, kept = [await store_file(store, name, size) for name in ("gone", "kept")]
        assert traces(path, "gone") == ["gone", "gonen"]
        await store.delete_file(PROJECT, gone, NOW)
        assert traces(path, "gone", "kept") == ["kept", "keptn"]
        assert len(await store.read_file(PROJECT, kept, 0, PIECE_BYTES_MAX))
        await store.close()
        assert traces(path, "gone", "kept") == ["kept", "keptn"]

    play(main())


def test_what_is_left_behind_is_in_no_file(path: str) -> None:
    """Dropped blobs, cancelled and expired uploads, unused parts, expired files."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        size = 9_000
        await store.drop_blob(PROJECT, await write(store, "drop", size))
        cancelled, _ = await store_upload(store, "canc", size)
        await store.cancel_upload(PROJECT, cancelled, NOW)
        used, part = await store_upload(store, "used", size)
        unused = await write(store, "part", size)
        await store.add_part(PROJECT, Part(unused, used, NOW), NOW)
        bytes = len(secret("used", size))
        assert bytes == size
        await store.complete_upload(PROJECT, used, new_key(NOW), [part], NOW)
        assert traces(path, "drop", "canc", "part", "used") == ["cancn", "used", "usedn"]
        await store_upload(store, "expi", size)
        await store_file(store, "last", size, lives_ms=9)
        await write(store, "left", size)
        await store.sweep_files(NOW + 9)
        assert traces(path, "expi", "last", "left") == ["expin", "left"]
        await store.sweep_files(NOW + 9 + LOOSE_KEPT_MS)
        assert traces(path, "canc", "expi", "left", "used") == ["used", "usedn"]
        await store.close()

    play(main())


def test_a_deletion_cut_off_by_a_crash_is_finished(path: str, tmp_path: Path) -> None:
    """After the file is unreachable and before its bytes are gone: the next opening removes them.

    A crash is a copy of the files as they are on disk at that moment.
    """
    copy = str(tmp_path / "copy.db")

    async def crash() -> None:
        store = await SQLiteStore.open(path)
        file = await store_file(store, "gone", PIECE_BYTES_MAX * (blobs.AT_ONCE + 3))
        await store_file(store, "kept", 5_000)
        write, writes = store.write, 0

        async def two_writes(act, *, scrub=False):
            nonlocal writes
            writes += 1
            if writes == 3:
                for ending in ("", "-wal"):
                    shutil.copy(path + ending, copy + ending)
            return await write(act, scrub=scrub)

        store.write = two_writes  # type: ignore[method-assign, assignment]
        await store.delete_file(PROJECT, file, NOW)
        assert writes == 3
        await store.close()

    async def reopen() -> None:
        assert traces(copy, "gone", "kept") == ["gone", "kept", "keptn"]
        store = await SQLiteStore.open(copy)
        assert traces(copy, "gone", "kept") == ["kept", "keptn"]
        await store.close()

    play(crash())
    play(reopen())
