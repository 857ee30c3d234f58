"""A model server of a test's own, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

from clew.testing.upstream import Answer, Upstream


class Doubles:
    """`double` is the server; `do` works on its event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.double = Upstream()
        self.do(self.double.__aenter__())

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def reply(self, *replies: Answer) -> None:
        """What the next requests get; those of other tests are forgotten."""
        self.double.requests.clear()
        self.double._replies[:] = replies

    def close(self) -> None:
        self.do(self.double.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
