"""The soak tells what leaks."""

from __future__ import annotations

import pytest
from bench.soak import MEMORY_GROWTH_MAX, leaks

MEMORY = "process_resident_memory_bytes"
CALM = {MEMORY: 50e6, "process_open_fds": 20.0, "clew_tasks": 5.0, "clew_runs": 0.0}


def soaked(**last: float) -> list[str]:
    """What is found when these were the last values of a process that was calm before."""
    return leaks([CALM] * 8 + [CALM | last])


def test_a_calm_process_leaks_nothing() -> None:
    """Nothing is found where nothing grew; a single connection more is not a leak."""
    assert soaked() == []
    assert soaked(process_open_fds=21) == []


@pytest.mark.parametrize("gauge", ["process_open_fds", "clew_tasks", "clew_runs"])
def test_what_stays_open_is_found(gauge: str) -> None:
    """Files, tasks and runs must be as few at the end as at the beginning."""
    [problem] = soaked(**{gauge: CALM[gauge] + 50})
    assert problem.startswith(gauge)


def test_growing_memory_is_found() -> None:
    """Memory may grow while the process warms up, and by a little after."""
    assert soaked(**{MEMORY: CALM[MEMORY] + MEMORY_GROWTH_MAX}) == []
    [problem] = soaked(**{MEMORY: CALM[MEMORY] + MEMORY_GROWTH_MAX + 1})
    assert problem.startswith("memory grew by 24.0 MB")
    cold = CALM | {MEMORY: 20e6}
    assert leaks([cold, *[CALM] * 8]) == []
