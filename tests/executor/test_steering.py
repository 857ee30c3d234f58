"""A response is broken off so that input can be added: where it may be, and what is kept of it."""

from __future__ import annotations

from clew.core.threads import Receipt
from clew.executor.unstored import Unstored
from clew.providers.provider import TextDelta

from .stage import HANG, STOP, TOOLS, calls, over, play, says, stage, statuses, user


def test_a_steered_turn_keeps_what_it_said() -> None:
    """It is incomplete because it was steered, and its thread is free for what comes next."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP], says("Yes.")) as here:
            run, live = await here.hanging("hi", pauses=False)
            here.executor.steer(run.key)
            assert statuses(await over(live))[1:] == ["in_progress", "incomplete"]
            assert here.provider.left.is_set()
            ended = await here.stored(run)
            assert (ended.incomplete_reason, ended.error) == ("steered", None)
            assert await here.said(run.thread) == ["user: hi", "assistant: Hel…"]
            after = await here.finished("go on", thread=run.thread, pauses=False)
            assert after.status == "completed"
            assert [item.text() for item in here.provider.asked[-1].items] == ["hi", "Hel", "go on"]

    play(main())


def test_a_turn_steered_before_it_said_anything() -> None:
    """It ends with nothing said; the model it was about to ask is let go of."""

    async def main() -> None:
        async with stage([HANG, STOP]) as here:
            run = await here.queued("hi", pauses=False)
            live = here.executor.start(here.project, run)
            here.executor.steer(run.key)
            assert statuses(await over(live))[-1] == "incomplete"
            assert await here.said(run.thread) == ["user: hi"]
            assert (await here.stored(run)).incomplete_reason == "steered"

    play(main())


def test_a_turn_that_calls_upon_the_client_is_not_broken_off() -> None:
    """The call is whole, so that it can be answered."""

    async def main() -> None:
        async with stage([*calls("call_1", "f", "{"), HANG, *calls("call_1", "f", "}"), TOOLS]) as (
            here
        ):
            run, live = await here.hanging("hi", pauses=False)
            here.executor.steer(run.key)
            here.provider.go_on.set()
            assert statuses(await over(live))[-1] == "completed"
            assert await here.said(run.thread) == ["user: hi", "f({})"]

    play(main())


def test_a_cancellation_is_stronger_than_a_steer() -> None:
    """What is to be cancelled is cancelled, whichever came first."""

    async def main() -> None:
        async with stage([HANG, STOP]) as here:
            run, live = await here.hanging("hi", pauses=False)
            await here.executor.cancel(here.project, run)
            here.executor.steer(run.key)
            assert statuses(await over(live))[-1] == "cancelled"

    play(main())


def test_steering_what_is_over_or_elsewhere_does_nothing() -> None:
    """There is nobody to be steered."""

    async def main() -> None:
        async with stage(says("Yes.")) as here:
            run = await here.finished("hi", pauses=False)
            here.executor.steer(run.key)
            here.executor.steer("another")
            here.executor.let_go("another")
            assert (await here.stored(run)).status == "completed"

    play(main())


def test_a_turn_that_is_not_stored_is_steered_too() -> None:
    """It is told to its followers, and is nowhere else."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            run = await here.queued("before", pauses=False)
            log = Unstored(run, [user("hi")])
            live = here.executor.start(here.project, run, log)
            await here.provider.hanging.wait()
            here.executor.steer(run.key)
            await over(live)
            assert (live.run.status, live.run.incomplete_reason) == ("incomplete", "steered")
            assert (await here.stored(run)).status == "queued"

    play(main())


def test_a_run_that_is_gone_is_let_go_of() -> None:
    """Its model is left, and the turn ends without a word."""

    async def main() -> None:
        async with stage([HANG, STOP]) as here:
            run, live = await here.hanging("hi", pauses=False)
            receipt = Receipt("rcpt_1", run.thread, here.now(), 0, 0)
            await here.store.erase_run(here.project, run.thread, run.key, receipt)
            here.executor.let_go(run.key)
            assert statuses(await over(live))[-1] == "in_progress"
            assert here.provider.left.is_set()
            assert await here.said(run.thread) == ["user: hi"]

    play(main())
