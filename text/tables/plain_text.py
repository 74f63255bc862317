"""Plain text: encodings found, lines in and lines out."""

import codecs
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from system.errors import InputError
from system.files import CHUNK_BYTES, as_input_error
from text.tables.rows import Format, Row, Table, as_text, utf8


def open_lines(path: Path) -> Table:
    """The table of a text file, losslessly (see `open_table`): one column "text", a row a line, row 1 the first."""
    rows = (Row(number, {"text": line}) for number, line in enumerate(text_lines(path, lossless=True), start=1))
    return Table(str(path), ["text"], rows)


def text_lines(path: Path, lossless: bool = False) -> Iterator[str]:
    """The lines of a text file in whatever encoding it has, without their ends (`\\n` or `\\r\\n`)."""
    with as_input_error(path), open_text(path, lossless) as file:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")


def open_text(path: Path, lossless: bool, newline: str | None = None) -> IO[str]:
    encoding = lossless_encoding(path) if lossless else Encoding(detect_encoding(path))
    if newline is None:
        newline = line_end(path, encoding) if lossless else "\n"
    return open(path, encoding=encoding.encoding, errors=encoding.errors, newline=newline)


class Encoding(NamedTuple):
    """How to open a text file: what `open` takes as `encoding` and as `errors`."""

    encoding: str
    errors: str = "strict"


def lossless_encoding(path: str | os.PathLike) -> Encoding:
    """The encoding of a file, one that decodes most of it where none decodes it all.

    What cannot be decoded then becomes `\\xNN`, so that one damaged byte does not stand in the way of a million rows.
    """
    try:
        return Encoding(detect_encoding(path))
    except UndecodableError as error:
        return Encoding(error.best_encoding, "backslashreplace")


def line_end(path: str | os.PathLike, encoding: Encoding) -> str:
    """What ends the lines of a text file: `\\r` where it has this one alone, as some old systems wrote; else `\\n`."""
    has_return = False
    with as_input_error(path), open(path, encoding=encoding.encoding, errors=encoding.errors, newline="") as file:
        while chunk := file.read(CHUNK_BYTES):
            if "\n" in chunk:
                return "\n"
            has_return = has_return or "\r" in chunk
    return "\r" if has_return else "\n"


class UndecodableError(InputError):
    """No known encoding decodes a file; `best_encoding` is the one that gets furthest."""

    def __init__(self, message: str, best_encoding: str):
        super().__init__(message)
        self.best_encoding = best_encoding


def detect_encoding(path: str | os.PathLike) -> str:
    """The encoding in which the whole file decodes without error, read in constant memory.

    'utf-8-sig' or 'utf-16' where a byte order mark says so, else 'utf-8', else 'gb18030'. UTF-8 goes first
    because text in GB18030 is hardly ever valid UTF-8, while UTF-8 often passes for GB18030.
    Raises UndecodableError with the byte offset where none of them fits, InputError where the file cannot be read.
    """
    with as_input_error(path), open(path, "rb") as file:
        start = file.read(len(codecs.BOM_UTF8))
        if start.startswith(codecs.BOM_UTF8):
            candidates = ["utf-8-sig"]
        elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            candidates = ["utf-16"]
        else:
            candidates = ["utf-8", "gb18030"]
        failures = {}
        for encoding in candidates:
            # Decoding with "-sig" would count the bytes from after the byte order mark.
            offset = _first_undecodable_byte(file, encoding.removesuffix("-sig"))
            if offset is None:
                return encoding
            failures[encoding] = offset
    described = (f"{encoding.upper()} (byte {offset:,} cannot be decoded)" for encoding, offset in failures.items())
    raise UndecodableError(
        f"{path} is not text in {' nor in '.join(described)}; save it as UTF-8", max(failures, key=failures.get)
    )


def _first_undecodable_byte(file: IO[bytes], encoding: str) -> int | None:
    """The offset of the first byte of a binary file at which strict decoding fails, None if it succeeds."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
    file.seek(0)
    position = 0
    while True:
        chunk = file.read(CHUNK_BYTES)
        # The start of a character that the end of the last chunk cut in two.
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return position - pending + error.start
        if not chunk:
            return None
        position += len(chunk)


class PlainTextFormat(Format):
    """A line a row without a header: the columns, in their order, with a tab between them and the text last."""

    def __init__(self, columns: Sequence[str], text_column: str):
        super().__init__(columns)
        self._order = [column for column in columns if column != text_column] + [text_column]

    def encode(self, rows: list[dict], is_first: bool) -> bytes:
        lines = ("\t".join(_one_line(row.get(column)) for column in self._order) + "\n" for row in rows)
        return utf8("".join(lines))


def _one_line(value: object) -> str:
    return " ".join(as_text(value).replace("\t", " ").splitlines())
