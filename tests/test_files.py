"""Atomic writing and hashing."""

import hashlib
import os
import zlib

import pytest

from system.errors import InputError
from system.files import (
    CHUNK_BYTES,
    check_writable,
    fingerprint_of_file,
    replace_atomically,
    sha256_of_file,
    write_atomically,
)

CHINESE = "距离川沙公路较近，但是公交指示不对😀"


def test_text_is_written_as_utf8_with_plain_line_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "report.txt"
    with write_atomically(path) as file:
        file.write(f"{CHINESE}\n")
        assert not path.exists()
    assert path.read_bytes() == f"{CHINESE}\n".encode()
    assert [entry.name for entry in path.parent.iterdir()] == ["report.txt"]


def test_bytes_are_written_as_they_are(tmp_path):
    with write_atomically(tmp_path / "a.bin", "wb") as file:
        file.write(b"\r\n\xff")
    assert (tmp_path / "a.bin").read_bytes() == b"\r\n\xff"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_what_was_there(tmp_path, failure):
    path = tmp_path / "report.txt"
    path.write_text("old")
    with pytest.raises(failure), write_atomically(path) as file:
        file.write("half of the new")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_path_has_folder_and_suffix_of_the_target(tmp_path):
    path = tmp_path / "model.keras"
    with replace_atomically(path) as temporary:
        assert temporary != path
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".keras")
        assert not temporary.exists()
        temporary.write_bytes(b"weights")
    assert path.read_bytes() == b"weights"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="cannot write .*report.txt"),
        write_atomically(tmp_path / "file" / "report.txt"),
    ):
        pytest.fail("the block must not run")


def test_a_folder_as_target_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="is a folder"), replace_atomically(tmp_path):
        pytest.fail("the block must not run")


def test_sha256_of_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"abc" * 1000)
    assert sha256_of_file(path) == hashlib.sha256(b"abc" * 1000).hexdigest()
    with pytest.raises(InputError, match="cannot read .*missing"):
        sha256_of_file(tmp_path / "missing")


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot write .*pipe: it is no ordinary file"):
        check_writable(tmp_path / "pipe")
    with pytest.raises(InputError), write_atomically(tmp_path / "pipe"):
        pytest.fail("the block must not run")
    check_writable(tmp_path / "new file")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


class TestFingerprint:
    def test_of_another_file_is_another(self, tmp_path):
        contents = [b"", b"\0", b"\0\0", b"ab", b"ba", bytes(CHUNK_BYTES), bytes(CHUNK_BYTES) + b"x"]
        fingerprints = set()
        for content in contents:
            (tmp_path / "file").write_bytes(content)
            fingerprint = fingerprint_of_file(tmp_path / "file")
            assert fingerprint == f"{len(content)}-{zlib.crc32(content):08x}"
            fingerprints.add(fingerprint)
        assert len(fingerprints) == len(contents)

    def test_of_no_file(self, tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            fingerprint_of_file(tmp_path / "none")
