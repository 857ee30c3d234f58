"""What proves an engine: each sentence of the `Store` contract, as a test.

    class TestMyStore(StoreConformance):
        async def open_store(self) -> Store:
            return await MyStore.open("a database of this test, or one that all share")

pytest does the rest. Each test has an event loop, a project and keys of its own. Within one test
`open_store` is called more than once and must open the same database.
"""

from __future__ import annotations

from clew.testing.conformance.assistants import Assistants
from clew.testing.conformance.chunks import Chunks, Indexing
from clew.testing.conformance.compactions import Compactions
from clew.testing.conformance.completions import Completions
from clew.testing.conformance.cut_offs import CutOffs, Steering
from clew.testing.conformance.events import Events
from clew.testing.conformance.files import Files, Uploads
from clew.testing.conformance.forks import Forks
from clew.testing.conformance.grants import Grants
from clew.testing.conformance.items import Crowds, Items, Pages
from clew.testing.conformance.leases import Leases, Records
from clew.testing.conformance.lines import LineErasure, Lines
from clew.testing.conformance.projects import Projects
from clew.testing.conformance.retries import Retries
from clew.testing.conformance.routing import RoutingRules
from clew.testing.conformance.runs import Moves, RunErasure, Runs
from clew.testing.conformance.threads import Erasure, ThreadLists, Threads
from clew.testing.conformance.vector_stores import StoreFiles, VectorStores
from clew.testing.conformance.vectors import Vectors
from clew.testing.conformance.webhooks import Deliveries, Outbox, Webhooks

__all__ = ["StoreConformance", "ThreadConformance"]


class ThreadConformance(
    Threads,
    ThreadLists,
    Erasure,
    Items,
    Pages,
    Crowds,
    Forks,
    Runs,
    Moves,
    RunErasure,
    Lines,
    LineErasure,
    CutOffs,
    Steering,
    Leases,
    Records,
    Compactions,
    Retries,
    Projects,
    Assistants,
):
    """The proofs of `ThreadStore`."""


class StoreConformance(
    ThreadConformance,
    Completions,
    Events,
    Files,
    Uploads,
    VectorStores,
    StoreFiles,
    Indexing,
    Chunks,
    Vectors,
    Grants,
    Webhooks,
    Outbox,
    Deliveries,
    RoutingRules,
):
    """All proofs; subclass it and say how the store is opened."""
