"""The tools that Clew runs itself, as far as they are there on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clew.core.errors import NotFound
from clew.core.ids import key_of
from clew.core.tool_resources import stores_of
from clew.options import Options
from clew.store.store import Store
from clew.tools.code_interpreter import CodeInterpreter
from clew.tools.file_search import FileSearch
from clew.tools.mcp import Mcp
from clew.tools.searching import Searcher
from clew.tools.tool import Place, Tool


def tools_of(
    store: Store, searcher: Searcher, options: Options, now: Callable[[], int]
) -> dict[str, Tool]:
    """The tools by their types. One that cannot work here says so when it is asked for."""

    async def threads_stores(place: Place) -> Sequence[str]:
        try:
            thread = await store.get_thread(place.project, place.thread)
        except NotFound:  # the thread of a run that is not stored
            return []
        return [key_of("vector_store", id) or id for id in stores_of(thread.tool_resources)]

    tools: list[Tool] = [
        FileSearch(store, searcher, now, waits_for=threads_stores),
        CodeInterpreter(store, now),
        Mcp(options.mcp_allow),
    ]
    return {tool.type: tool for tool in tools}
