"""A row of a table as it is understood alone: a line `column: value` for each of its cells."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

ROW_MAX = 65_536
"""Characters of a row: where more come without an end, the quotes are not those of a table."""

_COLUMNS_MIN = 2
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


def names_of(cells: Sequence[str]) -> list[str] | None:
    """The names of the columns, if these cells can be that: all there, all different, no number."""
    names = [" ".join(cell.split()) for cell in cells]
    if len(names) < _COLUMNS_MIN or len(set(names)) < len(names):
        return None
    return None if any(not name or _is_number(name) for name in names) else names


def told(names: Sequence[str], cells: Sequence[str]) -> str:
    """A row: its cells by name, those without one by number, none that is empty."""
    lines = []
    for place, cell in enumerate(cells):
        value = " ".join(cell.split("\n")).strip()
        if value:
            name = names[place] if place < len(names) else f"column {place + 1}"
            lines.append(f"{name}: {value}\n")
    return "".join([*lines, "\n"]) if lines else ""


class Table:
    """CSV or TSV into text, piece by piece. What is no table with named columns stays as it is."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._names: list[str] | None = None
        self._rest = ""
        self._plain = False

    def read(self, text: str, *, last: bool) -> str:
        if self._plain:
            return text
        self._rest += text
        return "".join(self._rows(last=last))

    def _rows(self, *, last: bool) -> list[str]:
        said: list[str] = []
        lines = _LINES.findall(self._rest)
        if lines and not last:
            self._rest = lines.pop()
        else:
            self._rest = ""
        row = ""
        for number, line in enumerate(lines):
            row += line
            if row.count('"') % 2 == 0:
                said.append(self._row(row))
                row = ""
            if self._plain or len(row) > ROW_MAX:
                return [*said, *self._give_up(row, lines[number + 1 :])]
        self._rest = row + self._rest
        if last or len(self._rest) > ROW_MAX:
            said += self._give_up("", [])
        return said

    def _row(self, row: str) -> str:
        if not row.strip():
            return ""
        try:
            (cells,) = csv.reader([row], delimiter=self._delimiter)
        except (csv.Error, ValueError):
            cells = []
        if self._names is None:
            self._names = names_of(cells)
            self._plain = self._names is None
            return row if self._plain else ""
        return told(self._names, cells) if cells else row

    def _give_up(self, row: str, lines: list[str]) -> list[str]:
        """From here on it is text."""
        self._plain = True
        rest, self._rest = self._rest, ""
        return [row, *lines, rest]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
