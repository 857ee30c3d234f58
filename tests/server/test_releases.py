"""Applications that have another release of the official client are served as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import releases
from .live import Live

HERE = Path(__file__).parent


@pytest.mark.parametrize("version", releases.PYTHON)
def test_an_older_python_client_goes_through_everything(
    live: Live, project: str, version: str, request: pytest.FixtureRequest
):
    """Threads, runs, streams, tools, conversations, responses, files: validated strictly."""
    packages = releases.python_client(request.config.cache, version)
    done = subprocess.run(
        # -S: without the packages of this environment, so that nothing newer is mixed in
        [sys.executable, "-S", HERE / "journey.py", f"{live.url}/v1", version, project],
        env=releases.environment(packages),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_the_node_client_goes_through_everything(
    live: Live, project: str, request: pytest.FixtureRequest
):
    """Its own helpers, `runs.stream()`, `createAndPoll`, `responses.stream()`, accept Clew."""
    packages = releases.node_client(request.config.cache)
    done = subprocess.run(
        ["node", HERE / "journey.mjs", packages, f"{live.url}/v1", releases.NODE, project],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stdout + done.stderr
