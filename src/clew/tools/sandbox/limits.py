"""What code in a sandbox may use at most; `docs/tools/code-interpreter.md` has the table."""

from __future__ import annotations

import msgspec

MIB = 2**20


class Limits(msgspec.Struct, frozen=True):
    """Limits of one session. Its memory in all: `memory_bytes`, `data_bytes`, 2 `scratch_bytes`.

    `wall_s` and `cpu_s` are for one call; the others for a session at any time. `output_bytes` of
    what code prints are kept; one that prints `flood_bytes` is ended. `open_files` is for each
    process: what sockets hold belongs to nobody's memory, so all of them have a limit too.
    """

    wall_s: float = 60.0
    cpu_s: float = 60.0
    memory_bytes: int = 1024 * MIB
    processes: int = 64
    open_files: int = 256
    open_files_in_all: int = 1_024
    data_bytes: int = 256 * MIB
    scratch_bytes: int = 128 * MIB
    files: int = 10_000
    output_bytes: int = MIB
    flood_bytes: int = 64 * MIB
