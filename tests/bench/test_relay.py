"""The relay's benchmark: a true upstream, a true proxy, and a reader that knows an end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import apsw
import pytest
from bench.pieces import relay
from bench.plan import Plan
from bench.streams import Reading
from bench.upstream import SAYS, WORD

from clew.providers.chat_chunks import ChatAnswer


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(tmp_path, tmp_path, quick=True)


def test_what_the_upstream_says_is_a_chunk():
    """A provider of Clew's reads one word out of it."""
    data = SAYS.split(b"data: ")[1].split(b"\n\n")[0]
    [delta] = ChatAnswer().feed(data)
    assert getattr(delta, "text", None) == WORD


@pytest.mark.parametrize(
    ("pieces", "well"),
    [
        ([b"x0\r\n\r\n"], True),
        ([b"x" * 40, b"0\r\n", b"\r\n"], True),
        ([b"word ", b"0\r\n\r"], False),
    ],
)
def test_a_reader_knows_a_stream_that_ended(pieces: Sequence[bytes], well: bool):
    """The last chunk may come in pieces; a connection that is lost before it is no end."""

    async def main() -> tuple[bool, bool]:
        reading = Reading(b"")
        reading.connection_made(Nowhere())  # type: ignore[arg-type]
        for piece in pieces:
            reading.data_received(piece)
        reading.connection_lost(None)
        return await reading.ended, reading.first_ms is not None

    assert asyncio.run(main()) == (well, b"word " in pieces)


class Nowhere:
    """A transport that takes everything."""

    def write(self, data: bytes) -> None:
        """Not sent."""

    def close(self) -> None:
        """Not open."""


def test_commits_are_counted_as_others_see_them(tmp_path: Path):
    """Three commits of another connection are three changes."""
    path = tmp_path / "a.db"
    db = apsw.Connection(str(path))
    db.execute("PRAGMA journal_mode = WAL").fetchall()
    db.execute("CREATE TABLE t (x)")
    rows = iter(range(3))

    def commit() -> None:
        if next(rows, None) is not None:
            db.execute("INSERT INTO t VALUES (1)")

    assert relay.changes(path, 0.1, commit) == 3
    db.close()


def test_cpu_time_is_that_of_the_process():
    """It grows as this process works."""
    before = relay.cpu_s(os.getpid())
    while relay.cpu_s(os.getpid()) < before + 3 * relay.TICK_S:
        sum(range(10_000))


def test_both_sides_relay_every_stream(plan: Plan):
    """Clew and the proxy read the same upstream; all streams end well and say their word."""
    with ExitStack() as stack:
        upstream = stack.enter_context(relay.python("bench.upstream", plan.folder))
        clew, proxy = relay.sides(stack, plan, f"{upstream.url}/v1")
        for server, requests in (
            (clew, relay.response("chunks-3-1")),
            (proxy, relay.completion("chunks-3-1")),
        ):
            said = relay.read(plan, server, requests, 4)
            assert (said.ended, len(said.first_ms)) == (4, 4)
