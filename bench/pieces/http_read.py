"""The newest 20 messages over HTTP, beside an endpoint that has the very same bytes ready."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bench import servers
from bench.load import Load, Requests
from bench.material import TEXT
from bench.measure import Row, at_least, interleave
from bench.pieces.http_append import CONNECTIONS, THREADS
from bench.plan import Plan
from bench.servers import Server

MESSAGES = 40
"""On each thread: half of them are not in the page."""


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    with servers.clew("sqlite:///read.db", plan.folder) as clew:
        paths = [f"/v1/threads/{id}/messages" for id in filled_threads(clew)]
        pages = plan.folder / "pages.json"
        pages.write_bytes(msgspec.json.encode({path: clew.get(path).decode() for path in paths}))
        with servers.bare(plan.folder, "--stock", "--pages", str(pages)) as bare:
            yield newest(plan, load, clew, bare, paths)


def filled_threads(clew: Server) -> list[str]:
    messages = [{"role": "user", "content": TEXT}] * MESSAGES
    return [clew.post("/v1/threads", {"messages": messages})["id"] for _ in range(THREADS)]


def newest(plan: Plan, load: Load, clew: Server, bare: Server, paths: list[str]) -> Row:
    def rate(server: Server) -> float:
        return load.run(server.url, Requests("GET", paths), CONNECTIONS, plan.seconds).per_second

    ours, theirs = interleave(plan.pairs, lambda: rate(clew), lambda: rate(bare))
    return Row(
        f"newest 20 over HTTP, {CONNECTIONS} connections, {THREADS} threads",
        "requests/s",
        ours,
        "bare endpoint that returns the same bytes",
        theirs,
        at_least(0.35),
    )
