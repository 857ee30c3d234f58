"""The route table, and finding the route of a request in it."""

from __future__ import annotations

from collections.abc import Iterable

from clew.server import (
    assistants,
    catalog,
    chatkit,
    completions,
    conversations,
    file_batches,
    files,
    messages,
    metrics,
    responses,
    routing,
    runs,
    store_files,
    system,
    threads,
    uploads,
    vector_stores,
    webhooks,
)
from clew.server.http import Route

ROUTES: list[Route] = [
    *threads.ROUTES,
    *messages.ROUTES,
    *conversations.ROUTES,
    *assistants.ROUTES,
    *runs.ROUTES,
    *responses.ROUTES,
    *completions.ROUTES,
    *catalog.ROUTES,
    *chatkit.ROUTES,
    *files.ROUTES,
    *uploads.ROUTES,
    *vector_stores.ROUTES,
    *store_files.ROUTES,
    *file_batches.ROUTES,
    *webhooks.ROUTES,
    *routing.ROUTES,
    *system.ROUTES,
    *metrics.ROUTES,
]


class Node:
    """A place in the tree of paths: what may follow, and which methods end here."""

    __slots__ = ("any", "methods", "names", "tail")

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.any: Node | None = None
        self.methods: dict[str, Route] = {}
        self.tail = False


def tree(routes: Iterable[Route]) -> Node:
    root = Node()
    for route in routes:
        node = root
        for part in route.path.split("/")[1:]:
            if part.startswith("{"):
                node.any = node.any or Node()
                node = node.any
            else:
                node = node.names.setdefault(part, Node())
        node.methods[route.method] = route
        node.tail |= route.tail
    return root


def find(root: Node, path: str) -> tuple[Node | None, list[str]]:
    """The node of a path and the values of its parameters."""
    node: Node = root
    params: list[str] = []
    parts = path.split("/")[1:]
    for place, part in enumerate(parts):
        named = node.names.get(part)
        if named is not None:
            node = named
        elif node.any is not None and part:
            node = node.any
            if node.tail:
                return node, [*params, "/".join(parts[place:])]
            params.append(part)
        else:
            return None, params
    return node, params
