"""The parts of a file that is not finished yet: what a killed run leaves, and who may go on with it."""

import json
import os

import pytest

from serving.scoring import parts
from serving.scoring.local_engine import VERDICT_TYPES
from serving.scoring.parts import Parts
from system.errors import InputError
from text.tables.kinds import open_format

VERDICTS = VERDICT_TYPES


@pytest.fixture
def begin(tmp_path):
    def begin(resume=False, strict=False, **description):
        writer = open_format("txt", ["text"], VERDICTS, "text")
        opened = Parts(tmp_path / "out.txt", writer, {"model": "a"} | description, strict)
        opened.open(resume)
        return opened

    return begin


def test_a_file_appears_whole_and_leaves_nothing_beside_it(begin, tmp_path):
    run = begin()
    for number in range(12):
        run.write(number, b"%d\n" % number)
        assert not (tmp_path / "out.txt").exists()
    run.finish()
    assert (tmp_path / "out.txt").read_bytes() == b"".join(b"%d\n" % number for number in range(12))
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_run_goes_on_after_the_last_part_before_a_gap(begin, tmp_path):
    run = begin()
    for number in (0, 1, 3):
        run.write(number, b"old\n")
    again = begin(resume=True)
    assert again.num_done == 2
    again.write(2, b"new\n")
    again.finish()
    assert (tmp_path / "out.txt").read_bytes() == b"old\nold\nnew\n"


def test_without_resume_it_begins_anew(begin, tmp_path, capsys):
    begin().write(0, b"old\n")
    run = begin()
    assert "begins anew without --resume" in capsys.readouterr().err
    assert run.num_done == 0
    run.write(0, b"new\n")
    run.finish()
    assert (tmp_path / "out.txt").read_bytes() == b"new\n"


def test_resume_without_an_earlier_run(begin, capsys):
    assert begin(resume=True).num_done == 0
    assert "there is no run of" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{", "\udcff"])
def test_a_run_of_which_nothing_is_known_begins_anew(begin, tmp_path, content):
    begin().write(0, b"old\n")
    (tmp_path / "out.txt.parts" / parts.RUN_FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert begin(resume=True).num_done == 0
    assert not (tmp_path / "out.txt.parts" / "00000000.part").exists()


def test_another_run_is_refused_and_kept(begin):
    begin(source="x").write(0, b"old\n")
    with pytest.raises(InputError, match="a run with another model, threshold: go on with the same"):
        begin(resume=True, model="b", source="x", threshold=0.5)
    assert begin(resume=True, source="x").num_done == 1


def test_a_strict_run_goes_on_only_with_a_strict_one(begin):
    begin(strict=True).write(0, b"old\n")
    assert begin(resume=True, strict=True).num_done == 1
    assert begin(resume=True).num_done == 1
    with pytest.raises(InputError, match="another --strict"):
        begin(resume=True, strict=True)


def test_a_run_that_was_killed_while_it_put_the_parts_together(begin, tmp_path, monkeypatch):
    run = begin()
    run.write(0, b"a\n")
    monkeypatch.setattr(parts.shutil, "rmtree", lambda *args, **options: pytest.fail("killed"))
    (run.folder / ".joined.0123abcd.txt").write_bytes(b"half")
    with pytest.raises(pytest.fail.Exception):
        run.finish()
    monkeypatch.undo()
    again = begin(resume=True)
    again.finish()
    assert os.listdir(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_bytes() == b"a\n"


def test_a_folder_of_somebody_else_is_left_alone(begin, tmp_path):
    folder = tmp_path / "out.txt.parts"
    folder.mkdir()
    (folder / "thesis.doc").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(InputError, match="holds something else"):
            begin(resume)
    assert (folder / "thesis.doc").read_text() == "years of work"


def test_a_file_in_the_place_of_the_folder(begin, tmp_path):
    (tmp_path / "out.txt.parts").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        begin()
    assert (tmp_path / "out.txt.parts").read_text() == "a file"


def test_what_is_written_about_a_run(begin, tmp_path):
    begin(strict=True, texts=(1, "好"))
    known = json.loads((tmp_path / "out.txt.parts" / parts.RUN_FILE).read_text(encoding="utf-8"))
    assert known == {"model": "a", "texts": [1, "好"], "--strict": True}
