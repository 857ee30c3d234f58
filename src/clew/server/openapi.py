"""`/openapi.json`, from the route table: what is described is what is served and enforced."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from clew.server.http import Route

_PARAMETER = re.compile(r"{(\w+)}")


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Clew", "version": "0.1.0", "license": {"name": "Apache-2.0"}},
        "paths": paths,
    }


def _operation(route: Route) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        parameters += [
            {"name": name, "in": "query", "schema": spec.schema()}
            for name, spec in route.query.fields.items()
        ]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": route.handler.__name__,
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}, "default": {"description": "OpenAI's error"}},
    }
    if route.body is not None:
        media = "multipart/form-data" if route.takes == "stream" else "application/json"
        content = {media: {"schema": route.body.schema()}}
        operation["requestBody"] = {"content": content}
    return operation
