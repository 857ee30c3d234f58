"""Paging: a page as a walk along an ascending list."""

from __future__ import annotations

import itertools

import pytest

from clew.core.paging import Page, Walk, walk

LIST = "abcdef"
CURSORS = [None, *LIST]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (Page(order="asc"), Walk(False, None, None, False)),
        (Page(order="desc"), Walk(True, None, None, False)),
        (Page(order="asc", after="b"), Walk(False, "b", None, False)),
        (Page(order="desc", after="b"), Walk(True, "b", None, False)),
        (Page(order="asc", before="e"), Walk(True, "e", None, True)),
        (Page(order="desc", before="e"), Walk(False, "e", None, True)),
        (Page(order="asc", after="b", before="e"), Walk(False, "b", "e", False)),
        (Page(order="desc", after="e", before="b"), Walk(True, "e", "b", False)),
    ],
)
def test_every_kind_of_page_is_one_walk(page: Page, expected: Walk) -> None:
    """A page begins beyond a cursor and ends before the other; `before` alone walks back."""
    assert walk(page) == expected


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_the_walk_finds_the_page(order: str, limit: int) -> None:
    """Walked along a list, every page is the slice of it that was asked for."""
    for after, before in itertools.product(CURSORS, CURSORS):
        page = Page(limit, order, after, before)
        assert walked(walk(page), limit) == sliced(page), page


def walked(steps: Walk, limit: int) -> str:
    """What an engine reads: the entries between the bounds, in the walk's direction."""
    low, high = (steps.stop, steps.start) if steps.descending else (steps.start, steps.stop)
    found = [one for one in LIST if (low is None or one > low) and (high is None or one < high)]
    path = "".join(reversed(found) if steps.descending else found)[:limit]
    return path[::-1] if steps.reverse else path


def sliced(page: Page) -> str:
    ordered = LIST if page.order == "asc" else LIST[::-1]
    first = 0 if page.after is None else ordered.index(page.after) + 1
    last = len(ordered) if page.before is None else ordered.index(page.before)
    between = ordered[first:last]
    back = page.before is not None and page.after is None
    return between[-page.limit :] if back else between[: page.limit]
