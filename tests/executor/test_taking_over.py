"""Taking over: wherever a process left a turn, the next one goes on, and does nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from clew.core.events import Event, ItemBegan, ItemEnded, RunChanged, TextAdded
from clew.core.items import is_lost
from clew.core.limits import Limits
from clew.core.runs import Run
from clew.executor.executor import ATTEMPTS_MAX
from clew.executor.taking_over import LOST
from clew.store.runs import Due

from .desk import GONE, Desk, asked, left
from .stage import HANG, STOP, T0, TOOLS, Stage, calls, over, play, says, stage, statuses, told

MCP: dict[str, Any] = {"type": "mcp", "server_label": "desk", "server_url": "http://desk"}
CODE: dict[str, Any] = {"type": "code_interpreter"}
SAID = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
}


async def taken(here: Stage, run: Run) -> list[Event]:
    """Everything that is told of a run that somebody left, once it has been gone on with."""
    await here.executor.go_on(here.project, run.thread)
    live = here.executor.following(run.key)
    assert live is not None, "nobody took it over"
    return await over(live)


def half(run: Run, *texts: str) -> list[Event]:
    """What was kept of a turn whose model was in the middle of its answer."""
    words = [TextAdded(0, "msg_half", text) for text in texts]
    going = replace(run, status="in_progress", started_at=T0 + 1)
    return [RunChanged(run), RunChanged(going), ItemBegan(0, "msg_half", "assistant", T0), *words]


RUN = Run("RUN", "T", T0, "m")


def test_a_run_that_nobody_began_is_begun() -> None:
    """It has its one turn, from the start; the attempts say that it is the second try."""

    async def main() -> None:
        async with stage(says("Hello")) as here:
            run = await left(here, "queued")
            events = await taken(here, run)
            assert statuses(events) == ["queued", "in_progress", "completed"]
            assert await here.said(run.thread) == ["user: hi", "assistant: Hello"]
            ended = await here.stored(run)
            assert (ended.status, ended.attempts, ended.turn) == ("completed", 2, 0)

    play(main())


def test_half_an_answer_is_kept_and_shown_to_no_model() -> None:
    """The lost call is recorded as lost, the model is asked again in another; the stream goes on
    where it was, and numbers what is new after what was."""

    async def main() -> None:
        async with stage(says("Hello"), says("Again")) as here:
            run = await left(here, calls=["C1"], events=half(RUN, "Hel", "l"))
            events = await taken(here, run)
            assert told(events) == [
                *("queued", "in_progress", "+0 assistant", "0 Hel", "0 l", "-0"),
                *("+1 assistant", "1 Hello", "-1", "completed"),
            ]
            whole = ["user: hi", "assistant: Hell…", "assistant: Hello"]
            assert await here.said(run.thread) == whole
            _, lost, answer = await here.log(run.thread)
            assert (lost.id, is_lost(lost), is_lost(answer)) == ("msg_half", True, False)
            first, second = here.recorded()
            assert (first.key, first.error) == ("C1", LOST)
            assert first.ended_at is not None
            assert (second.error, second.usage is not None) == (None, True)
            await here.finished("more", thread=run.thread)
            shown = [[item.text() for item in one.items] for one in here.provider.asked]
            assert shown == [["hi"], ["hi", "Hello", "more"]]

    play(main())


def test_a_beginning_that_nobody_heard_of_is_told() -> None:
    """Of a run in progress only that it was queued had been kept."""

    async def main() -> None:
        async with stage(says("Hello")) as here:
            run = await left(here, events=[RunChanged(RUN)], calls=["C1"])
            assert statuses(await taken(here, run)) == ["queued", "in_progress", "completed"]

    play(main())


def test_an_answer_that_was_told_whole_but_not_stored_is_lost_too() -> None:
    """What is not in the log when its process dies was never the answer."""

    async def main() -> None:
        async with stage(says("Hello")) as here:
            item = replace((await here.log(await here.thread("x")))[0], id="msg_half")
            events = [*half(RUN, "Hell"), ItemEnded(0, item)]
            run = await left(here, calls=["C1"], events=events)
            assert told(await taken(here, run)).count("-0") == 1
            whole = ["user: hi", "assistant: Hell…", "assistant: Hello"]
            assert await here.said(run.thread) == whole

    play(main())


def test_nothing_is_to_be_done_for_a_run_that_ended() -> None:
    """Its thread is free; nobody takes it, and no model is asked."""

    async def main() -> None:
        async with stage() as here:
            run = await left(here)
            ended = replace(run, status="completed")
            await here.store.move_run(here.project, "in_progress", ended, now_ms=T0, lease=GONE)
            await here.executor.go_on(here.project, run.thread)
            assert here.executor.following(run.key) is None
            assert await here.store.list_due(T0 + 10**9, 9) == []
            assert here.provider.asked == []

    play(main())


def test_a_run_for_models_of_others_is_left_to_them() -> None:
    """A process that has nothing of the kind that is to answer does not answer in its place; what
    needs no model, anybody may end."""

    async def main() -> None:
        async with stage(says("Hello")) as here:
            run = await left(here, "queued", provider="openai-compatible")
            await here.executor.go_on(here.project, run.thread)
            assert here.executor.following(run.key) is None
            here.provider.name = "openai-compatible"
            assert statuses(await taken(here, run))[-1] == "completed"
            here.provider.name = "told"
            other = await left(here, "cancelling", provider="openai-compatible")
            assert statuses(await taken(here, other))[-1] == "cancelled"

    play(main())


def test_a_run_that_is_held_is_left_alone() -> None:
    """Who still has its lease goes on with it."""

    async def main() -> None:
        async with stage() as here:
            run = await left(here, "queued")
            await here.another().go_on(here.project, await here.thread("free"))
            due = Due(here.project, run.thread, run.key)
            held = {run.key: "queued"}
            longer = replace(GONE, until=T0 + 10**6)
            assert await here.store.hold_runs([due], longer) == held
            await here.executor.go_on(here.project, run.thread)
            assert here.executor.following(run.key) is None

    play(main())


@pytest.mark.parametrize(
    ("status", "output", "made"),
    [
        ("in_progress", "did it", ["it"]),
        ("calling", "nobody knows", []),
        ("completed", "was done", []),
        ("failed", "went wrong", []),
    ],
)
def test_a_call_is_made_where_it_was_only_asked_for(
    status: str, output: str, made: list[str]
) -> None:
    """One that was begun has failed, its outcome unknown; one that has ended is as it ended. The
    model is shown each with its outcome, and the stream tells of each, though it had not yet."""

    async def main() -> None:
        desk = Desk()
        async with stage(says("Done."), tools={"mcp": desk}) as here:
            ended = {"completed": {"output": "was done"}, "failed": {"error": "went wrong"}}
            data = asked("it", status, **ended.get(status, {}))
            items = ("msg", SAID), ("mcp", data)
            run = await left(here, "in_progress", *items, ended=["C1"], tools=[MCP])
            events = await taken(here, run)
            assert await here.said(run.thread) == [
                *("user: hi", "assistant: Let me see.", f"desk(it) = {output}"),
                "assistant: Done.",
            ]
            assert desk.called == made
            assert [item.kind for item in here.provider.asked[0].items] == [
                *("user", "assistant", "function_call", "function_call_output")
            ]
            assert here.provider.asked[0].items[-1].data()["output"] == output
            log = await here.log(run.thread)
            ends = [event.item for event in events if isinstance(event, ItemEnded)]
            assert [(one.id, one.data()) for one in ends] == [
                (one.id, one.data()) for one in log[1:]
            ]
            assert next(one.key for one in here.recorded()) == "C1"
            assert all(one.error is None for one in here.recorded())

    play(main())


def test_a_call_that_can_do_no_harm_is_made_again() -> None:
    """A tool that may repeat does what was begun, once."""

    async def main() -> None:
        desk = Desk("code_interpreter", repeats=True)
        async with stage(says("Done."), tools={"code_interpreter": desk}) as here:
            data = asked("it", "interpreting", type="code_interpreter_call")
            run = await left(here, "in_progress", ("ci", data), ended=["C1"], tools=[CODE])
            await taken(here, run)
            assert desk.called == ["it"]
            assert (await here.said(run.thread))[1] == "desk(it) = did it"

    play(main())


def test_calls_side_by_side_are_each_as_far_as_they_came() -> None:
    """Of three, one had ended, one was begun, one only asked for."""

    async def main() -> None:
        desk = Desk()
        async with stage(says("Done."), tools={"mcp": desk}) as here:
            items = (
                ("mcp1", asked("a", "completed", output="was done")),
                ("mcp2", asked("b", "calling")),
                ("mcp3", asked("c")),
            )
            run = await left(here, "in_progress", *items, ended=["C1"], tools=[MCP])
            await taken(here, run)
            assert desk.called == ["c"]
            assert (await here.said(run.thread))[1:4] == [
                *("desk(a) = was done", "desk(b) = nobody knows", "desk(c) = did c")
            ]

    play(main())


def test_a_run_that_was_being_cancelled_is_cancelled() -> None:
    """No model is asked and no tool is called; what was said, and what was asked for, is kept."""

    async def main() -> None:
        desk = Desk()
        async with stage(tools={"mcp": desk}) as here:
            items = ("mcp1", asked("a")), ("mcp2", asked("b", "calling"))
            events = half(RUN, "Hel")
            run = await left(here, "cancelling", *items, events=events, calls=["C1"], tools=[MCP])
            assert statuses(await taken(here, run))[-1] == "cancelled"
            assert (desk.called, here.provider.asked) == ([], [])
            assert await here.said(run.thread) == [
                *("user: hi", "desk(a) = incomplete", "desk(b) = nobody knows", "assistant: Hel…")
            ]
            assert (await here.stored(run)).status == "cancelled"
            assert here.recorded()[0].error == LOST

    play(main())


@pytest.mark.parametrize(("pauses", "status"), [(True, "requires_action"), (False, "completed")])
def test_a_call_upon_the_client_waits_for_it(pauses: bool, status: str) -> None:
    """The model has said what it had to: it is not asked again before the client has answered."""

    async def main() -> None:
        desk = Desk()
        async with stage(tools={"mcp": desk}) as here:
            call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
            items = ("fc", call | {"status": "completed"}), ("mcp", asked("it"))
            fields: dict[str, Any] = {"tools": [MCP], "pauses": pauses}
            run = await left(here, "in_progress", *items, ended=["C1"], **fields)
            await taken(here, run)
            assert (desk.called, here.provider.asked) == (["it"], [])
            assert (await here.stored(run)).status == status

    play(main())


def test_a_run_that_waited_too_long_for_its_client_expires() -> None:
    """It is due when its time is over; nobody works on it then."""

    async def main() -> None:
        async with stage([*calls("c1", "f", "{}"), TOOLS]) as here:
            run = await here.finished("hi", expires_at=T0 + 1_000)
            assert run.status == "requires_action"
            here.ms += 500
            await here.executor.go_on(here.project, run.thread)
            assert (await here.stored(run)).status == "requires_action"
            here.ms += 501
            await here.executor.go_on(here.project, run.thread)
            assert (await here.stored(run)).status == "expired"
            assert (await here.store.get_thread(here.project, run.thread)).active_run is None

    play(main())


def test_a_run_over_its_time_expires_as_it_is_taken() -> None:
    """What was said of an answer is kept; the model is left at once."""

    async def main() -> None:
        async with stage([HANG, STOP]) as here:
            run = await left(here, events=half(RUN, "Hel"), calls=["C1"], expires_at=T0 + 2)
            await taken(here, run)
            assert (await here.stored(run)).status == "expired"
            assert await here.said(run.thread) == ["user: hi", "assistant: Hel…"]

    play(main())


def test_a_run_that_takes_down_its_process_is_given_up() -> None:
    """After so many attempts it fails, visibly, and its thread is free."""

    async def main() -> None:
        async with stage() as here:
            run = await left(here)
            for _ in range(ATTEMPTS_MAX - 1):
                gone = replace(GONE, until=here.now() + 1)
                assert await here.store.claim_run(here.project, run.thread, gone, here.now() + 9)
            here.ms += 1_000
            await here.executor.go_on(here.project, run.thread)
            ended = await here.stored(run)
            assert (ended.status, ended.attempts) == ("failed", ATTEMPTS_MAX + 1)
            assert ended.error == {"code": "server_error", "message": "Given up after 5 attempts."}
            assert here.provider.asked == []
            assert (await here.store.get_thread(here.project, run.thread)).active_run is None

    play(main())


def test_lost_calls_are_no_steps() -> None:
    """A run that may ask its model once may ask again when that call was lost."""

    async def main() -> None:
        async with stage(says("Hello"), limits=Limits(steps=1)) as here:
            run = await left(here, calls=["C1"])
            await taken(here, run)
            assert (await here.stored(run)).status == "completed"

    play(main())


def test_steps_of_others_count() -> None:
    """Those that ended before the run was taken over are among those it may take."""

    async def main() -> None:
        async with stage(limits=Limits(steps=2), tools={"mcp": Desk()}) as here:
            data = asked("it", "completed", output="was done")
            run = await left(here, "in_progress", ("mcp", data), ended=["C1", "C2"], tools=[MCP])
            await taken(here, run)
            ended = await here.stored(run)
            assert (ended.status, (ended.error or {})["code"]) == ("failed", "rate_limit_exceeded")
            assert here.provider.asked == []

    play(main())


def test_calls_of_others_count() -> None:
    """`max_tool_calls` is that of the whole run, whoever made them."""

    async def main() -> None:
        desk = Desk()
        answers = [*calls("c1", "desk", "b"), TOOLS], says("Done.")
        async with stage(*answers, tools={"mcp": desk}) as here:
            data = asked("a", "completed", output="was done")
            fields = {"tools": [MCP], "settings": {"max_tool_calls": 1}}
            run = await left(here, "in_progress", ("mcp", data), ended=["C1"], **fields)
            await taken(here, run)
            assert desk.called == []
            assert here.provider.asked[0].tools == []

    play(main())


def test_a_run_is_taken_over_twice() -> None:
    """Each that was left in mid-answer leaves its part; the stream tells all of it, in order."""

    async def main() -> None:
        async with stage(["x", HANG], says("Hello")) as here:
            here.provider.answers[0] = [*says("Hi")[:1], HANG, STOP]
            run = await left(here, "queued")
            await here.executor.go_on(here.project, run.thread)
            await here.provider.hanging.wait()
            first = here.executor
            here.ms += 100_000
            here.executor = here.another()
            events = await taken(here, run)
            first.abandon(run.thread)
            await first.close()
            assert statuses(events) == ["queued", "in_progress", "completed"]
            assert (await here.stored(run)).turn == 0
            assert (await here.said(run.thread))[-1] == "assistant: Hello"

    play(main())


def test_a_thread_is_gone_on_with_by_those_who_work_on_it() -> None:
    """A process that was late to hold a lease does not take its own run from itself."""

    async def main() -> None:
        async with stage([*says("Hi")[:1], HANG, STOP]) as here:
            run, live = await here.hanging("hi")
            here.ms += 100_000
            await here.executor.go_on(here.project, run.thread)
            assert (await here.stored(run)).attempts == 1
            here.provider.go_on.set()
            assert statuses(await over(live))[-1] == "completed"
            assert len(here.provider.asked) == 1

    play(main())
