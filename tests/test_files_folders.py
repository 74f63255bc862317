"""Folders that are written completely or not at all."""

import os

import pytest

from system.errors import InputError, OutputError
from system.files import replace_folder_atomically


def is_ours(folder):
    return {path.name for path in folder.iterdir()} <= {"a.txt", "b.txt"}


def write(path, content, is_replaceable=is_ours):
    with replace_folder_atomically(path, is_replaceable) as folder:
        (folder / "a.txt").write_text(content)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_appears_after_the_block(tmp_path):
    path = tmp_path / "new" / "model.v1"
    with replace_folder_atomically(path, is_ours) as folder:
        (folder / "a.txt").write_text("1")
        (folder / "inner").mkdir()
        (folder / "inner" / "b.txt").write_text("2")
        assert not path.exists()
    assert contents(tmp_path) == {"new/model.v1/a.txt": "1", "new/model.v1/inner/b.txt": "2"}


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "model").mkdir()
    write(tmp_path / "model", "1")
    assert contents(tmp_path) == {"model/a.txt": "1"}


def test_the_earlier_folder_is_kept_once(tmp_path):
    for content in "123":
        write(tmp_path / "model", content)
    assert contents(tmp_path) == {"model/a.txt": "3", "model.previous/a.txt": "2"}


def test_a_link_stays_a_link(tmp_path):
    write(tmp_path / "model", "1")
    (tmp_path / "link").symlink_to("model")
    write(tmp_path / "link", "2")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "model" / "a.txt").read_text() == "2"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_what_was_there(tmp_path, failure):
    write(tmp_path / "model", "1")
    with pytest.raises(failure), replace_folder_atomically(tmp_path / "model", is_ours) as folder:
        (folder / "a.txt").write_text("2")
        raise failure
    assert contents(tmp_path) == {"model/a.txt": "1"}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_stop_between_two_moves_loses_nothing(tmp_path, monkeypatch, number):
    """The moves are: the previous folder away, the earlier one to its place, the new one to that of the earlier one."""
    write(tmp_path / "model", "1")
    write(tmp_path / "model", "2")
    rename, left = os.rename, [number]

    def stopping_rename(source, target):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("os.rename", stopping_rename)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "model", "3")
    monkeypatch.undo()
    found = contents(tmp_path)
    assert "2" in (found.get("model/a.txt"), found.get("model.previous/a.txt"))
    write(tmp_path / "model", "3")
    assert contents(tmp_path)["model/a.txt"] == "3"


@pytest.mark.parametrize("name", ["model", "model.previous"])
def test_what_the_command_has_not_written_is_not_replaced(tmp_path, name):
    write(tmp_path / "model", "1")
    write(tmp_path / "model", "2")
    (tmp_path / name / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=f"{name}: the folder exists, and not everything in it is from this command"):
        write(tmp_path / "model", "3")
    assert contents(tmp_path) == before


def test_a_file_is_not_replaced(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(OutputError, match="model: this is a file; choose another folder"):
        write(tmp_path / "model", "1")


def test_a_parent_that_is_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot write .*file/model: Not a directory; choose another folder"):
        write(tmp_path / "file" / "model", "1")


def test_an_error_about_another_file_is_not_about_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError), replace_folder_atomically(tmp_path / "model", is_ours):
        (tmp_path / "other" / "missing.txt").read_text()
    with pytest.raises(InputError, match="mine"), replace_folder_atomically(tmp_path / "model", is_ours):
        raise InputError("mine")
    assert list(tmp_path.iterdir()) == []
