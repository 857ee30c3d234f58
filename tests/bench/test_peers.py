"""Peers that cannot be installed, and the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.load import Load
from bench.measure import Row, at_least
from bench.peers import Peer, Unavailable, installed
from bench.pieces import PIECES
from bench.plan import Plan

from bench import __main__ as command


def test_a_peer_that_cannot_be_installed_says_why(tmp_path: Path):
    """A requirement pip refuses ends in one sentence, and the next run tries again."""
    peer = Peer("nobody", "nobody.py", (str(tmp_path / "nowhere"),))
    with pytest.raises(Unavailable, match="nowhere"):
        installed(peer, tmp_path / "peers")
    with pytest.raises(Unavailable, match="nowhere"):
        installed(peer, tmp_path / "peers")


def test_the_folder_of_peers_is_no_part_of_the_repository(tmp_path: Path):
    """It ignores itself, wherever it is."""
    with pytest.raises(Unavailable):
        installed(Peer("nobody", "nobody.py", (str(tmp_path / "nowhere"),)), tmp_path / "peers")
    assert (tmp_path / "peers" / ".gitignore").read_text() == "*\n"


def test_a_peer_is_installed_once(tmp_path: Path):
    """A venv that has the packages wanted is used as it is."""
    peer = Peer("nothing but Python", "python.py", ("pip",))
    venv = tmp_path / "python"
    venv.mkdir()
    (venv / "installed").write_text("pip")
    assert installed(peer, tmp_path) == venv / "bin" / "python"


def test_a_quick_run_is_the_same_in_small(tmp_path: Path):
    """Five pairs in a full run, two in a quick one."""
    full, quick = Plan(tmp_path, tmp_path), Plan(tmp_path, tmp_path, quick=True)
    assert (full.pairs, quick.pairs) == (5, 2)
    assert quick.seconds < full.seconds
    assert (full.scaled(50_000, 5_000), quick.scaled(50_000, 5_000)) == (50_000, 5_000)


def test_the_run_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """One piece fails: the others are shown and written all the same, and the status tells."""

    def fine(plan: Plan, load: Load) -> Iterator[Row]:
        assert plan.folder.parent == tmp_path.resolve()
        yield Row("append", "requests/s", [40], "bare endpoint", [100], at_least(0.45))

    def broken(plan: Plan, load: Load) -> Iterator[Row]:
        raise RuntimeError("no such server")
        yield

    monkeypatch.setitem(PIECES, "disk", fine)
    monkeypatch.setitem(PIECES, "start", broken)
    file = tmp_path / "results.json"
    arguments = ["--quick", "--dir", str(tmp_path), "--json", str(file)]
    assert command.main([*arguments, "--only", "disk"]) == 0
    assert command.main([*arguments, "--only", "disk", "--only", "start"]) == 1
    said = capsys.readouterr()
    assert said.out.count("0.4 x | ≥ 0.45 x | MISSES | bare endpoint") == 2
    assert "no such server" in said.err
    assert "not measured: start" in said.err
    assert '"holds": false' in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
