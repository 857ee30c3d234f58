"""What PostgreSQL and its driver raise, in our words. The one place that knows their errors."""

from __future__ import annotations

import psycopg
from psycopg import errors

from clew.core.errors import ClewError

RETRIED = (errors.DeadlockDetected, errors.SerializationFailure)
"""The server undid the transaction to let another one go on: doing it again is safe."""

_UNAVAILABLE = (
    psycopg.OperationalError,  # connection lost, pool exhausted, lock time-out, disk full
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,  # the server is a replica now
)

_LOST = (None, "57P01", "57P02", "57P03")
"""No answer at all; or the server is going down, has crashed, is starting."""


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, so that a change may or may not have been made."""
    return isinstance(error, psycopg.OperationalError) and error.sqlstate in _LOST


def told(error: psycopg.Error) -> Exception:
    """The error as callers may see it, to be raised from its cause; a fault of ours stays itself.

    After "unavailable" a change may have been made if the connection broke during its commit:
    callers that must know use an Idempotency-Key.
    """
    if isinstance(error, errors.UniqueViolation):
        return ClewError("conflict", "The id is taken.")
    if isinstance(error, _UNAVAILABLE):
        return ClewError("unavailable", f"The database did not answer: {error}.")
    return error
