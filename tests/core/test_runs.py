"""Runs: one table of moves; what it does not allow changes nothing."""

from __future__ import annotations

import itertools
from copy import deepcopy

import msgspec
import pytest
from msgspec.structs import replace

from clew.core.errors import IllegalMove
from clew.core.runs import MOVES, TERMINAL, Run, move

CREATED, NOW = 1_700_000_000_000, 1_700_000_005_000
STATUSES = sorted(MOVES)
PAIRS = list(itertools.product(STATUSES, STATUSES))
STAMPS = {
    "in_progress": "started_at",
    "completed": "completed_at",
    "incomplete": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}
LIFE = """
queued -> in_progress cancelling cancelled failed expired
in_progress -> requires_action completed incomplete failed cancelling expired
requires_action -> queued cancelled failed expired
cancelling -> cancelled completed failed expired
"""
"""The life of a run as OpenAI draws it, with the two short cuts that a store needs."""


def run(status: str) -> Run:
    return Run("TR", "T", CREATED, "m", status, metadata={"k": "v"}, usage={"input_tokens": 1})


def legal() -> set[tuple[str, str]]:
    lines = [line.split(" -> ") for line in LIFE.strip().splitlines()]
    return {(status, target) for status, targets in lines for target in targets.split()}


def test_the_table_is_the_life_of_a_run() -> None:
    """Nothing but these moves is in the table."""
    assert {(status, target) for status in MOVES for target in MOVES[status]} == legal()


@pytest.mark.parametrize(("status", "target"), [pair for pair in PAIRS if pair in legal()])
def test_a_legal_move_is_stamped(status: str, target: str) -> None:
    """A move sets the status and the one time that belongs to it; the given run stays as it was."""
    before = run(status)
    was = deepcopy(before)
    after = move(before, target, NOW)
    changed = {"status": target} | ({STAMPS[target]: NOW} if target in STAMPS else {})
    assert after == msgspec.structs.replace(was, **changed)
    assert before == was


@pytest.mark.parametrize(("status", "target"), [pair for pair in PAIRS if pair not in legal()])
def test_an_illegal_move_changes_nothing(status: str, target: str) -> None:
    """What the table does not allow is refused by name, with the run as it was."""
    before = run(status)
    was = deepcopy(before)
    with pytest.raises(IllegalMove) as refused:
        move(before, target, NOW, usage=None, error={"code": "x"})
    assert (refused.value.run_status, refused.value.target) == (status, target)
    assert (refused.value.code, before) == ("bad_request", was)


def test_a_status_that_does_not_exist_is_refused() -> None:
    """No run can become what the table does not know."""
    for status in STATUSES:
        with pytest.raises(IllegalMove):
            move(run(status), "paused", NOW)


def test_terminal_states_are_those_without_moves() -> None:
    """A terminal run goes nowhere; every other run can reach an end."""
    assert {"completed", "incomplete", "failed", "cancelled", "expired"} == TERMINAL
    for status in STATUSES:
        assert (MOVES[status] == frozenset()) == (status in TERMINAL) == run(status).is_terminal
        assert reachable(status) & TERMINAL


def reachable(status: str) -> set[str]:
    found, to_do = {status}, [status]
    while to_do:
        new = MOVES[to_do.pop()] - found
        found |= new
        to_do += new
    return found


def test_changes_come_with_the_move() -> None:
    """What is given besides the status is changed too; a time that is given is kept."""
    error = {"code": "server_error", "message": "no"}
    after = move(run("in_progress"), "failed", NOW, error=error, usage=None, failed_at=7)
    assert (after.status, after.error, after.usage, after.failed_at) == ("failed", error, None, 7)


def test_a_run_that_goes_on_is_started_again() -> None:
    """After tool outputs a run is queued, then in progress as of then."""
    first = move(run("queued"), "in_progress", NOW)
    paused = move(first, "requires_action", NOW + 1)
    again = move(move(paused, "queued", NOW + 2), "in_progress", NOW + 3)
    assert (first.started_at, again.started_at, again.completed_at) == (NOW, NOW + 3, None)


@pytest.mark.parametrize(
    ("status", "late_ms", "expected"),
    [
        ("requires_action", -1, False),
        ("requires_action", 0, True),
        ("queued", 0, False),
        ("in_progress", 1_000_000, False),
        ("cancelling", 1_000_000, False),
        ("completed", 1_000_000, False),
    ],
)
def test_when_a_run_is_abandoned(status: str, late_ms: int, expected: bool) -> None:
    """One that waits for its client, when its time is over; any other is looked after by whoever
    works on it."""
    one = replace(run(status), expires_at=NOW)
    assert one.is_abandoned(NOW + late_ms) == expected


def test_a_run_that_is_over_has_forgotten_secrets() -> None:
    """What its MCP servers were shown is needed by whoever takes it over, and by nobody later."""
    tool = {"type": "mcp", "headers": {"k": "v"}, "authorization": "t", "server_label": "s"}
    run = Run("r", "t", 0, "m", status="in_progress", tools=[tool, {"type": "file_search"}])
    assert move(run, "cancelling", 1).tools == run.tools
    shown = {"type": "mcp", "headers": {"k": "<redacted>"}, "server_label": "s"}
    assert move(run, "completed", 1).tools == [shown, {"type": "file_search"}]
    assert run.tools[0] == tool
