"""Text files: the one place that opens them and finds their encoding, line ends, number of lines and hash."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

from system.errors import InputError
from system.files import CHUNK_BYTES, as_input_error, refuse_stream
from text.tables.input import limits
from text.tables.input.encodings import likely_encodings

KEEP_BYTES = "backslashreplace"


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
        may_have_long_lines: whether a line may have more than `limits.MAX_ROW_CHARACTERS` characters.
    """

    path: Path
    encoding: str
    line_end: str
    num_lines: int
    has_nul: bool
    sha256: str | None
    undecodable: str | None = None
    may_have_long_lines: bool = False

    @property
    def errors(self) -> str:
        """The error handler, as an argument of `open`. Bytes that cannot be decoded are kept as `\\xNN`."""
        return KEEP_BYTES if self.undecodable else "strict"

    def open(self, newline: str | None = None) -> IO[str]:
        """Open the file to read its text; without `newline`, its lines end with `line_end`."""
        newline = self.line_end if newline is None else newline
        return open(self.path, encoding=self.encoding, errors=self.errors, newline=newline)

    def lines(self) -> Iterator[str]:
        """Yield the lines without their ends; a line that is too long is cut, see `bounded`."""
        with as_input_error(self.path), self.open() as file:
            for line in self.bounded(file):
                yield line.removesuffix("\n").removesuffix("\r")  # inline, because of millions of lines

    def bounded(self, file: IO[str], ends: str = "") -> Iterator[str]:
        """Return the lines of the opened file, with their ends.

        One of more than `limits.MAX_ROW_CHARACTERS` characters is cut after two more, and its rest is skipped.

        Args:
            ends: the characters that end a line, if they are others than `line_end`.
        """
        return _bounded_lines(file, ends or self.line_end) if self.may_have_long_lines else file

    def refuse_undecodable(self) -> None:
        """Raise an InputError if the file has bytes that no known encoding decodes."""
        if self.undecodable:
            raise InputError(self.undecodable)


class Survey(Protocol):
    """A collector of facts about the lines of a file during a scan."""

    def add(self, line: str) -> None: ...


AnySurvey = TypeVar("AnySurvey", bound=Survey)


def _bounded_lines(file: IO[str], ends: str) -> Iterator[str]:
    most = limits.MAX_ROW_CHARACTERS + 2  # so that a line at the limit fits with its "\r\n"
    while line := file.readline(most):
        yield line
        while len(line) == most and line[-1] not in ends:
            line = file.readline(most)


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
        InputError: the file cannot be read, is a pipe or a device, or `lossless` is false and it has such bytes.
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
    refuse_stream(path)
    with as_input_error(path), open(path, "rb") as file:
        chunk = file.read(max(CHUNK_BYTES, len(codecs.BOM_UTF8)))
        encodings = likely_encodings(chunk)
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
    facts = (best.encoding, best.line_end, best.num_lines, best.has_nul, sha256, undecodable, best.may_have_long_lines)
    return TextFile(Path(path), *facts), best.lines


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
        may_have_long_lines: whether a line so far may be longer than `limits.MAX_ROW_CHARACTERS`.
        lines: the survey of the lines of the text, or None.
    """

    def __init__(self, encoding: str, lines: _SurveyedLines | None) -> None:
        self.encoding = encoding
        self.failed_at: int | None = None
        self.has_nul = self.may_have_long_lines = False
        self.lines = lines
        # A codec with "-sig" would not count the bytes of the byte order mark.
        self._codec = encoding.removesuffix("-sig")
        self._decoder = codecs.getincrementaldecoder(self._codec)("strict")
        self._num_bytes = 0
        self._newlines = 0
        self._returns = 0
        self._last_character = ""
        self._open_characters = 0  # of the line that the last chunk has not ended

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
        self._open_characters += len(text)
        self.may_have_long_lines = self.may_have_long_lines or self._open_characters > limits.MAX_ROW_CHARACTERS
        if "\n" in text:
            self._open_characters = len(text) - text.rindex("\n") - 1
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
        self._open_characters = 0

    def add(self, text: str) -> None:
        if self.is_incomplete:
            return
        if "\n" not in text:
            self._has_return = self._has_return or "\r" in text
            # A line that is too long is cut, so that its survey sees the same problem as its reader.
            text = text[: max(limits.MAX_ROW_CHARACTERS + 1 - self._open_characters, 0)]
            self._open_characters += len(text)
            self._unfinished.append(text)
            if self._has_return and not self._has_newline and len(self._unfinished) > 1:
                self.is_incomplete = True
                self._unfinished.clear()
            return
        self._has_newline = True
        first, *lines = text.split("\n")
        lines.insert(0, "".join(self._unfinished) + first)
        self._unfinished = [lines.pop()]
        self._open_characters = len(self._unfinished[0])
        for line in lines:
            self.survey.add(line.removesuffix("\r"))

    def finish(self, line_end: str) -> None:
        lines = "".join(self._unfinished).split(line_end)
        if not lines[-1]:
            lines.pop()
        for line in lines:
            self.survey.add(line.removesuffix("\r"))
