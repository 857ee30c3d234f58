"""Store URLs: `sqlite:///clew.db`, `sqlite:////var/lib/clew.db`, `sqlite://:memory:`,
`postgresql://…` (anything libpq takes)."""

from __future__ import annotations

from clew.core.errors import ClewError
from clew.store.store import Store


async def open_store(url: str) -> Store:
    """The store at `url`, its schema brought up to date. ClewError when that cannot be."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return await _open_sqlite(url, rest)
    if separator and scheme in ("postgresql", "postgres"):
        return await _open_postgres(url)
    raise ClewError("bad_request", f"Not a store URL: {url!r}. Try sqlite:///clew.db.", "store")


async def _open_sqlite(url: str, rest: str) -> Store:
    from clew.store.sqlite import SQLiteStore

    path = rest if rest == ":memory:" else rest.removeprefix("/")
    if not path or (path == rest and path != ":memory:"):
        raise ClewError("bad_request", f"{url!r} names no file. Try sqlite:///clew.db.", "store")
    return await SQLiteStore.open(path)


async def _open_postgres(url: str) -> Store:
    try:
        from clew.store.postgres import PostgresStore
    except ImportError as error:
        message = "PostgreSQL needs its driver: pip install 'clew[postgres]'."
        raise ClewError("unavailable", message) from error
    return await PostgresStore.open(url)
