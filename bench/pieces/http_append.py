"""A durable append over HTTP, beside a bare endpoint, a bare commit, and OGX."""

from __future__ import annotations

from collections.abc import Iterator

from bench import known, ogx, servers
from bench.commits import BareFile, bare_file
from bench.load import Load, Requests
from bench.material import ITEMS, MESSAGE, TEXT
from bench.measure import Row, at_least, at_most, interleave
from bench.plan import Plan
from bench.servers import Server

THREADS = 100
CONNECTIONS = 32


def measure(plan: Plan, load: Load) -> Iterator[Row]:
    folder = plan.folder
    with (
        servers.clew("sqlite:///append.db", folder) as clew,
        servers.bare(folder, "--stock") as bare,
        servers.bare(folder) as tuned,
        bare_file(folder / "bare.db") as file,
    ):
        keys = new_threads(clew, THREADS)
        yield from many_connections(plan, load, clew, bare, tuned, keys)
        yield one_connection(plan, load, clew, bare, file, keys)
        yield beside_ogx(plan, load, clew, keys)


def new_threads(clew: Server, count: int) -> list[str]:
    """Threads made over HTTP; their keys."""
    made = [clew.post("/v1/threads", {})["id"] for _ in range(count)]
    return [id.removeprefix("thread_") for id in made]


def appends(keys: list[str]) -> Requests:
    return Requests(
        "POST", [f"/v1/threads/thread_{key}/messages" for key in keys], MESSAGE.decode()
    )


def many_connections(
    plan: Plan, load: Load, clew: Server, bare: Server, tuned: Server, keys: list[str]
) -> Iterator[Row]:
    def rate(server: Server) -> float:
        return load.run(server.url, appends(keys), CONNECTIONS, plan.seconds).per_second

    ours, theirs, fastest = interleave(
        plan.pairs, lambda: rate(clew), lambda: rate(bare), lambda: rate(tuned)
    )
    yield Row(
        f"durable append over HTTP, {CONNECTIONS} connections, {THREADS} threads",
        "requests/s",
        ours,
        "bare endpoint on uvicorn as it comes, same JSON, stores nothing",
        theirs,
        at_least(0.45),
    )
    what = "the same, the bare endpoint tuned as Clew's server is"
    yield Row(what, "requests/s", ours, "bare endpoint, one write an answer", fastest)


def one_connection(
    plan: Plan, load: Load, clew: Server, bare: Server, file: BareFile, keys: list[str]
) -> Row:
    def p50_ms(server: Server) -> float:
        return load.run(server.url, appends(keys), 1, plan.seconds).p50_ms

    ours, requests, commits = interleave(
        plan.pairs,
        lambda: p50_ms(clew),
        lambda: p50_ms(bare),
        lambda: file.commit_ms(TEXT, plan.scaled(5_000, 500)),
    )
    return Row(
        "the same, one connection, p50",
        "ms",
        ours,
        "bare request + bare SQLite commit",
        [request + commit for request, commit in zip(requests, commits, strict=True)],
        at_most(1.8),
    )


def beside_ogx(plan: Plan, load: Load, clew: Server, keys: list[str]) -> Row:
    """The Conversations face of both; an earlier figure of OGX's where it is not given."""

    def rate(server: Server, keys: list[str]) -> float:
        paths = [f"/v1/conversations/conv_{key}/items" for key in keys]
        requests = Requests("POST", paths, ITEMS.decode())
        return load.run(server.url, requests, CONNECTIONS, plan.seconds).per_second

    if plan.ogx is None:
        [ours] = interleave(plan.pairs, lambda: rate(clew, keys))
        theirs, name = [known.OGX_APPEND.figure], known.OGX_APPEND.name
    else:
        with ogx.serving(plan.ogx, plan.folder) as other:
            made = [other.post("/v1/conversations", {})["id"] for _ in range(THREADS)]
            theirs_keys = [id.removeprefix("conv_") for id in made]
            ours, theirs = interleave(
                plan.pairs, lambda: rate(clew, keys), lambda: rate(other, theirs_keys)
            )
        name = "OGX Conversations, measured beside it"
    what = f"durable append, Conversations face, {CONNECTIONS} connections"
    return Row(what, "requests/s", ours, name, theirs, at_least(80))
