"""What a request gives to tools, in SQLite: checked and made with what it comes with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from clew.core.errors import NotFound
from clew.core.tool_resources import (
    Grant,
    file_keys,
    store_key,
    with_files,
    with_store,
    without,
)
from clew.core.vector_stores import check_living
from clew.store.sqlite.engine import SQL, decode, text
from clew.store.sqlite.store_files import find_store
from clew.store.sqlite.vector_stores import add_missing, insert_store, require_files

Resources = dict[str, Any] | None


def grant(
    db: apsw.Connection, project: str, resources: Resources, given: Grant | None, now_ms: int
) -> Resources:
    """The resources as they are to be kept, with what is given. NotFound for what is not there."""
    if given is None:
        return resources
    require_files(db, project, [*given.files, *given.attached], now_ms)
    for store in given.stores:
        find_store(db, project, store)
    if given.attached:
        kept = without(resources, missing(db, project, file_keys(resources), now_ms))
        resources = with_files(kept, given.attached)
    return _searching(db, project, resources, given, now_ms)


def grant_thread(
    db: apsw.Connection, project: str, thread: str, given: Grant | None, now_ms: int
) -> None:
    """Give it to a thread that is there; the revision is that of the change it comes with."""
    if given is None:
        return
    asked = {"thread": thread, "project": project}
    row: Any = db.execute(SQL["get_tool_resources"], asked).fetchone()
    kept = None if row[0] is None else decode(row[0])
    now = grant(db, project, kept, given, now_ms)
    db.execute(SQL["set_tool_resources"], asked | {"tool_resources": text(now)})


def missing(db: apsw.Connection, project: str, files: Sequence[str], now_ms: int) -> set[str]:
    """Those of these files that are not there."""
    if not files:
        return set()
    asked = {"project": project, "files": text(files), "now": now_ms}
    there: list[Any] = db.execute(SQL["find_files"], asked).fetchall()
    return set(files) - {key for (key,) in there}


def _searching(
    db: apsw.Connection, project: str, resources: Resources, given: Grant, now_ms: int
) -> Resources:
    """The resources with a store that has the files to be searched, made where there is none."""
    if given.store is None:
        return resources
    named = store_key(resources)
    if named is not None and named != given.store.key:
        try:
            check_living(find_store(db, project, named)[1], now_ms)
        except NotFound:
            pass
        else:
            add_missing(db, project, named, given.searched, now_ms)
            return resources
    insert_store(db, project, given.store, given.searched)
    return with_store(resources, given.store.key)
