"""Citations: where a text names files that code wrote.

A model names such a file by its path in the sandbox, `sandbox:/mnt/data/table.csv`, as a rule in a
link. The annotation says which file that is, and which letters stand for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

SCHEME = "sandbox:"


_FIELDS = ("path", "file_id", "filename", "container_id")


def files_of(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files that a call of the code interpreter made; only those that say all there is to say,
    since clients may bring items too, with whatever fields."""
    files = item.get("files")
    if not isinstance(files, list):
        return []
    return [file for file in files if isinstance(file, dict) and _is_whole(file)]


def _is_whole(file: Mapping[str, Any]) -> bool:
    return all(type(file.get(name)) is str for name in _FIELDS)


def cited(text: str, files: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The annotations of a text, in its order; offsets are in letters, the end is the first after.

    `files` are those of the calls so far, as `files_of` gives them, oldest first: of two with one
    path the later one is meant. A path that is no file's is not cited.
    """
    if SCHEME not in text:
        return []
    paths = {written: file for file in files for written in _written(file["path"])}
    if not paths:
        return []
    longest_first = sorted(paths, key=len, reverse=True)
    any_path = "|".join(map(re.escape, longest_first))
    found = re.finditer(rf"{SCHEME}({any_path})(?![\w/-]|\.\w)", text)
    return [_citation(paths[each[1]], each.start(), each.end()) for each in found]


def _written(path: str) -> set[str]:
    """How a path may stand in a text: as it is, or as in a URL."""
    return {path, quote(path)}


def _citation(file: Mapping[str, Any], start: int, end: int) -> dict[str, Any]:
    return {
        "type": "container_file_citation",
        "container_id": file["container_id"],
        "file_id": file["file_id"],
        "filename": file["filename"],
        "start_index": start,
        "end_index": end,
    }
