"""Names of files on their way into a sandbox and out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.tools.code_files import NAME_BYTES_MAX, distinct, plain_name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("table.csv", "table.csv"),
        ("../../etc/passwd", "passwd"),
        ("/etc/shadow", "shadow"),
        ("C:\\Users\\x\\table.csv", "table.csv"),
        ("..", "file"),
        ("a/..", "file"),
        ("", "file"),
        ("a/", "file"),
        ("new\nline\0.txt", "new_line_.txt"),
        ("\x1b[31m\ud800", "_[31m_"),
        (".hidden", ".hidden"),
        ("Größe 🧵.csv", "Größe 🧵.csv"),
        ("n" * 300 + ".csv", "n" * 196 + ".csv"),
        ("ä" * 200 + ".csv", "ä" * 98 + ".csv"),
        ("a." + "b" * 300, "a." + "b" * 198),
    ],
)
def test_a_name_becomes_one_that_harms_nothing(name: str, plain: str):
    """Folders, controls and what is too long are gone; the ending stays."""
    assert plain_name(name) == plain


@given(st.text())
def test_any_name_becomes_a_usable_one(name: str):
    """No slash, no control, not too long, not empty, no folder; and it stays as it is then."""
    plain = plain_name(name)
    assert 0 < len(plain.encode()) <= NAME_BYTES_MAX
    assert "/" not in plain
    assert "\0" not in plain
    assert "\n" not in plain
    assert plain not in (".", "..")


def test_two_files_of_one_name_are_kept_apart():
    """The second gets a number before its ending."""
    taken = {"a.csv", "a-2.csv", "b"}
    assert [distinct(name, taken) for name in ("a.csv", "b", "c", ".x")] == [
        "a-3.csv",
        "b-2",
        "c",
        ".x",
    ]
