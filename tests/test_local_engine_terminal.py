"""Rows of strangers' files at a terminal and in a spreadsheet, and files that are input and output at once."""

import errno
import json
import os
import signal
import sys

import pytest
from scored_files import FakePredictor, read_dicts, read_rows, score

import application
from serving.scoring import source as source_module
from system.errors import InputError, OutputError, Terminated

HOSTILE = "好\x1b]0;owned\x07\x9b\x7f\u202e\u2028"
SPELT_OUT = "好\\u001b]0;owned\\u0007\\u009b\\u007f\\u202e\\u2028"


@pytest.fixture
def terminal():
    """The path of a terminal, and the function that returns what it shows."""
    pty = pytest.importorskip("pty")
    reader, terminal = pty.openpty()
    yield os.ttyname(terminal), lambda: os.read(reader, 100_000).decode()
    os.close(reader)
    os.close(terminal)


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt"])
def test_rows_at_a_terminal_cannot_control_it(tmp_path, terminal, kind):
    path, shown = terminal
    (tmp_path / "in.csv").write_text(f"text\n{HOSTILE}\n", encoding="utf-8")
    score(tmp_path / "in.csv", path, output_kind=kind)
    assert SPELT_OUT.removesuffix("\\u2028") in (text := shown())  # plain text has no line separators
    assert "\x1b" not in text


def test_json_at_a_terminal_is_the_same_json(tmp_path, terminal):
    path, shown = terminal
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": HOSTILE}, ensure_ascii=False) + "\n", encoding="utf-8")
    score(tmp_path / "in.jsonl", path)
    text = shown()
    assert SPELT_OUT in text and json.loads(text)["text"] == HOSTILE


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_keeps_its_text(tmp_path, kind):
    (tmp_path / "in.csv").write_text(f"text\n{HOSTILE}\n", encoding="utf-8")
    score(tmp_path / "in.csv", tmp_path / f"out.{kind}")
    assert read_dicts(tmp_path / f"out.{kind}")[0]["text"] == HOSTILE


def test_names_and_problems_on_standard_error_cannot_control_it(tmp_path, capsys):
    path = tmp_path / "a\x1b[2J\u202e.csv"
    path.write_text("text,\x1b[3m\n,1\n", encoding="utf-8")
    score(path, tmp_path / "out.csv")
    assert application.main(["--file", str(path), "--text-column", "b\x9b"]) == 1
    errors = capsys.readouterr().err
    assert "a\\u001b[2J\\u202e.csv, row 2: the text is empty" in errors
    assert not {"\x1b", "\x9b", "\u202e"} & set(errors)


def test_csv_safe_from_the_command_line(tiny_model, tmp_path):
    (tmp_path / "in.csv").write_text("text,n\n=1+1 房间很干净,-5\n", encoding="utf-8")
    command = ["--model", str(tiny_model), "--file", str(tmp_path / "in.csv"), "--csv-safe"]
    assert application.main([*command, "--output", str(tmp_path / "out.csv")]) == 0
    (row,) = read_dicts(tmp_path / "out.csv")
    assert (row["text"], row["n"]) == ("'=1+1 房间很干净", "-5")
    assert float(row["probability"]) >= 0
    assert application.main([*command, "--output", str(tmp_path / "out.jsonl")]) == 1


def test_a_run_that_was_not_safe_is_not_resumed_as_a_safe_one(tmp_path, monkeypatch):
    monkeypatch.setattr(source_module, "BLOCK_ROWS", 1)
    (tmp_path / "in.csv").write_text("text\n=1\n=2\n=3\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "in.csv", tmp_path / "out.csv", FakePredictor(1))
    with pytest.raises(InputError, match="a different --csv-safe"):
        score(tmp_path / "in.csv", tmp_path / "out.csv", resume=True, csv_safe=True)


def test_what_is_no_json_is_a_row_in_its_place(tmp_path):
    lines = ['{"text": "好"}', "{oops", '{"text": "坏", "text": "好"}', '{"text": "坏"}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    score(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row.get("text") for row in rows] == ["好", None, "好", "坏"]
    assert [row["label"] is None for row in rows] == [False, True, True, False]
    assert rows[1]["problem"].startswith("row 2: not JSON (")
    assert rows[2]["problem"] == "row 3: the field 'text' occurs twice in an object"


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such links")
def test_the_input_by_another_name_stays(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("text\n好\n", encoding="utf-8")
    (tmp_path / "link.csv").symlink_to(source)
    os.link(source, tmp_path / "hard.csv")
    with pytest.raises(InputError, match="is also the input"):
        score(source, tmp_path / "link.csv")
    score(source, tmp_path / "hard.csv")  # another file takes its name
    assert source.read_text(encoding="utf-8") == "text\n好\n"
    assert read_rows(tmp_path / "hard.csv")[0] == ["text", "label", "probability", "confidence", "problem"]


def test_no_path_leads_out_of_the_folder_of_the_output(tmp_path):
    """Names of columns and labels become no paths."""
    (tmp_path / "out").mkdir()
    (tmp_path / "in.csv").write_text("text,../../a\n../../b,/tmp/c\n", encoding="utf-8")
    score(tmp_path / "in.csv", tmp_path / "out" / "out.csv", all_probabilities=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in.csv", "out", "out.csv"]


class TestEnds:
    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch):
        monkeypatch.setattr(source_module, "BLOCK_ROWS", 3)

    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "in.csv"
        path.write_text("text,n\n" + "".join(f"第{number}条,{number}\n" for number in range(20)), encoding="utf-8")
        return path

    def resume(self, source, output):
        whole = output.with_name("whole.csv")
        score(source, whole)
        score(source, output, resume=True)
        assert output.read_bytes() == whole.read_bytes()
        assert sorted(os.listdir(output.parent)) == ["in.csv", "out.csv", "whole.csv"]

    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_after_a_signal_a_run_is_resumed_to_the_byte(self, tmp_path, source, capsys, name):
        number = getattr(signal, name, None)
        if number is None:
            pytest.skip(f"this system has no {name}")

        class Ended(FakePredictor):
            def predict(self, texts):
                if len(self.asked) == 9:
                    raise Terminated(number)
                return super().predict(texts)

        with pytest.raises(Terminated):
            score(source, tmp_path / "out.csv", Ended())
        assert "--resume to continue" in capsys.readouterr().err
        self.resume(source, tmp_path / "out.csv")

    def test_after_a_full_disk_a_run_is_resumed_to_the_byte(self, tmp_path, source, monkeypatch, capsys):
        calls, flush = [], os.fsync

        def full(descriptor):
            calls.append(descriptor)
            if len(calls) > 8:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            flush(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="No space left on device; choose another path, or free space"):
                score(source, tmp_path / "out.csv")
        assert "--resume to continue" in capsys.readouterr().err
        self.resume(source, tmp_path / "out.csv")
