"""Tables of text: rows that are understood alone."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.tools.tables import ROW_MAX

from .test_parsing import parsed

PEOPLE = 'Name,Born,"Known\nfor"\n"Lovelace, Ada",1815,"a ""note"" G\nof 1843"\nTuring,1912,\n'


@pytest.mark.parametrize("step", [1 << 20, 7, 1])
def test_a_row_names_its_columns(step: int):
    """Each cell is a line with the name of its column, empty ones are left out."""
    assert parsed(PEOPLE.encode(), "people.CSV", step) == (
        'Name: Lovelace, Ada\nBorn: 1815\nKnown for: a "note" G of 1843\n\n'
        "Name: Turing\nBorn: 1912\n\n"
    )


def test_tabs_are_known_by_the_name_of_the_file():
    """TSV is a table as well, and a row may be longer or shorter than its head."""
    assert parsed(b"a\tb\n1\n1\t2\t3\n", "x.tsv") == "a: 1\n\na: 1\nb: 2\ncolumn 3: 3\n\n"


@pytest.mark.parametrize(
    "text", ["1,2\n3,4\n", "a,a\n1,2\n", "just a line\nand one\n", "a,\n1,2\n"]
)
def test_what_names_no_columns_stays_as_it_is(text: str):
    """A first row of numbers, or of names that are missing or the same, is none of names."""
    assert parsed(text.encode(), "x.csv") == text


def test_quotes_that_do_not_end_lose_nothing():
    """Where the quotes are not those of a table, all the rest is kept as it is."""
    rest = '5" disk,' + "x\n" * ROW_MAX
    assert parsed(f"a,b\n1,2\n{rest}".encode(), "x.csv", 9_999) == "a: 1\nb: 2\n\n" + rest
    assert parsed(b'a,b\n"1,2', "x.csv") == '"1,2'


_CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


@given(st.lists(st.lists(_CELLS, min_size=2, max_size=4), max_size=9), st.integers(1, 50))
def test_every_value_is_told(rows: list[list[str]], step: int):
    """However pieces end, no cell of a table is lost."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["first", "second"], *rows])
    text = parsed(out.getvalue().encode(), "x.csv", step)
    for value in (cell.strip() for row in rows for cell in row):
        assert value in text


@given(st.text(st.sampled_from('ab,"\n\r\t1'), max_size=200), st.integers(1, 50))
def test_pieces_change_nothing(text: str, step: int):
    """What is read does not depend on where the pieces end, whatever the text."""
    head = "a,b\n"
    assert parsed((head + text).encode(), "x.csv", step) == parsed((head + text).encode(), "x.csv")
