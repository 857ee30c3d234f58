"""A `clew serve` that is killed at one write: `python doomed.py move_run before 3 serve …`.

The third time that the store is to move a run, the process kills itself: before anything is
written, or once it is on disk and before anybody hears of it. It looks after no runs of others, so
that only its own are counted.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from clew.cli import main
from clew.executor.watch import Watch
from clew.store.postgres import PostgresStore
from clew.store.sqlite import SQLiteStore


def doom(store: Any, verb: str, when: str, number: int) -> None:
    act, seen = getattr(store, verb), 0

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        mine = seen
        if (when, mine) == ("before", number):
            os.kill(os.getpid(), signal.SIGKILL)
        result = await act(*args, **kwargs)
        if (when, mine) == ("after", number):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(store, verb, counted)


async def look_at_nothing(self: Watch) -> None:
    await asyncio.sleep(0)


if __name__ == "__main__":
    verb, when, number, *args = sys.argv[1:]
    Watch._look_around = look_at_nothing  # type: ignore[method-assign]
    if verb != "nothing":
        for store in (SQLiteStore, PostgresStore):
            doom(store, verb, when, int(number))
    sys.exit(main(args))
