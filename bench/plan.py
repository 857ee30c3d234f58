"""How much is measured, and where."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Plan(msgspec.Struct, frozen=True):
    """One run of the benchmark. `folder` is empty, on the disk to be measured, and goes after."""

    folder: Path
    peers: Path
    quick: bool = False
    ogx: Path | None = None

    @property
    def pairs(self) -> int:
        """Interleaved runs of each side."""
        return self.scaled(5, 2)

    @property
    def seconds(self) -> int:
        """How long one run under load takes."""
        return self.scaled(4, 1)

    def scaled(self, full: int, quick: int) -> int:
        return quick if self.quick else full
