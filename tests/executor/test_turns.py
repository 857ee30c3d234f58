"""Turns: a queued run to its end, or to a pause; what was said before it failed is kept."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from clew.core.errors import ClewError
from clew.core.events import RunChanged
from clew.core.runs import Run
from clew.executor.turns import TOO_LONG
from clew.providers.provider import Finish, ProviderError, TextDelta

from .stage import (
    HANG,
    STOP,
    T0,
    TOOLS,
    calls,
    over,
    play,
    says,
    stage,
    statuses,
    told,
)

ONE_CALL = [*calls("call_1", "f", "{}"), TOOLS]


def test_a_turn_answers_from_the_thread() -> None:
    """The model is asked with the whole log; its answer is in the log, the thread is free."""

    async def main() -> None:
        async with stage(says("Hel", "lo")) as here:
            thread = await here.thread("a", "b")
            run = await here.queued("c", thread=thread, instructions="be brief")
            events = await over(here.executor.start(here.project, run))
            assert told(events) == [
                *("queued", "in_progress"),
                *("+0 assistant", "0 Hel", "0 lo", "-0"),
                "completed",
            ]
            (asked,) = here.provider.asked
            assert (asked.model, asked.instructions) == ("m", "be brief")
            assert [item.text() for item in asked.items] == ["a", "b", "c"]
            assert await here.said(thread) == ["user: a", "user: b", "user: c", "assistant: Hello"]
            answer = (await here.log(thread))[-1]
            assert (answer.run, answer.seq) == (run.key, 4)
            ended = await here.stored(run)
            assert events[-1] == RunChanged(ended)
            assert (ended.status, ended.input_seq, ended.last_seq) == ("completed", 3, 4)
            assert T0 < (ended.started_at or 0) < (ended.completed_at or 0)
            assert (await here.store.get_thread(here.project, thread)).active_run is None

    play(main())


def test_the_call_is_recorded() -> None:
    """Beside the run stands what the model was sent, how often it was tried and what it cost."""

    async def main() -> None:
        async with stage(says("x", finish=Finish("stop", 9, 4, 3, 2, attempts=2))) as here:
            run = await here.finished("a", "b")
            (call,) = here.recorded()
            assert (call.run, call.model, call.provider) == (run.key, "m", "told")
            assert (call.first_seq, call.last_seq, call.left_out, call.attempts) == (1, 2, 0, 2)
            assert T0 < call.started_at < call.ended_at
            assert call.usage == run.usage
            assert call.usage == {
                "input_tokens": 9,
                "cached_tokens": 3,
                "output_tokens": 4,
                "reasoning_tokens": 2,
            }

    play(main())


def test_a_run_waits_for_tool_outputs_and_goes_on() -> None:
    """Calls pause the run; with their outputs it asks again and the usage adds up."""

    async def main() -> None:
        async with stage(ONE_CALL, says("42")) as here:
            run = await here.finished("a")
            assert (run.status, run.completed_at) == ("requires_action", None)
            thread = await here.store.get_thread(here.project, run.thread)
            assert thread.active_run == run.key
            again = await here.answered(run, "call_1", "42")
            events = await over(here.executor.start(here.project, again))
            assert statuses(events) == ["queued", "in_progress", "completed"]
            assert [item.kind for item in here.provider.asked[1].items] == [
                "user",
                "function_call",
                "function_call_output",
            ]
            whole = ["user: a", "f({})", "-> 42", "assistant: 42"]
            assert await here.said(run.thread) == whole
            assert (await here.stored(run)).usage == {
                "input_tokens": 30,
                "cached_tokens": 5,
                "output_tokens": 5,
                "reasoning_tokens": 1,
            }
            assert len(here.recorded()) == 2

    play(main())


@pytest.mark.parametrize("silent", [0, 1])
def test_a_call_that_does_not_say_its_usage_adds_none(silent: int) -> None:
    """The usage of a run is that of the calls which told theirs."""

    async def main() -> None:
        first = [*calls("call_1", "f", "{}"), Finish("tool_calls") if silent == 0 else TOOLS]
        second = says("x", finish=Finish("stop") if silent == 1 else STOP)
        async with stage(first, second) as here:
            run = await here.answered(await here.finished("a"), "call_1", "1")
            await over(here.executor.start(here.project, run))
            usage = (await here.stored(run)).usage or {}
            assert (usage["input_tokens"], usage["output_tokens"]) == [(10, 2), (20, 3)][silent]

    play(main())


@pytest.mark.parametrize("counts", [(-1, 2, 0), (5, 2**63, 0), (5, 2, -(2**70))])
def test_a_call_that_lies_about_its_usage_adds_none(counts: tuple[int, int, int]) -> None:
    """Numbers that no model can have counted are not in the run, and its events are kept."""

    async def main() -> None:
        async with stage(says("x", finish=Finish("stop", *counts))) as here:
            run = await here.finished("a")
            assert (run.status, run.usage) == ("completed", None)
            assert [call.usage for call in here.recorded()] == [None]
            await here.executor.close()
            assert await here.store.list_events(here.project, run.thread, run.key, run.turn)

    play(main())


def test_a_run_that_does_not_pause_completes_with_its_calls() -> None:
    """On the Responses face a call ends the run: its output comes with the next one."""

    async def main() -> None:
        async with stage(ONE_CALL) as here:
            run = await here.finished("a", pauses=False)
            assert run.status == "completed"
            assert await here.said(run.thread) == ["user: a", "f({})"]
            thread = await here.store.get_thread(here.project, run.thread)
            assert thread.active_run is None

    play(main())


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_was_cut_short(reason: str) -> None:
    """Out of tokens or stopped by a filter: the text is kept as incomplete, cut calls are not."""

    async def main() -> None:
        cut = [TextDelta("a"), *calls("call_1", "f", "{"), TextDelta("b"), Finish(reason, 1, 2)]
        async with stage(cut) as here:
            run = await here.finished("hi")
            assert (run.status, run.incomplete_reason, run.error) == ("incomplete", reason, None)
            assert (run.usage or {})["output_tokens"] == 2
            assert await here.said(run.thread) == ["user: hi", "assistant: a", "assistant: b…"]
            assert (await here.store.get_thread(here.project, run.thread)).active_run is None

    play(main())


@pytest.mark.parametrize("code", ["server_error", "rate_limit_exceeded", "invalid_prompt"])
@pytest.mark.parametrize("said", [[], ["Hel", "lo"]])
def test_a_model_that_fails(code: str, said: list[str]) -> None:
    """The run fails with the provider's code and words; what was said is kept as incomplete."""

    async def main() -> None:
        error = ProviderError(code, "No luck.", attempts=3)
        async with stage([*map(TextDelta, said), error]) as here:
            run = await here.finished("hi")
            assert (run.status, run.error) == ("failed", {"code": code, "message": "No luck."})
            assert run.failed_at is not None
            assert (await here.said(run.thread))[1:] == (["assistant: Hello…"] if said else [])
            (call,) = here.recorded()
            assert (call.error, call.attempts, call.usage) == (run.error, 3, None)

    play(main())


def test_an_answer_that_breaks_off() -> None:
    """A model that stops without saying so has failed."""

    async def main() -> None:
        async with stage([TextDelta("Hel")]) as here:
            run = await here.finished("hi")
            assert run.error == {
                "code": "server_error",
                "message": "The model's answer broke off.",
            }
            assert await here.said(run.thread) == ["user: hi", "assistant: Hel…"]

    play(main())


def test_a_fault_of_ours_does_not_leak(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception fails the run visibly; its text is in the log and nowhere else."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), RuntimeError("secret of the house")]) as here:
            run = await here.queued("hi")
            events = await over(here.executor.start(here.project, run))
            assert statuses(events) == ["queued", "in_progress", "failed"]
            run = await here.stored(run)
            assert (run.error or {})["code"] == "server_error"
            assert "secret" not in str(events) + str(run)
            assert await here.said(run.thread) == ["user: hi", "assistant: Hel…"]

    play(main())
    assert "secret of the house" in caplog.text


def test_a_failure_that_cannot_be_recorded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the database refuses the end of a run, followers are let go and the log says why."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            run, live = await here.hanging("hi")

            async def full(*_: Any, **__: Any) -> Run:
                raise ClewError("unavailable", "The disk is full.")

            monkeypatch.setattr(here.store, "move_run", full)
            here.provider.go_on.set()
            assert statuses(await over(live)) == ["queued", "in_progress"]
            monkeypatch.undo()
            assert (await here.stored(run)).status == "in_progress"

    with caplog.at_level(logging.ERROR):
        play(main())
    assert "The disk is full." in caplog.text


def test_items_that_come_meanwhile_are_seen_next_time() -> None:
    """Each model call reads the log as it stands: what was erased or changed since counts."""

    async def main() -> None:
        async with stage(ONE_CALL, says("x")) as here:
            thread = await here.thread("forget this", "a")
            run = await here.queued("b", thread=thread)
            await over(here.executor.start(here.project, run))
            first = (await here.log(thread))[0]
            await here.store.erase_item(here.project, thread, first.id, here.now())
            again = await here.answered(await here.stored(run), "call_1", "1")
            await over(here.executor.start(here.project, again))
            first_window, second = [request.items for request in here.provider.asked]
            assert [item.text() for item in first_window] == ["forget this", "a", "b"]
            assert [item.text() for item in second][:2] == ["a", "b"]

    play(main())


def test_a_broken_off_message_says_why() -> None:
    """Its reason is that of the end of its run, in the words of a message."""

    async def main() -> None:
        cut = [TextDelta("x"), Finish("length", 1, 1)]
        failing = [TextDelta("x"), ProviderError("server_error", "No luck.")]
        filtered = [TextDelta("x"), Finish("content_filter", 1, 1)]
        async with stage(cut, failing, filtered) as here:
            for reason in ("max_tokens", "run_failed", "content_filter"):
                run = await here.finished("hi")
                message = (await here.log(run.thread))[-1].data()
                assert message["incomplete_details"] == {"reason": reason}

    play(main())


def test_a_run_over_its_time_is_expired_while_its_model_speaks() -> None:
    """The model is let go, what it said is kept as incomplete, the call is recorded."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            run = await here.finished("hi", expires_at=T0 + 400)
            assert (run.status, run.error) == ("expired", None)
            assert here.provider.left.is_set()
            assert await here.said(run.thread) == ["user: hi", "assistant: Hel…"]
            message = (await here.log(run.thread))[-1].data()
            assert message["incomplete_details"] == {"reason": "run_expired"}
            assert (await here.store.get_thread(here.project, run.thread)).active_run is None
            assert [(call.error or {})["code"] for call in here.recorded()] == ["cancelled"]

    play(main())


def test_a_run_cancelled_while_it_expires_ends_as_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who cancels it between the two is told so, and the thread is free."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            look = here.store.get_run

            async def cancelled_meanwhile(project: str, thread: str, run: str) -> Run:
                stood = await look(project, thread, run)
                monkeypatch.setattr(here.store, "get_run", look)
                await here.executor.cancel(project, stood)
                return stood

            queued = await here.queued("hi", expires_at=T0 + 400)
            monkeypatch.setattr(here.store, "get_run", cancelled_meanwhile)
            await over(here.executor.start(here.project, queued))
            assert (await here.stored(queued)).status == "cancelled"
            assert await here.said(queued.thread) == ["user: hi", "assistant: Hel…"]
            assert (await here.store.get_thread(here.project, queued.thread)).active_run is None

    play(main())


def test_a_run_in_time_is_not_expired() -> None:
    """The time limit of a run does not outlive its turn, and a response has none."""

    async def main() -> None:
        async with stage(says("x"), says("y")) as here:
            run = await here.finished("hi", expires_at=T0 + 60_000)
            assert run.status == "completed"
            run = await here.finished("hi", expires_at=T0 - 1, pauses=False)
            assert run.status == "completed"

    play(main())


def test_a_cancelled_call_is_recorded() -> None:
    """What a run cost until it let go of its model is not lost."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, STOP]) as here:
            run, live = await here.hanging("hi")
            await here.executor.cancel(here.project, run)
            assert statuses(await over(live))[-2:] == ["cancelling", "cancelled"]
            (call,) = here.recorded()
            assert (call.error or {})["code"] == "cancelled"
            assert call.started_at < call.ended_at
            message = (await here.log(run.thread))[-1].data()
            assert message["incomplete_details"] == {"reason": "run_cancelled"}

    play(main())


OVERFLOW = ProviderError("context_length_exceeded", "At most 10 tokens.", attempts=1)


def test_a_window_that_is_too_long_is_cut_until_the_model_can_read_it() -> None:
    """Its oldest items are left out, a quarter at a time; every attempt is recorded."""

    async def main() -> None:
        async with stage([OVERFLOW], [OVERFLOW], says("ok")) as here:
            thread = await here.thread(*("word " * 20 for _ in range(8)))
            run = await here.queued("last", thread=thread)
            events = await over(here.executor.start(here.project, run))
            assert statuses(events) == ["queued", "in_progress", "completed"]
            sizes = [len(asked.items) for asked in here.provider.asked]
            assert sizes == [9, 6, 4]
            assert all(asked.items[-1].text() == "last" for asked in here.provider.asked)
            errors = [call.error and call.error["code"] for call in here.recorded()]
            assert errors == ["context_length_exceeded", "context_length_exceeded", None]
            assert [call.first_seq for call in here.recorded()] == [1, 4, 6]

    play(main())


@pytest.mark.parametrize(
    ("pauses", "settings"),
    [
        (False, {}),
        (False, {"truncation": "disabled"}),
        (True, {"truncation_strategy": {"type": "last_messages", "last_messages": 3}}),
    ],
)
def test_a_window_that_must_not_be_cut(pauses: bool, settings: dict[str, Any]) -> None:
    """Without leave to drop items the run fails at once, in OpenAI's words."""

    async def main() -> None:
        async with stage([OVERFLOW]) as here:
            thread = await here.thread("a", "b", "c")
            run = await here.finished("d", thread=thread, pauses=pauses, settings=settings)
            assert run.error == {"code": "context_length_exceeded", "message": TOO_LONG}
            assert len(here.provider.asked) == 1

    play(main())


def test_a_window_that_cannot_be_cut_any_more() -> None:
    """A newest message that alone is too long fails the run; so does running out of tries."""

    async def main() -> None:
        async with stage(*[[OVERFLOW]] * 8) as here:
            run = await here.finished("word " * 50, pauses=False, settings={"truncation": "auto"})
            assert (run.error or {})["code"] == "context_length_exceeded"
            assert len(here.provider.asked) == 1
            thread = await here.thread(*("word " * 20 for _ in range(200)))
            run = await here.finished("last", thread=thread)
            assert (run.error or {})["code"] == "context_length_exceeded"
            assert len(here.provider.asked) == 8
            assert len(here.recorded()) == 8

    play(main())


def test_a_model_that_spoke_is_not_asked_again() -> None:
    """No word reaches people twice: what overflows in mid-answer fails."""

    async def main() -> None:
        async with stage([TextDelta("x"), OVERFLOW]) as here:
            run = await here.finished("hi", pauses=False, settings={"truncation": "auto"})
            assert run.status == "failed"
            assert len(here.provider.asked) == 1

    play(main())


def test_a_message_larger_than_the_prompt_budget_ends_the_run() -> None:
    """No model is asked with less than what it is to answer: the run is incomplete and says why."""

    async def main() -> None:
        async with stage() as here:
            run = await here.finished("word " * 300, settings={"max_prompt_tokens": 256})
            assert (run.status, run.incomplete_reason) == ("incomplete", "max_prompt_tokens")
            assert (here.provider.asked, here.recorded()) == ([], [])
            assert (await here.store.get_thread(here.project, run.thread)).active_run is None

    play(main())


def test_instructions_and_tools_count_in_the_prompt_budget() -> None:
    """What they cost is no longer there for messages."""

    async def main() -> None:
        async with stage(says("x"), says("x")) as here:
            settings = {"max_prompt_tokens": 256}
            thread = await here.thread(*(["word " * 40] * 10))
            run = await here.queued("last", thread=thread, settings=settings)
            await over(here.executor.start(here.project, run))
            run = await here.queued(
                "last", thread=thread, settings=settings, instructions="word " * 100
            )
            await over(here.executor.start(here.project, run))
            free, taken = [len(asked.items) for asked in here.provider.asked]
            assert 2 <= taken < free < 11

    play(main())


def test_a_budget_is_that_of_all_calls_of_a_run() -> None:
    """What the first call used is not there for the second: 200 of 500, 300 of 1,000."""

    async def main() -> None:
        first = [*calls("call_1", "f", "{}"), Finish("tool_calls", 200, 300)]
        settings = {"max_prompt_tokens": 500, "max_output_tokens": 1_000}
        async with stage(first, says("x")) as here:
            run = await here.finished("a", settings=settings)
            again = await here.answered(run, "call_1", "1")
            await over(here.executor.start(here.project, again))
            assert [asked.tokens_max for asked in here.provider.asked] == [1_000, 700]
            assert (await here.stored(run)).status == "completed"

    play(main())


@pytest.mark.parametrize(
    ("used", "reason"), [((500, 1), "max_prompt_tokens"), ((1, 1_000), "length")]
)
def test_a_budget_that_is_used_up_ends_the_run(used: tuple[int, int], reason: str) -> None:
    """With nothing left, the run is incomplete without another call."""

    async def main() -> None:
        first = [*calls("call_1", "f", "{}"), Finish("tool_calls", *used)]
        settings = {"max_prompt_tokens": 500, "max_output_tokens": 1_000}
        async with stage(first) as here:
            again = await here.answered(await here.finished("a", settings=settings), "call_1", "1")
            await over(here.executor.start(here.project, again))
            run = await here.stored(again)
            assert (run.status, run.incomplete_reason) == ("incomplete", reason)
            assert len(here.provider.asked) == 1

    play(main())


def test_outputs_that_do_not_fit_the_budget_end_the_run() -> None:
    """A model is never asked without one of the outputs it waits for."""

    async def main() -> None:
        async with stage(ONE_CALL) as here:
            run = await here.finished("a", settings={"max_prompt_tokens": 256})
            again = await here.answered(run, "call_1", "word " * 300)
            await over(here.executor.start(here.project, again))
            run = await here.stored(again)
            assert (run.status, run.incomplete_reason) == ("incomplete", "max_prompt_tokens")

    play(main())


def test_a_model_that_counts_nothing_is_counted() -> None:
    """Where there is a budget, tokens that the upstream does not tell are counted by us."""

    async def main() -> None:
        silent = [TextDelta("one two three"), Finish("stop")]
        async with stage(silent, silent) as here:
            run = await here.finished("hi", settings={"max_output_tokens": 256})
            usage = run.usage or {}
            assert (usage["input_tokens"], usage["output_tokens"]) == (3 + 4 + 1, 4 + 3)
            assert (await here.finished("hi")).usage is None

    play(main())
