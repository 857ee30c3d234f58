"""The parts of an Office document, and how they name one another (ECMA-376, part 2)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote

from clew.tools.documents import xml
from clew.tools.documents.archive import Archive
from clew.tools.formats import invalid, unsupported

_MAIN = {
    "wordprocessingml.document.main+xml": "docx",
    "wordprocessingml.template.main+xml": "docx",
    "ms-word.document.macroEnabled.main+xml": "docx",
    "ms-word.template.macroEnabledTemplate.main+xml": "docx",
    "presentationml.presentation.main+xml": "pptx",
    "presentationml.slideshow.main+xml": "pptx",
    "presentationml.template.main+xml": "pptx",
    "ms-powerpoint.presentation.macroEnabled.main+xml": "pptx",
    "spreadsheetml.sheet.main+xml": "xlsx",
    "spreadsheetml.template.main+xml": "xlsx",
    "ms-excel.sheet.macroEnabled.main+xml": "xlsx",
}
"""How the content type of a main part ends -> the format of the document."""

Relations = dict[str, tuple[str, str]]
"""Id -> the last word of the relation's type, and the part it leads to."""


class Package:
    """An Office document: its format, its main part, and the parts these lead to."""

    def __init__(self, archive: Archive) -> None:
        if "[Content_Types].xml" not in archive:
            raise unsupported("Files in this format (ZIP) are not supported.")
        self.archive = archive
        types = _Types()
        xml.read_all(archive.read("[Content_Types].xml"), types)
        self.format, self.main = _main_of(types.parts)

    def relations(self, part: str) -> Relations:
        """What a part names; what lies outside the document is left out."""
        folder, name = posixpath.split(part)
        place = posixpath.join(folder, "_rels", f"{name}.rels")
        if place not in self.archive:
            return {}
        found = _Relations(folder)
        xml.read_all(self.archive.read(place), found)
        return found.relations

    def related(self, part: str, kind: str) -> list[str]:
        """The parts that a part names under a kind of relation."""
        return [target for type, target in self.relations(part).values() if type == kind]

    def tell(self, part: str, reader: Spoken) -> Iterator[str]:
        """The text of a part, as the reader says it."""
        for _ in xml.read(self.archive.read(part), reader):
            yield reader.take()


class Spoken:
    """A reader of XML that says text as it goes."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...

    def say(self, text: str) -> None:
        self._said.append(text)

    def take(self) -> str:
        """What was said since the last time."""
        said, self._said = "".join(self._said), []
        return said


class _Types(Spoken):
    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, str] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Override" and "PartName" in attributes:
            part = attributes["PartName"].lstrip("/")
            self.parts[part] = attributes.get("ContentType", "")


class _Relations(Spoken):
    def __init__(self, folder: str) -> None:
        super().__init__()
        self._folder = folder
        self.relations: Relations = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name != "Relationship" or attributes.get("TargetMode") == "External":
            return
        target = unquote(attributes.get("Target", ""))
        path = posixpath.normpath(posixpath.join("/", self._folder, target)).lstrip("/")
        kind = attributes.get("Type", "").rpartition("/")[2]
        self.relations[attributes.get("Id", "")] = kind, path


def _main_of(parts: dict[str, str]) -> tuple[str, str]:
    for part, type in parts.items():
        for ending, format in _MAIN.items():
            if type.endswith(ending):
                return format, part
    if any("opendocument" in type or "visio" in type for type in parts.values()):
        raise unsupported("Files in this format are not supported.")
    raise invalid("The file is no document that is known: DOCX, PPTX or XLSX.")
