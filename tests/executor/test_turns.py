"""Turns: a queued run to its end, or to a pause; what was said before it failed is kept."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from clew.core.errors import ClewError
from clew.core.events import RunChanged
from clew.core.runs import Run
from clew.executor import turns
from clew.executor.turns import limits_of, read_window, request_of
from clew.providers.provider import Finish, ModelRequest, ProviderError, TextDelta

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


def test_a_window_is_read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many chunks a log takes, the window is the same and only as much is read."""

    async def main() -> None:
        async with stage() as here:
            texts = [str(number) for number in range(10)]
            thread = await here.thread(*texts)
            whole = await read_window(here.store, here.project, thread)
            assert [item.text() for item in whole.items] == texts
            for least, most in ((1, 1), (1, 2), (2, 4), (3, 1024), (9, 9), (10, 10), (11, 11)):
                monkeypatch.setattr(turns, "CHUNK_MIN", least)
                monkeypatch.setattr(turns, "CHUNK_MAX", most)
                assert await read_window(here.store, here.project, thread) == whole
                few = await read_window(here.store, here.project, thread, last_messages=2)
                assert ([item.text() for item in few.items], few.cut) == (["8", "9"], True)

    play(main())


@pytest.mark.parametrize(
    ("settings", "last_messages", "tokens_max"),
    [
        ({}, None, None),
        ({"truncation_strategy": {"type": "auto", "last_messages": 3}}, None, None),
        ({"truncation_strategy": {"type": "last_messages", "last_messages": 3}}, 3, None),
        ({"max_prompt_tokens": 500}, None, 500),
    ],
)
def test_what_a_run_lets_the_model_see(
    settings: dict[str, Any], last_messages: int | None, tokens_max: int | None
) -> None:
    """`truncation_strategy` and `max_prompt_tokens` are the limits of the window."""
    limits = limits_of(Run("TR", "T", T0, "m", settings=settings))
    assert limits == {"last_messages": last_messages, "tokens_max": tokens_max}


def test_what_a_model_is_asked() -> None:
    """Every setting of a run that a model knows reaches it; what was not said is not sent."""
    tool = {"type": "function", "name": "f", "parameters": {}, "strict": True}
    settings = {
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0.0,
        "top_p": 0.5,
        "max_output_tokens": 16,
        "text_format": {"type": "json_object"},
        "reasoning": {"effort": "low"},
    }
    run = Run("TR", "T", T0, "m", instructions="x", tools=[tool], settings=settings)
    assert request_of(run, []) == ModelRequest(
        "m",
        [],
        "x",
        [tool],
        "required",
        False,
        0.0,
        0.5,
        16,
        {"type": "json_object"},
        "low",
        settings,
    )
    assert request_of(Run("TR", "T", T0, "m"), []) == ModelRequest("m", [])
