"""What happens to a run, or a message, that comes while its thread has an active run."""

from __future__ import annotations

import msgspec

ON_BUSY = ("reject", "queue", "interrupt", "rollback", "steer")
"""`reject`: it is refused. `queue`: it waits in the thread's line, first in, first out.
`interrupt`: the active run is cancelled, what it said so far is kept, and the newcomer is next.
`rollback`: the same, but the items of the active run go, its input too. `steer`: the newcomer's
items join the active run at its next step, after what that has said by then."""


class OnBusy(msgspec.Struct, frozen=True):
    """Who says what happens: the request, else the thread itself, else the `project`."""

    asked: str | None = None
    project: str = "reject"

    def policy(self, thread: str | None) -> str:
        """The one of `ON_BUSY` that holds on a thread with this setting."""
        return self.asked or thread or self.project


REJECT = OnBusy()
