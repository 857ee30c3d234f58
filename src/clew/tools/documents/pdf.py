"""PDF: page after page, by PDFium. Pages that only show pictures of text say nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from clew.tools.documents.limits import PAGES_MAX
from clew.tools.formats import invalid, unsupported

_HYPHEN = re.compile("[\ufffe\x02]\r?\n?")
"""PDFium's sign for the hyphen of a word that goes on in the next line."""

_LINE_END = re.compile("\r\n?")
_BAD_PASSWORD = 4
_BAD_SECURITY = 5


def read(file: BinaryIO) -> Iterator[str]:
    try:
        import pypdfium2
    except ImportError:
        raise unsupported(
            "Reading PDF files takes the extra 'documents': pip install 'clew[documents]'."
        ) from None
    try:
        document = pypdfium2.PdfDocument(file)
        pages = len(document)
    except pypdfium2.PdfiumError as error:
        raise _refusal(getattr(error, "err_code", None)) from None
    if pages > PAGES_MAX:
        raise invalid(f"The file has more than {PAGES_MAX} pages.")
    for number in range(pages):
        yield _page(document, number)


def _page(document: Any, number: int) -> str:
    import pypdfium2

    try:
        page = document[number]
        said = page.get_textpage()
        text = said.get_text_bounded()
        said.close()
        page.close()
    except pypdfium2.PdfiumError:
        raise invalid(f"The file is damaged: page {number + 1} cannot be read.") from None
    text = _LINE_END.sub("\n", _HYPHEN.sub("", text))
    return f"{text}\n\n" if text else ""


def _refusal(code: int | None) -> Exception:
    if code in (_BAD_PASSWORD, _BAD_SECURITY):
        return invalid("The file is encrypted.")
    return invalid("The file is damaged: it is no complete PDF.")
