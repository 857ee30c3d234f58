"""Answers recorded for an `Idempotency-Key`, in the same transaction as what they answer for."""

from __future__ import annotations

from typing import Any

import apsw

from clew.core.errors import ClewError
from clew.store.once import ANSWERS_KEPT_MS, Once, said
from clew.store.sqlite.engine import SQL

PROJECT = ""
"""The scope of keys that came with no thread."""


def replay(db: apsw.Connection, project: str, thread: str, once: Once | None) -> None:
    """Raise what was answered to this key before; otherwise do nothing."""
    if once is None:
        return
    asked = {
        "scope": _scope(thread, once),
        "project": project,
        "key": once.key,
        "since": once.now_ms - ANSWERS_KEPT_MS,
    }
    row = db.execute(SQL["get_answer"], asked).fetchone()
    if row is None:
        return
    fingerprint, answer = row
    if fingerprint != once.fingerprint:
        message = "This Idempotency-Key was used before with another request."
        raise ClewError("key_reused", message, "Idempotency-Key", "idempotency_key_reused")
    raise said(answer)


def record(
    db: apsw.Connection,
    project: str,
    thread: str,
    once: Once | None,
    outcome: Any,
    about: str | None = None,
) -> None:
    """Record the answer for `outcome`, and drop those that are too old to be asked for.

    `about` is the thread the answer speaks of, where that is not `thread`.
    """
    if once is None:
        return
    db.execute(SQL["delete_old_answers"], {"since": once.now_ms - ANSWERS_KEPT_MS})
    row = {
        "scope": _scope(thread, once),
        "project": project,
        "key": once.key,
        "about": thread if about is None else about,
        "fingerprint": once.fingerprint,
        "answer": once.encode(outcome),
        "created_at": once.now_ms,
    }
    db.execute(SQL["insert_answer"], row)


def _scope(thread: str, once: Once) -> str:
    return PROJECT if once.project_wide else thread
