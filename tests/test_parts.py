"""Keep the parts of an unfinished file, and decide which run may resume them."""

import json
import os
import shutil

import pytest

from serving.scoring import parts
from serving.scoring.columns import PREDICTION_TYPES
from serving.scoring.parts import Parts, PartSummary
from system.errors import InputError
from text.tables.kinds import open_format

NO_ROWS = PartSummary({}, 0, 0)


@pytest.fixture
def begin(tmp_path):
    """Return the function that opens the parts of `out.txt`."""

    def begin(resume=False, strict=False, **description):
        writer = open_format("txt", ["text"], PREDICTION_TYPES, "text")
        opened = Parts(tmp_path / "out.txt", writer, {"model": "a"} | description, strict)
        opened.open(resume)
        return opened

    return begin


def test_a_file_appears_whole_and_leaves_nothing_beside_it(begin, tmp_path):
    run = begin()
    for number in range(12):
        run.write(number, b"%d\n" % number, NO_ROWS)
        assert not (tmp_path / "out.txt").exists()
    run.finish()
    assert (tmp_path / "out.txt").read_bytes() == b"".join(b"%d\n" % number for number in range(12))
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_run_fills_the_gaps_between_its_parts(begin, tmp_path):
    run = begin()
    for number in (0, 1, 3):
        run.write(number, b"old\n", NO_ROWS)
    again = begin(resume=True)
    assert set(again.done) == {0, 1, 3}
    again.write(2, b"new\n", NO_ROWS)
    again.finish()
    assert (tmp_path / "out.txt").read_bytes() == b"old\nold\nnew\nold\n"


def test_without_resume_it_starts_over(begin, tmp_path, capsys):
    begin().write(0, b"old\n", NO_ROWS)
    run = begin()
    assert "discarding the unfinished run in" in capsys.readouterr().err
    assert len(run.done) == 0
    run.write(0, b"new\n", NO_ROWS)
    run.finish()
    assert (tmp_path / "out.txt").read_bytes() == b"new\n"


def test_resume_without_an_earlier_run(begin, capsys):
    assert len(begin(resume=True).done) == 0
    assert "no unfinished run of" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{", "\udcff"])
def test_a_run_with_a_damaged_description_starts_over(begin, tmp_path, content):
    begin().write(0, b"old\n", NO_ROWS)
    (tmp_path / "out.txt.parts" / parts.RUN_FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert len(begin(resume=True).done) == 0
    assert not (tmp_path / "out.txt.parts" / "00000000.part").exists()


def test_a_run_with_other_settings_is_refused_and_kept(begin):
    begin(source="x").write(0, b"old\n", NO_ROWS)
    with pytest.raises(InputError, match="a run with a different model, threshold; use the same settings"):
        begin(resume=True, model="b", source="x", threshold=0.5)
    assert len(begin(resume=True, source="x").done) == 1


def test_a_strict_run_resumes_only_a_strict_run(begin):
    begin(strict=True).write(0, b"old\n", NO_ROWS)
    assert len(begin(resume=True, strict=True).done) == 1
    assert len(begin(resume=True).done) == 1
    with pytest.raises(InputError, match="a different --strict"):
        begin(resume=True, strict=True)


def test_a_run_that_was_killed_while_it_joined_the_parts(begin, tmp_path, monkeypatch):
    run = begin()
    run.write(0, b"a\n", NO_ROWS)
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **options: pytest.fail("killed"))
    (run.folder / ".joined.0123abcd.txt").write_bytes(b"half")
    with pytest.raises(pytest.fail.Exception):
        run.finish()
    monkeypatch.undo()
    again = begin(resume=True)
    again.finish()
    assert os.listdir(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_bytes() == b"a\n"


def test_a_folder_with_other_files_is_left_alone(begin, tmp_path):
    folder = tmp_path / "out.txt.parts"
    folder.mkdir()
    (folder / "thesis.doc").write_text("years of work")
    for resume in (False, True):
        with pytest.raises(InputError, match=r"contains other files \(thesis.doc\)"):
            begin(resume)
    assert (folder / "thesis.doc").read_text() == "years of work"


def test_a_file_with_the_name_of_the_folder_stays(begin, tmp_path):
    (tmp_path / "out.txt.parts").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        begin()
    assert (tmp_path / "out.txt.parts").read_text() == "a file"


def test_the_folder_describes_the_run(begin, tmp_path):
    begin(strict=True, texts=(1, "好"))
    known = json.loads((tmp_path / "out.txt.parts" / parts.RUN_FILE).read_text(encoding="utf-8"))
    assert known == {"model": "a", "texts": [1, "好"], "--strict": True}


class TestSummaries:
    def test_a_resumed_run_finds_the_summaries_of_the_first(self, begin):
        run = begin()
        written = [PartSummary({"正面": 3, "负面": 0}, 1, 2), NO_ROWS]
        for number, summary in enumerate(written):
            run.write(number, b"a\n", summary)
        assert begin(resume=True).done == dict(enumerate(written))

    @pytest.mark.parametrize(
        "content",
        [
            None,
            b"",
            b"{",
            b"\xff",
            b"null",
            b"[]",
            b"[{}]",
            b"[[], 0, 0]",
            b'[{"a": "3"}, 0, 0]',
            b'[{}, "0", 0]',
            b"[{}, 0, null]",
            b"[{}, 0]",
            b"[{}, 0, 0, 0]",
        ],
    )
    def test_a_part_without_a_sound_summary_is_not_done(self, begin, content):
        run = begin()
        for number in range(3):
            run.write(number, b"a\n", NO_ROWS)
        path = run.folder / "00000001.json"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        assert set(begin(resume=True).done) == {0, 2}

    def test_a_run_without_complete_parts_starts_over_and_says_so(self, begin, capsys):
        begin()
        assert begin(resume=True).done == {}
        assert "has no complete part; starting from the first row" in capsys.readouterr().err

    def test_a_summary_without_its_part_is_not_done(self, begin):
        run = begin()
        run.write(0, b"a\n", NO_ROWS)
        (run.folder / "00000000.part").unlink()
        assert len(begin(resume=True).done) == 0


def test_discarded_parts_leave_nothing(begin, tmp_path):
    run = begin()
    run.write(0, b"a\n", NO_ROWS)
    run.discard()
    assert os.listdir(tmp_path) == []
