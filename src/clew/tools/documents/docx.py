"""DOCX: what is written in the body, the notes at its end; a line for each paragraph.

Cells of a table are apart by tabs. Headers and footers, comments and deleted text are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from clew.tools.documents.office import Package, Spoken

_MARKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_NOTES = ("footnotes", "endnotes")
_SILENT = frozenset({"Fallback", "del", "moveFrom"})
"""Said once already, in another way or in another place, or no longer said."""


def read(package: Package) -> Iterator[str]:
    yield from package.tell(package.main, _Body())
    for kind in _NOTES:
        for part in package.related(package.main, kind):
            yield from package.tell(part, _Body())


class _Body(Spoken):
    def __init__(self) -> None:
        super().__init__()
        self._in_text = False
        self._silent = 0
        self._cells: list[int] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._silent += name in _SILENT
        if self._silent:
            return
        if name == "t":
            self._in_text = True
        elif name in _MARKS:
            self._mark(name, attributes)
        elif name == "tr":
            self._cells.append(0)
        elif name == "tc" and self._cells:
            if self._cells[-1]:
                self.say("\t")
            self._cells[-1] += 1

    def end(self, name: str) -> None:
        if name in _SILENT:
            self._silent -= 1
        elif name == "t":
            self._in_text = False
        elif self._silent:
            return
        elif name == "p":
            self.say(" " if self._cells else "\n")
        elif name == "tr" and self._cells:
            self._cells.pop()
            self.say("\n")

    def text(self, text: str) -> None:
        if self._in_text and not self._silent:
            self.say(text)

    def _mark(self, name: str, attributes: dict[str, str]) -> None:
        # a tab in the settings of a paragraph is a stop, not a character
        if name != "tab" or "pos" not in attributes:
            self.say(_MARKS[name])
