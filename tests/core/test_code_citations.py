"""Where a text names files that code wrote."""

from __future__ import annotations

from typing import Any

from clew.core.code_citations import cited, files_of


def made(path: str, key: str = "A", **fields: Any) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    ids = {"file_id": f"file-{key}", "container_id": "cntr_T"}
    return {"path": path, "filename": name, **ids, **fields}


def spans(text: str, *files: dict[str, Any]) -> list[tuple[str, str]]:
    found = cited(text, files)
    return [(text[each["start_index"] : each["end_index"]], each["file_id"]) for each in found]


def test_a_path_is_cited_where_it_stands():
    """The annotation has the file, and offsets in letters of what stands for it."""
    text = "Ö 🧵: [table](sandbox:/mnt/data/t.csv)."
    start = text.index("sandbox")
    assert cited(text, [made("/mnt/data/t.csv")]) == [
        {
            "type": "container_file_citation",
            "container_id": "cntr_T",
            "file_id": "file-A",
            "filename": "t.csv",
            "start_index": start,
            "end_index": start + len("sandbox:/mnt/data/t.csv"),
        }
    ]


def test_each_mention_is_cited_in_order():
    """One file twice, two files once: as they come in the text."""
    first, second = made("/mnt/data/a.txt", "A"), made("/mnt/data/sub/b.txt", "B")
    text = "sandbox:/mnt/data/sub/b.txt, sandbox:/mnt/data/a.txt; sandbox:/mnt/data/a.txt"
    assert [id for _, id in spans(text, first, second)] == ["file-B", "file-A", "file-A"]


def test_a_longer_path_is_not_cut_short():
    """Of paths that begin alike the whole one is meant; a path of no file is not cited."""
    short, long = made("/mnt/data/a", "S"), made("/mnt/data/a.csv", "L")
    assert spans("sandbox:/mnt/data/a.csv", short, long) == [("sandbox:/mnt/data/a.csv", "file-L")]
    assert spans("sandbox:/mnt/data/a.csv.gz", short, long) == []
    assert spans("sandbox:/mnt/data/a/b", short) == []
    assert spans("sandbox:/mnt/data/a. Then", short) == [("sandbox:/mnt/data/a", "file-S")]


def test_spaces_may_be_written_as_in_a_url():
    """`my file.csv` is found as it is and as `my%20file.csv`; letters are taken as letters."""
    file = made("/mnt/data/my file (1).csv")
    assert len(spans("sandbox:/mnt/data/my file (1).csv", file)) == 1
    assert len(spans("[x](sandbox:/mnt/data/my%20file%20%281%29.csv)", file)) == 1
    assert spans("sandbox:/mnt/data/my fileX(1).csv", file) == []


def test_the_later_of_two_files_is_meant():
    """A file that was written again is cited as it is now."""
    assert spans("sandbox:/mnt/data/a", made("/mnt/data/a", "A"), made("/mnt/data/a", "B")) == [
        ("sandbox:/mnt/data/a", "file-B")
    ]


def test_other_texts_have_none():
    """Without the scheme, or without files, there is nothing to cite."""
    assert spans("/mnt/data/a", made("/mnt/data/a")) == []
    assert spans("sandbox:/mnt/data/a") == []


def test_only_whole_files_of_an_item_count():
    """What a client made up as `files` of an item is passed over."""
    whole = made("/mnt/data/a")
    odd = [None, "x", {}, {"path": "/mnt/data/b"}, whole | {"path": 1}, whole]
    assert files_of({"type": "code_interpreter_call", "files": odd}) == [whole]
    assert [files_of(item) for item in ({}, {"files": None}, {"files": "abc"})] == [[], [], []]
