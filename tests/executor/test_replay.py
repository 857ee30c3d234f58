"""A run told again: as it was streamed, by whichever process, or completed from its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from clew.core.events import ArgumentsAdded, Event, ItemEnded, RunChanged, TextAdded
from clew.core.items import Item, message, new_item
from clew.core.kept import pack
from clew.core.runs import Run
from clew.core.threads import Receipt
from clew.executor import replay
from clew.executor.executor import Executor
from clew.executor.replay import is_end, rest
from clew.providers.provider import TextDelta
from clew.store.events import News

from .stage import HANG, STOP, T0, TOOLS, Stage, calls, over, play, says, stage, statuses, told

LATER = T0 + 1_000_000
PARTLY = [TextDelta("Hel"), TextDelta("lo"), HANG, TextDelta("!"), STOP]
RUN = Run("TR", "T", T0, "m", "completed", input_seq=1, last_seq=3, completed_at=T0, started_at=T0)
SAID = replace(message("msg_1", "assistant", "Hello", T0, "TR"), seq=2)
CALLED = replace(
    new_item(
        "fc_1",
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        T0,
        "TR",
    ),
    seq=3,
)
STATUSES = "queued in_progress requires_action cancelling completed failed expired".split()
WHOLE = [
    *("queued", "in_progress"),
    *("+0 assistant", "0 Hello", "-0"),
    *("+1 f", "1 {}", "-1"),
    "completed",
]


@asynccontextmanager
async def elsewhere(here: Stage) -> AsyncIterator[Executor]:
    """Another process on the same store: an executor that knows of nothing."""
    other = Executor(here.store, lambda _: here.provider, here.now)
    try:
        yield other
    finally:
        await other.close()


async def keep(here: Stage, run: Run, events: list[Event]) -> None:
    """These events were kept by a process that is dead now."""
    row = News(here.project, run.thread, run.key, run.turn, 0, here.ms + 10_000, pack(events))
    await here.store.append_events([row], here.ms)


def the_rest(events: list[Event], run: Run = RUN, items: list[Item] | None = None) -> list[str]:
    """What is told after these events, in words."""
    return told(list(rest(events, run, 1, [SAID, CALLED] if items is None else items)))


def events_of_whole() -> list[Event]:
    return list(rest([], RUN, 1, [SAID, CALLED]))


@pytest.mark.parametrize("kept", range(len(WHOLE)))
def test_what_is_missing_is_told_from_the_log(kept: int) -> None:
    """However many events were kept, the rest follows: each thing once, the end last."""
    events = events_of_whole()
    assert told(events) == WHOLE
    assert the_rest(events[:kept]) == WHOLE[kept:]


def test_a_text_goes_on_where_it_stopped() -> None:
    """Of a text that was kept in part, what comes after is told, and nothing twice."""
    begun = events_of_whole()[:3]
    partly = [*begun, TextAdded(0, "msg_1", "He"), TextAdded(0, "msg_1", "ll")]
    assert the_rest(partly) == ["0 o", "-0", "+1 f", "1 {}", "-1", "completed"]
    called = [*events_of_whole()[:6], ArgumentsAdded(1, "fc_1", "{")]
    assert the_rest(called) == ["1 }", "-1", "completed"]


def test_a_text_that_was_never_stored_stays_told() -> None:
    """What a killed process said and did not store is told as it was said, then how it ended."""
    run = replace(RUN, status="expired", completed_at=None)
    begun = [*events_of_whole()[:3], TextAdded(0, "msg_1", "He")]
    assert the_rest(begun, run, []) == ["expired"]


def test_a_turn_ends_where_tool_outputs_come() -> None:
    """The first turn of a run that went on afterwards ended in a pause."""
    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    answer = replace(message("msg_2", "assistant", "done", T0, "TR"), seq=5)
    items = [SAID, CALLED, replace(new_item("fco_1", output, T0, "TR"), seq=4), answer]
    assert the_rest([], RUN, items) == [*WHOLE[:-1], "requires_action"]
    after = told(list(rest([], RUN, 4, items)))
    assert after == ["queued", "in_progress", "+0 assistant", "0 done", "-0", "completed"]


def test_a_run_is_told_again_as_it_was() -> None:
    """After it is over and the process is another one, every event is what it was."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), *calls("c1", "f", "{", "}"), TOOLS]) as here:
            settings = {"instructions": "Be kind.", "settings": {"temperature": 0.5}}
            run = await here.queued("hi", pauses=False, **settings)
            events = await over(here.executor.start(here.project, run))
            await here.executor.close()
            async with elsewhere(here) as other:
                stands = await here.stored(run)
                assert await over(other.recall(here.project, stands)) == events

    play(main())


def test_a_run_that_goes_on_here_is_followed() -> None:
    """This process needs no disk to tell of its own run, nor right after its end."""

    async def main() -> None:
        async with stage(PARTLY) as here:
            run, live = await here.hanging("hi")
            assert here.executor.recall(here.project, run) is live
            here.provider.go_on.set()
            await over(live)
            assert here.executor.recall(here.project, run) is live

    play(main())


def test_a_run_that_goes_on_elsewhere_is_followed() -> None:
    """Another process tells what was said so far at once, and the rest as it is kept."""

    async def main() -> None:
        async with stage(PARTLY) as here, elsewhere(here) as other:
            run, live = await here.hanging("hi", expires_at=LATER)
            heard: list[Event] = []
            async for events in other.recall(here.project, run).follow():
                heard += events
                if told(heard)[-1] == "0 lo":
                    here.provider.go_on.set()
            assert heard == live.events
            assert told(heard)[-3:] == ["0 !", "-0", "completed"]

    play(main())


def test_each_turn_is_told_by_itself() -> None:
    """A paused run that went on: the turn before the tool outputs, and the one after them."""

    async def main() -> None:
        async with stage([*calls("c1", "f", "{}"), TOOLS], says("done")) as here:
            run = await here.queued("hi")
            first = await over(here.executor.start(here.project, run))
            queued = await here.answered(await here.stored(run), "c1", "1")
            second = await over(here.executor.start(here.project, queued))
            await here.executor.close()
            stands = await here.stored(run)
            async with elsewhere(here) as other:
                assert await over(other.recall(here.project, stands)) == first
                assert await over(other.recall(here.project, stands, queued.last_seq)) == second
            here.store.db.execute("DELETE FROM events")
            here.ms += replay.GRACE_MS
            async with elsewhere(here) as other:
                assert statuses(await over(other.recall(here.project, stands)))[-1] == (
                    "requires_action"
                )
                again = await over(other.recall(here.project, stands, queued.last_seq))
                assert told(again)[2:] == ["+0 assistant", "0 done", "-0", "completed"]

    play(main())


def test_an_end_that_was_not_kept_is_told_from_the_log() -> None:
    """Killed between storing a run's end and keeping its events: nothing of the answer is lost."""

    async def main() -> None:
        async with stage(says("Hel", "lo")) as here:
            run = await here.finished("hi")
            await here.executor.close()
            async with elsewhere(here) as other:
                events = await over(other.recall(here.project, run))
                here.store.db.execute("DELETE FROM events")
                here.ms += replay.GRACE_MS
                queued = replace(run, status="queued", completed_at=None)
                await keep(here, queued, events[:4])
                again = await over(other.recall(here.project, run))
            assert again[:4] == events[:4]
            assert told(again)[4:] == ["0 lo", "-0", "completed"]
            ended = [event.item.text() for event in again if isinstance(event, ItemEnded)]
            assert ended == ["Hello"]

    play(main())


def test_a_pause_that_was_not_kept_is_told_from_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits for tool outputs is told to its pause, whatever was kept of it."""
    monkeypatch.setattr(replay, "GRACE_MS", 3)

    async def main() -> None:
        async with stage([*calls("c1", "f", "{}"), TOOLS]) as here:
            run = await here.finished("hi", expires_at=LATER)
            await here.executor.close()
            here.store.db.execute("DELETE FROM events")
            async with elsewhere(here) as other:
                again = await over(other.recall(here.project, run))
            assert told(again)[-4:] == ["+0 f", "0 {}", "-0", "requires_action"]

    play(main())


def test_a_run_that_is_erased_is_told_no_further() -> None:
    """Its followers elsewhere come to an end, and nothing of it can be told again."""

    async def main() -> None:
        async with stage(PARTLY) as here, elsewhere(here) as other:
            run, _ = await here.hanging("hi", expires_at=LATER)
            heard: list[Event] = []
            async for events in other.recall(here.project, run).follow():
                heard += events
                if told(heard)[-1] == "0 lo":
                    receipt = Receipt("rcpt_1", run.thread, here.ms, 0, 0)
                    await here.store.erase_thread(here.project, run.thread, receipt)
            assert told(heard)[-1] == "0 lo"
            assert await over(other.recall(here.project, run)) == []
            here.executor.abandon(run.thread)

    play(main())


def test_an_end_is_known() -> None:
    """A turn ends with its run, or with a pause."""
    ends = [is_end(RunChanged(replace(RUN, status=status))) for status in STATUSES]
    assert ends == [status not in ("queued", "in_progress", "cancelling") for status in STATUSES]
    assert not is_end(TextAdded(0, "msg_1", "a"))


def test_following_elsewhere_costs_nothing_afterwards() -> None:
    """A follower of another process's run that leaves stops reading."""

    async def main() -> None:
        async with stage(PARTLY) as here, elsewhere(here) as other:
            run, _ = await here.hanging("hi", expires_at=LATER)
            before = len(asyncio.all_tasks())
            following = asyncio.create_task(over(other.recall(here.project, run)))
            await asyncio.sleep(2 * replay.POLL_S)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            assert len(asyncio.all_tasks()) == before
            here.provider.go_on.set()

    play(main())
