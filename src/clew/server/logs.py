"""Log lines say which request they belong to.

What a request starts (a run, say) takes its id along, so the lines of a run that fails an hour
later still name the request that began it.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request that is being answered, as in its `x-request-id`."""

FORMAT = "%(asctime)s %(levelname)s %(name)s %(request_id)s %(message)s"


class WithRequestId(logging.Filter):
    """Puts `request_id` into every record of a handler."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


def to_stderr() -> None:
    """Log to stderr from here on, a line a record."""
    handler = logging.StreamHandler()
    handler.addFilter(WithRequestId())
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # else a line for each model call
