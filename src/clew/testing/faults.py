"""Faults: a disk that fails when it is told to."""

from __future__ import annotations

from typing import Any, Self

import apsw

WRITES = frozenset({"write", "sync", "truncate"})
READS = frozenset({"read"})


class FaultyVFS(apsw.VFS):
    """This machine's files for every SQLite connection opened within the context.

        with FaultyVFS() as disk:
            store = await SQLiteStore.open(path)
            disk.fail(3, apsw.FullError)

    They work as ever until a fault is set; `failed` counts the operations that were refused.
    """

    def __init__(self, name: str = "clew-faulty") -> None:
        self.base = apsw.vfs_names()[0]
        super().__init__(name, self.base, makedefault=True)
        self.failed = 0
        self._error: type[apsw.Error] = apsw.IOError
        self._kinds: frozenset[str] = frozenset()
        self._left, self._lasting = 0, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unregister()

    def fail(
        self,
        number: int = 1,
        error: type[apsw.Error] = apsw.IOError,
        *,
        kinds: frozenset[str] = WRITES,
        lasting: bool = False,
    ) -> None:
        """Fail the operation of these kinds that comes as `number`, and all later ones if lasting.

        `number` 1 is the next one.
        """
        self._left, self._error, self._kinds, self._lasting = number, error, kinds, lasting
        self.failed = 0

    def heal(self) -> None:
        self._kinds = frozenset()

    def meet(self, kind: str) -> None:
        """An operation is about to happen: let it, or raise."""
        if kind not in self._kinds:
            return
        self._left -= 1
        if self._left == 0 or (self._left < 0 and self._lasting):
            self.failed += 1
            raise self._error(f"injected: {kind} failed")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FaultyVFS, name: Any, flags: list[int]) -> None:
        self._disk = disk
        super().__init__(disk.base, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.meet("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        self._disk.meet("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.meet("sync")
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:
        self._disk.meet("truncate")
        super().xTruncate(size)
