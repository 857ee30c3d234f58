"""Files that messages name by id, put into a prompt by their content: no upstream knows our ids.

An image becomes a data URL, any other file `file_data` with its name. An upstream that keeps files
of its own (`Abilities.files`) is sent ids that are none of ours as they are.
"""

from __future__ import annotations

import asyncio
import mimetypes
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from clew.core.errors import NotFound
from clew.core.files import PIECE_BYTES_MAX, File
from clew.core.ids import key_of
from clew.core.items import Item
from clew.providers.provider import ProviderError

ATTACHED_BYTES_MAX = 20 * 2**20
"""Bytes of files in one model call, before base64 makes a third more of them."""

_IMAGES = frozenset({"input_image", "computer_screenshot"})
_encode = msgspec.json.Encoder().encode


class Files(Protocol):
    """What is needed of a store."""

    async def get_file(self, project: str, file: str, now_ms: int) -> File: ...

    async def read_file(self, project: str, file: str, start: int, length: int) -> bytes: ...


class Attached:
    """Puts files into the items of one project's model calls.

    A file that is gone, or too much of them, is a ProviderError("invalid_prompt"); with `strangers`
    an id that is none of ours stays.
    """

    def __init__(
        self, files: Files, project: str, now: Callable[[], int], *, strangers: bool = False
    ) -> None:
        self._files, self._project, self._now, self._strangers = files, project, now, strangers

    async def put_in(self, items: Sequence[Item]) -> list[Item]:
        """The items with the content of the files they name; those given are left as they are."""
        named = list(dict.fromkeys(id for item in items for id in _ids(item)))
        if not named:
            return list(items)
        left, found = ATTACHED_BYTES_MAX, {}
        for id in named:
            file = await self._find(id)
            if file is None:
                continue
            left -= file.bytes
            if left < 0:
                what = f"more than {ATTACHED_BYTES_MAX} bytes of files"
                raise ProviderError("invalid_prompt", f"The window has {what} ({id} is too much).")
            found[id] = (file.filename, await self._data_url(file, id))
        return [_filled(item, found) for item in items]

    async def _find(self, id: str) -> File | None:
        try:
            return await self._files.get_file(self._project, key_of("file", id) or id, self._now())
        except NotFound:
            if self._strangers:
                return None
            raise _gone(id) from None

    async def _data_url(self, file: File, id: str) -> str:
        content = bytearray()
        while len(content) < file.bytes:
            at = len(content)
            try:
                piece = await self._files.read_file(self._project, file.key, at, PIECE_BYTES_MAX)
            except NotFound:
                piece = b""
            if not piece:
                raise _gone(id)
            content += piece
        kind = image_type(bytes(content[:16])) or mimetypes.guess_type(file.filename)[0]
        encoded = await asyncio.to_thread(b64encode, content)
        return f"data:{kind or 'application/octet-stream'};base64,{encoded.decode('ascii')}"


def image_type(beginning: bytes) -> str | None:
    """The media type of an image that models take, by its first bytes."""
    if beginning.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if beginning.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if beginning.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP" else None


def _gone(id: str) -> ProviderError:
    return ProviderError("invalid_prompt", f"File '{id}', which a message names, is gone.")


def _ids(item: Item) -> list[str]:
    """The ids of the files in an item whose content is not there beside them."""
    if b'"file_id"' not in item.body:
        return []
    return [part["file_id"] for part in _parts(item.data()) if _wants(part)]


def _parts(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a message, or of what a tool answered."""
    parts: list[dict[str, Any]] = []
    for name in ("content", "output"):
        value = data.get(name)
        parts += value if isinstance(value, list) else [value] if isinstance(value, dict) else []
    return parts


def _wants(part: dict[str, Any]) -> bool:
    known = part.get("type") in _IMAGES or part.get("type") == "input_file"
    has = part.get("image_url") or part.get("file_data") or part.get("file_url")
    return known and bool(part.get("file_id")) and not has


def _filled(item: Item, found: dict[str, tuple[str, str]]) -> Item:
    if not any(id in found for id in _ids(item)):
        return item
    data = item.data()
    for part in _parts(data):
        if not _wants(part) or part["file_id"] not in found:
            continue
        filename, url = found[part.pop("file_id")]
        if part["type"] in _IMAGES:
            part["image_url"] = url
        else:
            part |= {"file_data": url, "filename": part.get("filename") or filename}
    rest = {name: value for name, value in data.items() if name not in ("type", "role")}
    return msgspec.structs.replace(item, body=_encode(rest))
