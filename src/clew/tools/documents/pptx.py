"""PPTX: the slides in their order, each with the speaker's notes; a line for each paragraph."""

from __future__ import annotations

from collections.abc import Iterator

from clew.tools.documents import xml
from clew.tools.documents.limits import PAGES_MAX
from clew.tools.documents.office import Package, Spoken
from clew.tools.formats import invalid


def read(package: Package) -> Iterator[str]:
    order = _Order()
    xml.read_all(package.archive.read(package.main), order)
    relations = package.relations(package.main)
    slides = [relations[id][1] for id in order.ids if id in relations]
    if len(slides) > PAGES_MAX:
        raise invalid(f"The file has more than {PAGES_MAX} slides.")
    for slide in slides:
        yield from package.tell(slide, _Slide())
        for notes in package.related(slide, "notesSlide"):
            yield from package.tell(notes, _Slide())
        yield "\n"


class _Order(Spoken):
    """The ids of the relations that lead to the slides."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sldId":
            self.ids.append(attributes.get("r:id", ""))


class _Slide(Spoken):
    def __init__(self) -> None:
        super().__init__()
        self._in_text = False
        self._silent = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Fallback":
            self._silent += 1
        elif name == "t":
            self._in_text = True
        elif name == "br" and not self._silent:
            self.say("\n")

    def end(self, name: str) -> None:
        if name == "Fallback":
            self._silent -= 1
        elif name == "t":
            self._in_text = False
        elif name == "p" and not self._silent:
            self.say("\n")

    def text(self, text: str) -> None:
        if self._in_text and not self._silent:
            self.say(text)
