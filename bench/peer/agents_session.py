"""openai-agents' SQLiteSession: appends per second. Runs in the peer's own venv.

Durability is Clew's: the session opens its file in WAL mode itself, and every connection it opens
is set to `synchronous=FULL` in the hook where it configures them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
import sys
import time

from agents import SQLiteSession


class DurableSession(SQLiteSession):
    """A session whose commits wait for the disk."""

    @staticmethod
    def _configure_connection(conn: sqlite3.Connection) -> None:
        SQLiteSession._configure_connection(conn)
        conn.execute("PRAGMA synchronous = FULL")


async def appends_per_second(
    sessions: list[SQLiteSession], writers: int, appends: int, text: str
) -> float:
    turns = itertools.cycle(sessions)

    async def write() -> None:
        for _ in range(appends // writers):
            await next(turns).add_items([{"role": "user", "content": text}])

    began = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    return appends // writers * writers / (time.perf_counter() - began)


def check_durable(session: DurableSession) -> None:
    settings = [
        session._get_connection().execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    ]
    if settings != ["wal", 2]:
        raise SystemExit(f"not WAL and FULL but {settings}")


async def main() -> None:
    sessions: list[SQLiteSession] = []
    for line in sys.stdin:
        how = json.loads(line)
        while len(sessions) < how["threads"]:
            sessions.append(DurableSession(f"thread-{len(sessions)}", sys.argv[1]))
            check_durable(sessions[-1])
        chosen = sessions[: how["threads"]]
        print(await appends_per_second(chosen, how["writers"], how["appends"], how["text"]))
        sys.stdout.flush()


asyncio.run(main())
