"""Hosting: the calls of Clew's own tools in a turn, side by side, each stored as it goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clew.core.events import ItemProgressed
from clew.core.items import Item
from clew.core.limits import Limits, Price
from clew.core.runs import Run
from clew.executor import executor
from clew.providers.provider import Finish
from clew.tools.tool import ToolError

from .desk import Desk
from .stage import HANG, TOOLS, Stage, calls, over, play, says, stage, statuses, told

MCP: dict[str, Any] = {"type": "mcp", "server_label": "desk", "server_url": "http://desk"}
DONE = says("Done.")


def asks(*wishes: str) -> list[Any]:
    """An answer that calls the desk so often."""
    pieces = [calls(f"c{at}", "desk", wish, index=at) for at, wish in enumerate(wishes)]
    return [*(delta for piece in pieces for delta in piece), TOOLS]


async def bodies(here: Stage, run: Run) -> list[str]:
    """How far the calls have come that are in the log."""
    return [item.data()["status"] for item in await calls_of(here, run)]


async def calls_of(here: Stage, run: Run) -> list[Item]:
    return [item for item in await here.log(run.thread) if item.kind == "mcp_call"]


async def working(here: Stage, desk: Desk, **fields: Any) -> Run:
    """A run whose tool has come to where it hangs."""
    run = await here.queued("hi", tools=[MCP], **fields)
    here.executor.start(here.project, run)
    await desk.hanging.wait()
    return await here.stored(run)


def test_a_tool_is_called_and_the_model_reads_what_it_did() -> None:
    """The call is one item, before what the model says of it; each step's call is recorded."""

    async def main() -> None:
        desk = Desk()
        async with stage(asks("it"), DONE, tools={"mcp": desk}) as here:
            run = await here.queued("hi", tools=[MCP])
            events = await over(here.executor.start(here.project, run))
            assert await here.said(run.thread) == [
                *("user: hi", "desk(it) = did it", "assistant: Done.")
            ]
            kinds = [item.kind for item in here.provider.asked[1].items]
            assert kinds == ["user", "function_call", "function_call_output"]
            words = ["queued", "in_progress", "+0 mcp_call", "-0", "+1 assistant", "1 Done.", "-1"]
            assert told(events) == [*words, "completed"]
            stages = [event.stage for event in events if isinstance(event, ItemProgressed)]
            assert stages == ["in_progress"]
            assert [one.ended_at is not None for one in here.recorded()] == [True, True]

    play(main())


def test_calls_are_made_side_by_side() -> None:
    """All that the model asked for at once is at work at the same time, and in its order in the
    log; each was stored as begun before any of it began."""

    async def main() -> None:
        desk = Desk()
        desk.meeting = 3
        async with stage(asks("meet1", "meet2", "meet3"), DONE, tools={"mcp": desk}) as here:
            run = await here.queued("hi", tools=[MCP])
            live = here.executor.start(here.project, run)
            await desk.met.wait()
            assert await bodies(here, run) == ["calling"] * 3
            await over(live)
            assert [item.data()["output"] for item in await calls_of(here, run)] == [
                *("did meet1", "did meet2", "did meet3")
            ]
            assert len(here.provider.asked) == 2

    play(main())


def test_a_call_that_ended_is_on_disk_while_another_goes_on() -> None:
    """So nobody who takes the turn over makes it again."""

    async def main() -> None:
        desk = Desk()
        async with stage(asks("hang", "quick"), tools={"mcp": desk}) as here:
            run = await working(here, desk)
            while await bodies(here, run) != ["calling", "completed"]:
                await asyncio.sleep(0)
            await here.executor.cancel(here.project, run)

    play(main())


def test_a_tool_that_breaks_fails_its_call_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The one beside it ends well, the turn goes on, and the log has the whole fault."""

    async def main() -> None:
        desk = Desk()
        async with stage(asks("raise", "it"), DONE, tools={"mcp": desk}) as here:
            run = await here.finished("hi", tools=[MCP])
            assert run.status == "completed"
            assert await bodies(here, run) == ["incomplete", "completed"]
            assert "the desk broke" in caplog.text
            assert "the desk broke" not in str(await here.said(run.thread))

    play(main())


def test_calls_beyond_the_limit_are_not_made() -> None:
    """`max_tool_calls` cuts off what one answer asks for beyond it, and offers no more tools."""

    async def main() -> None:
        desk = Desk()
        async with stage(asks("a", "b", "c"), DONE, tools={"mcp": desk}) as here:
            run = await here.finished("hi", tools=[MCP], settings={"max_tool_calls": 2})
            assert (run.status, desk.called) == ("completed", ["a", "b"])
            assert [len(one.tools) for one in here.provider.asked] == [1, 0]

    play(main())


def test_a_model_that_had_to_call_is_free_once_it_has() -> None:
    """`tool_choice: required` holds until a tool was called."""

    async def main() -> None:
        async with stage(asks("a"), DONE, tools={"mcp": Desk()}) as here:
            await here.finished("hi", tools=[MCP], settings={"tool_choice": "required"})
            assert [one.tool_choice for one in here.provider.asked] == ["required", "auto"]

    play(main())


def test_a_tool_that_cannot_be_offered_fails_the_run() -> None:
    """In its own words; the model is not asked."""

    async def main() -> None:
        desk = Desk()
        desk.refuses = ToolError("The desk is closed.", "tool_error")
        async with stage(tools={"mcp": desk}) as here:
            run = await here.finished("hi", tools=[MCP])
            assert run.error == {"code": "tool_error", "message": "The desk is closed."}
            assert (run.status, here.provider.asked) == ("failed", [])

    play(main())


def test_a_run_is_cancelled_while_a_tool_works() -> None:
    """The tool is left, its call is incomplete, and the run ends at once."""

    async def main() -> None:
        desk = Desk()
        async with stage(asks("hang"), tools={"mcp": desk}) as here:
            run = await working(here, desk)
            live = here.executor.following(run.key)
            assert live is not None
            await here.executor.cancel(here.project, run)
            assert statuses(await over(live))[-1] == "cancelled"
            assert (desk.left, await bodies(here, run)) == (["hang"], ["incomplete"])

    play(main())


@pytest.mark.parametrize(("repeats", "outcome"), [(False, "nobody knows"), (True, "hang")])
def test_a_tool_at_work_is_handed_over_when_its_process_stops(
    monkeypatch: pytest.MonkeyPatch, repeats: bool, outcome: str
) -> None:
    """It stays as begun on disk; the next process fails it, or makes it again where that does no
    harm, without waiting for the lease to end."""
    monkeypatch.setattr(executor, "DRAIN_S", 0.01)

    async def main() -> None:
        desk = Desk(repeats=repeats)
        async with stage(asks("hang"), DONE, tools={"mcp": desk}) as here:
            run = await working(here, desk)
            await here.executor.drain()
            assert (desk.left, await bodies(here, run)) == (["hang"], ["calling"])
            assert (await here.stored(run)).status == "in_progress"
            here.executor = here.another()
            desk.hanging.clear()
            await here.executor.go_on(here.project, run.thread)
            live = here.executor.following(run.key)
            assert live is not None, "its lease was not given up"
            if repeats:
                await desk.hanging.wait()
                assert desk.called == [outcome, outcome]
                await here.executor.cancel(here.project, await here.stored(run))
            await over(live)
            if not repeats:
                assert desk.called == ["hang"]
                assert (await here.said(run.thread))[1] == f"desk(hang) = {outcome}"

    play(main())


def test_who_lost_the_run_while_a_tool_worked_writes_nothing() -> None:
    """Its tool's result comes too late: the item is as the next one left it, and it is not told."""

    async def main() -> None:
        desk = Desk()
        desk.meeting = 2
        async with stage(asks("meet"), DONE, tools={"mcp": desk}) as here:
            run = await here.queued("hi", tools=[MCP])
            first = here.executor.start(here.project, run)
            while not desk.at_work:
                await asyncio.sleep(0)
            here.ms += 100_000
            second = here.another()
            await second.go_on(here.project, run.thread)
            live = second.following(run.key)
            assert live is not None
            await over(live)
            was = await here.log(run.thread), await here.stored(run), here.recorded()
            desk.met.set()
            events = await over(first)
            assert (await here.log(run.thread), await here.stored(run), here.recorded()) == was
            assert (await here.said(run.thread))[1] == "desk(meet) = nobody knows"
            assert statuses(events) == ["queued", "in_progress"]
            assert told(events)[-1] == "+0 mcp_call"
            await second.close()

    play(main())


def test_a_model_that_calls_for_ever_is_stopped() -> None:
    """After so many model calls the run fails; what was done is kept."""

    async def main() -> None:
        desk = Desk()
        answers = [asks(str(number)) for number in range(9)]
        async with stage(*answers, tools={"mcp": desk}, limits=Limits(steps=3)) as here:
            run = await here.finished("hi", tools=[MCP])
            assert run.status == "failed"
            assert run.error == {
                "code": "rate_limit_exceeded",
                "message": "The run has reached its limit of 3 model calls.",
            }
            assert (desk.called, len(here.provider.asked)) == (["0", "1", "2"], 3)

    play(main())


@pytest.mark.parametrize(
    ("limits", "word"),
    [(Limits(tokens=46), "46 tokens"), (Limits(cost=0.05), "cost 0.052"), (Limits(), None)],
)
def test_tokens_and_cost_of_all_calls_are_limited(limits: Limits, word: str | None) -> None:
    """Those of the calls so far; the next is not made when they are spent."""

    async def main() -> None:
        options: dict[str, Any] = {"limits": limits, "price_of": lambda _: Price(1_000.0, 2_000.0)}
        answers = asks("a"), asks("b"), DONE
        async with stage(*answers, tools={"mcp": Desk()}, **options) as here:
            run = await here.finished("hi", tools=[MCP])
            if word is None:
                assert run.status == "completed"
            else:
                assert (run.status, len(here.provider.asked)) == ("failed", 2)
                assert word in (run.error or {})["message"]

    play(main())


def test_a_request_narrows_the_limits() -> None:
    """`limits` of the run's own settings hold beside those of all runs."""

    async def main() -> None:
        async with stage(asks("a"), tools={"mcp": Desk()}, limits=Limits(steps=9)) as here:
            run = await here.finished("hi", tools=[MCP], settings={"limits": {"steps": 1}})
            assert (run.status, len(here.provider.asked)) == ("failed", 1)

    play(main())


def test_a_run_is_over_its_seconds_while_a_tool_works() -> None:
    """The tool is left; the run fails and says why."""

    async def main() -> None:
        desk = Desk()
        limits = Limits(seconds=0.05)
        async with stage(asks("hang"), tools={"mcp": desk}, limits=limits) as here:
            run = await here.finished("hi", tools=[MCP], pauses=False)
            message = "The run has reached its limit of 0.05 seconds."
            assert run.error == {"code": "rate_limit_exceeded", "message": message}
            assert (desk.left, await bodies(here, run)) == (["hang"], ["incomplete"])

    play(main())


def test_who_lost_the_run_while_its_model_spoke_writes_nothing() -> None:
    """The rest of the answer is in no item, no event and no call; the lease is another's."""

    async def main() -> None:
        answers = [*says("Hel")[:1], HANG, *says("lo")], says("Hello")
        async with stage(*answers) as here:
            run, first = await here.hanging("hi")
            here.ms += 100_000
            second = here.another()
            await second.go_on(here.project, run.thread)
            live = second.following(run.key)
            assert live is not None
            await over(live)
            await second.close()
            was = await here.log(run.thread), await here.stored(run), here.recorded()
            kept = await here.store.list_events(here.project, run.thread, run.key, 0)
            here.provider.go_on.set()
            assert statuses(await over(first)) == ["queued", "in_progress"]
            await here.executor.close()
            assert (await here.log(run.thread), await here.stored(run), here.recorded()) == was
            again = await here.store.list_events(here.project, run.thread, run.key, 0)
            assert again == kept

    play(main())


def test_a_model_that_says_nothing_of_its_tokens_is_not_stopped_by_them() -> None:
    """There is nothing to count."""

    async def main() -> None:
        first = [*asks("a")[:-1], Finish("tool_calls")]
        async with stage(first, DONE, tools={"mcp": Desk()}, limits=Limits(tokens=1)) as here:
            assert (await here.finished("hi", tools=[MCP])).status == "completed"

    play(main())
