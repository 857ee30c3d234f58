"""The embedded engine: one SQLite file."""

from __future__ import annotations

from typing import Self

from clew.store.sqlite.assistants import AssistantVerbs
from clew.store.sqlite.completions import CompletionVerbs
from clew.store.sqlite.erasure import ErasureVerbs
from clew.store.sqlite.events import EventVerbs
from clew.store.sqlite.files import FileVerbs
from clew.store.sqlite.items import ItemVerbs
from clew.store.sqlite.routing import RoutingVerbs
from clew.store.sqlite.runs import RunVerbs
from clew.store.sqlite.threads import ThreadVerbs
from clew.store.sqlite.uploads import UploadVerbs
from clew.store.sqlite.vector_stores import VectorStoreVerbs
from clew.store.sqlite.webhooks import WebhookVerbs

__all__ = ["SQLiteStore"]


class SQLiteStore(
    ThreadVerbs,
    ErasureVerbs,
    ItemVerbs,
    RunVerbs,
    AssistantVerbs,
    FileVerbs,
    UploadVerbs,
    VectorStoreVerbs,
    CompletionVerbs,
    EventVerbs,
    WebhookVerbs,
    RoutingVerbs,
):
    """A `Store` in one SQLite file, or in memory (`:memory:`)."""

    @classmethod
    async def open(cls, path: str) -> Self:
        store = await super().open(path)
        await store.finish_erasures()
        await store.remove_loose()
        return store
