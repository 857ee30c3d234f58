"""Compacting: a long thread goes on behind a summary, and the log stays whole."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from msgspec.structs import replace

from clew.core.compactions import seal, summary_of
from clew.core.items import new_item
from clew.core.runs import Run
from clew.executor.unstored import Unstored
from clew.executor.windows import SUMMARY, read_window
from clew.providers.provider import (
    Abilities,
    Delta,
    Finish,
    ModelRequest,
    ProviderError,
    TextDelta,
)

from .stage import HANG, T0, Stage, Told, over, play, says, stage, statuses, told, user

FEW = {"context_management": [{"type": "compaction", "compact_threshold": 100}]}
LONG = ["word " * 40, "word " * 40, "word " * 40]


async def long_run(here: Stage, **fields: Any) -> Run:
    """A queued response after more words than it wants to be shown."""
    thread = await here.thread(*LONG)
    fields = {"settings": FEW, "pauses": False, **fields}
    return await here.queued("What now?", thread=thread, **fields)


def test_a_long_thread_is_summed_up_before_its_turn() -> None:
    """The model writes a summary, which is the first output and stands for what came before; then
    it answers, having seen the summary and its input. Each of the two calls is recorded."""

    async def main() -> None:
        async with stage(says("They ", "met."), says("Go on.")) as here:
            run = await long_run(here)
            events = await over(here.executor.start(here.project, run))
            assert told(events) == [
                *("queued", "in_progress"),
                *("+0 compaction", "-0"),
                *("+1 assistant", "1 Go on.", "-1"),
                "completed",
            ]
            asked, answering = here.provider.asked
            assert [item.text() for item in asked.items] == [
                "\n\n".join(f"user: {text}" for text in LONG)
            ]
            assert (asked.model, asked.tools) == ("m", [])
            texts = [item.text() for item in answering.items]
            assert texts == [SUMMARY + "They met.", "What now?"]
            log = await here.log(run.thread)
            assert [item.kind for item in log] == ["user"] * 4 + ["compaction", "assistant"]
            assert log[4].data()["through"] == 3
            assert log[4].run == run.key
            summing, call = here.recorded()
            assert (summing.first_seq, summing.last_seq) == (1, 4)
            assert (call.first_seq, call.last_seq, call.left_out) == (4, 5, 0)
            ended = await here.stored(run)
            assert ((ended.usage or {})["input_tokens"], ended.last_seq) == (20, 6)

    play(main())


def test_the_next_turn_begins_with_the_summary() -> None:
    """No second summary while the first is enough; the window is what the log says it is."""

    async def main() -> None:
        async with stage(says("They met."), says("Go on."), says("Yes.")) as here:
            run = await long_run(here)
            await over(here.executor.start(here.project, run))
            await here.finished("And?", thread=run.thread, settings=FEW, pauses=False)
            texts = [item.text() for item in here.provider.asked[-1].items]
            assert texts == [SUMMARY + "They met.", "What now?", "Go on.", "And?"]
            window = await read_window(here.store, here.project, run.thread)
            assert window.compacted == 3
            assert [summary_of(item) for item in window.items][:2] == ["They met.", None]

    play(main())


def test_a_summary_is_summed_up_in_turn() -> None:
    """When the thread has grown again, the next summary is made of the last and what followed."""

    async def main() -> None:
        answers = [says("They met."), says("Go on."), says("They met and parted."), says("Yes.")]
        async with stage(*answers) as here:
            run = await long_run(here)
            await over(here.executor.start(here.project, run))
            await here.store.append_items(here.project, run.thread, [user(LONG[0] * 2)], T0)
            run = await here.finished("And?", thread=run.thread, settings=FEW, pauses=False)
            transcript = here.provider.asked[2].items[0].text()
            assert transcript.startswith(
                "summary of what came before: They met.\n\nuser: What now?"
            )
            texts = [item.text() for item in here.provider.asked[3].items]
            assert texts == [SUMMARY + "They met and parted.", "And?"]

    play(main())


@pytest.mark.parametrize(
    "failing",
    [
        [ProviderError("server_error", "No luck.")],
        [TextDelta("   "), Finish("stop", 1, 1)],
        [TextDelta("They")],
    ],
)
def test_a_summary_that_fails_does_not_end_the_run(
    failing: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The model is asked with the whole thread; the call that failed is recorded, and logged."""

    async def main() -> None:
        async with stage(failing, says("Go on.")) as here:
            run = await long_run(here)
            events = await over(here.executor.start(here.project, run))
            assert statuses(events) == ["queued", "in_progress", "completed"]
            assert [item.text() for item in here.provider.asked[1].items] == [*LONG, "What now?"]
            assert [item.kind for item in await here.log(run.thread)][4:] == ["assistant"]
            assert len(here.recorded()) == 2

    with caplog.at_level(logging.WARNING):
        play(main())
    assert "was not compacted" in caplog.text


def test_a_run_cancelled_while_it_is_summed_up() -> None:
    """It lets go of the model at once; there is no compaction, and the call is recorded."""

    async def main() -> None:
        async with stage([TextDelta("They"), HANG, Finish("stop")]) as here:
            run = await long_run(here)
            live = here.executor.start(here.project, run)
            await here.provider.hanging.wait()
            await here.executor.cancel(here.project, await here.stored(run))
            assert statuses(await over(live))[-1] == "cancelled"
            assert len(await here.log(run.thread)) == 4
            assert len(here.recorded()) == 1

    play(main())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"context_management": [{"type": "compaction", "compact_threshold": 5_000}]},
    ],
)
def test_a_thread_that_is_not_too_long_is_left_alone(settings: dict[str, Any]) -> None:
    """Without the wish, or below the threshold, nobody is asked for a summary."""

    async def main() -> None:
        async with stage(says("Go on.")) as here:
            run = await long_run(here, settings=settings)
            await over(here.executor.start(here.project, run))
            assert len(here.provider.asked) == 1

    play(main())


def test_input_alone_is_not_summed_up() -> None:
    """However long what is to be answered is, it is answered as it was said."""

    async def main() -> None:
        async with stage(says("Go on.")) as here:
            run = await here.finished(*LONG, settings=FEW, pauses=False)
            assert run.status == "completed"
            assert len(here.provider.asked[0].items) == 3

    play(main())


def test_an_upstream_that_compacts_is_left_to_it() -> None:
    """It is asked with the whole window and told of the wish."""

    async def main() -> None:
        async with stage(says("Go on.")) as here:
            here.provider.abilities = Abilities(settings=frozenset({"context_management"}))
            run = await long_run(here)
            await over(here.executor.start(here.project, run))
            (asked,) = here.provider.asked
            assert len(asked.items) == 4
            assert asked.settings["context_management"] == FEW["context_management"]

    play(main())


def test_a_response_that_is_not_stored_is_compacted_too() -> None:
    """The summary stands for the stored thread in this one turn, and is not left behind."""

    async def main() -> None:
        async with stage(says("They met."), says("Go on.")) as here:
            thread = await here.thread(*LONG)
            run = Run(thread + "R", thread, T0, "m", settings=FEW, pauses=False)
            run = replace(run, first_seq=4, input_seq=4, last_seq=4)
            log = Unstored(run, [user("What now?")], here.store, 3)
            events = await over(here.executor.start(here.project, run, log))
            assert statuses(events)[-1] == "completed"
            texts = [item.text() for item in here.provider.asked[1].items]
            assert texts == [SUMMARY + "They met.", "What now?"]
            assert len(await here.log(thread)) == 3

    play(main())


def test_a_window_may_be_compacted_for_itself() -> None:
    """Nothing is stored: the answer is the item that stands for the window, and what it cost."""

    async def main() -> None:
        async with stage(says("They met.")) as here:
            run = Run("TR", "T", T0, "m")
            items, finish = await here.executor.compact(run, [user("Hi."), user("Ho.")])
            assert items == [{"type": "compaction", "encrypted_content": seal("They met.")}]
            assert (finish.tokens_in, finish.tokens_out) == (10, 2)
            assert here.provider.asked[0].items[0].text() == "user: Hi.\n\nuser: Ho."

    play(main())


class Compacting(Told):
    """A provider whose upstream compacts by itself."""

    abilities = Abilities(compacts=True)

    async def compact(self, request: ModelRequest) -> tuple[list[dict[str, Any]], Finish]:
        self.asked.append(request)
        return [{"type": "compaction", "encrypted_content": "gAAAA"}], Finish("stop", 7, 1)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        raise AssertionError("it was to compact")
        yield


def test_an_upstream_that_can_compacts_a_window_itself() -> None:
    """Its items come back as it made them."""

    async def main() -> None:
        async with stage() as here:
            here.provider = Compacting()
            items, finish = await here.executor.compact(Run("TR", "T", T0, "m"), [user("Hi.")])
            assert (items[0]["encrypted_content"], finish.tokens_in) == ("gAAAA", 7)

    play(main())


def test_what_another_sealed_is_shown_to_nobody_else() -> None:
    """A model that cannot read a compaction is shown the items it would stand for."""

    async def main() -> None:
        async with stage(says("x"), says("y")) as here:
            sealed = {"type": "compaction", "encrypted_content": "gAAAA"}
            thread = await here.thread("a")
            await here.store.append_items(here.project, thread, [new_item("cmp_1", sealed, T0)], T0)
            await here.finished("b", thread=thread)
            assert [item.text() for item in here.provider.asked[0].items] == ["a", "b"]
            here.provider.abilities = Abilities(compacts=True)
            await here.finished("c", thread=thread)
            kinds = [item.kind for item in here.provider.asked[1].items]
            assert kinds == ["compaction", "user", "assistant", "user"]

    play(main())
