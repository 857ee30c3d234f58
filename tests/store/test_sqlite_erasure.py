"""Erasure in SQLite: what was erased is in no byte of any file, even after a crash."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.json import encode
from msgspec.structs import replace

from clew.core.errors import NotFound
from clew.core.ids import new_item_id, new_key, new_run_key
from clew.core.items import Item, message, new_item
from clew.core.paging import Page
from clew.core.runs import Call, Run
from clew.core.threads import Receipt, Thread
from clew.store.events import News
from clew.store.once import Once
from clew.store.sqlite import SQLiteStore, commits, erasure
from clew.store.sqlite.gaps import FIRST_PAGE_HEADER, without_gap

NOW = 1_700_000_000_000
PROJECT = "proj"


def play(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def secret(name: str | int, length: int) -> str:
    """A text that is recognised by any eleven bytes of it."""
    word = f"secret-{name:>04} "
    return (word * (length // len(word) + 1))[: max(length, len(word))]


def mark(name: str | int) -> bytes:
    return f"secret-{name:>04}".encode()


def found(path: str, name: str | int) -> list[str]:
    """The files that hold the secret: the database, its log, its index."""
    files = [Path(path + ending) for ending in ("", "-wal", "-shm", "-journal")]
    return [file.name for file in files if file.exists() and mark(name) in file.read_bytes()]


def user(text: str, id: str | None = None) -> Item:
    return message(id or new_item_id("user", NOW), "user", text, NOW)


async def new_thread(store: SQLiteStore, *items: Item, **fields: Any) -> str:
    thread = Thread(new_key(NOW), NOW, NOW, **fields)
    return (await store.create_thread(PROJECT, thread, items)).key


async def erase(store: SQLiteStore, thread: str) -> Receipt:
    return await store.erase_thread(PROJECT, thread, Receipt("rcpt_" + thread, thread, NOW, 0, 0))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "clew.db")


@pytest.mark.parametrize("length", [20, 400, 3_900, 4_100, 60_000])
def test_an_erased_item_is_in_no_file(path: str, length: int) -> None:
    """Short or long, with metadata or without: its bytes are nowhere when the answer comes."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        items = [user(secret(number, length)) for number in range(6)]
        thread = await new_thread(store, *items)
        for item in items[::2]:
            await store.update_item(PROJECT, thread, item.id, {"k": secret("meta", 300)}, NOW)
        for number, item in enumerate(items):
            assert found(path, number) != []
            await store.erase_item(PROJECT, thread, item.id, NOW)
            assert found(path, number) == []
        assert found(path, "meta") == []
        assert (await store.get_thread(PROJECT, thread)).last_seq == 6
        await store.close()

    play(main())


def test_erased_items_leave_nothing_in_pages_that_were_split(path: str) -> None:
    """Rows that grew and moved between pages leave no copy behind when they are erased, nor does
    one come back when the pages they were on change again."""
    chance = random.Random(7)

    async def main() -> None:
        store = await SQLiteStore.open(path)
        items = [user(secret(number, chance.randint(20, 900))) for number in range(120)]
        thread = await new_thread(store, *items)
        for number in chance.sample(range(120), 60):
            grown = {"k": secret(number, chance.randint(20, 500))}
            await store.update_item(PROJECT, thread, items[number].id, grown, NOW)
        order = chance.sample(range(120), 120)
        for place, number in enumerate(order):
            await store.erase_item(PROJECT, thread, items[number].id, NOW)
            assert found(path, number) == [], number
            for later in order[place + 1 : place + 6]:
                grown = {"k": chance.choice("xyz") * chance.randint(20, 300)}
                await store.update_item(PROJECT, thread, items[later].id, grown, NOW)
            assert [one for one in order[: place + 1] if found(path, one)] == []
        await store.close()

    play(main())


@pytest.mark.parametrize("length", [20, 900, 60_000])
def test_an_erased_run_is_in_no_file(path: str, length: int) -> None:
    """What it was asked and said in its chain, its settings, calls, events and answers are gone."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        chain = await new_thread(store, chain=True)
        keys = [new_run_key(chain, NOW) for _ in range(3)]
        for number, key in enumerate(keys):
            once = Once(f"k{number}", "print", NOW, encode)
            run = Run(key, chain, NOW, "m", instructions=secret(number, length))
            asked = user(secret(number, length))
            run = await store.create_run(PROJECT, run, [asked], once=once)
            call = Call(new_key(NOW), key, "m", "p", NOW, NOW, 1, 1, error={"m": secret(number, 9)})
            said = message(new_item_id("assistant", NOW), "assistant", secret(number, 50), NOW, key)
            news = News(PROJECT, chain, key, run.input_seq, 0, NOW, secret(number, 99).encode())
            await store.append_events([news], NOW)
            ended = replace(run, status="completed")
            await store.move_run(PROJECT, "queued", ended, [said], now_ms=NOW, calls=[call])
        for gone in (1, 0, 2):
            assert found(path, gone) != []
            receipt = Receipt(f"rcpt_{gone}", chain, NOW, 0, 0)
            await store.erase_run(PROJECT, chain, keys[gone], receipt)
            assert found(path, gone) == []
        await store.close()

    play(main())


def test_an_erased_thread_is_in_no_file(path: str) -> None:
    """Messages, metadata, tool resources, runs, calls and recorded answers: all bytes are gone."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        neighbour = await new_thread(store, user(secret("kept", 5_000)), metadata={"k": "kept"})
        thread = await new_thread(
            store,
            *(user(secret("text", length)) for length in (10, 500, 50_000)),
            metadata={"k": secret("data", 500), secret("name", 60): "v"},
            tool_resources={"file_search": {"vector_store_ids": [secret("tool", 50)]}},
        )
        once = Once("key", "print", NOW, lambda _: secret("said", 300).encode())
        await store.update_thread(
            PROJECT, thread, NOW, metadata={"k": secret("more", 500)}, once=once
        )
        run = Run(
            new_run_key(thread, NOW),
            thread,
            NOW,
            "m",
            instructions=secret("rule", 500),
            metadata={"k": secret("mark", 500)},
        )
        run = await store.create_run(PROJECT, run, [user(secret("asks", 700))])
        call = Call(
            new_key(NOW), run.key, "m", "p", NOW, NOW, 1, 1, error={"m": secret("call", 99)}
        )
        data = {"type": "function_call", "call_id": "c", "arguments": secret("args", 900)}
        output = new_item(new_item_id("function_call", NOW), data, NOW, run.key)
        await store.move_run(PROJECT, "queued", run, [output], now_ms=NOW, calls=[call])
        names = "text data name tool said more rule mark asks call args".split()
        assert [name for name in names if found(path, name) == []] == []
        receipt = await erase(store, thread)
        assert (receipt.items, receipt.runs, receipt.kept_by) == (5, 1, [])
        assert {name: found(path, name) for name in names} == {name: [] for name in names}
        assert found(path, "kept") != []
        assert (await store.get_thread(PROJECT, neighbour)).metadata == {"k": "kept"}
        await store.close()
        assert {name: found(path, name) for name in names} == {name: [] for name in names}

    play(main())


@pytest.mark.parametrize(
    ("kind", "cells", "content", "gap"),
    [
        (13, 3, 4_000, slice(14, 4_000)),
        (10, 0, 4_096, slice(8, 4_096)),
        (5, 2, 100, slice(16, 100)),
        (2, 1, 14, slice(0, 0)),
        (13, 1, 5_000, slice(0, 0)),
        (0, 3, 4_000, slice(0, 0)),
        (1, 3, 4_000, slice(0, 0)),
    ],
)
@pytest.mark.parametrize("start", [0, FIRST_PAGE_HEADER])
def test_only_the_gap_of_a_page_is_emptied(
    kind: int, cells: int, content: int, gap: slice, start: int
) -> None:
    """Header, pointers and cells of a b-tree page stay; a page that is none stays as it is."""
    page = bytearray(b"\xff" * 4_096)
    page[start] = kind
    page[start + 3 : start + 5] = cells.to_bytes(2, "big")
    page[start + 5 : start + 7] = content.to_bytes(2, "big")
    expected = bytearray(page)
    first = gap.start + start if gap.stop else 0
    expected[first : gap.stop] = bytes(max(gap.stop - first, 0))
    assert without_gap(bytes(page), start) == bytes(expected)


def test_erased_metadata_leaves_nothing_in_its_index(path: str) -> None:
    """Metadata of many threads shares pages in any order; each erasure takes all of its own."""
    chance = random.Random(7)

    async def main() -> None:
        store = await SQLiteStore.open(path)
        threads = {}
        for number in chance.sample(range(150), 150):
            value = f"{chance.random()} {secret(number, chance.randint(20, 400))}"
            threads[number] = await new_thread(store, metadata={"k": value})
        for number in chance.sample(range(150), 150):
            await erase(store, threads[number])
            assert found(path, number) == [], number
        await store.close()

    play(main())


def test_a_large_erasure_goes_in_steps(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large thread is unreachable at once and goes piece by piece, while others are written."""
    monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 10)

    async def main() -> None:
        store = await SQLiteStore.open(path)
        thread = await new_thread(store, *(user(secret("text", 99)) for _ in range(95)))
        other = await new_thread(store)
        erasing = asyncio.ensure_future(erase(store, thread))
        appended = 0
        while not erasing.done():
            appended += 1
            await store.append_items(PROJECT, other, [user("x")], NOW)
            with pytest.raises(NotFound):
                await store.get_thread(PROJECT, thread)
        assert appended > 5
        assert (await erasing).items == 95
        assert found(path, "text") == []
        assert (await store.get_thread(PROJECT, other)).last_seq == appended
        await store.close()

    play(main())


def test_an_erasure_cut_off_by_a_crash_is_finished(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever between its steps the process dies, the next opening leaves nothing of it."""
    monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 10)
    crashes: list[str] = []

    async def main() -> None:
        store = await SQLiteStore.open(path)
        kept = await new_thread(store, user("kept"))
        thread = await new_thread(store, *(user(secret("text", 99)) for _ in range(35)))
        write = store.write

        def crashing(act: Any, *, scrub: bool = False) -> Any:
            crashes.append(crashed(path, tmp_path, len(crashes)))
            return write(act, scrub=scrub)

        monkeypatch.setattr(store, "write", crashing)
        await erase(store, thread)
        await store.close()
        assert len(crashes) == 4
        for number, copy in enumerate(crashes):
            store = await SQLiteStore.open(copy)
            assert [item.text() for item in await shown(store, kept)] == ["kept"]
            if number == 0:
                assert len(await shown(store, thread)) == 35  # nothing had happened yet
            else:
                assert rows(store, "items") == 1
                assert rows(store, "threads") == 1
                assert found(copy, "text") == []
            await store.close()

    play(main())


def test_a_crash_before_the_log_was_emptied(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an erasure left in the write-ahead log is gone with the next opening."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        item = user(secret("text", 500))
        thread = await new_thread(store, item)
        with monkeypatch.context() as patched:
            patched.setattr(commits.Checkpointer, "scrub", lambda _: True)
            await store.erase_item(PROJECT, thread, item.id, NOW)
        copy = crashed(path, tmp_path, 0)
        assert found(copy, "text") != []
        again = await SQLiteStore.open(copy)
        assert found(copy, "text") == []
        await again.close()
        await store.close()

    play(main())


def test_a_log_that_could_not_be_emptied_is_emptied_later(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process reads while we erase: the erasure stands, its rest goes when that is done."""
    monkeypatch.setattr(commits, "LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr(commits, "COMMITS_PER_LOOK", 2)

    async def main() -> None:
        store = await SQLiteStore.open(path)
        item = user(secret("text", 500))
        thread = await new_thread(store, item)
        reader = apsw.Connection(path)
        reader.execute("BEGIN; SELECT count(*) FROM items").fetchall()
        await store.erase_item(PROJECT, thread, item.id, NOW)
        assert await shown(store, thread) == []
        assert found(path, "text") != []
        reader.execute("COMMIT")
        reader.close()
        for _ in range(2):
            await store.append_items(PROJECT, thread, [user("x")], NOW)
        assert found(path, "text") == []
        await store.close()

    play(main())


def test_nothing_is_left_that_no_thread_shows(path: str) -> None:
    """An item shared by forks of erased threads is in no row once the last of them lets go."""

    async def main() -> None:
        store = await SQLiteStore.open(path)
        item, rest = user(secret("text", 99)), user("rest")
        root = await new_thread(store, item, rest)
        middle = await fork(store, root)
        left, right = await fork(store, middle), await fork(store, middle)
        assert (await erase(store, root)).kept_by == sorted((middle, left, right))
        assert (await erase(store, middle)).kept_by == sorted((left, right))
        await store.erase_item(PROJECT, left, item.id, NOW)
        assert (await store.get_item(PROJECT, right, item.id)).text() == item.text()
        assert found(path, "text") != []
        await store.erase_item(PROJECT, right, item.id, NOW)
        assert found(path, "text") == []
        assert [one.text() for one in await shown(store, right)] == ["rest"]
        await erase(store, right)
        assert [one.text() for one in await shown(store, left)] == ["rest"]
        await erase(store, left)
        assert (rows(store, "items"), rows(store, "threads")) == (0, 0)
        await store.close()

    play(main())


async def fork(store: SQLiteStore, parent: str) -> str:
    made = await store.fork_thread(PROJECT, parent, Thread(new_key(NOW), NOW, NOW))
    return made.key


async def shown(store: SQLiteStore, thread: str) -> list[Item]:
    items, _ = await store.list_items(PROJECT, thread, Page(100, "asc"))
    return items


def rows(store: SQLiteStore, table: str) -> int:
    count: Any = store.db.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(count[0][0])


def crashed(path: str, place: Path, number: int) -> str:
    """The files as a crash at this moment would leave them."""
    copy = str(place / f"crashed-{number}.db")
    for ending in ("", "-wal"):
        shutil.copyfile(path + ending, copy + ending)
    return copy
