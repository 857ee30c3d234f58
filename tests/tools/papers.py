"""Documents made for tests: PDF by hand, Office documents by zipfile, and bad ones of all kinds."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
_A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
_OFFICE = "application/vnd.openxmlformats-officedocument"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

# PDF


def pdf(*pages: Sequence[str], count: int | None = None, encrypt: bool = False) -> bytes:
    """A page for each list of lines; `count` is what the file claims to have."""
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R>>", b"", _FONT]
    kids = []
    for lines in pages:
        content = _page(lines)
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(content), content))
        objects.append(_PAGE % len(objects))
        kids.append(b"%d 0 R" % len(objects))
    claimed = len(pages) if count is None else count
    objects[1] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), claimed)
    trailer = b""
    if encrypt:
        objects.append(_locked())
        trailer = b"/Encrypt %d 0 R/ID[<%s><%s>]" % (len(objects), b"00" * 16, b"00" * 16)
    return _put_together(objects, trailer)


def scanned() -> bytes:
    """A PDF of one page that is only a picture."""
    pixels = zlib.compress(bytes(64))
    head = (
        b"<</Type/XObject/Subtype/Image/Width 8/Height 8/ColorSpace/DeviceGray/BitsPerComponent 8"
    )
    image = b"%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (head, len(pixels), pixels)
    content = b"q 200 0 0 200 0 0 cm /I Do Q"
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 5 0 R"
        b"/Resources<</XObject<</I 3 0 R>>>>>>"
    )
    return _put_together(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[4 0 R]/Count 1>>",
            image,
            page,
            b"<</Length %d>>stream\n%s\nendstream" % (len(content), content),
        ]
    )


_FONT = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
_PAGE = (
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents %d 0 R"
    b"/Resources<</Font<</F1 3 0 R>>>>>>"
)


def _page(lines: Sequence[str]) -> bytes:
    said = b"".join(
        b"1 0 0 1 40 %d Tm (%s) Tj\n" % (780 - 16 * number, _escaped(line))
        for number, line in enumerate(lines)
    )
    return b"BT /F1 10 Tf\n%sET" % said


def _escaped(line: str) -> bytes:
    raw = line.encode("cp1252")
    return raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _put_together(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, each in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, each)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer<</Root 1 0 R/Size %d%s>>\n" % (len(objects) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF" % start)


_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def _locked() -> bytes:
    """The dictionary of the standard encryption of 40 bits, with a password to open (ISO 32000)."""
    user, owner = b"secret", b"owner"
    pad = lambda word: (word + _PADDING)[:32]  # noqa: E731
    owned = _rc4(hashlib.md5(pad(owner)).digest()[:5], pad(user))
    rights = struct.pack("<i", -4)
    key = hashlib.md5(pad(user) + owned + rights + bytes(16)).digest()[:5]
    used = _rc4(key, _PADDING)
    return b"<</Filter/Standard/V 1/R 2/O<%s>/U<%s>/P -4>>" % (
        owned.hex().encode(),
        used.hex().encode(),
    )


def _rc4(key: bytes, data: bytes) -> bytes:
    box, j = list(range(256)), 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)


# Office


def archive(members: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return out.getvalue()


def types(parts: Mapping[str, str]) -> str:
    overrides = "".join(
        f'<Override PartName="/{part}" ContentType="{_OFFICE}.{type}+xml"/>'
        for part, type in parts.items()
    )
    space = "http://schemas.openxmlformats.org/package/2006/content-types"
    return f'<?xml version="1.0" encoding="UTF-8"?><Types xmlns="{space}">{overrides}</Types>'


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    each = "".join(
        f'<Relationship Id="{id}" Type="{_RELATION}/{kind}" Target="{target}"/>'
        for id, (kind, target) in targets.items()
    )
    space = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<Relationships xmlns="{space}">{each}</Relationships>'


def docx(*paragraphs: str, body: str = "", notes: str = "", doctype: str = "") -> bytes:
    """`body` is XML that comes after the paragraphs."""
    said = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    document = f"<w:document {_W}><w:body>{said}{body}</w:body></w:document>"
    parts = {"word/document.xml": "wordprocessingml.document.main"}
    members = {
        "[Content_Types].xml": types(parts),
        "word/document.xml": f'<?xml version="1.0"?>{doctype}{document}',
    }
    if notes:
        footnotes = f"<w:footnotes {_W}><w:p><w:r><w:t>{notes}</w:t></w:r></w:p></w:footnotes>"
        members["word/footnotes.xml"] = footnotes
        named = {"rId1": ("footnotes", "footnotes.xml")}
        members["word/_rels/document.xml.rels"] = relations(named)
    return archive(members)


def pptx(*slides: str, notes: str = "") -> bytes:
    """The slides come in the order given, whatever their parts are called."""
    count = len(slides)
    ids = "".join(f'<p:sldId r:id="rId{n}" id="{300 + n}"/>' for n in range(count))
    show = f'<p:presentation xmlns:p="p" {_R}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>'
    named = {f"rId{n}": ("slide", f"slides/slide{count - n}.xml") for n in range(count)}
    members = {
        "[Content_Types].xml": types({"ppt/presentation.xml": "presentationml.presentation.main"}),
        "ppt/presentation.xml": show,
        "ppt/_rels/presentation.xml.rels": relations(named),
    }
    for number, text in enumerate(slides):
        name = f"slide{count - number}.xml"
        members[f"ppt/slides/{name}"] = _slide(text)
        if notes and number == 0:
            named = {"rId1": ("notesSlide", "../notesSlides/one.xml")}
            members[f"ppt/slides/_rels/{name}.rels"] = relations(named)
            members["ppt/notesSlides/one.xml"] = _slide(notes)
    return archive(members)


def _slide(text: str) -> str:
    return f'<p:sld xmlns:p="p" {_A}><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>'


def xlsx(rows: Sequence[str], shared: Sequence[str] = (), name: str = "Fables") -> bytes:
    """`rows` are XML: the cells of each row. Style 1 is a date, style 2 one of its own."""
    listed = "".join(f"<row>{row}</row>" for row in rows)
    texts = "".join(f"<si><t>{text}</t></si>" for text in shared)
    styles = (
        '<styleSheet><numFmts><numFmt numFmtId="170" formatCode="[Red]yyyy\\-mm"/></numFmts>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="170"/></cellXfs></styleSheet>'
    )
    named = {
        "rId1": ("worksheet", "worksheets/sheet1.xml"),
        "rId2": ("sharedStrings", "sharedStrings.xml"),
        "rId3": ("styles", "styles.xml"),
    }
    book = f'<workbook {_R}><sheets><sheet name="{name}" r:id="rId1"/></sheets></workbook>'
    return archive(
        {
            "[Content_Types].xml": types({"xl/workbook.xml": "spreadsheetml.sheet.main"}),
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": relations(named),
            "xl/worksheets/sheet1.xml": f"<worksheet><sheetData>{listed}</sheetData></worksheet>",
            "xl/sharedStrings.xml": f"<sst>{texts}</sst>",
            "xl/styles.xml": styles,
        }
    )


# bad ones


def bomb(megabytes: int = 64) -> bytes:
    """A DOCX whose text unpacks to a thousand times its size."""
    text = "<w:p><w:r><w:t>" + "a" * (megabytes * 2**20) + "</w:t></w:r></w:p>"
    return docx(body=text)


def nested_bomb() -> bytes:
    """An archive of archives, each of which holds ten of the next."""
    inner = archive({"zeros": bytes(2**20)})
    for _ in range(4):
        inner = archive({f"{number}.zip": inner for number in range(10)})
    return inner


LAUGHS = "<!DOCTYPE w [<!ENTITY a0 'ha'>%s]>" % "".join(  # noqa: UP031
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)
)


def bad() -> Iterator[tuple[str, str, bytes, str]]:
    """What it is, its name, its bytes, and the code it fails with."""
    paper = pdf(["A line of text."], ["Another one."])
    letter = docx("A paragraph.", "Another one.")
    for share in (10, 40, 70, 95):
        yield f"pdf cut at {share}%", "a.pdf", paper[: len(paper) * share // 100], "invalid_file"
        cut = letter[: len(letter) * share // 100]
        yield f"docx cut at {share}%", "a.docx", cut, "invalid_file"
    yield "encrypted pdf", "a.pdf", pdf(["A line."], encrypt=True), "invalid_file"
    yield "a million pages", "a.pdf", pdf(["A line."], count=1_000_000), "invalid_file"
    yield "only a picture", "a.pdf", scanned(), "invalid_file"
    yield "no page", "a.pdf", pdf(), "invalid_file"
    yield "zip bomb", "a.docx", bomb(), "invalid_file"
    yield "nested zip bomb", "a.docx", nested_bomb(), "unsupported_file"
    laughs = docx(body="<w:p><w:r><w:t>&a9;</w:t></w:r></w:p>", doctype=LAUGHS)
    yield "billion laughs", "a.docx", laughs, "invalid_file"
    secret = "<!DOCTYPE w [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
    outside = docx(body="<w:p><w:r><w:t>&a;</w:t></w:r></w:p>", doctype=secret)
    yield "external entity", "a.docx", outside, "invalid_file"
    yield "deep xml", "a.docx", docx(body="<w:p>" * 5_000 + "</w:p>" * 5_000), "invalid_file"
    yield "broken xml", "a.docx", docx(body="<w:p></w:q>"), "invalid_file"
    yield "plain zip", "a.docx", archive({"a.txt": "text"}), "unsupported_file"
    yield "unknown office", "a.docx", archive({"[Content_Types].xml": types({})}), "invalid_file"
    yield "png named pdf", "a.pdf", b"\x89PNG\r\n\x1a\n" + bytes(64), "unsupported_file"
    yield "old word", "a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "unsupported_file"
    yield "empty", "a.pdf", b"", "invalid_file"
