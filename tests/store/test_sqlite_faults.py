"""SQLite under faults: a failing disk, a full one, other processes, a crash."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from clew.core.errors import ClewError, NotFound
from clew.core.ids import new_item_id, new_key
from clew.core.items import Item, message
from clew.core.paging import Page
from clew.core.threads import Thread
from clew.store.sqlite import SQLiteStore, commits
from clew.testing.faults import READS, FaultyVFS

NOW = 1_700_000_000_000
PROJECT = "proj"
FAULTS = [apsw.IOError, apsw.FullError]


def play(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def user(text: str) -> Item:
    return message(new_item_id("user", NOW), "user", text, NOW)


async def new_thread(store: SQLiteStore) -> str:
    return (await store.create_thread(PROJECT, Thread(new_key(NOW), NOW, NOW))).key


async def append(store: SQLiteStore, thread: str, *texts: str) -> tuple[int, int]:
    return await store.append_items(PROJECT, thread, [user(text) for text in texts], NOW)


async def texts(store: SQLiteStore, thread: str) -> list[str]:
    found, _ = await store.list_items(PROJECT, thread, Page(100, "asc"))
    assert [item.seq for item in found] == list(range(1, len(found) + 1))
    return [item.text() for item in found]


async def outcome(act: Awaitable[object]) -> str:
    """ "ok", or the code of the refusal."""
    try:
        await act
    except ClewError as error:
        return error.code
    return "ok"


def whole(path: str) -> bool:
    """Whether SQLite finds nothing wrong with the file."""
    db = apsw.Connection(path)
    rows: list[Any] = db.execute("PRAGMA integrity_check").fetchall()
    db.close()
    return rows == [("ok",)]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clew.db")


@pytest.fixture
def disk() -> Iterator[FaultyVFS]:
    with FaultyVFS() as faulty:
        yield faulty


def test_durability_settings(path: str) -> None:
    """What is acknowledged is on disk: a write-ahead log that is synced at each commit."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        for db in (store.db, store.reader):
            assert db.pragma("journal_mode") == "wal"
            assert db.pragma("synchronous") == 2
            assert db.pragma("secure_delete") == 1
            assert db.pragma("wal_autocheckpoint") == 0
        await store.close()

    play(main())


# a group of writes


def test_a_write_that_breaks_leaves_its_group_alone(path: str) -> None:
    """Of writes that would have been committed together, only the broken one fails."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        threads = [await new_thread(store) for _ in range(3)]

        def breaks() -> None:
            store.db.execute("UPDATE threads SET last_seq = 99")
            raise ZeroDivisionError("a fault of ours")

        before = [append(store, thread, "before") for thread in threads]
        broken = store.write(breaks)
        after = [append(store, thread, "after") for thread in threads]
        said = await asyncio.gather(*before, broken, *after, return_exceptions=True)
        assert [type(one) for one in said] == [*[tuple] * 3, ZeroDivisionError, *[tuple] * 3]
        assert said[:3] == [(2, 1)] * 3
        assert said[4:] == [(3, 2)] * 3
        for thread in threads:
            assert await texts(store, thread) == ["before", "after"]
            assert (await store.get_thread(PROJECT, thread)).last_seq == 2
        await store.close()

    play(main())


def test_a_refusal_that_had_changed_something_is_undone(path: str) -> None:
    """A refused write leaves nothing behind, and the others of its group keep their answers."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        thread = await new_thread(store)

        def refuses() -> None:
            store.db.execute("UPDATE threads SET last_seq = 99")
            raise NotFound("item", "msg_x")

        first, refused, last = (
            append(store, thread, "a"),
            store.write(refuses),
            append(store, thread, "b"),
        )
        said = await asyncio.gather(first, refused, last, return_exceptions=True)
        assert [type(one) for one in said] == [tuple, NotFound, tuple]
        assert await texts(store, thread) == ["a", "b"]
        await store.close()

    play(main())


def test_an_id_that_is_taken_harms_nobody(path: str) -> None:
    """A write with a taken id is a conflict; what else it brought is not there."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        thread, other = await new_thread(store), await new_thread(store)
        taken = user("a")
        await store.append_items(PROJECT, thread, [taken], NOW)
        said = await asyncio.gather(
            append(store, other, "x"),
            store.append_items(PROJECT, thread, [user("lost"), taken], NOW),
            append(store, thread, "b"),
            return_exceptions=True,
        )
        assert [getattr(one, "code", "ok") for one in said] == ["ok", "conflict", "ok"]
        assert await texts(store, thread) == ["a", "b"]
        await store.close()

    play(main())


# a failing disk


async def write_under(store: SQLiteStore, thread: str) -> tuple[list[str], list[str]]:
    """Appends, one by one, together and an erasure; the texts acknowledged and those refused."""
    said: dict[str, str] = {}
    for text in ("a", "b"):
        said[text] = await outcome(append(store, thread, text))
    group = [outcome(append(store, thread, text)) for text in "cde"]
    said.update(zip("cde", await asyncio.gather(*group), strict=True))
    doomed = user("doomed")
    if await outcome(store.append_items(PROJECT, thread, [doomed], NOW)) == "ok":
        await outcome(store.erase_item(PROJECT, thread, doomed.id, NOW))
    said["f"] = await outcome(append(store, thread, "f"))
    assert set(said.values()) <= {"ok", "unavailable"}
    return (
        [text for text in said if said[text] == "ok"],
        [text for text in said if said[text] != "ok"],
    )


@pytest.mark.parametrize("error", FAULTS)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_fails(
    tmp_path: Path, disk: FaultyVFS, error: type[apsw.Error], lasting: bool
) -> None:
    """Whichever write or sync fails: what was acknowledged is there after reopening, what was
    refused is not, and the store works again as soon as the disk does."""

    async def main(path: str, number: int) -> bool:
        store = await SQLiteStore.open(path)
        thread = await new_thread(store)
        disk.fail(number, error, lasting=lasting)
        kept, refused = await asyncio.wait_for(write_under(store, thread), 10)
        failed = disk.failed > 0
        disk.heal()
        await append(store, thread, "healed")
        await store.close()
        store = await SQLiteStore.open(path)
        found, _ = await store.list_items(PROJECT, thread, Page(100, "asc"))
        stored = [item.text() for item in found]
        assert [text for text in stored if text != "doomed"] == [*kept, "healed"]
        assert (await store.get_thread(PROJECT, thread)).last_seq == found[-1].seq
        assert not set(refused) & set(stored)
        await store.close()
        assert whole(path)
        return failed

    for number in range(1, 200):
        if not asyncio.run(main(str(tmp_path / f"{number}.db"), number)):
            break
    assert 40 < number < 199


def test_a_disk_that_fails_at_opening(tmp_path: Path, disk: FaultyVFS) -> None:
    """A new database that cannot be written is refused as unavailable, and opens when it can."""

    refused: list[str] = []

    async def main(path: str, number: int) -> bool:
        disk.fail(number, apsw.FullError, lasting=True)
        said = await outcome(SQLiteStore.open(path))
        failed = disk.failed > 0
        disk.heal()
        assert said in (("ok", "unavailable") if failed else ("ok",))
        refused.append(said)
        store = await SQLiteStore.open(path)
        thread = await new_thread(store)
        await append(store, thread, "a")
        assert await texts(store, thread) == ["a"]
        await store.close()
        return failed

    for number in range(1, 1_000, 3):
        if not asyncio.run(main(str(tmp_path / f"{number}.db"), number)):
            break
    assert number < 990
    assert refused.count("unavailable") > 10


def test_reads_that_fail(path: str, disk: FaultyVFS, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read error refuses what needed the read and nothing else; no write is lost or stuck."""
    monkeypatch.setattr("clew.store.sqlite.engine.CACHE_KIB", 8)

    async def main() -> None:
        store = await SQLiteStore.open(path)
        threads = [await new_thread(store) for _ in range(30)]
        await asyncio.gather(*(append(store, thread, "x" * 3000) for thread in threads))
        failed = refused = 0
        unhandled: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unhandled.append(what))
        for number in range(1, 30):
            thread = threads[number]
            disk.fail(number % 5 + 1, kinds=READS)
            said = await asyncio.wait_for(
                asyncio.gather(
                    store.list_items(PROJECT, thread, Page()),
                    append(store, thread, "y"),
                    return_exceptions=True,
                ),
                5,
            )
            failed += disk.failed
            disk.heal()
            appended = not isinstance(said[1], BaseException)
            assert appended or getattr(said[1], "code", None) == "unavailable"
            listed = not isinstance(said[0], BaseException)
            refused += not listed
            assert listed or getattr(said[0], "code", None) == "unavailable"
            assert await texts(store, thread) == ["x" * 3000, "y"][: 1 + appended]
        assert (failed > 0, refused > 0, unhandled) == (True, True, [])
        await store.close()

    play(main())
    assert whole(path)


# another process

HOLD = """
import sys, apsw
db = apsw.Connection(sys.argv[1])
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
db.execute("COMMIT")
"""


class Holder:
    """Another process that holds the write lock until it is told to let go."""

    def __init__(self, path: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([sys.executable, "-c", HOLD, path], **pipes)  # type: ignore[call-overload]
        assert self._process.stdout.readline() == "held\n"

    def let_go(self) -> None:
        self._process.communicate("\n")


def test_writes_wait_for_another_process(path: str) -> None:
    """While another process writes, ours wait, reads and the event loop go on; then all succeed."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        thread = await new_thread(store)
        holder = Holder(path)
        writes = asyncio.gather(*(append(store, thread, str(number)) for number in range(5)))
        for _ in range(200):
            await asyncio.sleep(0)
            assert await texts(store, thread) == []
        assert not writes.done()
        late = asyncio.ensure_future(append(store, thread, "late"))
        holder.let_go()
        assert sorted(await writes) == [(2 + number, 1 + number) for number in range(5)]
        assert await late == (7, 6)
        assert await texts(store, thread) == ["0", "1", "2", "3", "4", "late"]
        await store.close()

    play(main())


def test_waiting_has_an_end(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock held too long refuses what waits as unavailable; afterwards writes succeed again."""
    monkeypatch.setattr(commits, "LOCK_TIMEOUT_MS", 20)

    async def main() -> None:
        store = await SQLiteStore.open(path)
        thread = await new_thread(store)
        holder = Holder(path)
        said = await asyncio.gather(*(outcome(append(store, thread, text)) for text in "abc"))
        assert said == ["unavailable"] * 3
        assert await outcome(append(store, thread, "d")) == "unavailable"
        holder.let_go()
        assert await append(store, thread, "e") == (2, 1)
        assert await texts(store, thread) == ["e"]
        await store.close()

    play(main())


OPEN = """
import asyncio, sys
from clew.store.sqlite import SQLiteStore
async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    store = await SQLiteStore.open(sys.argv[1])
    first = "SELECT count(*) FROM clew_migrations WHERE number = 1"
    print(store.db.execute(first).fetchall()[0][0], flush=True)
    await store.close()
asyncio.run(main())
"""


def test_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    """Whoever comes first makes the schema, the others find it."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", OPEN, str(tmp_path / "new.db")]
    openers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for opener in openers:
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        opener.stdin.write("\n")
        opener.stdin.flush()
    assert [opener.communicate()[0] for opener in openers] == ["1\n"] * 4


def test_stores_that_share_a_file_take_turns(path: str) -> None:
    """Two stores on one file append to one thread: every item lands, in one order, once."""

    async def main() -> None:
        stores = [await SQLiteStore.open(path) for _ in range(2)]
        thread = await new_thread(stores[0])
        writes = [append(stores[number % 2], thread, str(number)) for number in range(60)]
        said = await asyncio.gather(*writes)
        assert sorted(seq for _, seq in said) == list(range(1, 61))
        found = await texts(stores[1], thread)
        assert sorted(found, key=int) == [str(number) for number in range(60)]
        assert await texts(stores[0], thread) == found
        for store in stores:
            await store.close()

    play(main())


# the write-ahead log


def test_the_log_does_not_grow_without_end(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load the log is copied into the database beside the commits, and starts again."""
    monkeypatch.setattr(commits, "CHECKPOINT_PAGES", 50)
    monkeypatch.setattr(commits, "COMMITS_PER_LOOK", 4)
    copied_by: set[str] = set()
    copy = commits.Checkpointer._copy

    def spy(checkpointer: commits.Checkpointer) -> None:
        copied_by.add(threading.current_thread().name)
        copy(checkpointer)

    monkeypatch.setattr(commits.Checkpointer, "_copy", spy)

    async def main() -> None:
        store = await SQLiteStore.open(path)
        thread = await new_thread(store)
        sizes = []
        for _ in range(400):
            await append(store, thread, "x" * 4000)
            sizes.append(Path(path + "-wal").stat().st_size)
        await store.close()
        written = 400 * 4000
        assert max(sizes) < written / 2
        assert Path(path).stat().st_size > written

    play(main())
    assert copied_by == {"clew-checkpoint"}


# migrations


def test_a_changed_migration_is_refused(path: str) -> None:
    """A released step that reads otherwise now is named, and the database is left alone."""
    play(close_after(path))
    db = apsw.Connection(path)
    db.execute("UPDATE clew_migrations SET sha256 = 'x'")
    db.close()
    before = Path(path).read_bytes()
    assert refusal_at_opening(path) == "Migration 0001_threads is not the one applied."
    assert Path(path).read_bytes() == before


def test_a_newer_database_is_refused(path: str) -> None:
    """A database with steps this release does not know is left alone."""
    play(close_after(path))
    db = apsw.Connection(path)
    db.execute("INSERT INTO clew_migrations VALUES (9999, '9999_later', 'x')")
    db.close()
    assert refusal_at_opening(path) == "This database was written by a newer Clew."


def test_a_file_that_is_no_database_is_refused(path: str) -> None:
    """What is not ours to write is left as it was."""
    Path(path).write_bytes(b"a letter to a friend" * 100)
    assert "not a database" in refusal_at_opening(path)
    assert Path(path).read_bytes() == b"a letter to a friend" * 100


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Opening says which file, with the driver's error as the cause."""
    path = str(tmp_path / "nowhere" / "clew.db")
    with pytest.raises(ClewError, match=r"nowhere/clew\.db") as refused:
        play(close_after(path))
    assert isinstance(refused.value.__cause__, apsw.CantOpenError)


async def close_after(path: str) -> None:
    await (await SQLiteStore.open(path)).close()


def refusal_at_opening(path: str) -> str:
    with pytest.raises(ClewError) as refused:
        play(close_after(path))
    assert refused.value.code == "unavailable"
    return refused.value.message
