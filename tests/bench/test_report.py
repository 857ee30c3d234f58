"""The table and the JSON of the benchmark."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from bench.measure import Row, at_least, at_most
from bench.plan import Plan
from bench.report import document, number, table

APPEND = Row("append", "requests/s", [16_000, 17_000], "bare", [40_000], at_least(0.45))
START = Row("start", "s", [0.21], "OGX", [4.8], at_most(0.8, of="figure"))
ALONE = Row("in process", "appends/s", [18_250])


def test_the_table_says_what_how_much_and_beside_what():
    """One aligned line per row, with figure, limit, ratio, target, verdict and peer."""
    lines = table([APPEND, START, ALONE]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]] == [
        [
            "append",
            "16,500 requests/s",
            "40,000 requests/s",
            "0.412 x",
            "≥ 0.45 x",
            "MISSES",
            "bare",
        ],
        ["start", "0.21 s", "4.8 s", "0.0437 x", "≤ 0.8 s", "holds", "OGX"],
        ["in process", "18,250 appends/s", "-", "-", "-", "-", ""],
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.27134, "0.271"), (1.8, "1.8"), (35.46, "35.5"), (118.4, "118"), (17_031.2, "17,031")],
)
def test_a_number_shows_the_digits_that_count(value: float, shown: str):
    """Three of them below 100, whole numbers above."""
    assert number(value) == shown


def test_the_json_has_every_single_run():
    """Whoever doubts a median finds its runs, what it was judged by, and the machine."""
    plan = Plan(Path("data"), Path("peers"), quick=True)
    whole = msgspec.json.decode(document({"http-append": [APPEND]}, plan, "wrk"))
    assert (whole["quick"], whole["load"]) == (True, "wrk")
    assert whole["machine"]["cores"] >= 1
    [row] = whole["rows"]
    assert (row["piece"], row["what"], row["unit"]) == ("http-append", "append", "requests/s")
    assert (row["ours"], row["theirs"], row["figure"]) == ([16_000, 17_000], [40_000], 16_500)
    assert (row["ratio"], row["holds"]) == (0.4125, False)
    assert row["target"] == {"bound": "at least", "value": 0.45, "of": "ratio"}
