"""What it costs to stream a model's answer, beside a proxy that only passes bytes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import msgspec

from bench import servers
from bench.load import Load
from bench.measure import Row, at_least, at_most, interleave
from bench.plan import Plan
from bench.servers import Server

STREAMS = 64
PAUSE_MS = 25
FLUSHES_PER_SECOND = 20
"""One commit in 50 ms."""

HERE = Path(__file__).parents[2]
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

Requests = list[tuple[str, Any]]


class Read(msgspec.Struct):
    """What a reader of streams saw."""

    ended: int
    first_ms: list[float]
    whole_ms: list[float] = []
    seconds: float = 0.0


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    with ExitStack() as stack:
        upstream = stack.enter_context(python("bench.upstream", plan.folder))
        clew, proxy = sides(stack, plan, f"{upstream.url}/v1")
        yield idle(plan, clew)  # first, while the server has no memory to spare
        yield from costs(plan, clew, proxy)
        yield first_word(plan, clew, proxy)
        yield commits(plan, clew)


def sides(stack: ExitStack, plan: Plan, upstream: str) -> tuple[Server, Server]:
    """Clew, and the proxy, in front of the upstream."""
    command = [*servers.clew_command("sqlite:///relay.db"), "--upstream", upstream]
    clew = stack.enter_context(servers.listening(command, plan.folder))
    return clew, stack.enter_context(python("bench.proxy", plan.folder, upstream))


def costs(plan: Plan, clew: Server, proxy: Server) -> Iterator[Row]:
    """Chunks relayed per second of CPU time, of the whole server process."""
    chunks = plan.scaled(300, 60)
    assistant = clew.post("/v1/assistants", {"model": f"chunks-{chunks}-{PAUSE_MS}"})["id"]
    paced, fast = f"chunks-{chunks}-{PAUSE_MS}", f"chunks-{chunks}-0"
    faces = [
        (f"{STREAMS} Responses streams relayed, {PAUSE_MS} ms", response(paced), paced, True),
        (f"{STREAMS} Threads streams relayed, {PAUSE_MS} ms", run(assistant), paced, True),
        (f"{STREAMS} Responses streams relayed, no pause", response(fast), fast, False),
    ]
    for what, ours, model, judged in faces:

        def rate(server: Server, requests: Requests) -> float:
            return STREAMS * chunks / cpu_seconds(plan, server, requests)

        sides: list[Callable[[], float]] = [
            lambda ours=ours: rate(clew, ours),  # type: ignore[misc]
            lambda model=model: rate(proxy, completion(model)),  # type: ignore[misc]
        ]
        here, there = interleave(plan.pairs, *sides)
        target = at_least(0.6) if judged else None
        yield Row(what, "chunks/CPU-s", here, "proxy that passes bytes on", there, target)


def first_word(plan: Plan, clew: Server, proxy: Server) -> Row:
    """Streams one after the other: how much later the first word comes than through the proxy."""
    model, times = "chunks-1-0", plan.scaled(200, 20)

    def p50(server: Server, requests: Requests) -> float:
        return median(read(plan, server, requests, times, "--one-by-one").first_ms)

    ours, theirs = interleave(
        plan.pairs, lambda: p50(clew, response(model)), lambda: p50(proxy, completion(model))
    )
    added = [here - there for here, there in zip(ours, theirs, strict=True)]
    what = "first word of a Responses stream, p50, added to a proxy's"
    return Row(what, "ms", added, target=at_most(5, of="figure"))


def commits(plan: Plan, clew: Server) -> Row:
    """Commits per second while many streams go on, as another connection sees them."""
    seconds = plan.scaled(4, 1)
    chunks = (seconds + 2) * 1000 // PAUSE_MS
    with reader(plan, clew, response(f"chunks-{chunks}-{PAUSE_MS}"), STREAMS) as reading:
        time.sleep(1)
        seen = [changes(plan.folder / "relay.db", seconds) / seconds]
        reading.wait(60)
    what = f"commits per second while {STREAMS} streams go on"
    return Row(what, "commits/s", seen, target=at_most(FLUSHES_PER_SECOND, of="figure"))


def idle(plan: Plan, clew: Server) -> Row:
    """Memory that streams take of which nothing comes."""
    streams = plan.scaled(1_000, 100)
    before = servers.resident_mb(clew.pid)
    with reader(plan, clew, response("silent"), streams, "--hold") as reading:
        assert reading.stdout is not None
        said = msgspec.json.decode(reading.stdout.readline(), type=Read)
        if len(said.first_ms) != streams:
            raise RuntimeError(f"{len(said.first_ms)} of {streams} streams began")
        taken = servers.resident_mb(clew.pid) - before
    bound = 100 * streams / 1_000
    return Row(f"{streams:,} idle streams", "MB", [taken], target=at_most(bound, of="figure"))


# requests


def response(model: str) -> Requests:
    return [("/v1/responses", {"model": model, "input": "Say something.", "stream": True})]


def run(assistant: str) -> Requests:
    thread = {"messages": [{"role": "user", "content": "Say something."}]}
    body = {"assistant_id": assistant, "thread": thread, "stream": True}
    return [("/v1/threads/runs", body)]


def completion(model: str) -> Requests:
    messages = [{"role": "user", "content": "Say something."}]
    return [("/v1/responses", {"model": model, "messages": messages, "stream": True})]


# processes


def cpu_seconds(plan: Plan, server: Server, requests: Requests) -> float:
    """CPU time, user and system, that the server takes for the streams."""
    before = cpu_s(server.pid)
    said = read(plan, server, requests, STREAMS)
    if said.ended != STREAMS or len(said.first_ms) != STREAMS:
        raise RuntimeError(f"{server.url}: {said.ended} of {STREAMS} streams ended well")
    return cpu_s(server.pid) - before


def read(plan: Plan, server: Server, requests: Requests, streams: int, *flags: str) -> Read:
    with reader(plan, server, requests, streams, *flags) as reading:
        assert reading.stdout is not None
        return msgspec.json.decode(reading.stdout.read(), type=Read)


@contextmanager
def reader(
    plan: Plan, server: Server, requests: Requests, streams: int, *flags: str
) -> Iterator[servers.Process]:
    """A process that reads so many streams."""
    command = [sys.executable, "-m", "bench.streams", server.url, str(streams), *flags]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with servers.process(command, plan.folder, env=_environment(), **pipes) as reading:
        assert reading.stdin is not None
        reading.stdin.write(msgspec.json.encode(requests).decode() + "\n")
        reading.stdin.flush()
        yield reading


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def changes(
    path: Path, seconds: float, between: Callable[[], object] = lambda: time.sleep(0.001)
) -> int:
    """How often a SQLite file was committed to in that time, looked at every millisecond."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        seen, count, until = None, -1, time.monotonic() + seconds
        while time.monotonic() < until:
            version: Any = db.execute("PRAGMA data_version").fetchone()
            if version != seen:
                seen, count = version, count + 1
            between()
        return count
    finally:
        db.close()


def python(module: str, folder: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", module, *arguments]
    return servers.listening(command, folder, env=_environment())


def _environment() -> dict[str, str]:
    return servers.bare_environment() | {"PYTHONPATH": str(HERE)}
