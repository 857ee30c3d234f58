"""What tools may use: files for code_interpreter, a vector store for file_search.

Resources are kept as the wire has them:
`{code_interpreter: {file_ids: […]}, file_search: {vector_store_ids: […]}}`. A thread has its own,
and so has an assistant; a run uses both, the thread's first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from clew.core.errors import BadRequest
from clew.core.ids import key_of
from clew.core.vector_stores import StoreFile, VectorStore

Resources = Mapping[str, Any]

FILES_MAX = 20
"""Files that code_interpreter has at hand: of a thread, of an assistant, and of a run."""

THREAD_STORE_DAYS = 7
"""A store that was made with a thread, or for a message, expires so long after its last use."""


class Grant(msgspec.Struct):
    """What a request gives to the tools of a thread or an assistant, all in keys.

    `files` and `stores` are those it names, which must be there. `attached` are files that messages
    bring for code_interpreter. `searched` are files for file_search: they go into the store that
    is there, else `store` is made for them. A `store` with the key that is named is made anyhow.
    """

    files: list[str] = []
    stores: list[str] = []
    attached: list[str] = []
    searched: list[StoreFile] = []
    store: VectorStore | None = None


def files_of(resources: Resources | None) -> list[str]:
    """The ids of the files that code_interpreter has."""
    return list(((resources or {}).get("code_interpreter") or {}).get("file_ids") or ())


def stores_of(resources: Resources | None) -> list[str]:
    """The ids of the vector stores that file_search has."""
    return list(((resources or {}).get("file_search") or {}).get("vector_store_ids") or ())


def file_keys(resources: Resources | None) -> list[str]:
    """The same as keys; what cannot be one is left out."""
    return [key for id in files_of(resources) if (key := key_of("file", id))]


def store_key(resources: Resources | None) -> str | None:
    """The key of the store that file_search has."""
    ids = stores_of(resources)
    return key_of("vector_store", ids[0]) if ids else None


def merged(thread: Resources | None, assistant: Resources | None) -> dict[str, Any]:
    """What a run may use: the thread's and then the assistant's, each once, no more than may be.

    A tool that has nothing is left out.
    """
    files = _union(files_of(thread), files_of(assistant))[:FILES_MAX]
    stores = _union(stores_of(thread), stores_of(assistant))
    return _resources(files, stores)


def with_files(resources: Resources | None, keys: Iterable[str]) -> dict[str, Any]:
    """The resources with more files for code_interpreter; BadRequest where those are too many."""
    files = _union(files_of(resources), [f"file-{key}" for key in keys])
    if len(files) > FILES_MAX:
        where = "tool_resources.code_interpreter.file_ids"
        message = (
            f"Invalid '{where}': array too long. Expected an array with maximum length "
            f"{FILES_MAX}, but got an array with length {len(files)} instead."
        )
        raise BadRequest(message, where, "array_above_max_length")
    given = dict((resources or {}).get("code_interpreter") or {})
    return {**(resources or {}), "code_interpreter": given | {"file_ids": files}}


def with_store(resources: Resources | None, store: str) -> dict[str, Any]:
    """The resources with this store, by its key, for file_search."""
    given = dict((resources or {}).get("file_search") or {})
    return {**(resources or {}), "file_search": given | {"vector_store_ids": [f"vs_{store}"]}}


def without(resources: dict[str, Any] | None, gone: Collection[str]) -> dict[str, Any] | None:
    """The resources without these files, by their keys: what was deleted is not used any more."""
    files = files_of(resources)
    left = [id for id in files if key_of("file", id) not in gone]
    if resources is None or left == files:
        return resources
    return resources | {"code_interpreter": resources["code_interpreter"] | {"file_ids": left}}


def _union(first: Iterable[str], second: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*first, *second]))


def _resources(files: list[str], stores: list[str]) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if files:
        resources["code_interpreter"] = {"file_ids": files}
    if stores:
        resources["file_search"] = {"vector_store_ids": stores}
    return resources
