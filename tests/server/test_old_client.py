"""An application that still has a 1.x release of the official client is served as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import old_release
from .live import Live

JOURNEY = Path(__file__).parent / "old_client.py"


def test_a_client_of_the_1_x_line_goes_through_everything(
    live: Live, project: str, request: pytest.FixtureRequest
):
    """Its threads, runs, streams, tools, conversations and responses work, validated strictly."""
    packages = old_release.install(request.config.cache)
    done = subprocess.run(
        # -S: without the packages of this environment, so that nothing newer is mixed in
        [sys.executable, "-S", JOURNEY, f"{live.url}/v1", old_release.VERSION, project],
        env=old_release.environment(packages),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
