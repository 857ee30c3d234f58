"""The recorder: every event of every stored run is kept, in few writes, and holds up nobody."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Sequence

import pytest

from clew.core.errors import ClewError
from clew.core.events import RunChanged, TextAdded
from clew.core.kept import unpack
from clew.core.runs import Run
from clew.executor import recorder
from clew.executor.live import Live
from clew.executor.recorder import FLUSH_S, Recorder
from clew.executor.unstored import Unstored
from clew.providers.provider import TextDelta
from clew.store.events import EVENTS_KEPT_MS, News

from .stage import HANG, STOP, T0, over, play, says, stage

RUN = Run("TR", "T", T0, "m", expires_at=T0 + 600_000, input_seq=3, last_seq=3, turn=3)


class Shelf:
    """Keeps what it is given, with the time of each write; fails as often as it is told."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.writes: list[list[News]] = []
        self.times: list[float] = []
        self.failures, self.error = failures, error or ClewError("unavailable", "The disk is full.")
        self.tried = 0

    async def append_events(self, news: Sequence[News], now_ms: int) -> None:
        self.tried += 1
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise self.error
        self.writes.append(list(news))
        self.times.append(asyncio.get_running_loop().time())

    async def list_events(
        self, project: str, thread: str, run: str, turn: int, *, first: int = 0
    ) -> list[tuple[int, bytes]]:
        raise NotImplementedError

    def texts(self, run: str = "TR") -> list[str]:
        """The texts of a run, in the order of their numbers."""
        rows = {one.first: one for write in self.writes for one in write if one.run == run}
        events = [event for first in sorted(rows) for event in unpack(rows[first].events, RUN)]
        return [event.text for event in events if isinstance(event, TextAdded)]


def said(text: str) -> TextAdded:
    return TextAdded(0, "msg_1", text)


def test_events_are_kept_with_their_numbers() -> None:
    """Each write has what is new since the one before it, from its number on."""

    async def main() -> None:
        shelf = Shelf()
        keeps = Recorder(shelf, lambda: T0)
        live = keeps.record("proj", RUN)
        live.tell(said("a"))
        await asyncio.sleep(2 * FLUSH_S)
        live.tell(said("b"))
        live.tell(said("c"))
        live.end()
        await keeps.close()
        rows = [(one.project, one.thread, one.run, one.turn, one.first) for [one] in shelf.writes]
        assert rows == [("proj", "T", "TR", 3, 0), ("proj", "T", "TR", 3, 2)]
        assert shelf.texts() == ["a", "b", "c"]
        assert shelf.writes[0][0].until == RUN.expires_at + EVENTS_KEPT_MS

    play(main())


def test_many_streams_are_one_write() -> None:
    """Sixty-four streams that never pause cost at most one write in 50 ms; none loses a word."""

    async def main() -> None:
        shelf = Shelf()
        keeps = Recorder(shelf, lambda: T0)
        runs = [Run(f"TR{number}", "T", T0, "m") for number in range(64)]
        lives = [keeps.record("proj", run) for run in runs]
        loop = asyncio.get_running_loop()
        began, number = loop.time(), 0
        while loop.time() - began < 0.6:
            for live in lives:
                live.tell(said(str(number)))
            number += 1
            await asyncio.sleep(0.005)
        took = loop.time() - began
        assert len(shelf.writes) <= took / FLUSH_S + 1
        pauses = [b - a for a, b in zip(shelf.times, shelf.times[1:], strict=False)]
        assert min(pauses) > FLUSH_S * 0.8
        for live in lives:
            live.end()
        await keeps.close()
        for run in runs:
            assert shelf.texts(run.key) == [str(n) for n in range(number)]

    play(main())


def test_nothing_is_written_while_nothing_happens() -> None:
    """A stream that says nothing costs no write, and its end alone costs none."""

    async def main() -> None:
        shelf = Shelf()
        keeps = Recorder(shelf, lambda: T0)
        live = keeps.record("proj", RUN)
        await asyncio.sleep(4 * FLUSH_S)
        assert shelf.tried == 1
        live.end()
        await keeps.close()
        assert shelf.tried == 1

    play(main())


def test_a_failing_write_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, no stream notices, and what came meanwhile is kept with it."""

    async def main() -> None:
        shelf = Shelf(failures=2)
        keeps = Recorder(shelf, lambda: T0)
        live = keeps.record("proj", RUN)
        live.tell(said("a"))
        follower = asyncio.create_task(over(live))
        while shelf.tried < 2:
            await asyncio.sleep(FLUSH_S / 5)
        live.tell(said("b"))
        live.end()
        assert len(await follower) == 3
        while not shelf.writes:
            await asyncio.sleep(FLUSH_S / 5)
        await keeps.close()
        assert shelf.texts() == ["a", "b"]

    with caplog.at_level(logging.ERROR, "clew.executor"):
        play(main())
    assert [record.getMessage() for record in caplog.records] == [
        "events could not be kept; it is tried again"
    ]


def test_runs_that_are_over_do_not_pile_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While nothing can be written, only so many ended runs wait; running ones are never lost."""
    monkeypatch.setattr(recorder, "ENDED_MAX", 3)

    async def main() -> None:
        shelf = Shelf(failures=1)
        keeps = Recorder(shelf, lambda: T0)
        running = keeps.record("proj", RUN)
        running.tell(said("a"))
        for number in range(5):
            keeps.record("proj", Run(f"TR{number}", "T", T0, "m")).end()
        while not shelf.writes:
            await asyncio.sleep(FLUSH_S / 5)
        assert {one.run for one in shelf.writes[0]} == {"TR", "TR2", "TR3", "TR4"}
        assert [keeps.live(f"TR{number}", 0) for number in range(5)] == [None] * 5
        running.end()
        await keeps.close()

    play(main())


def test_a_run_that_is_kept_is_forgotten() -> None:
    """Until then it can be recalled as it was; afterwards it takes no memory."""

    async def main() -> None:
        keeps = Recorder(Shelf(), lambda: T0)
        live: Live | None = keeps.record("proj", RUN)
        assert live is not None
        live.end()
        assert keeps.live("TR", 3) is live
        assert keeps.live("TR", 4) is None
        await keeps.close()
        assert keeps.live("TR", 3) is None
        gone = weakref.ref(live)
        live = None
        gc.collect()
        assert gone() is None

    play(main())


def test_text_that_cannot_be_kept_holds_up_no_other() -> None:
    """Half a character, as broken upstreams send it, is not kept; the runs beside it are."""

    async def main() -> None:
        shelf = Shelf()
        keeps = Recorder(shelf, lambda: T0)
        broken, whole = keeps.record("proj", RUN), keeps.record("proj", Run("TS", "T", T0, "m"))
        broken.tell(said("\ud800"))
        whole.tell(said("a"))
        broken.end()
        whole.end()
        await keeps.close()
        assert (shelf.texts("TR"), shelf.texts("TS")) == ([], ["a"])

    play(main())


def test_closing_keeps_what_there_is() -> None:
    """A process that ends in good order loses no event; a disk that is gone does not stop it."""

    async def main() -> None:
        for failures, kept in ((0, ["a"]), (1, ["a"]), (100, [])):
            shelf = Shelf(failures=failures)
            keeps = Recorder(shelf, lambda: T0)
            live = keeps.record("proj", RUN)
            live.tell(said("a"))
            live.end()
            await keeps.close()
            assert shelf.texts() == kept

    play(main())


def test_every_event_of_a_turn_is_kept() -> None:
    """What the executor's followers were told is what the store has when it is closed."""

    async def main() -> None:
        async with stage(says("Hel", "lo")) as here:
            run = await here.queued("hi")
            events = await over(here.executor.start(here.project, run))
            await here.executor.close()
            stored = await here.stored(run)
            rows = await here.store.list_events(here.project, run.thread, run.key, run.turn)
            kept = [event for _, packed in rows for event in unpack(packed, stored)]
            assert kept == events
            assert isinstance(kept[-1], RunChanged)

    play(main())


def test_an_unstored_run_leaves_no_events() -> None:
    """`store: false` keeps nothing, these neither."""

    async def main() -> None:
        async with stage(says("Hel", "lo")) as here:
            run = Run("TR", "T", T0, "m")
            await over(here.executor.start(here.project, run, Unstored(run, [])))
            await here.executor.close()
            assert here.store.db.execute("SELECT count(*) FROM events").fetchone() == (0,)

    play(main())


def test_a_run_without_followers_goes_on_and_is_forgotten() -> None:
    """Who leaves takes nothing along: the run ends, is stored, and takes no memory then."""

    async def main() -> None:
        async with stage([TextDelta("Hel"), HANG, TextDelta("lo"), STOP]) as here:
            run, live = await here.hanging("hi")
            follower = asyncio.create_task(over(live))
            await asyncio.sleep(0)
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            gone = weakref.ref(live)
            del live, follower
            here.provider.go_on.set()
            while (await here.stored(run)).status != "completed":
                await asyncio.sleep(0.01)
            await here.executor.close()
            assert here.executor.following(run.key) is None
            assert await here.said(run.thread) == ["user: hi", "assistant: Hello"]
            gc.collect()
            assert gone() is None

    play(main())


def test_what_is_too_much_for_one_write_goes_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No write grows beyond its limit by more than one event, and nothing is lost."""
    monkeypatch.setattr(recorder, "WRITE_BYTES_MAX", 10_000)

    async def main() -> None:
        shelf = Shelf()
        keeps = Recorder(shelf, lambda: T0)
        runs = [Run(f"TR{number}", "T", T0, "m") for number in range(3)]
        words = [str(number) * 4_000 for number in range(9)]
        for run in runs:
            live = keeps.record("proj", run)
            for word in words:
                live.tell(said(word))
            live.end()
        await keeps.close()
        sizes = [sum(len(one.events) for one in write) for write in shelf.writes]
        assert max(sizes) < 20_000
        for run in runs:
            assert shelf.texts(run.key) == words

    play(main())
