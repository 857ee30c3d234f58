"""XLSX: sheet after sheet, each row with the names of its columns, dates as dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from clew.tools.documents import xml
from clew.tools.documents.limits import PAGES_MAX, SHARED_CHARACTERS_MAX
from clew.tools.documents.office import Package, Spoken
from clew.tools.formats import invalid
from clew.tools.tables import names_of, told

COLUMNS_MAX = 16_384
_DATE_FORMATS = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
"""Formats of numbers that are dates or times in themselves (ECMA-376, part 1, 18.8.30)."""

_NOT_CODE = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.|\*.')
_DATE_CODE = re.compile(r"[dmyhs]", re.IGNORECASE)
_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]*\Z")
_EPOCHS = {False: datetime(1899, 12, 30), True: datetime(1904, 1, 1)}


def read(package: Package) -> Iterator[str]:
    book = _Book()
    xml.read_all(package.archive.read(package.main), book)
    if len(book.sheets) > PAGES_MAX:
        raise invalid(f"The file has more than {PAGES_MAX} sheets.")
    shared, styles = _Shared(), _Styles()
    for kind, reader in (("sharedStrings", shared), ("styles", styles)):
        for part in package.related(package.main, kind):
            xml.read_all(package.archive.read(part), reader)
    relations = package.relations(package.main)
    for name, id in book.sheets:
        kind, part = relations.get(id, ("", ""))
        if kind == "worksheet":
            yield f"{name}\n\n"
            cells = _Cells(shared.texts, styles.dates, _EPOCHS[book.since_1904])
            yield from package.tell(part, cells)


class _Book(Spoken):
    def __init__(self) -> None:
        super().__init__()
        self.sheets: list[tuple[str, str]] = []
        self.since_1904 = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            self.sheets.append((attributes.get("name", ""), attributes.get("r:id", "")))
        elif name == "workbookPr":
            self.since_1904 = attributes.get("date1904") in ("1", "true")


class _Shared(Spoken):
    """The texts that cells name by number, without how they are pronounced."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._in_text = False
        self._silent = 0
        self._characters = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._silent += name == "rPh"
        self._in_text = name == "t" and not self._silent

    def end(self, name: str) -> None:
        self._silent -= name == "rPh"
        self._in_text = False
        if name == "si":
            self.texts.append(self.take())

    def text(self, text: str) -> None:
        if self._in_text:
            self._characters += len(text)
            if self._characters > SHARED_CHARACTERS_MAX:
                raise invalid("The file has more text than may be read.")
            self.say(text)


class _Styles(Spoken):
    """Which styles of cells show a number as a date."""

    def __init__(self) -> None:
        super().__init__()
        self.dates: list[bool] = []
        self._formats: dict[str, bool] = {}
        self._in_cells = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            code = _NOT_CODE.sub("", attributes.get("formatCode", ""))
            self._formats[attributes.get("numFmtId", "")] = bool(_DATE_CODE.search(code))
        elif name == "cellXfs":
            self._in_cells = True
        elif name == "xf" and self._in_cells:
            id = attributes.get("numFmtId", "0")
            given = id.isdecimal() and len(id) < 9 and int(id) in _DATE_FORMATS
            self.dates.append(self._formats.get(id, given))

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self._in_cells = False


class _Cells(Spoken):
    """The rows of a sheet. The first one names the columns, if it can."""

    def __init__(self, shared: list[str], dates: list[bool], epoch: datetime) -> None:
        super().__init__()
        self._shared, self._dates, self._epoch = shared, dates, epoch
        self._names: list[str] | None = None
        self._first = True
        self._row: dict[int, str] = {}
        self._cell: dict[str, str] = {}
        self._column = 0
        self._value: list[str] = []
        self._in_value = False
        self._silent = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._silent += name == "rPh"
        if name == "row":
            self._row, self._column = {}, 0
        elif name == "c":
            self._cell, self._value = attributes, []
            self._column = _column(attributes.get("r", ""), self._column)
        elif name in ("v", "t"):
            self._in_value = not self._silent

    def end(self, name: str) -> None:
        self._silent -= name == "rPh"
        if name in ("v", "t"):
            self._in_value = False
        elif name == "c":
            value = self._shown("".join(self._value))
            if value and self._column < COLUMNS_MAX:
                self._row[self._column] = value
            self._column += 1
        elif name == "row":
            self._end_row()

    def text(self, text: str) -> None:
        if self._in_value:
            self._value.append(text)

    def _end_row(self) -> None:
        if not self._row:
            return
        cells = [self._row.get(place, "") for place in range(max(self._row) + 1)]
        if self._first:
            self._first, self._names = False, names_of(cells)
            if self._names is not None:
                return
        if self._names is not None:
            self.say(told(self._names, cells))
        else:
            self.say("\t".join(cells) + "\n")

    def _shown(self, value: str) -> str:
        kind = self._cell.get("t", "n")
        if kind == "s":
            return _at(self._shared, value)
        if kind == "b":
            return "true" if value == "1" else "false"
        if kind == "n" and self._is_date():
            return _date(value, self._epoch)
        return value

    def _is_date(self) -> bool:
        style = self._cell.get("s", "0")
        if not style.isdecimal() or len(style) > 6:
            return False
        return int(style) < len(self._dates) and self._dates[int(style)]


def _column(reference: str, otherwise: int) -> int:
    """`C7` is in column 2, counted from 0."""
    found = _REFERENCE.match(reference)
    if found is None:
        return otherwise
    number = 0
    for letter in found[1]:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _at(texts: list[str], place: str) -> str:
    if not place.isdecimal() or len(place) > 9 or int(place) >= len(texts):
        raise invalid("The file is damaged: a cell has no text.")
    return texts[int(place)]


def _date(value: str, epoch: datetime) -> str:
    """The number of days since the epoch as people write it; a time of day alone for none."""
    try:
        moment = epoch + timedelta(seconds=round(float(value) * 86_400))
    except (ValueError, OverflowError):
        return value
    if 0 <= float(value) < 1:
        return moment.strftime("%H:%M:%S")
    at_midnight = not (moment.hour or moment.minute or moment.second)
    return moment.date().isoformat() if at_midnight else moment.isoformat(" ")
