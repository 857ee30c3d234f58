"""`store: false`: a turn that reads a thread and leaves nothing behind."""

from __future__ import annotations

from typing import Any

from clew.core.events import ItemEnded
from clew.core.runs import Run
from clew.executor.unstored import Unstored
from clew.providers.provider import ProviderError

from .stage import T0, Stage, in_words, over, play, says, stage, statuses, user


def everything(here: Stage) -> dict[str, Any]:
    """All rows of all tables."""
    db = here.store.db
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def test_an_unstored_turn_reads_and_does_not_write() -> None:
    """The model sees the thread and the input; afterwards every table is as it was."""

    async def main() -> None:
        async with stage(says("done")) as here:
            thread = await here.thread("a", "b")
            before = everything(here)
            run = Run("TR", thread, T0, "m")
            log = Unstored(run, [user("c"), user("d")], here.store, 2)
            live = here.executor.start(here.project, run, log)
            events = await over(live)
            assert statuses(events) == ["queued", "in_progress", "completed"]
            seen = here.provider.asked[0].items
            assert [item.text() for item in seen] == ["a", "b", "c", "d"]
            assert [item.seq for item in seen] == [1, 2, 3, 4]
            items = [event.item for event in events if isinstance(event, ItemEnded)]
            assert [in_words(item) for item in items] == ["assistant: done"]
            assert live.run.usage is not None
            assert everything(here) == before

    play(main())


def test_an_unstored_turn_after_an_earlier_point() -> None:
    """History ends where it is said to, whatever the thread has had since."""

    async def main() -> None:
        async with stage(says("done")) as here:
            thread = await here.thread("a", "b", "not this")
            run = Run("TR", thread, T0, "m")
            log = Unstored(run, [user("c")], here.store, 2)
            await over(here.executor.start(here.project, run, log))
            assert [item.text() for item in here.provider.asked[0].items] == ["a", "b", "c"]

    play(main())


def test_an_unstored_turn_without_a_thread() -> None:
    """With no thread to read, the model sees the input alone."""

    async def main() -> None:
        async with stage([ProviderError("rate_limit_exceeded", "slow down")]) as here:
            run = Run("TR", "T", T0, "m")
            live = here.executor.start(here.project, run, Unstored(run, [user("c")]))
            assert statuses(await over(live)) == ["queued", "in_progress", "failed"]
            assert live.run.error == {"code": "rate_limit_exceeded", "message": "slow down"}
            assert [item.text() for item in here.provider.asked[0].items] == ["c"]

    play(main())


def test_the_log_of_an_unstored_turn_is_read_in_pieces() -> None:
    """Read a few at a time, newest first, input and history follow each other without a gap."""

    async def main() -> None:
        async with stage() as here:
            thread = await here.thread(*"abcde")
            log = Unstored(
                Run("TR", thread, T0, "m"), [user(text) for text in "fgh"], here.store, 5
            )
            for limit in (1, 2, 3, 7, 8, 20):
                found, below = "", 1 << 62
                while True:
                    items = await log.read_items(here.project, thread, below=below, limit=limit)
                    found += "".join(item.text() for item in items)
                    if len(items) < limit:
                        break
                    below = items[-1].seq
                assert found == "hgfedcba"

    play(main())
