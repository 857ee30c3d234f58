"""bubblewrap for the tests of the sandbox: there, or installed where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

_INSTALL = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "bubblewrap"]


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """The package 'bubblewrap'; as root on Debian it is installed. Without it tests are skipped."""
    if shutil.which("bwrap") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (_INSTALL, ["apt-get", "update", "-q"], _INSTALL):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                break
    if shutil.which("bwrap") is None:
        pytest.skip("no sandbox here: the package 'bubblewrap' is missing (apt install bubblewrap)")
