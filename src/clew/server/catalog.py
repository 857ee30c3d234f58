"""Models over HTTP: which there are to be asked."""

from __future__ import annotations

from typing import NoReturn

from clew.executor import relay
from clew.server.http import Answer, Request, Route, Server, encode
from clew.wire import catalog


async def list_models(server: Server, request: Request) -> Answer:
    found = await relay.models(server.executor)
    return Answer(encode(catalog.encode_catalog([_encode(model) for model in found])))


async def get_model(server: Server, request: Request) -> Answer:
    return Answer(encode(_encode(await _find(server, request))))


async def delete_model(server: Server, request: Request) -> NoReturn:
    raise catalog.undeletable((await _find(server, request)).id)


async def _find(server: Server, request: Request) -> relay.Model:
    id = request.params[0]
    for model in await relay.models(server.executor):
        if model.id == id:
            return model
    raise catalog.unknown_model(id)


def _encode(model: relay.Model) -> dict[str, object]:
    return catalog.encode_model(model.id, model.owned_by, model.created)


_ALL = "/v1/models"
_ONE = f"{_ALL}/{{model}}"
ROUTES = [
    Route("GET", _ALL, list_models, "clew", "List models"),
    Route("GET", _ONE, get_model, "clew", "Retrieve a model", tail=True),
    Route("DELETE", _ONE, delete_model, "clew", "Delete a model", tail=True),
]
