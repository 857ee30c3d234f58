"""Live: any number of followers read one list of events at their own pace."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from clew.core.events import ItemEnded, RunChanged, TextAdded
from clew.core.items import message, new_item
from clew.core.runs import Run
from clew.executor.live import Live

from .stage import T0, over, play, told

RUN = Run("TR", "T", T0, "m", started_at=T0)


def said(text: str) -> TextAdded:
    return TextAdded(0, "msg_1", text)


def test_a_late_follower_gets_everything() -> None:
    """Who comes when it is over is told what the first one was."""

    async def main() -> None:
        live = Live(RUN)
        early = asyncio.create_task(over(live))
        await asyncio.sleep(0)
        live.tell(said("a"))
        await asyncio.sleep(0)
        live.tell(said("b"))
        live.end()
        assert told(await early) == ["queued", "0 a", "0 b"]
        assert await over(live) == await early

    play(main())


def test_events_come_as_soon_as_they_are_told() -> None:
    """A follower need not wait for the end; what came together comes together."""

    async def main() -> None:
        live = Live(RUN)
        follower = live.follow()
        assert told(await anext(follower)) == ["queued"]
        next_events = asyncio.ensure_future(anext(follower))
        await asyncio.sleep(0)
        assert not next_events.done()
        live.tell(said("a"))
        live.tell(said("b"))
        assert told(await next_events) == ["0 a", "0 b"]
        live.end()
        with pytest.raises(StopAsyncIteration):
            await anext(follower)

    play(main())


def test_followers_go_at_their_own_pace() -> None:
    """Many followers, whenever they come, are told the same events in the same order."""

    async def main() -> None:
        live = Live(RUN)
        followers = []
        for number in range(50):
            followers.append(asyncio.create_task(over(live)))
            live.tell(said(str(number)))
            if number % 7 == 0:
                await asyncio.sleep(0)
        live.end()
        for follower in followers:
            assert await follower == live.events

    play(main())


def test_a_follower_that_leaves_disturbs_nobody() -> None:
    """Cancelling one follower leaves the others waiting and nothing of its own behind."""

    async def main() -> None:
        live = Live(RUN)
        stays, leaves = asyncio.create_task(over(live)), asyncio.create_task(over(live))
        await asyncio.sleep(0)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        gone = weakref.ref(leaves)
        del leaves
        live.tell(said("a"))
        live.end()
        assert told(await stays) == ["queued", "0 a"]
        gc.collect()
        assert gone() is None

    play(main())


def test_the_run_is_the_newest_told() -> None:
    """`run` is the run as of its last change, whatever came after that."""
    live = Live(RUN)
    changed = Run("TR", "T", T0, "m", "in_progress")
    live.tell(RunChanged(changed))
    live.tell(said("a"))
    assert live.run == changed


def test_a_run_told_from_its_log() -> None:
    """A run that is over is told as it might have been, its items whole, outputs left out."""

    async def main() -> None:
        call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        output = {"type": "function_call_output", "call_id": "c", "output": "1"}
        items = [
            new_item("fc_1", call, T0, "TR"),
            new_item("fco_1", output, T0, "TR"),
            message("msg_1", "assistant", "done", T0, "TR"),
        ]
        run = Run("TR", "T", T0, "m", "completed", started_at=T0, completed_at=T0)
        live = Live.told(run, items)
        events = await over(live)
        assert told(events) == [
            *("queued", "in_progress"),
            *("+0 f", "0 {}", "-0"),
            *("+1 assistant", "1 done", "-1"),
            "completed",
        ]
        ended = [event.item for event in events if isinstance(event, ItemEnded)]
        assert ended == [items[0], items[2]]
        assert (live.run, live.over) == (run, True)

    play(main())
