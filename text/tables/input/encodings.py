"""The encodings that a text file may have."""

from __future__ import annotations

import codecs
import re

# UTF-8 first: text in GB18030 is hardly ever valid UTF-8, but text in UTF-8 is often valid GB18030.
ENCODINGS = ("utf-8", "gb18030")
# U+0000, and what line ends become if UTF-16 is read one byte off: scripts that do not occur in Chinese texts.
SIGNS_OF_OTHER_ENCODING = re.compile("[\0\u0a00-\u0aff\u0d00-\u0dff]")


def likely_encodings(start: bytes) -> tuple[str, ...]:
    """Return the encodings to try for a file that begins with these bytes, the most likely first."""
    if start.startswith(codecs.BOM_UTF8):
        return ("utf-8-sig",)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    utf16 = utf16_without_mark(start)
    return (utf16,) if utf16 else ENCODINGS


def utf16_without_mark(start: bytes) -> str | None:
    """Return "utf-16-le" or "utf-16-be" for the start of a text in UTF-16 without a byte order mark, else None.

    In UTF-16 a line end is a NUL byte beside `\\n`, always on the same side and at an even offset. Stray NUL bytes in
    other encodings do not follow this pattern.
    """
    if b"\0" not in start:
        return None
    # Latin letters in UTF-16 are valid UTF-8 too, but every other byte is NUL.
    may_be_utf8 = start.count(0) * 4 <= len(start) and _decoded(start, "utf-8") is not None
    for encoding in ("utf-16-le", "utf-16-be"):
        text = _decoded(start, encoding)
        if not text or SIGNS_OF_OTHER_ENCODING.search(text):
            continue
        line_ends = text.count("\n")
        # A stray NUL byte may be beside one line end, but hardly beside several line ends.
        if may_be_utf8 and (line_ends < 2 or line_ends < start.count(b"\n")):
            continue
        if line_ends or "\r" in text:
            return encoding
    return None


def _decoded(start: bytes, encoding: str) -> str | None:
    """Return the text of these bytes, without an incomplete last character, or None if they cannot be decoded."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(start)
    except UnicodeDecodeError:
        return None
