"""The route table, and finding the route of a request in it."""

from __future__ import annotations

from collections.abc import Iterable

from clew.server import assistants, conversations, messages, responses, runs, system, threads
from clew.server.http import Route

ROUTES: list[Route] = [
    *threads.ROUTES,
    *messages.ROUTES,
    *conversations.ROUTES,
    *assistants.ROUTES,
    *runs.ROUTES,
    *responses.ROUTES,
    *system.ROUTES,
]


class Node:
    """A place in the tree of paths: what may follow, and which methods end here."""

    __slots__ = ("any", "methods", "names")

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.any: Node | None = None
        self.methods: dict[str, Route] = {}


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
    return root


def find(root: Node, path: str) -> tuple[Node | None, list[str]]:
    """The node of a path and the values of its parameters."""
    node, params = root, []
    for part in path.split("/")[1:]:
        named = node.names.get(part)
        if named is not None:
            node = named
        elif node.any is not None and part:
            node = node.any
            params.append(part)
        else:
            return None, params
    return node, params
