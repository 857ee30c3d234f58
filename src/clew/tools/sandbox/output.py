"""What code prints: the beginning of it is kept, up to a mark that ends it."""

from __future__ import annotations

from clew.tools.sandbox.limits import Limits


class Output:
    """`mark` is what the interpreter writes when the code is done."""

    def __init__(self, mark: bytes, limits: Limits) -> None:
        self.mark = mark
        self.is_whole = False
        self._limits = limits
        self._kept = bytearray()
        self._tail = b""
        self._bytes = 0

    def add(self, data: bytes) -> bool:
        """Take what was printed; False when it is more than may be printed at all."""
        data = self._tail + data
        end = data.find(self.mark)
        self.is_whole = end >= 0
        if not self.is_whole:
            end = max(len(data) - len(self.mark) + 1, 0)
        self._keep(data[:end])
        self._tail = b"" if self.is_whole else data[end:]
        return self._bytes <= self._limits.flood_bytes

    def text(self) -> str:
        """What is kept; where it was cut it says so."""
        if not self.is_whole:
            self._keep(self._tail)
            self._tail = b""
        text = self._kept.decode("utf-8", "replace").replace("\0", "\ufffd")
        left_out = self._bytes - len(self._kept)
        note = f"\n[{left_out} bytes more were printed and are left out]\n"
        return text + note if left_out else text

    def _keep(self, data: bytes) -> None:
        self._bytes += len(data)
        self._kept += data[: self._limits.output_bytes - len(self._kept)]
