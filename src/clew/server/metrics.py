"""`/metrics`: how the process is, in the text format that Prometheus reads.

What a leak would grow (memory, files, tasks, runs) and what an outage would show (answers by
status).
"""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from clew.server.http import Answer, Request, Route, Server

_PAGE = resource.getpagesize()


async def metrics(server: Server, request: Request) -> Answer:
    body = "".join(_lines(server)).encode()
    return Answer(body, type=b"text/plain; version=0.0.4; charset=utf-8")


def _lines(server: Server) -> Iterator[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = usage.ru_utime + usage.ru_stime
    yield from _metric("process_cpu_seconds_total", "counter", "Processor time used.", seconds)
    for name, says, value in (
        ("process_resident_memory_bytes", "Memory in use.", _resident_bytes()),
        ("process_open_fds", "Open files and sockets.", _open_files()),
        ("clew_tasks", "Tasks on the event loop.", len(asyncio.all_tasks())),
        ("clew_runs", "Runs this process works on.", server.executor.running),
    ):
        yield from _metric(name, "gauge", says, value)
    yield "# HELP clew_answers_total Answers by status.\n# TYPE clew_answers_total counter\n"
    for status, count in sorted(server.answers.items()):
        yield f'clew_answers_total{{status="{status}"}} {count}\n'


def _metric(name: str, kind: str, says: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {says}\n# TYPE {name} {kind}\n{name} {value}\n"


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except OSError:  # not Linux: the largest it ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:  # not Linux
        return -1


ROUTES = [Route("GET", "/metrics", metrics, "clew", "How the process is, for Prometheus")]
