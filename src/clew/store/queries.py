"""Named SQL: an engine's statements are in its `queries/`, a file a noun, the same names in each.

-- name: get_thread
-- The thread with this key, if the project has it.
SELECT …
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(folder: Path) -> dict[str, str]:
    """Name -> statement, comments stripped, of all the files in `folder`."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql")))
    pieces = _NAME.split(text)
    return {name: _statement(text) for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def _statement(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().rstrip(";")


class Migration(msgspec.Struct, frozen=True):
    """One numbered step of a schema. Never edited once released: `sha256` is checked."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path) -> Iterator[Migration]:
    """The migrations in `folder` (`0001_threads.sql`, …), in order."""
    for path in sorted(folder.glob("[0-9]*.sql")):
        yield Migration(int(path.stem.split("_")[0]), path.stem, path.read_text(encoding="utf-8"))
