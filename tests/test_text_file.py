"""Text files read through once: encodings, line ends, numbers of lines, hashes, and how many bytes that takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.errors import InputError
from text.tables import text_file
from text.tables.text_file import scan

CHINESE = "距离川沙公路较近，但是公交指示不对😀"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("chunk_bytes", [1, 3, 1 << 20])
def test_encoding_is_found_whatever_the_chunks(tmp_path, monkeypatch, encoding, chunk_bytes):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "text"
    path.write_bytes((CHINESE * 3).encode(encoding))
    assert scan(path).encoding == encoding


def test_empty_file_is_utf8(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert scan(tmp_path / "empty").encoding == "utf-8"


@pytest.mark.parametrize(
    ("content", "offset"),
    [
        (b"ok\xff\xff", "byte 2 "),
        ("好".encode() + b"a" * 2000 + b"\xff", "byte 2,003 "),
        (b"\xef\xbb\xbfok\xff", "byte 5 "),
        (b"\xff\xfea\x00b", "byte 4 "),
        ("好".encode() * 5 + b"\xe5\xa5", "byte 15 "),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_undecodable_byte_is_named(tmp_path, monkeypatch, content, offset, chunk_bytes):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"broken.csv.*{offset}"):
        scan(path)


def test_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot read .*missing.csv: No such file"):
        scan(tmp_path / "missing.csv")


@given(content=st.binary(max_size=200))
def test_a_found_encoding_decodes_the_file(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random_bytes"
    path.write_bytes(content)
    try:
        encoding = scan(path).encoding
    except InputError:
        return
    content.decode(encoding)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("好".encode(), ("utf-8", "strict")),
        ("好\n".encode("gb18030"), ("gb18030", "strict")),
        (b"", ("utf-8", "strict")),
        ("好".encode() * 5 + b"\xff", ("utf-8", "backslashreplace")),
        ("好评".encode("gb18030") * 5 + b"\xff", ("gb18030", "backslashreplace")),
        (b"\xef\xbb\xbfok\xff", ("utf-8-sig", "backslashreplace")),
        (b"\xff\xfea\x00b", ("utf-16", "backslashreplace")),
    ],
)
def test_the_encoding_that_decodes_most(tmp_path, content, expected):
    (tmp_path / "a.txt").write_bytes(content)
    file = scan(tmp_path / "a.txt", lossless=True)
    assert (file.encoding, file.errors) == expected


@given(content=st.binary(max_size=200))
def test_every_file_can_be_read_losslessly(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "random_bytes"
    path.write_bytes(content)
    file = scan(path, lossless=True)
    content.decode(file.encoding, file.errors)


@pytest.mark.parametrize(
    ("text", "end"),
    [("", "\n"), ("a", "\n"), ("a\r\nb", "\n"), ("a\rb", "\r"), ("a\r", "\r"), ("a\rb\n", "\n"), ("上\r", "\r")],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_what_ends_lines(tmp_path, monkeypatch, text, end, encoding, chunk_bytes):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", chunk_bytes)
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert scan(tmp_path / "a.txt").line_end == end
