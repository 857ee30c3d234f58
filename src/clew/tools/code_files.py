"""Files in and out of a session: those of a thread into /mnt/data, what code made into files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from clew.core.errors import NotFound
from clew.core.files import PIECE_BYTES_MAX, File, new_file
from clew.core.ids import key_of, new_key
from clew.store.store import Store
from clew.tools.sandbox.session import Facts, Ran, Session
from clew.tools.sandbox.sessions import Seat

FOLDER = "/mnt/data"
PURPOSE = "assistants_output"

FILES_MAX = 20
"""Files, and figures, that come back from one call."""

BYTES_MAX = 100_000_000
"""Bytes of all that comes back from one call."""

NAME_BYTES_MAX = 200
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Made(msgspec.Struct):
    """What came back of one call, and what there is to say of what did not."""

    figures: list[File] = []
    files: list[tuple[str, File]] = []
    notes: list[str] = []


def plain_name(name: str) -> str:
    """The last part of a path as a name that is safe anywhere, and no longer than others bear."""
    name = _ODD.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip()
    if name in ("", ".", ".."):
        return "file"
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > 20:
        stem, dot, ending = name, "", ""
    room = NAME_BYTES_MAX - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending


def distinct(name: str, taken: set[str]) -> str:
    """The name, with a number in it if another file has it already."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{stem}-{number}{dot}{ending}"
    return found


class CodeFiles:
    """Moves files between the store and a session, piece by piece; `now` is the clock."""

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store, self._now = store, now

    async def names(self, project: str, ids: Sequence[str]) -> dict[str, str]:
        """What the files with these ids are called in /mnt/data, by id; not those that are gone."""
        found: dict[str, str] = {}
        for id in ids:
            try:
                file = await self._store.get_file(project, _key(id), self._now())
            except NotFound:
                continue
            found[id] = distinct(plain_name(file.filename), set(found.values()))
        return found

    async def put(
        self, project: str, ids: Sequence[str], seat: Seat, session: Session
    ) -> list[str]:
        """Put files into /mnt/data that are not there yet; what there is to say of the others."""
        if all(id in seat.placed for id in ids):
            return []
        notes = []
        names = await self.names(project, ids)
        for id in (id for id in ids if id not in seat.placed):
            if id not in names:
                notes.append(f"The file {id} has been deleted.")
                continue
            name = distinct(names[id], {*seat.placed.values(), *seat.seen})
            try:
                seat.seen[name] = await session.write(name, self._pieces(project, _key(id)))
            except (OSError, NotFound) as error:
                notes.append(f"The file {name} could not be put into {FOLDER}: {error}.")
            seat.placed[id] = name
        return notes

    async def take(self, project: str, ran: Ran, seat: Seat, session: Session, made: Made) -> None:
        """The figures of a run, and the files that it made or changed, become files of ours."""
        left, left_out = BYTES_MAX, []
        for number, size in enumerate(ran.figures[:FILES_MAX]):
            pieces = session.read("figure", number, size)
            file = await self._keep(project, f"figure-{number + 1}.png", pieces, size, left)
            if file is not None:
                left -= file.bytes
                made.figures.append(file)
        for number, (path, facts) in enumerate(ran.files.items()):
            if seat.seen.get(path) == facts:
                continue
            size = facts[0] if len(made.files) < FILES_MAX else left + 1
            pieces = session.read("file", number, size)
            file = await self._keep(project, plain_name(path), pieces, size, left)
            if file is None:
                left_out.append(path)
            else:
                left -= file.bytes
                made.files.append((f"{FOLDER}/{_ODD.sub('_', path)}", file))
        seat.seen = dict(ran.files)
        made.notes = _left_out(left_out)

    async def _keep(
        self, project: str, name: str, pieces: AsyncIterator[bytes], size: int, left: int
    ) -> File | None:
        """A new file with these bytes; None, and nothing stored, where there is no room or they
        cannot be had."""
        if size > left:
            return None
        try:
            return await self._stored(project, name, pieces)
        except OSError:
            return None

    async def _stored(self, project: str, name: str, pieces: AsyncIterator[bytes]) -> File:
        now = self._now()
        blob = new_key(now)
        try:
            await self._store.write_blob(project, blob, b"", now)
            async for piece in pieces:
                await self._store.write_blob(project, blob, piece, now)
            file = new_file(new_key(now), now, name, PURPOSE)
            return await self._store.create_file(project, file, blob)
        except BaseException:
            await self._store.drop_blob(project, blob)
            raise

    async def _pieces(self, project: str, key: str) -> AsyncIterator[bytes]:
        """The bytes of a file; an empty one is one empty piece."""
        start = 0
        while piece := await self._store.read_file(project, key, start, PIECE_BYTES_MAX):
            yield piece
            start += len(piece)
        if not start:
            yield b""


def _left_out(paths: list[str]) -> list[str]:
    if not paths:
        return []
    names = ", ".join(_ODD.sub("_", path) for path in paths[:5]) + ", …" * (len(paths) > 5)
    most = f"at most {FILES_MAX} files and {BYTES_MAX // 10**6} MB are, of one call"
    return [f"Files were not kept ({names}): {most}, and no file that cannot be read."]


def _key(id: str) -> str:
    """The key of a file id; one that is none is that of no file."""
    return key_of("file", id) or "none"


def shown(file: File, **more: Any) -> dict[str, Any]:
    """A file as an item tells of it."""
    return {"file_id": f"file-{file.key}", "filename": file.filename, "bytes": file.bytes, **more}


__all__ = ["CodeFiles", "Facts", "Made", "distinct", "plain_name", "shown"]
