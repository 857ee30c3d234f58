"""SIGKILL at every recorded point of a turn with two tool calls: it goes on, and nothing twice.

Invariants 1 (acknowledged means durable), 4 (the model sees the thread) and 7 (a run ends), over
real processes that are really killed, on both engines: with another server there, which takes over,
and alone, by the one that is started afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import clew
from clew.executor.watch import LEASE_MS

from .matrix import (
    FOLDER,
    MARGIN_S,
    Killed,
    Point,
    World,
    check,
    check_log,
    flags_of,
    kill_at,
    summary,
    world,
)
from .served import serving

AT_ONCE = 8
TOOK_MAX_S = LEASE_MS / 1000 + MARGIN_S
MOVES = {"apart": 14, "together": 10}
"""How often a run is moved in such a turn, from its first model call to its end."""


def points(shape: str) -> list[Point]:
    """Before and after each write, in the middle of each model call and of each tool call. Until
    the model has asked for its tools, one shape is as good as the other."""
    first = {"apart": 1, "together": 4}[shape]
    writes = [("move_run", number) for number in range(first, MOVES[shape] + 1)]
    if shape == "apart":
        writes += [("create_run", 1), ("append_events", 1), ("append_events", 2)]
    asked = {"apart": (1, 2, 3), "together": (1, 2)}[shape]
    return [
        *(Point(shape, verb, when, number) for verb, number in writes for when in WHEN),
        *(Point(shape, "model", "amid", number) for number in asked),
        *(Point(shape, "tool", "amid", number) for number in (1, 2)),
    ]


WHEN = ("before", "after")
SLICE = [
    Point("apart", "model", "amid", 3),
    Point("apart", "tool", "amid", 2),
    Point("together", "move_run", "after", 5),
    Point("together", "move_run", "before", MOVES["together"]),
]
"""What every run of the tests looks at."""


@pytest.fixture(scope="module")
def here() -> Iterator[World]:
    with world() as made:
        yield made


def kill_all(
    act: Callable[[Point, str], tuple[Killed, float]], kills: list[Point]
) -> tuple[list[Killed], dict[str, float]]:
    """Each of these points, several at a time; the faults of all of them."""
    faults, done, took = [], [], {}

    def one(number: int, point: Point) -> None:
        try:
            killed, seconds = act(point, f"case{number}")
            done.append(killed)
            took[str(point)] = seconds
        except BaseException as error:
            faults.append(f"{point}: {error!r}"[:2_000])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(len(kills)), kills))
    assert faults == [], "\n".join([f"{len(faults)} of {len(kills)}", *faults])
    return done, took


def kill_beside_another(here: World, store_url: str, kills: list[Point]) -> dict[str, float]:
    """A second server is there, and takes over; time runs from the kill."""
    with serving(*flags_of(here, store_url), folder=FOLDER) as other:

        def act(point: Point, case: str) -> tuple[Killed, float]:
            killed = kill_at(here, store_url, point, case)
            return killed, check(here, killed, other, killed.at)

        done, took = kill_all(act, kills)
    with clew.open(store_url) as store:
        for killed in done:
            check_log(here, killed, store)
    return took


def kill_alone(
    here: World, new_store_url: Callable[[], str], kills: list[Point]
) -> dict[str, float]:
    """Nobody else is there; time runs from the moment at which another server is."""

    def act(point: Point, case: str) -> tuple[Killed, float]:
        store_url = new_store_url()
        killed = kill_at(here, store_url, point, case)
        with serving(*flags_of(here, store_url), folder=FOLDER) as next:
            took = check(here, killed, next, time.monotonic())
        with clew.open(store_url) as store:
            check_log(here, killed, store)
        return killed, took

    return kill_all(act, kills)[1]


def report(engine: str, how: str, took: dict[str, float]) -> None:
    print(summary(f"{engine}, {how}", took))
    assert max(took.values()) <= TOOK_MAX_S


def test_a_killed_turn_is_taken_over(
    here: World, engine: str, new_store_url: Callable[[], str]
) -> None:
    """In mid-answer, while a tool is called, and around its commits."""
    here.forget()
    report(engine, "taken over", kill_beside_another(here, new_store_url(), SLICE))


@pytest.mark.faults
@pytest.mark.parametrize("shape", ["apart", "together"])
def test_every_kill_is_survived_by_another(
    here: World, engine: str, new_store_url: Callable[[], str], shape: str
) -> None:
    """Whatever the point: all is there, nothing twice, the run ended in time, the next works."""
    here.forget()
    took = kill_beside_another(here, new_store_url(), points(shape))
    report(engine, f"{shape}, taken over", took)


@pytest.mark.faults
@pytest.mark.parametrize("shape", ["apart", "together"])
def test_every_kill_is_survived_by_a_restart(
    here: World, engine: str, new_store_url: Callable[[], str], shape: str
) -> None:
    """The same, when the server was alone and is started again."""
    here.forget()
    report(engine, f"{shape}, restarted", kill_alone(here, new_store_url, points(shape)))
