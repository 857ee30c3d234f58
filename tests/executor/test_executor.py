"""The executor: runs are cancelled, expire, lose their thread and are drained, always visibly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew.core.errors import IllegalMove, NotFound
from clew.core.runs import Run, move
from clew.core.threads import Receipt
from clew.executor import executor
from clew.executor.unstored import Unstored
from clew.providers.provider import ProviderError, TextDelta

from .stage import (
    HANG,
    STOP,
    T0,
    TOOLS,
    Stage,
    calls,
    over,
    play,
    says,
    stage,
    statuses,
    told,
    user,
)

PARTLY = [TextDelta("Hel"), *calls("call_1", "f", "{"), TextDelta("lo"), HANG, STOP]


async def erased(here: Stage, thread: str) -> None:
    receipt = Receipt("rcpt_1", thread, here.now(), 0, 0)
    await here.store.erase_thread(here.project, thread, receipt)


def test_a_run_is_followed_while_it_goes_on() -> None:
    """This process knows the runs it works on, and forgets them when they are over."""

    async def main() -> None:
        async with stage(PARTLY) as here:
            run, live = await here.hanging("hi")
            assert here.executor.following(run.key) is live
            assert here.executor.following("another") is None
            here.provider.go_on.set()
            await over(live)
            await here.executor.close()
            assert here.executor.following(run.key) is None

    play(main())


def test_cancel_in_the_middle_of_an_answer() -> None:
    """The run is cancelling at once and cancelled when the model let go; its text is kept."""

    async def main() -> None:
        async with stage(PARTLY) as here:
            run, live = await here.hanging("hi")
            assert (await here.executor.cancel(here.project, run)).status == "cancelling"
            events = await over(live)
            assert here.provider.left.is_set()
            assert statuses(events)[1:] == ["in_progress", "cancelling", "cancelled"]
            assert told(events)[-2:] == ["-2", "cancelled"]
            assert await here.said(run.thread) == ["user: hi", "assistant: Hel", "assistant: lo…"]
            ended = await here.stored(run)
            assert (ended.status, ended.error) == ("cancelled", None)
            assert ended.cancelled_at is not None
            thread = await here.store.get_thread(here.project, run.thread)
            assert (thread.active_run, thread.last_seq) == (None, 3)

    play(main())


def test_cancel_before_anything_was_said() -> None:
    """A run cancelled before its first token writes nothing."""

    async def main() -> None:
        async with stage([HANG, STOP]) as here:
            run, live = await here.hanging("hi")
            await here.executor.cancel(here.project, run)
            assert statuses(await over(live))[-1] == "cancelled"
            assert await here.said(run.thread) == ["user: hi"]

    play(main())


def test_cancel_a_run_that_waits_for_outputs() -> None:
    """A paused run is cancelled at once, and its outputs come too late."""

    async def main() -> None:
        async with stage([*calls("call_1", "f", "{}"), TOOLS]) as here:
            run = await here.finished("hi")
            cancelled = await here.executor.cancel(here.project, run)
            assert (cancelled.status, await here.stored(run)) == ("cancelled", cancelled)
            with pytest.raises(IllegalMove):
                move(cancelled, "queued", T0)
            thread = await here.store.get_thread(here.project, run.thread)
            assert thread.active_run is None

    play(main())


def test_cancel_a_run_that_nobody_works_on() -> None:
    """A queued run without a process is cancelled at once."""

    async def main() -> None:
        async with stage() as here:
            run = await here.queued("hi")
            assert (await here.executor.cancel(here.project, run)).status == "cancelled"
            live = here.executor.start(here.project, run)
            assert statuses(await over(live)) == ["queued", "cancelled"]
            assert here.provider.asked == []

    play(main())


def test_cancel_a_run_as_it_begins() -> None:
    """Wherever a turn is when the cancellation comes, the run ends cancelled or had ended."""

    async def main(pauses: int) -> None:
        async with stage(says("done")) as here:
            run = await here.queued("hi")
            live = here.executor.start(here.project, run)
            for _ in range(pauses):
                await asyncio.sleep(0)
            was_over = live.run.is_terminal
            try:
                await here.executor.cancel(here.project, run)
                expected = "cancelled"
            except IllegalMove:
                expected = "completed"
            assert statuses(await over(live))[-1] == expected
            assert (await here.stored(run)).status == expected
            assert not was_over or expected == "completed"
            ended.add(expected)

    ended: set[str] = set()
    for pauses in range(30):
        play(main(pauses))
    assert ended == {"cancelled", "completed"}


def test_cancel_that_comes_too_late() -> None:
    """A run that is over cannot be cancelled, however old the caller's picture of it is."""

    async def main() -> None:
        async with stage(says("done")) as here:
            queued = await here.queued("hi")
            await over(here.executor.start(here.project, queued))
            before = await here.stored(queued), await here.log(queued.thread)
            for picture in (queued, move(queued, "in_progress", T0), before[0]):
                with pytest.raises(IllegalMove) as refused:
                    await here.executor.cancel(here.project, picture)
                assert refused.value.run_status == "completed"
            assert (await here.stored(queued), await here.log(queued.thread)) == before

    play(main())


def test_a_second_cancel_is_refused() -> None:
    """A run that is being cancelled is not cancelled again, and is cancelled all the same."""

    async def main() -> None:
        async with stage(PARTLY) as here:
            run, live = await here.hanging("hi")
            asked = [here.executor.cancel(here.project, run) for _ in range(3)]
            said = await asyncio.gather(*asked, return_exceptions=True)
            assert [isinstance(one, IllegalMove) for one in said] == [False, True, True]
            assert statuses(await over(live))[-1] == "cancelled"

    play(main())


class Slow:
    """A store whose moves to one status are told to their caller late, and to others first."""

    def __init__(self, here: Stage, late: str) -> None:
        self.store, self.late, self.tell = here.store, late, asyncio.Event()
        self.moved: list[str] = []

    async def move_run(self, project: str, was: str, run: Run, *args: Any, **named: Any) -> Run:
        try:
            made = await self.store.move_run(project, was, run, *args, **named)
        finally:
            self.moved.append(run.status)
        if run.status == self.late:
            await self.tell.wait()
        return made

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_a_cancellation_told_late_does_no_harm() -> None:
    """The turn may learn that it was cancelled before the one who cancelled it hears back."""

    async def main() -> None:
        async with stage(PARTLY) as here:
            slow = Slow(here, "cancelling")
            here.executor = executor.Executor(slow, lambda _: here.provider, here.now)
            run, live = await here.hanging("hi")
            cancelling = asyncio.create_task(here.executor.cancel(here.project, run))
            while "cancelling" not in slow.moved:
                await asyncio.sleep(0)
            here.provider.go_on.set()
            while "completed" not in slow.moved and "requires_action" not in slow.moved:
                await asyncio.sleep(0)
            slow.tell.set()
            assert (await cancelling).status == "cancelling"
            assert statuses(await over(live))[-1] == "cancelled"
            assert (await here.stored(run)).status == "cancelled"

    play(main())


def test_a_run_cancelled_before_its_turn_hears_that_it_began() -> None:
    """A turn that was told to let go before it could ask does not ask."""

    async def main() -> None:
        async with stage(says("x")) as here:
            slow = Slow(here, "in_progress")
            here.executor = executor.Executor(slow, lambda _: here.provider, here.now)
            run = await here.queued("hi")
            live = here.executor.start(here.project, run)
            while "in_progress" not in slow.moved:
                await asyncio.sleep(0)
            await here.executor.cancel(here.project, run)
            slow.tell.set()
            assert statuses(await over(live))[-1] == "cancelled"
            assert here.provider.asked == []

    play(main())


def test_a_thread_erased_under_its_run() -> None:
    """The model is left at once, followers are let go, and nothing comes back into the store."""

    async def main() -> None:
        async with stage(PARTLY) as here:
            run, live = await here.hanging("hi")
            await erased(here, run.thread)
            here.executor.abandon("another thread")
            assert not here.provider.left.is_set()
            here.executor.abandon(run.thread)
            assert statuses(await over(live)) == ["queued", "in_progress"]
            assert here.provider.left.is_set()
            with pytest.raises(NotFound):
                await here.stored(run)
            assert here.store.db.execute("SELECT * FROM items").fetchall() == []

    play(main())


def test_a_thread_erased_by_another_process() -> None:
    """Nobody says so: the turn finds out when it wants to write, and leaves nothing."""

    async def main() -> None:
        for ending in (STOP, ProviderError("server_error", "x")):
            async with stage([TextDelta("Hel"), HANG, ending]) as here:
                run, live = await here.hanging("hi")
                await erased(here, run.thread)
                here.provider.go_on.set()
                assert statuses(await over(live)) == ["queued", "in_progress"]
                for table in ("items", "runs", "calls"):
                    assert here.store.db.execute(f"SELECT * FROM {table}").fetchall() == []

    play(main())


def test_a_thread_erased_before_its_run_begins() -> None:
    """A turn whose thread is gone asks no model."""

    async def main() -> None:
        async with stage(says("x")) as here:
            run = await here.queued("hi")
            live = here.executor.start(here.project, run)
            here.executor.abandon(run.thread)
            await erased(here, run.thread)
            assert statuses(await over(live))[-1] != "completed"
            assert here.provider.asked == []

    play(main())


def test_a_run_expires() -> None:
    """A run whose time is over ends, frees its thread, and expires only once."""

    async def main() -> None:
        async with stage([*calls("call_1", "f", "{}"), TOOLS]) as here:
            run = await here.finished("hi")
            expired = await here.executor.expire(here.project, run)
            assert (expired.status, await here.stored(run)) == ("expired", expired)
            thread = await here.store.get_thread(here.project, run.thread)
            assert thread.active_run is None
            assert await here.executor.expire(here.project, run) == expired
            with pytest.raises(IllegalMove):
                await here.executor.cancel(here.project, expired)

    play(main())


def test_a_run_that_expires_under_its_model() -> None:
    """What somebody else ended stays ended: the late answer is not written."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            run, live = await here.hanging("hi")
            expired = await here.executor.expire(here.project, run)
            here.provider.go_on.set()
            assert statuses(await over(live)) == ["queued", "in_progress", "expired"]
            assert await here.stored(run) == expired
            assert await here.said(run.thread) == ["user: hi"]

    play(main())


def test_closing_waits_for_answers() -> None:
    """A turn that ends in time ends as it would have."""

    async def main() -> None:
        async with stage([TextDelta("Hello"), HANG, STOP]) as here:
            run, _ = await here.hanging("hi")
            closing = asyncio.create_task(here.executor.close())
            await asyncio.sleep(0)
            assert not closing.done()
            here.provider.go_on.set()
            await closing
            assert (await here.stored(run)).status == "completed"
            assert await here.said(run.thread) == ["user: hi", "assistant: Hello"]

    play(main())


def test_closing_hands_over_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that is still at it is left as it is, due at once, and its stream tells no end."""
    monkeypatch.setattr(executor, "DRAIN_S", 0.0)

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            run, live = await here.hanging("hi")
            await here.executor.close()
            assert (await here.stored(run)).status == "in_progress"
            assert statuses(await over(live))[-1] == "in_progress"
            assert [due.run for due in await here.store.list_due(here.now(), 10)] == [run.key]

    play(main())


def test_closing_ends_what_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that nobody could take over fails visibly."""
    monkeypatch.setattr(executor, "DRAIN_S", 0.0)

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            run = Run("TR", "T", T0, "m")
            live = here.executor.start(here.project, run, Unstored(run, [user("hi")]))
            await here.provider.hanging.wait()
            await here.executor.close()
            assert statuses(await over(live))[-1] == "failed"

    play(main())


def test_closing_as_turns_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns that had not begun when the server closed are due at once, and ask no model."""
    monkeypatch.setattr(executor, "DRAIN_S", 0.0)

    async def main() -> None:
        async with stage(says("x"), says("x"), says("x")) as here:
            runs = [await here.queued("hi") for _ in range(3)]
            lives = [here.executor.start(here.project, run) for run in runs]
            await here.executor.close()
            assert not here.provider.asked
            due = {due.run for due in await here.store.list_due(here.now(), 10)}
            assert due == {run.key for run in runs}
            for live in lives:
                assert await over(live)

    play(main())


def test_closing_with_nothing_to_do() -> None:
    """An idle executor closes at once, twice if need be."""

    async def main() -> None:
        async with stage() as here:
            await here.executor.close()
            await here.executor.close()

    play(main())
