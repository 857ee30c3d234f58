"""bubblewrap for the tests of the sandbox: there, or installed where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

_INSTALL = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "bubblewrap"]
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
