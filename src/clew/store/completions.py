"""Stored chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clew.core.completions import Completion, CompletionQuery
from clew.core.errors import NotFound
from clew.core.paging import Page
from clew.store.once import Once


class CompletionVerbs(Protocol):
    """Stored chat completions. They belong to no thread."""

    async def recall_completion(self, project: str, once: Once) -> None:
        """Raise what was answered to this key before; otherwise do nothing.

        For requests that cost a model call: to be asked before it, while `create_completion`
        records the answer after it.
        """
        ...

    async def create_completion(
        self,
        project: str,
        completion: Completion,
        messages: Sequence[bytes],
        *,
        once: Once | None = None,
    ) -> Completion:
        """Store a completion with its request's messages (JSON), in the order given."""
        ...

    async def get_completion(self, project: str, completion: str) -> Completion: ...

    async def list_completions(
        self, project: str, query: CompletionQuery
    ) -> tuple[list[Completion], bool]:
        """Completions that match, by creation (then key), and whether there are more.

        An unknown cursor is NotFound("completion").
        """
        ...

    async def list_completion_messages(
        self, project: str, completion: str, page: Page
    ) -> tuple[list[tuple[int, bytes]], bool]:
        """Numbers and bodies of the request's messages by number, and whether there are more.

        Cursors are the numbers of messages, as text; an unknown one is
        NotFound("completion message").
        """
        ...

    async def update_completion(
        self, project: str, completion: str, metadata: dict[str, str], *, once: Once | None = None
    ) -> Completion:
        """Replace the metadata."""
        ...

    async def delete_completion(self, project: str, completion: str) -> None:
        """Remove the completion, its messages and the recorded answers that show it, for good."""
        ...


def number_of(cursor: str, count: int) -> int:
    """The number of the message that a cursor names, of `count`."""
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10 and int(cursor) < count):
        raise NotFound("completion message", cursor)
    return int(cursor)
