"""The one place that knows SQLite's errors: what callers are told instead, with the cause."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import apsw

from clew.core.errors import ClewError

P = ParamSpec("P")
T = TypeVar("T")


def told(error: Exception) -> Exception:
    """The error as callers may see it; one that is not SQLite's is left as it is."""
    if not isinstance(error, apsw.Error):
        return error
    if isinstance(error, apsw.ConstraintError):
        said = ClewError("conflict", "The id is taken.")
    else:
        said = ClewError("unavailable", f"The database cannot do this now: {error}.")
    said.__cause__ = error
    return said


def reads(verb: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """A verb that reads, its errors told. (Those of a write are told when its group is.)"""

    @wraps(verb)
    async def told_verb(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await verb(*args, **kwargs)
        except apsw.Error as error:
            raise told(error) from error

    return told_verb
