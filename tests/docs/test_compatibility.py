"""The table of compatibility is true: it says what this very run of the tests drove."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..conftest import WHOLE
from ..server import evidence
from . import compatibility
from .compatibility import Page, Row

WRITE = os.environ.get("CLEW_WRITE_COMPATIBILITY")


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest) -> Page:
    """The page as this run would write it."""
    if not request.config.stash[WHOLE]:
        pytest.skip("only a run of all tests of the server tells what they drive")
    if request.session.testsfailed:
        pytest.skip("tests failed before this one, so what they drive is not known")
    page = compatibility.page(evidence.worked, evidence.refused, evidence.events)
    if WRITE:
        compatibility.PAGE.write_text(str(page), encoding="utf-8")
    return page


def test_the_page_is_what_the_tests_drove(page: Page):
    """`make compatibility` writes what is there already."""
    assert compatibility.PAGE.read_text(encoding="utf-8") == str(page)


def test_no_row_is_blank(page: Page):
    """Every endpoint, parameter and event has a test that drives it, or a reason."""
    assert page.blanks() == []


def test_every_official_endpoint_and_parameter_is_there():
    """Whatever the official client can send in the groups Clew serves has a route and a row."""
    ours = {
        (route.method, compatibility.shape(route.path)): {
            name for name, _ in compatibility.parameters(route)
        }
        for route in compatibility.ROUTES
        if (route.method, route.path) not in compatibility.REFUSED
    }
    refused = {(method, compatibility.shape(path)) for method, path in compatibility.REFUSED}
    calls = compatibility.official_calls()
    assert len(calls) == 86
    for call, names in calls.items():
        assert call in ours.keys() | refused
        assert names - ours.get(call, names) == set(), call


def test_what_is_said_never_to_happen_never_did(page: Page):
    """A reason is given only for what the client knows, and no test saw."""
    known = {("run", name) for name in compatibility.RUN_EVENTS}
    known |= {("response", name) for name in compatibility.RESPONSE_EVENTS}
    assert len(known) == 24 + 59
    assert compatibility.NOT_SENT.keys() <= known
    assert compatibility.NOT_SENT.keys() & evidence.events.keys() == set()
    assert {(*endpoint, "") for endpoint in compatibility.REFUSED} & evidence.worked.keys() == set()


def test_what_is_left_out_is_there():
    """The tests that are no evidence are still called so."""
    folder = Path(evidence.__file__).parent
    source = "".join(file.read_text(encoding="utf-8") for file in folder.glob("test_*.py"))
    assert (folder / evidence.ELSEWHERE).exists()
    assert [name for name in evidence.NO_EVIDENCE if f"def {name}(" not in source] == []


def test_a_row_without_a_test_is_blank():
    """Neither an endpoint, a parameter nor an event is taken at its word."""
    nothing = compatibility.page({}, {}, {})
    rows = sum(1 + len(endpoint.parameters) for endpoint in nothing.endpoints)
    never = len(compatibility.NOT_SENT)
    assert len(nothing.blanks()) == rows + len(nothing.events) - never


def test_a_row_names_the_test_of_its_noun():
    """Whichever tests drove it besides."""
    key = ("GET", "/v1/files", "limit")
    tests = {f"tests/server/test_{noun}.py::test_a_{noun}_thing" for noun in ("aaa", "files")}
    [row] = [
        row
        for endpoint in compatibility.page({key: tests}, {}, {}).endpoints
        for row in endpoint.parameters
        if not row.is_blank
    ]
    assert (row.what, row.state) == ("limit", "works")
    assert row.shown_by == "[a files thing](../tests/server/test_files.py)"


def test_rows_that_say_the_same_share_a_line():
    """In the order of the first."""
    rows = [Row("a", {"x.py::test_b"}), Row("b", set()), Row("c", {"x.py::test_b"})]
    assert compatibility.table("parameter", rows).splitlines()[2:] == [
        "| `a`, `c` | works | [b](../x.py) |",
        "| `b` | **untested** | – |",
    ]
