"""`file_search`: a model searches the files of a run's vector stores and cites what it finds.

The model is offered one function. A call keeps all its results in the log; the model reads as many
as fit into its budget, each under a marker that it can cite (core/citations.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from clew.core.citations import call_number, marker
from clew.core.errors import ClewError, NotFound
from clew.core.ids import key_of
from clew.core.rankings import ranking_of
from clew.core.vector_stores import RESULTS_MAX, Filter, Found, check_living, filter_of
from clew.store.store import Store
from clew.tools.searching import Searcher
from clew.tools.tool import Function, Offer, Place, Tell

NAME = "file_search"
QUERIES_MAX = 5
QUERY_CHARACTERS = 4_096
RESULTS_DEFAULT = 20
TOKENS_MAX = 16_000
"""Of results that a model reads from one call."""

WAIT_S, LOOK_S = 60.0, 0.1

Json = dict[str, Any]
log = logging.getLogger("clew.search")

_DESCRIPTION = (
    "Search the user's files. Each result comes under a marker such as 【1234:0†notes.txt】. "
    "Cite a result by writing its marker, exactly as it stands, right after what it supports."
)
_PARAMETERS = {
    "type": "object",
    "properties": {
        "queries": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": QUERIES_MAX,
            "description": "What to look for: questions or keywords, each on a matter of its own.",
        }
    },
    "required": ["queries"],
    "additionalProperties": False,
}


def _estimate(text: str) -> int:
    return len(text.encode()) // 4


class FileSearch:
    """The tool. `searcher` may be without embeddings.

    A search waits up to `wait_s` for files that are still being indexed in the stores that
    `waits_for` names (keys) for a place: those of the thread, whose files have just been attached.
    `tokens` counts what a model reads.
    """

    type = NAME
    kind = "file_search_call"
    begun = "searching"
    repeats = True

    def __init__(
        self,
        store: Store,
        searcher: Searcher,
        now: Callable[[], int],
        *,
        waits_for: Callable[[Place], Awaitable[Sequence[str]]] | None = None,
        wait_s: float = WAIT_S,
        tokens: Callable[[str], int] = _estimate,
    ) -> None:
        self._store, self._searcher, self._now = store, searcher, now
        self._waits_for, self._wait_s, self._tokens = waits_for, wait_s, tokens

    def problem(self, config: Json) -> tuple[str, str] | None:
        return None

    async def close(self) -> None:
        """Nothing is held open."""

    async def offer(self, place: Place, seen: Sequence[Json]) -> Offer:
        return Offer([Function(NAME, _DESCRIPTION, _PARAMETERS)])

    def ask(self, place: Place, function: str, arguments: str) -> Json:
        return {"type": self.kind, "status": "in_progress", "queries": _queries(arguments)}

    async def act(self, place: Place, item: Json, tell: Tell) -> Json:
        tell("in_progress", {})
        try:
            if not item.get("queries"):
                raise _Unfit("The call has no `queries`: a list of one to five texts.")
            stores = [_key(id) for id in store_ids(place)]
            for store in stores:
                await self._check(place.project, store)
            tell(self.begun, {})
            await self._wait(place)
            found = await self._search(place, stores, item["queries"])
        except _Unfit as error:
            return _failed(item, str(error))
        except NotFound as missing:
            return _failed(item, f"There is no vector store 'vs_{missing.id}'.")
        except ClewError as error:
            return _failed(item, error.message)
        except Exception:
            log.exception("a file search failed")
            return _failed(item, "An internal error occurred.")
        results = [_result(each) for each in found]
        tell("completed", {})
        return item | {"status": "completed", "results": results}

    def lost(self, item: Json) -> Json:
        return _failed(item, "The search was interrupted.")

    def told(self, item: Json) -> tuple[str, str, str] | None:
        arguments = msgspec.json.encode({"queries": item.get("queries") or []}).decode()
        return NAME, arguments, self._read(item)

    def _read(self, item: Json) -> str:
        """The results as a model reads them, the best first, as far as its budget goes."""
        if item.get("status") != "completed":
            return f"The search failed. {item.get('error') or ''}".rstrip()
        call, left, said = call_number(item), TOKENS_MAX, []
        for place, result in enumerate(item.get("results") or ()):
            headed = f"{marker(call, place, result['filename'])}\n{result['text']}"
            left -= self._tokens(headed)
            if left < 0:
                break
            said.append(headed)
        return "\n\n".join(said) or "Nothing was found."

    async def _check(self, project: str, store: str) -> None:
        """A search is a use of a store, which must be there and not have expired."""
        found = await self._store.get_vector_store(project, store)
        check_living(found, self._now())
        await self._store.touch_vector_store(project, store, self._now())

    async def _search(self, place: Place, stores: Sequence[str], queries: list[str]) -> list[Found]:
        config = place.config
        limit = min(config.get("max_num_results") or RESULTS_DEFAULT, RESULTS_MAX)
        return await self._searcher.search(
            place.project,
            stores,
            queries,
            limit,
            filter=_filter(config.get("filters")),
            ranking=ranking_of(config.get("ranking_options")),
        )

    async def _wait(self, place: Place) -> None:
        """Until no file is in progress, or for as long as a run can wait."""
        if self._waits_for is None:
            return
        try:
            async with asyncio.timeout(self._wait_s):
                for store in await self._waits_for(place):
                    while await self._is_busy(place.project, store):
                        await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pass

    async def _is_busy(self, project: str, store: str) -> bool:
        return (await self._store.get_vector_store(project, store)).counts.in_progress > 0


class _Unfit(Exception):
    """What keeps a call from being made, in words for the model."""


def store_ids(place: Place) -> list[str]:
    """The ids of a run's vector stores: its tool's, then the thread's and the assistant's."""
    given = place.resources.get(NAME) or {}
    named = [*(place.config.get("vector_store_ids") or ()), *(given.get("vector_store_ids") or ())]
    return list(dict.fromkeys(named))


def _key(id: str) -> str:
    key = key_of("vector_store", id)
    if key is None:
        raise _Unfit(f"'{id}' is no id of a vector store.")
    return key


def _filter(body: Any) -> Filter | None:
    try:
        return filter_of(body)
    except ValueError as error:
        raise _Unfit(f"The filter cannot be used: {error}.") from None


def _queries(arguments: str) -> list[str]:
    """What a model asks for, in whatever way it says so; nothing if it cannot be made out."""
    try:
        given = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeError):
        return []
    if isinstance(given, dict):
        given = given.get("queries") or given.get("query")
    asked = given if isinstance(given, list) else [given]
    texts = [each[:QUERY_CHARACTERS] for each in asked if isinstance(each, str) and each.strip()]
    return list(dict.fromkeys(texts))[:QUERIES_MAX]


def _result(found: Found) -> Json:
    return {
        "file_id": f"file-{found.file}",
        "filename": found.filename,
        "score": found.score,
        "attributes": found.attributes,
        "text": found.text,
    }


def _failed(item: Json, words: str) -> Json:
    return item | {"status": "failed", "results": None, "error": words}
