"""The server engine: a PostgreSQL database, shared by any number of processes."""

from clew.store.postgres.assistants import AssistantVerbs
from clew.store.postgres.completions import CompletionVerbs
from clew.store.postgres.erasure import ErasureVerbs
from clew.store.postgres.events import EventVerbs
from clew.store.postgres.files import FileVerbs
from clew.store.postgres.items import ItemVerbs
from clew.store.postgres.routing import RoutingVerbs
from clew.store.postgres.runs import RunVerbs
from clew.store.postgres.threads import ThreadVerbs
from clew.store.postgres.uploads import UploadVerbs
from clew.store.postgres.vector_stores import VectorStoreVerbs
from clew.store.postgres.webhooks import WebhookVerbs

__all__ = ["PostgresStore"]


class PostgresStore(
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
    """A `Store` in the PostgreSQL database and schema that a connection string leads to."""
