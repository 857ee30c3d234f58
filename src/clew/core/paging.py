"""Paging: which part of an ordered list is asked for."""

from __future__ import annotations

import msgspec

LIMIT_DEFAULT = 20
LIMIT_MAX = 100


class Page(msgspec.Struct):
    """`after` and `before` are ids of entries, in the order asked for; `limit` is 1 to 100."""

    limit: int = LIMIT_DEFAULT
    order: str = "desc"
    after: str | None = None
    before: str | None = None


class ThreadQuery(msgspec.Struct):
    """Which threads: all conditions must hold. Times are milliseconds, ranges inclusive."""

    page: Page = msgspec.field(default_factory=Page)
    metadata: dict[str, str] = {}
    created_from: int | None = None
    created_to: int | None = None
    updated_from: int | None = None
    updated_to: int | None = None


class Walk(msgspec.Struct):
    """A page as a walk along an ascending list: start beyond one cursor, stop before another.

    `reverse`: the walk goes against the order asked for (`before` alone), so what it finds is to
    be turned round.
    """

    descending: bool
    start: str | None
    stop: str | None
    reverse: bool


def walk(page: Page) -> Walk:
    """How to read `page`: `before` alone means the entries nearest to it, hence a walk back."""
    backwards = page.before is not None and page.after is None
    return Walk(
        descending=(page.order == "desc") != backwards,
        start=page.before if backwards else page.after,
        stop=None if backwards else page.before,
        reverse=backwards,
    )
