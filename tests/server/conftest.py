"""Fixtures: a live server on each engine, and for each test a project of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from clew.providers.catalog import Catalog

from .doubles import Doubles
from .live import Live

RULES = Path(__file__).parent / "rules.yaml"
TOOLS = Path(__file__).parent / "tools.yaml"
_projects = itertools.count(1)


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """The engines the server is tested on, one after the other."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def new_store_url(
    engine: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Makes a fresh database of the engine; returns its URL."""
    if engine == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('live')}/clew.db"
    create: Callable[[], str] = request.getfixturevalue("new_postgres_database")
    return create


@pytest.fixture(scope="session")
def store_url(new_store_url: Callable[[], str]) -> str:
    """The database that the tests of an engine share."""
    return new_store_url()


@pytest.fixture(scope="session")
def live(store_url: str) -> Iterator[Live]:
    """The server, with the rules of rules.yaml."""
    with Live(store_url, Catalog(script=RULES)) as server:
        yield server


@pytest.fixture
def project() -> str:
    """A project nobody else has, so tests share a server and see nothing of one another."""
    return f"proj_{next(_projects)}"


@pytest.fixture
def client(live: Live, project: str) -> Iterator[OpenAI]:
    """The official client, with strict validation."""
    with live.client(project=project) as client:
        yield client


@pytest.fixture
def http(live: Live, project: str) -> Iterator[httpx2.Client]:
    """A plain HTTP client of the same project."""
    with live.http(project) as http:
        yield http


@pytest.fixture(scope="module")
def upstream() -> Iterator[Doubles]:
    """A model server that says what a test wants it to."""
    with Doubles() as doubles:
        yield doubles


@pytest.fixture(scope="module")
def relaying(new_store_url: Callable[[], str], upstream: Doubles) -> Iterator[Live]:
    """A server whose models are those of an upstream that speaks Responses, but for `scripted`."""
    catalog = Catalog(upstream.double.base_url, script=RULES, upstream_kind="openai-responses")
    with Live(new_store_url(), catalog) as server:
        yield server


@pytest.fixture
def relayed(relaying: Live, project: str) -> Iterator[OpenAI]:
    """The official client of that server."""
    with relaying.client(project=project) as client:
        yield client


@pytest.fixture(scope="module")
def tooled(new_store_url: Callable[[], str], upstream: Doubles) -> Iterator[Live]:
    """A server whose scripted model uses Clew's own tools; its other models are an upstream's, that
    speaks chat completions."""
    catalog = Catalog(upstream.double.base_url, script=TOOLS)
    with Live(new_store_url(), catalog) as server:
        yield server


@pytest.fixture
def tools(tooled: Live, project: str) -> Iterator[OpenAI]:
    """The official client of that server."""
    with tooled.client(project=project) as client:
        yield client
