"""What tools may use, as a request gives it and as it is shown."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from clew.core.assistants import Assistant
from clew.core.threads import Thread
from clew.core.tool_resources import Grant, Resources, file_keys, without
from clew.server.http import Server


def index_given(server: Server, given: Grant | None) -> None:
    """See to it that the files to be searched are indexed soon."""
    if given is not None and given.searched:
        server.wake_indexer()


async def shown_threads(server: Server, project: str, threads: Sequence[Thread]) -> list[Thread]:
    gone = await _gone(server, project, [each.tool_resources for each in threads])
    if not gone:
        return list(threads)
    return [replace(each, tool_resources=without(each.tool_resources, gone)) for each in threads]


async def shown_thread(server: Server, project: str, thread: Thread) -> Thread:
    return (await shown_threads(server, project, [thread]))[0]


async def shown_assistants(
    server: Server, project: str, assistants: Sequence[Assistant]
) -> list[Assistant]:
    held = [each.settings.get("tool_resources") for each in assistants]
    gone = await _gone(server, project, held)
    if not gone:
        return list(assistants)
    return [
        replace(each, settings=each.settings | {"tool_resources": without(resources, gone)})
        for each, resources in zip(assistants, held, strict=True)
    ]


async def shown_assistant(server: Server, project: str, assistant: Assistant) -> Assistant:
    return (await shown_assistants(server, project, [assistant]))[0]


async def _gone(server: Server, project: str, held: Sequence[Resources | None]) -> set[str]:
    """Those of the files that have been deleted or have expired, by their keys."""
    files = {key for resources in held for key in file_keys(resources)}
    if not files:
        return set()
    return await server.store.missing_files(project, sorted(files), server.now())
