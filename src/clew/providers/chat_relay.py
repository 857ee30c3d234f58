"""Chat completions that go through whole: only their end and their errors are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from clew.providers.chat_chunks import DONE, unreadable
from clew.providers.upstream_errors import broke_off, failed_midway


class _Choice(msgspec.Struct):
    index: int | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class ChatRelay:
    """One answer, its chunks as they came; see `clew.providers.upstream.Answer`."""

    def __init__(self) -> None:
        self.done = False
        self._begun = False
        self._open: set[int] = set()

    @property
    def is_whole(self) -> bool:
        """Whether every choice came to its end, or the server said [DONE]."""
        return self.done or (self._begun and not self._open)

    def feed(self, data: bytes) -> Sequence[bytes]:
        if data == DONE:
            self.done = True
            return ()
        try:
            chunk = _decode(data)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise unreadable("a chunk that is no chat completion chunk") from error
        if chunk.error:
            raise failed_midway(chunk.error)
        for choice in chunk.choices or ():
            self._begun = True
            if choice.finish_reason is None:
                self._open.add(choice.index or 0)
            else:
                self._open.discard(choice.index or 0)
        return (data,)

    def end(self, attempts: int) -> Sequence[bytes]:
        if not self.is_whole:
            raise broke_off()
        return ()
