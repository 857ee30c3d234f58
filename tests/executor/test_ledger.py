"""The ledger: what is stored of a run, together, under its lease, and told once it is stored."""

from __future__ import annotations

from typing import Any

import pytest

from clew.core.errors import ClewError, IllegalMove
from clew.core.events import ItemBegan, ItemEnded, RunChanged
from clew.core.items import message
from clew.core.runs import Lease, Run
from clew.executor.ledger import Ledger
from clew.executor.live import Live
from clew.store.runs import Moved

from .desk import record
from .stage import T0, Stage, play, stage, statuses, told


async def opened(here: Stage, *, stored: bool = True) -> Ledger:
    run = await here.queued("hi")
    live = Live(run)
    lease = (lambda: here.executor.lease) if stored else None
    return Ledger(here.store, here.project, run, live, here.now, lease)


def item(run: Run, id: str = "msg_1", text: str = "a") -> Any:
    return message(id, "assistant", text, T0, run.key)


def test_what_was_added_is_stored_together() -> None:
    """Items, changed items and calls go with the next move, once; nothing before it."""

    async def main() -> None:
        async with stage() as here:
            ledger = await opened(here)
            ledger.add(item(ledger.run))
            ledger.note(record(ledger.run, "C1"))
            assert (await here.said(ledger.run.thread), here.recorded()) == (["user: hi"], [])
            await ledger.move("in_progress")
            ledger.change(item(ledger.run, text="b"))
            ledger.add(item(ledger.run, "msg_2", "c"))
            ledger.note(record(ledger.run, "C1", ended_at=T0 + 5))
            await ledger.keep()
            await ledger.keep()
            assert await here.said(ledger.run.thread) == [
                "user: hi",
                "assistant: b",
                "assistant: c",
            ]
            assert [call.ended_at for call in here.recorded()] == [T0 + 5]
            assert await here.stored(ledger.run) == ledger.run

    play(main())


def test_a_call_is_noted_as_it_was_last() -> None:
    """Begun and ended before anything was stored, it is one record."""

    async def main() -> None:
        async with stage() as here:
            ledger = await opened(here)
            for call in (record(ledger.run, "C1"), record(ledger.run, "C2")):
                ledger.note(call)
            ledger.note(record(ledger.run, "C1", ended_at=T0 + 5))
            await ledger.keep()
            ended = {call.key: call.ended_at for call in here.recorded()}
            assert ended == {"C1": T0 + 5, "C2": None}

    play(main())


def test_a_status_is_told_once_it_is_stored() -> None:
    """One that the table does not allow is neither stored nor told."""

    async def main() -> None:
        async with stage() as here:
            ledger = await opened(here)
            await ledger.move("in_progress")
            with pytest.raises(IllegalMove):
                await ledger.move("queued")
            assert statuses(ledger.live.events) == ["queued", "in_progress"]
            assert ledger.live.events[-1] == RunChanged(await here.stored(ledger.run))

    play(main())


def test_who_lost_the_lease_changes_nothing() -> None:
    """Neither the run nor an item nor a call, and no status is told."""

    async def main() -> None:
        async with stage() as here:
            ledger = await opened(here)
            await ledger.move("in_progress")
            here.ms += 100_000
            lease = Lease("another", here.ms + 1_000)
            taken = await here.store.claim_run(here.project, ledger.run.thread, lease, here.ms)
            ledger.add(item(ledger.run))
            ledger.note(record(ledger.run, "C1"))
            with pytest.raises(Moved) as lost:
                await ledger.move("completed")
            assert (lost.value.lost, lost.value.run) == (True, taken)
            with pytest.raises(Moved):
                await ledger.keep()
            assert (await here.said(ledger.run.thread), here.recorded()) == (["user: hi"], [])
            assert statuses(ledger.live.events) == ["queued", "in_progress"]
            assert await ledger.stands() == taken

    play(main())


def test_what_could_not_be_stored_goes_with_the_next_move(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away for a moment loses nothing, and nothing is stored twice."""

    async def main() -> None:
        async with stage() as here:
            ledger = await opened(here)
            ledger.add(item(ledger.run))

            async def away(*_: Any, **__: Any) -> Any:
                raise ClewError("unavailable", "Away.")

            with monkeypatch.context() as broken:
                broken.setattr(here.store, "move_run", away)
                with pytest.raises(ClewError, match="Away"):
                    await ledger.move("in_progress")
            assert ledger.run.status == "queued"
            await ledger.move("in_progress")
            await ledger.move("completed")
            assert await here.said(ledger.run.thread) == ["user: hi", "assistant: a"]

    play(main())


def test_numbers_go_on_where_others_left_off() -> None:
    """Each item that is told has one of its own, also those that nobody heard of."""

    async def main() -> None:
        async with stage() as here:
            ledger = await opened(here)
            live = ledger.live
            live.tell(ItemBegan(4, "msg_0", "assistant", T0))
            ledger = Ledger(here.store, here.project, ledger.run, live, here.now)
            one = item(ledger.run)
            index = ledger.begin(one)
            ledger.end(index, one)
            ledger.retell(item(ledger.run, "msg_2", "b"))
            assert told(live.events) == [
                *("queued", "+4 assistant", "+5 assistant", "-5"),
                *("+6 assistant", "6 b", "-6"),
            ]
            ends = [event.item.id for event in live.events if isinstance(event, ItemEnded)]
            assert ends == ["msg_1", "msg_2"]

    play(main())


def test_only_what_has_a_lease_outlives_its_process() -> None:
    """A run that is not stored has none."""

    async def main() -> None:
        async with stage() as here:
            assert (await opened(here)).is_stored
            assert not (await opened(here, stored=False)).is_stored

    play(main())
