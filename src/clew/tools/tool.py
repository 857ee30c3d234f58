"""A tool that Clew runs itself: what every one of them is to the turn that calls it.

A model knows such a tool as functions that it may call. The call becomes an item of the tool's own
kind in the log: it is stored as asked for, then as begun, then as done, each before what comes
next, so whoever takes a turn over knows what is still to be done. What is done is never done again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

Tell = Callable[[str, dict[str, Any]], None]
"""Say that a call came to a stage ("searching", "code.delta", …), with the event's own data."""


class Place(msgspec.Struct, frozen=True):
    """Where a tool works: keys of the project, thread and run, and what it was given there.

    `config` is the tool as the run names it, in the Responses shape (`{type: "mcp", …}`).
    `resources` are the thread's and the assistant's `tool_resources`, merged, as the wire has them:
    `{code_interpreter: {file_ids: […]}, file_search: {vector_store_ids: […]}}`.
    """

    project: str
    thread: str
    run: str
    config: dict[str, Any]
    resources: dict[str, Any] = {}


class Function(msgspec.Struct, frozen=True):
    """What a model is offered; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


class Offer(msgspec.Struct):
    """Functions, and items that go into the log because of them (a list of an MCP server's tools)
    in the Responses shape, without ids."""

    functions: list[Function]
    items: list[dict[str, Any]] = []


class Tool(Protocol):
    """Works on items of one `kind` of call; all items are in the Responses shape, without ids.

    `begun` is the status of an item whose work has begun ("searching", "interpreting", "calling");
    one that was only asked for is "in_progress". `repeats` says whether a call that was begun, and
    whose end nobody knows since the process died, may be made again: never where it may have had
    effects outside.
    """

    type: str
    kind: str
    begun: str
    repeats: bool

    def problem(self, config: dict[str, Any]) -> tuple[str, str] | None:
        """What is wrong with a tool as a run names it: the field, and what of it. None for nothing.

        It is looked at before anything is stored.
        """
        ...

    async def offer(self, place: Place, seen: Sequence[dict[str, Any]]) -> Offer:
        """The functions of this tool. `seen` are the items in the window that it made itself.

        Raises ToolError when there is no telling: the run fails with its message.
        """
        ...

    def ask(self, place: Place, function: str, arguments: str) -> dict[str, Any]:
        """The item of a call the model made, with status "in_progress".

        `arguments` is what the model wrote: JSON if all is well. An item of another kind than
        `kind` (an approval request) is stored as it is, and ends the turn. Never raises.
        """
        ...

    async def act(self, place: Place, item: dict[str, Any], tell: Tell) -> dict[str, Any]:
        """Do what the item asks for; returns it whole, with its last status and its results.

        Only cancellation is raised: what goes wrong is in the item, for the model to read. All
        that is left running then is ended.
        """
        ...

    def lost(self, item: dict[str, Any]) -> dict[str, Any]:
        """The item of a call that was begun and whose end nobody knows, failed."""
        ...

    def told(self, item: dict[str, Any]) -> tuple[str, str, str] | None:
        """A finished call as models read it that know only functions: the function's name, its
        arguments and its output, as the model wrote and would read them. None for nothing."""
        ...

    async def close(self) -> None:
        """End whatever is still running."""
        ...


class ToolError(Exception):
    """What a tool cannot do for a run, in words for whoever made the run."""

    def __init__(self, message: str, code: str = "server_error") -> None:
        super().__init__(message)
        self.message, self.code = message, code
