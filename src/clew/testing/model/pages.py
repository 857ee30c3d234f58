"""Pages of what the model has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TypeVar

from clew.core.errors import NotFound
from clew.core.items import Item
from clew.core.paging import Page

Entry = TypeVar("Entry")


def page_of(
    entries: Sequence[Entry],
    page: Page,
    noun: str,
    wanted: Callable[[Entry], bool] = lambda entry: True,
) -> tuple[list[Entry], bool]:
    """The page of these entries (ascending): between the cursors, and of that what is wanted."""
    ordered = list(entries) if page.order == "asc" else list(reversed(entries))
    ids = [entry.id if isinstance(entry, Item) else entry.key for entry in ordered]  # type: ignore[attr-defined]
    for cursor in (page.after, page.before):
        if cursor is not None and cursor not in ids:
            raise NotFound(noun, cursor)
    start = 0 if page.after is None else ids.index(page.after) + 1
    stop = len(ids) if page.before is None else ids.index(page.before)
    found = [entry for entry in ordered[start:stop] if wanted(entry)]
    backwards = page.before is not None and page.after is None
    part = found[-page.limit :] if backwards else found[: page.limit]
    return deepcopy(part), len(found) > page.limit
