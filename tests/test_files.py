"""Files: atomic writing, checks before the work, and hashes."""

import errno
import hashlib
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from system.errors import InputError, OutputError
from system.files import (
    as_input_error,
    beside,
    check_writable,
    here_or_beside,
    refuse_folder,
    replace_atomically,
    sha256_of_file,
    write_atomically,
)

PROGRAMS = Path(__file__).resolve().parent / "programs"
CHINESE = "窗外就是河，可惜夜里蚊子不少😀"


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


def test_the_temporary_path_has_the_folder_and_suffix_of_the_target(tmp_path):
    path = tmp_path / "model.keras"
    with replace_atomically(path) as temporary:
        assert temporary != path
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".keras")
        assert not temporary.exists()
        temporary.write_bytes(b"weights")
    assert path.read_bytes() == b"weights"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match="cannot write .*report.txt"),
        write_atomically(tmp_path / "file" / "report.txt"),
    ):
        pytest.fail("the block must not run")


def test_a_folder_as_target_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match="is a folder"), replace_atomically(tmp_path):
        pytest.fail("the block must not run")


def test_the_hash_of_a_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"abc" * 1000)
    assert sha256_of_file(path) == hashlib.sha256(b"abc" * 1000).hexdigest()
    with pytest.raises(InputError, match="cannot read .*missing"):
        sha256_of_file(tmp_path / "missing")


def test_a_folder_where_a_file_is_expected_is_called_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    refuse_folder(tmp_path / "file")
    refuse_folder(tmp_path / "missing")
    with pytest.raises(InputError, match=r"is a folder; name a file in it$"):
        refuse_folder(tmp_path)
    with pytest.raises(InputError, match="this is a folder; name a file in it"), as_input_error(tmp_path):
        tmp_path.read_text()


def test_a_file_beside_a_script_that_is_a_link(tmp_path):
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "script.py"
    script.touch()
    (tmp_path / "link.py").symlink_to(script)
    assert beside("models", str(tmp_path / "link.py")) == str(script.with_name("models"))


def test_a_file_is_found_here_or_beside_a_script(tmp_path, monkeypatch):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "model").touch()
    script = str(tmp_path / "scripts" / "script.py")
    monkeypatch.chdir(tmp_path)
    assert here_or_beside("model", script) == str(tmp_path / "scripts" / "model")
    assert here_or_beside("missing", script) == "missing"
    (tmp_path / "model").touch()
    assert here_or_beside("model", script) == "model"


class TestPrevious:
    def test_it_is_kept_beside_the_new_file(self, tmp_path):
        path = tmp_path / "model.keras"
        for content in ("first", "second", "third"):
            with write_atomically(path, keep_previous=True) as file:
                file.write(content)
        assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {
            "model.keras": "third",
            "model.previous.keras": "second",
        }

    def test_it_is_copied_where_hard_links_do_not_work(self, tmp_path, monkeypatch):
        def refuse(*_):
            raise OSError(errno.EPERM, "Operation not permitted")

        path = tmp_path / "model.keras"
        path.write_text("old")
        monkeypatch.setattr(os, "link", refuse)
        with write_atomically(path, keep_previous=True) as file:
            file.write("new")
        assert (path.read_text(), (tmp_path / "model.previous.keras").read_text()) == ("new", "old")
        assert len(list(tmp_path.iterdir())) == 2

    def test_the_previous_version_is_kept_after_a_run_was_killed_between_the_two_steps(self, tmp_path):
        path = tmp_path / "model.keras"
        path.write_text("old")
        os.link(path, tmp_path / "model.previous.keras")
        with write_atomically(path, keep_previous=True) as file:
            file.write("new")
        assert (path.read_text(), (tmp_path / "model.previous.keras").read_text()) == ("new", "old")
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_failed_write_leaves_the_file_where_it_is(self, tmp_path):
        path = tmp_path / "model.keras"
        path.write_text("old")
        with (
            pytest.raises(
                OutputError,
                match="cannot write .*model.keras: No space left on device; choose another path",
            ),
            replace_atomically(path, keep_previous=True) as temporary,
        ):
            temporary.write_text("half of the new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_file_beyond_the_limit_leaves_the_old_one(self, tmp_path):
        """The limit is that of the operating system on the size of files, in a process of its own."""
        path = tmp_path / "model.keras"
        path.write_text("old")
        done = subprocess.run(
            [sys.executable, PROGRAMS / "write_beyond_limit.py", path], capture_output=True, encoding="utf-8"
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(f"error: cannot write {path}: File too large; ")
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]


def test_an_error_about_another_file_is_not_blamed_on_the_target(tmp_path):
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "new.txt"):
        (tmp_path / "missing.txt").read_text()
    assert list(tmp_path.iterdir()) == []


class TestLinks:
    @pytest.mark.parametrize("exists", [True, False])
    def test_a_link_stays_and_its_target_is_replaced(self, tmp_path, exists):
        (tmp_path / "disk").mkdir()
        target, link = tmp_path / "disk" / "target.txt", tmp_path / "link.txt"
        if exists:
            target.write_text("old")
        link.symlink_to(Path("disk", "target.txt"))
        with write_atomically(link) as file:
            file.write("new")
        assert link.is_symlink()
        assert (target.read_text(), len(list(tmp_path.iterdir()))) == ("new", 2)
        assert [entry.name for entry in target.parent.iterdir()] == ["target.txt"]

    def test_the_previous_file_lies_beside_the_target(self, tmp_path):
        (tmp_path / "disk").mkdir()
        (tmp_path / "disk" / "target.txt").write_text("old")
        (tmp_path / "link.txt").symlink_to(tmp_path / "disk" / "target.txt")
        with write_atomically(tmp_path / "link.txt", keep_previous=True) as file:
            file.write("new")
        assert (tmp_path / "disk" / "target.previous.txt").read_text() == "old"


class TestDevicesAndPipes:
    def test_a_pipe_gets_the_finished_content(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with ThreadPoolExecutor() as pool:
            received = pool.submit((tmp_path / "pipe").read_text, "utf-8")
            with write_atomically(tmp_path / "pipe") as file:
                file.write(CHINESE)
        assert received.result() == CHINESE
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]

    def test_a_link_to_the_null_device_stays(self, tmp_path):
        before = os.stat(os.devnull)
        (tmp_path / "link").symlink_to(os.devnull)
        with write_atomically(tmp_path / "link", keep_previous=True) as file:
            file.write(CHINESE)
        after = os.stat(os.devnull)
        assert stat.S_ISCHR(after.st_mode)
        assert (before.st_ino, before.st_rdev) == (after.st_ino, after.st_rdev)
        assert (tmp_path / "link").is_symlink()

    def test_a_failed_block_writes_nothing(self, tmp_path):
        (tmp_path / "link").symlink_to("/dev/full")
        with pytest.raises(ValueError), write_atomically(tmp_path / "link") as file:
            file.write("half")
            raise ValueError

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
    def test_a_full_device_is_an_output_error(self):
        with (
            pytest.raises(OutputError, match="cannot write /dev/full: No space left"),
            write_atomically("/dev/full") as file,
        ):
            file.write("too much")

    def test_a_pipe_is_refused_where_a_file_is_needed(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OutputError, match="cannot write .*pipe: not a regular file"):
            check_writable(tmp_path / "pipe")
        check_writable(tmp_path / "pipe", allow_stream=True)
        check_writable(tmp_path / "new file")
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


READ_ONLY = Path("/sys/kernel")  # even for root, who may write to every read-only folder of a disk


@pytest.mark.skipif(not READ_ONLY.is_dir(), reason="this system has no folder that nobody may write to")
def test_a_read_only_folder_is_an_output_error():
    path = READ_ONLY / "model.keras"
    with pytest.raises(OutputError, match=r"cannot write /sys/kernel/model\.keras: "):
        check_writable(path)
    with pytest.raises(OutputError, match=r"cannot write /sys/kernel/model\.keras: "), write_atomically(path):
        pytest.fail("the block must not run")
