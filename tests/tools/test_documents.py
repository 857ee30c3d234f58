"""Documents into text: what is read, and what bad ones can do to nobody."""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from clew.tools.documents import limits, reading
from clew.tools.formats import Unreadable, document_of

from . import papers

MARK = b"%PDF-"


def told(data: bytes) -> str:
    """The text of a document, as the indexer asks for it."""

    async def read() -> str:
        format = document_of(data)
        assert format is not None, "this is no document"
        with reading.spool() as file:
            file.write(data)
            return "".join([text async for text in reading.read(file, format)])

    return asyncio.run(read())


def refused(data: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as refusal:
        told(data)
    return refusal.value


def test_a_pdf_is_read_page_by_page():
    """Each line is a line, each page begins anew, and letters beyond ASCII are there."""
    text = told(papers.pdf(["The fox (a \\ b).", "Füchse für 5 €."], ["Page two."]))
    assert text == "The fox (a \\ b).\nFüchse für 5 €.\n\nPage two.\n\n"


def test_a_docx_is_read_paragraph_by_paragraph():
    """Tables keep their rows, notes come last, and what was deleted or said twice is left out."""
    body = """<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r>
        <w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
        <w:p><w:pPr><w:tabs><w:tab w:pos="9"/></w:tabs></w:pPr>
        <w:r><w:t>x</w:t><w:tab/><w:t>y</w:t><w:br/></w:r>
        <w:del><w:r><w:delText>no</w:delText><w:t>no</w:t></w:r></w:del>
        <w:r><w:instrText>PAGE</w:instrText></w:r></w:p>
        <mc:AlternateContent xmlns:mc="mc"><mc:Choice><w:t>once</w:t></mc:Choice>
        <mc:Fallback><w:t>once</w:t></mc:Fallback></mc:AlternateContent>"""
    text = told(papers.docx("One &amp; é", "Two", body=body, notes="A note."))
    assert text == "One & é\nTwo\na \tb \nx\ty\n\nonceA note.\n"


def test_a_pptx_is_read_slide_by_slide():
    """Slides come in the order of the show, each with its notes."""
    assert told(papers.pptx("First", "Second", notes="Say it.")) == "First\nSay it.\n\nSecond\n\n"


def test_an_xlsx_is_read_row_by_row():
    """Rows carry the names of the columns; texts, truths and dates are what people see."""
    rows = [
        '<c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>2</v></c>',
        '<c r="A2" t="inlineStr"><is><t>Fox</t></is></c><c r="B2" s="1"><v>45000.5</v></c>',
        '<c r="A3"><v>3.5</v></c><c r="C3" t="b"><v>1</v></c><c r="D3" s="2"><v>45000</v></c>',
    ]
    text = told(papers.xlsx(rows, ["Animal", "Born", "Alive"]))
    assert text == (
        "Fables\n\nAnimal: Fox\nBorn: 2023-03-15 12:00:00\n\n"
        "Animal: 3.5\nAlive: true\ncolumn 4: 2023-03-15\n\n"
    )


def test_a_sheet_without_names_is_told_by_tabs():
    """A first row of numbers names nothing."""
    rows = ["<c><v>1</v></c><c><v>2</v></c>", "<c><v>3</v></c>"]
    assert told(papers.xlsx(rows)) == "Fables\n\n1\t2\n3\n"


@pytest.mark.parametrize("reference", ["ZZZ1", "A1048577000", "", "1A", "Ä1"])
def test_a_cell_far_away_costs_nothing(reference: str):
    """A reference to a column that no sheet has is passed over or put next to the last one."""
    row = f'<c r="{reference}" t="str"><v>x</v></c><c r="B1"><v>7</v></c>'
    assert told(papers.xlsx([row])).endswith("7\n")


def outcome(data: bytes) -> tuple[str, str | None]:
    """The text of a document, or the code of its refusal."""
    try:
        return told(data), None
    except Unreadable as found:
        return "", found.code


DOCUMENTS = [each for each in papers.bad() if each[2].startswith((MARK, b"PK"))]


@pytest.mark.parametrize(
    ("data", "code"), [pytest.param(data, code, id=what) for what, _, data, code in DOCUMENTS]
)
def test_a_bad_document_is_refused(data: bytes, code: str):
    """Whatever is wrong with it, the file is refused by a code of OpenAI's, or has no text; and
    soon."""
    begun = time.monotonic()
    text, refusal = outcome(data)
    assert (text.strip(), refusal or code) == ("", code)
    assert time.monotonic() - begun < 20


def test_reasons_are_told_apart():
    """Who uploads a file is told what is the matter with it."""
    assert refused(papers.pdf(["x"], encrypt=True)).message == "The file is encrypted."
    assert "pages" in refused(papers.pdf(["x"], count=1_000_000)).message
    assert "far more than its size" in refused(papers.bomb()).message
    assert "document type" in refused(papers.docx("&a0;", doctype=papers.LAUGHS)).message
    assert "nested" in refused(papers.docx(body="<w:p>" * 600 + "</w:p>" * 600)).message


@pytest.mark.parametrize("kind", ["pdf", "docx", "xlsx", "pptx"])
def test_damage_is_never_a_fault(kind: str):
    """A document with any of its bytes flipped, or cut anywhere, is read or refused."""
    rows = ['<c r="A1" t="s"><v>0</v></c><c r="B1" s="1"><v>45000.5</v></c>']
    whole = {
        "pdf": papers.pdf(["A line."] * 9, ["Another."]),
        "docx": papers.docx("A paragraph.", notes="A note."),
        "xlsx": papers.xlsx(rows, ["Shared"]),
        "pptx": papers.pptx("First", "Second", notes="Note"),
    }[kind]
    chance = random.Random(kind)
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(5, len(data))] = chance.randrange(256)
        for damaged in (bytes(data), whole[: chance.randrange(8, len(whole))]):
            text, code = outcome(damaged)
            assert "\0" not in text
            assert code in (None, "invalid_file", "unsupported_file")


def boot(code: str) -> str:
    """What a reader does instead of reading."""
    return f"import os, resource, signal, sys, time\n{code}"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "reading it failed"),
        ("os.kill(os.getpid(), signal.SIGABRT)", "reading it failed"),
        ("resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass", "too long"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("time.sleep(60)", "too long"),
        ("os.write(1, b't\\0\\0\\0\\1'); time.sleep(60)", "too long"),
    ],
)
def test_a_reader_that_dies_or_hangs_fails_its_file(
    monkeypatch: pytest.MonkeyPatch, code: str, reason: str
):
    """A native parser that crashes, spins or sleeps takes nobody with it."""
    monkeypatch.setattr(reading, "_BOOT", boot(code))
    monkeypatch.setattr(reading, "WALL_S", 3.0)
    refusal = refused(b"%PDF-")
    assert (refusal.code, reason in refusal.message) == ("invalid_file", True)


@pytest.mark.parametrize("code", ["sys.exit(1)", "os.write(1, b't\\xff\\xff\\xff\\xff')"])
def test_a_reader_that_fails_by_itself_is_our_fault(monkeypatch: pytest.MonkeyPatch, code: str):
    """What is no fault of the file is not put down to it."""
    monkeypatch.setattr(reading, "_BOOT", boot(code))
    with pytest.raises(RuntimeError, match="reader of a document"):
        told(b"%PDF-")


def test_a_document_cannot_take_all_memory(monkeypatch: pytest.MonkeyPatch):
    """A workbook that wants more memory than there is for a reader fails, and says so."""
    if sys.platform != "linux":
        pytest.skip("only Linux keeps to a limit of address space")
    small = reading._BOOT.replace("main(format)", "limits.MEMORY_BYTES = 80 << 20\nmain(format)")
    boot = small.replace("import main", "import main\nfrom clew.tools.documents import limits")
    monkeypatch.setattr(reading, "_BOOT", boot)
    rows = ["".join(f"<c><v>{n}</v></c>" for n in range(200))]
    many = papers.xlsx(rows, [f"text {n:x>64}" for n in range(600_000)])
    assert "memory" in refused(many).message
    assert told(papers.xlsx(rows)).startswith("Fables")


def test_a_reader_nobody_listens_to_is_ended():
    """Who stops in the middle leaves no process behind."""
    pages = [[f"Line {line}" for line in range(40)]] * 400

    async def play() -> int:
        with reading.spool() as file:
            file.write(papers.pdf(*pages))
            async with aclosing(reading.read(file, "PDF")) as texts:
                await anext(texts)
                (child,) = children()
        assert child not in children()
        return child

    asyncio.run(play())


def children() -> list[int]:
    """The processes this one has started and that are there."""
    if not Path("/proc").exists():
        pytest.skip("there is no /proc to look into")
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def test_this_process_pays_for_no_document():
    """While a document of megabytes is read, this process holds pieces of it."""
    data = papers.docx(*[f"Paragraph {n} of many, none like another." for n in range(400_000)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def play() -> int:
        count = 0
        with reading.spool() as file:
            file.write(data)
            async for text in reading.read(file, "ZIP"):
                count += len(text)
        return count

    assert asyncio.run(play()) > 15_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_192


def test_the_reader_sees_no_secrets(monkeypatch: pytest.MonkeyPatch):
    """The environment of the server, which may hold keys, is not that of the reader."""
    monkeypatch.setenv("CLEW_API_KEY", "sk-secret")
    told_all = "t = repr(os.environ).encode(); os.write(1, b't' + len(t).to_bytes(4, 'big') + t)"
    monkeypatch.setattr(reading, "_BOOT", boot(f"{told_all}; os.write(1, b'.\\0\\0\\0\\0')"))
    assert "secret" not in told(b"%PDF-")


def test_without_pdfium_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    """Where the extra is not installed, PDF files fail by its name, and others are read."""
    without = reading._BOOT.replace("main(format)", "sys.modules['pypdfium2'] = None\nmain(format)")
    monkeypatch.setattr(reading, "_BOOT", without)
    refusal = refused(papers.pdf(["x"]))
    assert (refusal.code, "clew[documents]" in refusal.message) == ("unsupported_file", True)
    assert told(papers.docx("x")) == "x\n"


def test_text_has_an_end(monkeypatch: pytest.MonkeyPatch):
    """More text than may be read is a reason to refuse, not to cut it off."""
    short = reading._BOOT.replace("main(format)", "limits.CHARACTERS_MAX = 99\nmain(format)")
    boot = short.replace("import main", "import main\nfrom clew.tools.documents import limits")
    monkeypatch.setattr(reading, "_BOOT", boot)
    assert "more text" in refused(papers.docx("x" * 99)).message
    assert limits.CHARACTERS_MAX > 99
