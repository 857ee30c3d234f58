"""Kept events in SQLite: one commit for many runs, and no byte left of what was erased."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.core.events import ItemEnded, TextAdded
from clew.core.ids import new_item_id, new_key, new_run_key
from clew.core.items import Item, message
from clew.core.kept import pack
from clew.core.runs import Run
from clew.core.threads import Receipt, Thread
from clew.store.events import News
from clew.store.sqlite import SQLiteStore, erasure
from clew.store.sqlite.engine import SQL

from .test_sqlite_erasure import NOW, PROJECT, found, mark, play, secret


async def told_run(store: SQLiteStore, name: str, *, times: int = 1) -> tuple[Run, Item]:
    """A run over an item with a secret, and its kept events with the same secret."""
    thread = await store.create_thread(PROJECT, Thread(new_key(NOW), NOW, NOW))
    run = Run(new_run_key(thread.key, NOW), thread.key, NOW, "m")
    run = await store.create_run(PROJECT, run)
    text = secret(name, 3_000)
    item = message(new_item_id("assistant", NOW), "assistant", text, NOW, run.key)
    events = pack([TextAdded(0, item.id, text), ItemEnded(0, item)])
    rows = [
        News(PROJECT, run.thread, run.key, run.last_seq, number, NOW + 1, events)
        for number in range(times)
    ]
    await store.append_events(rows, NOW)
    run = await store.move_run(PROJECT, "queued", run, [item], now_ms=NOW)
    return run, item


@pytest.mark.parametrize("what", ["item", "run", "thread"])
def test_erased_events_are_in_no_file(tmp_path: Path, what: str) -> None:
    """An erased item, run or thread is not in the events either, nor in the log file."""
    path = str(tmp_path / "clew.db")

    async def main() -> None:
        store = await SQLiteStore.open(path)
        run, item = await told_run(store, "gone")
        await told_run(store, "kept")
        receipt = Receipt("rcpt_1", run.thread, NOW, 0, 0)
        if what == "item":
            await store.erase_item(PROJECT, run.thread, item.id, NOW)
        elif what == "run":
            await store.erase_item(PROJECT, run.thread, item.id, NOW)
            await store.erase_run(PROJECT, run.thread, run.key, receipt)
        else:
            await store.erase_thread(PROJECT, run.thread, receipt)
        assert found(path, "gone") == []
        assert found(path, "kept") != []
        await store.close()
        assert mark("gone") not in Path(path).read_bytes()

    play(main())


def test_a_thread_with_many_events_is_erased_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step takes more rows than the event loop can spare, and none is left in the end."""
    monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 10)
    path = str(tmp_path / "clew.db")

    async def main() -> None:
        store = await SQLiteStore.open(path)
        run, _ = await told_run(store, "gone", times=35)
        done = await store.erase_thread(
            PROJECT, run.thread, Receipt("rcpt_1", run.thread, NOW, 0, 0)
        )
        assert (done.items, done.runs) == (1, 1)
        assert store.db.execute("SELECT count(*) FROM events").fetchone() == (0,)
        assert found(path, "gone") == []
        await store.close()

    play(main())


def test_the_news_of_many_runs_are_one_commit(tmp_path: Path) -> None:
    """A hundred runs, one transaction."""

    async def main() -> None:
        store = await SQLiteStore.open(str(tmp_path / "clew.db"))
        runs = [(await told_run(store, str(number)))[0] for number in range(100)]
        other = await SQLiteStore.open(store.path)
        before = other.reader.execute("PRAGMA data_version").fetchone()
        commits: list[object] = []
        store.db.set_commit_hook(lambda: bool(commits.append(1)))
        news = [News(PROJECT, run.thread, run.key, 0, 99, NOW + 1, b"\x90") for run in runs]
        await store.append_events(news, NOW)
        assert len(commits) == 1
        assert other.reader.execute("PRAGMA data_version").fetchone() != before
        store.db.set_commit_hook(None)
        await other.close()
        await store.close()

    play(main())


@pytest.mark.parametrize("query", ["append_events", "list_events", "delete_old_events"])
def test_events_are_found_by_index(tmp_path: Path, query: str) -> None:
    """No statement on the way of a stream looks at rows it has no use for."""

    async def main() -> None:
        store = await SQLiteStore.open(str(tmp_path / "clew.db"))
        plan = store.db.execute(f"EXPLAIN QUERY PLAN {SQL[query]}", {
            "thread": "", "project": "", "run": "", "turn": 0, "first": 0, "until": 0,
            "events": b"", "now": 0, "limit": 1, "attempt": 1,
        }).fetchall()  # fmt: skip
        assert [row[3] for row in plan if row[3].startswith("SCAN")] == []
        await store.close()

    play(main())
