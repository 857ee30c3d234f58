"""Citations: markers in what a model wrote, and the annotations that say which files they mean.

A search hands a model its results under markers such as `【1234:0†notes.txt】`: which search, which
result, which file. The model writes them where it uses a result. One text is true for every face:
the markers stay in it, as the Threads face has always shown them. An annotation has what either
face says: `file_id`, `filename` and `index` (Responses: where the marker begins), and the marker
itself as `text`, `start_index` and `end_index` (Threads). Places count characters (code points).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

Json = dict[str, Any]

FILENAME_MAX = 64
"""Characters of a file's name in a marker."""

_NUMBERS = 10_000
_MARKER = re.compile(r"【(\d{1,5}):(\d{1,3})(?:†([^【】\n]{0,200}))?】")
_UNFIT = re.compile(r"[【】†\s]+")


def call_number(call: Mapping[str, Any]) -> int:
    """What a finished `file_search_call` is called in markers: by what it asked and found.

    Two calls of one number are as rare as one in ten thousand, and the file's name tells them
    apart where it can.
    """
    found = [(each.get("file_id"), each.get("text")) for each in call.get("results") or ()]
    return crc32(repr((list(call.get("queries") or ()), found)).encode()) % _NUMBERS


def marker(call: int, place: int, filename: str) -> str:
    """The marker of the result at that place (from 0) of a call."""
    return f"【{call}:{place}†{_named(filename)}】"


def cite(text: str, calls: Iterable[Mapping[str, Any]]) -> list[Json]:
    """The citations in a finished text, in its order, from the `file_search_call` items it may
    cite, with their results, in the Responses shape. What is no marker of theirs is text."""
    numbered: dict[int, list[Sequence[Mapping[str, Any]]]] = {}
    for call in calls:
        numbered.setdefault(call_number(call), []).append(call.get("results") or ())
    return list(_cited(text, numbered)) if numbered else []


def _cited(
    text: str, numbered: Mapping[int, Sequence[Sequence[Mapping[str, Any]]]]
) -> Iterator[Json]:
    for match in _MARKER.finditer(text):
        call, place, name = int(match[1]), int(match[2]), match[3]
        found = [each[place] for each in numbered.get(call, ()) if place < len(each)]
        if not found:
            continue
        fitting = [each for each in found if _named(each.get("filename") or "") == name]
        result = (fitting or found)[0]
        yield {
            "type": "file_citation",
            "index": match.start(),
            "file_id": result.get("file_id") or "",
            "filename": result.get("filename") or "",
            "text": match[0],
            "start_index": match.start(),
            "end_index": match.end(),
        }


def _named(filename: str) -> str:
    return _UNFIT.sub(" ", filename).strip()[:FILENAME_MAX] or "source"
