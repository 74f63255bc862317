"""Text files: the one place that opens them and finds their encoding, line ends, number of lines and hash."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

from system.errors import InputError
from system.files import CHUNK_BYTES, as_input_error

# UTF-8 first: text in GB18030 is hardly ever valid UTF-8, but text in UTF-8 is often valid GB18030.
ENCODINGS = ("utf-8", "gb18030")
KEEP_BYTES = "backslashreplace"
# U+0000, and what line ends become if UTF-16 is read one byte off: scripts that do not occur in Chinese texts.
SIGNS_OF_OTHER_ENCODING = re.compile("[\0\u0a00-\u0aff\u0d00-\u0dff]")


@dataclass(frozen=True)
class TextFile:
    """A text file after a scan.

    Attributes:
        path: the path of the file.
        encoding: the encoding, as an argument of `open`; if none decodes the whole file, the one that decodes most.
        line_end: `\\r` if lines end with it alone, as on some old systems; else `\\n`, even for `\\r\\n`.
        num_lines: the number of lines. The last one may lack its end.
        has_nul: whether the text has NUL characters.
        sha256: the hash of the bytes, in hexadecimal; None unless the scan was lossless.
        undecodable: an error message about bytes that no known encoding decodes; None if there are none.
    """

    path: Path
    encoding: str
    line_end: str
    num_lines: int
    has_nul: bool
    sha256: str | None
    undecodable: str | None = None

    @property
    def errors(self) -> str:
        """The error handler, as an argument of `open`. Bytes that cannot be decoded are kept as `\\xNN`."""
        return KEEP_BYTES if self.undecodable else "strict"

    def open(self, newline: str | None = None) -> IO[str]:
        """Open the file to read its text; without `newline`, its lines end with `line_end`."""
        newline = self.line_end if newline is None else newline
        return open(self.path, encoding=self.encoding, errors=self.errors, newline=newline)

    def lines(self) -> Iterator[str]:
        """Yield the lines without their ends."""
        with as_input_error(self.path), self.open() as file:
            for line in file:
                yield line.removesuffix("\n").removesuffix("\r")  # inline, because of millions of lines

    def refuse_undecodable(self) -> None:
        """Raise an InputError if the file has bytes that no known encoding decodes."""
        if self.undecodable:
            raise InputError(self.undecodable)


class Survey(Protocol):
    """A collector of facts about the lines of a file during a scan."""

    def add(self, line: str) -> None: ...


AnySurvey = TypeVar("AnySurvey", bound=Survey)


def without_line_end(line: str) -> str:
    """Return a line without the `\\n`, `\\r\\n` or `\\r` at its end."""
    return line.removesuffix("\n").removesuffix("\r")


def scan(path: Path, *, lossless: bool = False) -> TextFile:
    """Scan a file in one pass and constant memory.

    The encoding is that of the byte order mark, if there is one. Otherwise it is UTF-16 if the text looks like it (see
    `utf16_without_mark`), or the first of `ENCODINGS` that decodes the whole file.

    Args:
        lossless: whether to keep bytes that cannot be decoded, as `\\xNN`, and to compute the hash.

    Raises:
        InputError: the file cannot be read, or `lossless` is false and it has such bytes.
    """
    return _scan(path, None, lossless)[0]


def scan_lines(path: Path, new_survey: Callable[[], AnySurvey], *, lossless: bool) -> tuple[TextFile, AnySurvey]:
    """Scan a file like `scan`, and pass each of its lines to a survey.

    Args:
        new_survey: a function that makes a survey. It may be called several times, since reading starts again if the
            first encoding turns out to be wrong.

    Returns:
        The file, and the survey of all its lines.
    """
    file, lines = _scan(path, new_survey, lossless)
    if not lines.is_incomplete:
        return file, lines.survey
    survey = new_survey()
    for line in file.lines():
        survey.add(line)
    return file, survey


def _scan(path: Path, new_survey: Callable | None, lossless: bool) -> tuple[TextFile, _SurveyedLines | None]:
    digest = None
    if lossless:
        import hashlib  # imported here because it takes four megabytes of memory

        digest = hashlib.sha256()
    with as_input_error(path), open(path, "rb") as file:
        chunk = file.read(max(CHUNK_BYTES, len(codecs.BOM_UTF8)))
        encodings = _likely_encodings(chunk)
        decodings = [_Decoding(encoding, new_survey and _SurveyedLines(new_survey())) for encoding in encodings]
        best, *others = decodings
        while True:
            if digest:
                digest.update(chunk)
            best.read(chunk, final=not chunk)
            if best.failed_at is not None and others:
                other = others.pop()
                _read_from_start(file, other, final=not chunk)
                if other.failed_at is None or other.failed_at > best.failed_at:
                    best = other
            if best.failed_at is not None and not lossless:
                raise InputError(_undecodable(path, decodings))
            if not chunk:
                break
            chunk = file.read(CHUNK_BYTES)
    undecodable = None if best.failed_at is None else _undecodable(path, decodings)
    sha256 = digest.hexdigest() if digest else None
    file = TextFile(Path(path), best.encoding, best.line_end, best.num_lines, best.has_nul, sha256, undecodable)
    return file, best.lines


def _read_from_start(file: IO[bytes], decoding: _Decoding, final: bool) -> None:
    """Let a decoding catch up with the position in the file, up to the first byte that it cannot decode."""
    end = file.tell()
    file.seek(0)
    while decoding.failed_at is None and (left := end - file.tell()):
        decoding.read(file.read(min(CHUNK_BYTES, left)))
    if final and decoding.failed_at is None:
        decoding.read(b"", final=True)
    file.seek(end)


def _undecodable(path: str | os.PathLike, decodings: list[_Decoding]) -> str:
    failures = (f"{each.encoding.upper()} (byte {each.failed_at:,} cannot be decoded)" for each in decodings)
    sign = "; its NUL bytes suggest that it is not a text file" if any(each.has_nul for each in decodings) else ""
    return f"{path} is not text in {' or '.join(failures)}{sign}; save it as text in UTF-8"


class _Decoding:
    """An attempt to decode a file with one encoding, chunk by chunk.

    Attributes:
        failed_at: the offset of the first byte that cannot be decoded; None so far.
        has_nul: whether the text so far has NUL characters.
        lines: the survey of the lines of the text, or None.
    """

    def __init__(self, encoding: str, lines: _SurveyedLines | None) -> None:
        self.encoding = encoding
        self.failed_at: int | None = None
        self.has_nul = False
        self.lines = lines
        # A codec with "-sig" would not count the bytes of the byte order mark.
        self._codec = encoding.removesuffix("-sig")
        self._decoder = codecs.getincrementaldecoder(self._codec)("strict")
        self._num_bytes = 0
        self._newlines = 0
        self._returns = 0
        self._last_character = ""

    @property
    def line_end(self) -> str:
        return "\r" if self._returns and not self._newlines else "\n"

    @property
    def num_lines(self) -> int:
        has_open_end = self._last_character not in ("", self.line_end)
        return (self._newlines if self.line_end == "\n" else self._returns) + has_open_end

    def read(self, chunk: bytes, final: bool = False) -> None:
        text = self._decode(chunk, final)
        if not self._num_bytes and self.encoding == "utf-8-sig":
            text = text.removeprefix("\ufeff")
        self._num_bytes += len(chunk)
        self._newlines += text.count("\n")
        if not self._newlines:
            self._returns += text.count("\r")
        if text:
            self._last_character = text[-1]
            self.has_nul = self.has_nul or "\0" in text
        if self.lines:
            self.lines.add(text)
            if final:
                self.lines.finish(self.line_end)

    def _decode(self, chunk: bytes, final: bool) -> str:
        state = self._decoder.getstate()
        try:
            return self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            # The state holds the first bytes of a character that continues from the last chunk.
            self.failed_at = self._num_bytes - len(state[0]) + error.start
        self._decoder = codecs.getincrementaldecoder(self._codec)(KEEP_BYTES)
        self._decoder.setstate(state)
        return self._decoder.decode(chunk, final)


class _SurveyedLines:
    """A splitter that passes the lines of a text in chunks to a survey.

    Attributes:
        is_incomplete: whether it has stopped because lines seem to end with `\\r` alone. Only the end of the file makes
            that certain, and keeping the text until then could take any amount of memory.
    """

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.is_incomplete = False
        self._has_newline = self._has_return = False
        self._unfinished: list[str] = []

    def add(self, text: str) -> None:
        if self.is_incomplete:
            return
        if "\n" not in text:
            self._unfinished.append(text)
            self._has_return = self._has_return or "\r" in text
            if self._has_return and not self._has_newline and len(self._unfinished) > 1:
                self.is_incomplete = True
                self._unfinished.clear()
            return
        self._has_newline = True
        first, *lines = text.split("\n")
        lines.insert(0, "".join(self._unfinished) + first)
        self._unfinished = [lines.pop()]
        for line in lines:
            self.survey.add(line.removesuffix("\r"))

    def finish(self, line_end: str) -> None:
        lines = "".join(self._unfinished).split(line_end)
        if not lines[-1]:
            lines.pop()
        for line in lines:
            self.survey.add(line.removesuffix("\r"))


def _likely_encodings(start: bytes) -> tuple[str, ...]:
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
