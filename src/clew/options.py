"""How a Clew behaves, beside where it keeps its threads and who its models are."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from clew.core.limits import Limits
from clew.core.runs import EXPIRES_AFTER_MS

OnBusy = Literal["reject", "queue", "interrupt", "rollback", "steer"]


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`run_expires_s`: when a run of an assistant is to be over. `on_busy`: what happens on a busy
    thread where neither request nor thread says so, `on_busy_in` the same for single projects.
    `run_limits`: how much a run may do. `mcp_allow`: hosts (or patterns) whose MCP servers may be
    called, None for any.
    """

    run_expires_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = EXPIRES_AFTER_MS // 1000
    on_busy: OnBusy = "reject"
    on_busy_in: dict[str, OnBusy] = {}
    run_limits: Limits = Limits()
    mcp_allow: list[str] | None = None
