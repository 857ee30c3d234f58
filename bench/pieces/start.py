"""How soon the server answers, and what memory it has taken by then."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from bench import known
from bench.load import Load
from bench.measure import Row, at_most, interleave
from bench.plan import Plan
from bench.servers import clew_command, free_port, process, resident_mb, wait_until_healthy


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    [starts] = interleave(plan.pairs, lambda: start(plan))
    seconds, memory = zip(*starts, strict=True)
    yield Row(
        "process start to first healthy answer",
        "s",
        list(seconds),
        known.OGX_START.name,
        [known.OGX_START.figure],
        at_most(0.8, of="figure"),
    )
    yield Row(
        "resident memory after start",
        "MB",
        list(memory),
        known.OGX_MEMORY.name,
        [known.OGX_MEMORY.figure],
        at_most(90, of="figure"),
    )


def start(plan: Plan) -> tuple[float, float]:
    """Seconds and MB of one start on the database that the first one makes."""
    port = free_port()
    command = clew_command("sqlite:///start.db", port)
    began = time.perf_counter()
    with process(command, plan.folder, stdout=subprocess.DEVNULL) as running:
        wait_until_healthy(port)
        return time.perf_counter() - began, resident_mb(running.pid)
