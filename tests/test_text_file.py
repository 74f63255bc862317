"""Text files: encodings, line ends, numbers of lines, hashes, and the number of bytes that are read for them."""

import hashlib
import io

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from system.errors import InputError
from text.tables.input import text_file
from text.tables.input.encodings import utf16_without_mark
from text.tables.input.text_file import scan, scan_lines
from text.tables.kinds import open_table

CHINESE = "窗外就是河，可惜夜里蚊子不少😀"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("chunk_bytes", [1, 3, 1 << 20])
def test_the_encoding_is_found_with_chunks_of_any_size(tmp_path, monkeypatch, encoding, chunk_bytes):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "text"
    path.write_bytes((CHINESE * 3).encode(encoding))
    assert scan(path).encoding == encoding


def test_an_empty_file_is_utf8(tmp_path):
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
def test_the_undecodable_byte_is_named(tmp_path, monkeypatch, content, offset, chunk_bytes):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"broken.csv.*{offset}"):
        scan(path)


def test_a_missing_file_is_an_input_error(tmp_path):
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
def test_the_encoding_is_the_one_that_decodes_most(tmp_path, content, expected):
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
def test_the_line_end_is_found(tmp_path, monkeypatch, text, end, encoding, chunk_bytes):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", chunk_bytes)
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert scan(tmp_path / "a.txt").line_end == end


LINES = ["房间很干净", "", "a\tb", "他说“上海”"]
CHARACTERS = st.sampled_from("上过一海好，。　《”:,1a\t ") | st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF)


class Lines(list):
    """A survey that keeps all lines."""

    add = list.append


@pytest.mark.parametrize("chunk_bytes", [1, 5, 1 << 20])
@given(
    text=st.text(st.sampled_from("a好😀\n\r\ufeff")),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    damage=st.sampled_from([b"", b"\xff", b"\x81"]),
)
def test_the_lines_of_a_scan_are_those_of_the_file(tmp_path_factory, chunk_bytes, text, encoding, damage):
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(text.encode(encoding) + damage)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "CHUNK_BYTES", chunk_bytes)
        file, lines = scan_lines(path, Lines, lossless=True)
        assert lines == list(file.lines())
        assert file.num_lines == len(lines)
        assert file == scan(path, lossless=True)
        assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_lossless_scan_keeps_undecodable_bytes(tmp_path):
    (tmp_path / "a.txt").write_bytes("好\n".encode() + b"\xff")
    file = scan(tmp_path / "a.txt", lossless=True)
    assert list(file.lines()) == ["好", "\\xff"]
    with pytest.raises(InputError, match="a.txt is not text in UTF-8 .byte 4 cannot be decoded. or GB18030 .byte 2 "):
        file.refuse_undecodable()
    (tmp_path / "a.txt").write_bytes("好\n".encode())
    scan(tmp_path / "a.txt", lossless=True).refuse_undecodable()
    assert scan(tmp_path / "a.txt").sha256 is None


def is_utf8(content):
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class TestUtf16WithoutMark:
    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_lines_are_read(self, tmp_path, encoding, end):
        (tmp_path / "a.txt").write_bytes("".join(line + end for line in LINES).encode(encoding))
        file = scan(tmp_path / "a.txt")
        assert (file.encoding, file.num_lines) == (encoding, len(LINES))
        assert list(file.lines()) == LINES

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_a_few_characters_that_could_be_utf8_are_utf16(self, encoding):
        content = "好\n坏\n".encode(encoding)
        assert is_utf8(content)
        assert utf16_without_mark(content) == encoding

    @given(text=st.text(CHARACTERS), encoding=st.sampled_from(["utf-16-le", "utf-16-be"]))
    def test_any_text_after_a_header_is_utf16(self, text, encoding):
        assert utf16_without_mark(f"text,n\n{text}\n".encode(encoding)) == encoding

    @given(text=st.text(CHARACTERS), encoding=st.sampled_from(["utf-16-le", "utf-16-be"]))
    def test_any_lines_that_are_not_utf8_are_utf16(self, text, encoding):
        content = f"{text}\n{text}\n".encode(encoding)
        assume(b"\0" in content and not is_utf8(content))
        assert utf16_without_mark(content) == encoding

    @given(text=st.text(CHARACTERS | st.just("\n"), min_size=4), data=st.data())
    def test_a_text_with_a_stray_nul_byte_is_not_taken_for_utf16(self, text, data):
        content = text.encode()
        position = data.draw(st.integers(0, len(content)))
        assert utf16_without_mark(content[:position] + b"\0" + content[position:]) is None

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_gb18030_with_a_stray_nul_byte_is_not_taken_for_utf16(self, end):
        content = end.join(["text,n", *LINES, *LINES, ""]).encode("gb18030")
        for position in range(len(content) + 1):
            assert utf16_without_mark(content[:position] + b"\0" + content[position:]) is None

    def test_the_zeros_that_a_crash_left_are_not_taken_for_utf16(self):
        assert utf16_without_mark("好\n".encode() + bytes(5000)) is None

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_a_truncated_file_is_damaged_utf16(self, tmp_path, encoding):
        (tmp_path / "a.txt").write_bytes("房间很干净\n好\n".encode(encoding) + b"a")
        file = scan(tmp_path / "a.txt", lossless=True)
        assert list(file.lines()) == ["房间很干净", "好", "\\x61"]
        with pytest.raises(InputError, match=f"not text in {encoding.upper()} .byte 16 cannot"):
            scan(tmp_path / "a.txt")


class TestNumberOfPasses:
    @pytest.mark.parametrize(
        ("name", "header", "line"),
        [
            ("a.txt", "", "好评如潮\n"),
            ("a.csv", "text,n\n", '"好评\n如潮",1\n'),
            ("a.tsv", "text\tn\n", "好评如潮\t1\n"),
            ("a.jsonl", "", '{"text": "好评如潮"}\n'),
        ],
    )
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
    @pytest.mark.parametrize("lossless", [True, False])
    def test_a_file_is_read_twice(self, tmp_path, count_bytes_read, name, header, line, encoding, lossless):
        path = tmp_path / name
        path.write_bytes((header + line * 20_000).encode(encoding))
        table = open_table(path, kind=path.suffix.removeprefix("."), lossless=lossless)
        assert sum(1 for _ in table.rows) == 20_000
        assert count_bytes_read[path] <= 2 * path.stat().st_size + io.DEFAULT_BUFFER_SIZE
        assert table.file.num_lines == header.count("\n") + 20_000 * line.count("\n")

    @pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
    def test_gb18030_costs_a_fraction_of_a_pass(self, tmp_path, monkeypatch, count_bytes_read, name):
        monkeypatch.setattr(text_file, "CHUNK_BYTES", 1 << 16)
        path = tmp_path / name
        path.write_bytes(b'{"text": "ok"}\n' * 7_000 + '{"text": "好评"}\n'.encode("gb18030") * 20_000)
        table = open_table(path, kind=path.suffix.removeprefix("."), lossless=True)
        assert sum(1 for _ in table.rows) == table.file.num_lines == 27_000
        read_again = 3 * text_file.CHUNK_BYTES
        assert 2 * path.stat().st_size < count_bytes_read[path] < 2 * path.stat().st_size + read_again
