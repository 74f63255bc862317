"""The Ray engine writes what the local engine writes, in whatever order its workers finish. No cluster runs here."""

import contextlib
import json
import os

import pyarrow.parquet
import pytest
import ray_in_process
from ray_in_process import run_in_process
from scored_files import read_rows, write_rows

import application
from serving.scoring import source as source_module
from serving.scoring.cluster import ray_engine, tasks
from serving.scoring.cluster.attempts import MOST_ATTEMPTS, Attempts

pytest.importorskip("ray")

TEXTS = [
    "房间很干净",
    "隔音太差",
    "",
    "早餐一般",
    " ",
    "前台冷淡，不会再来",
    "很好",
    'er sagte "gut", a\tb',
    "还行",
    "\0",
]
SUFFIXES = [".csv", ".tsv", ".jsonl", ".parquet", ".txt"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    run_in_process(monkeypatch)
    monkeypatch.setattr(source_module, "BLOCK_ROWS", 3)
    monkeypatch.setattr(tasks, "BLOCKS_OF_AN_OUTPUT_FILE", 2)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def score(tiny_model, tmp_path, capsys):
    """Return the function that runs the application in a folder, and returns its status and standard error."""

    def run(source, output, *options):
        capsys.readouterr()
        with contextlib.chdir(tmp_path):
            command = ["--model", str(tiny_model), "--file", str(source), "--output", str(output), *options]
            return application.main(command), capsys.readouterr().err

    return run


@pytest.fixture(params=SUFFIXES)
def file(request, tmp_path):
    """A file of each kind with bad rows."""
    path = tmp_path / f"in{request.param}"
    rows = [[f"{text}", str(number)] for number, text in enumerate(TEXTS * 2)]
    write_rows(path, ["text", "number"], rows)
    if path.suffix != ".parquet":
        with open(path, "ab") as opened:
            opened.write(b'"never closed\n\xff\xfe\n{"text": 5}\n')
    return path


class TestOneFile:
    @pytest.mark.parametrize("to", SUFFIXES)
    def test_it_has_the_bytes_of_the_local_engine(self, score, tmp_path, file, to):
        status, local = score(file.name, f"local{to}", "--all-probabilities")
        assert status == 0
        status, errors = score(file.name, f"out{to}", "--all-probabilities", "--engine", "ray")
        assert status == 0
        assert (tmp_path / f"out{to}").read_bytes() == (tmp_path / f"local{to}").read_bytes()
        *notes, summary = local.splitlines()
        assert errors.splitlines()[:-1] == notes
        assert errors.splitlines()[-1].split(";")[0] == summary.split(";")[0]
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted({file.name, f"local{to}", f"out{to}"})

    def test_in_other_encodings(self, score, tmp_path):
        for encoding in ("gb18030", "utf-16", "utf-8-sig"):
            (tmp_path / "in.csv").write_bytes("text,n\n房间很干净,1\n,2\n早餐一般,3\n很好,4\n".encode(encoding))
            assert score("in.csv", "local.csv")[0] == 0
            assert score("in.csv", "out.csv", "--engine", "ray")[0] == 0
            assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()

    @pytest.mark.parametrize("options", [["--threshold", "auto"], ["--abstain", "0.6"], ["--max-windows", "1"]])
    @pytest.mark.parametrize("model", ["tiny_aspects", "tiny_emotions", "tiny_model"])
    def test_workers_answer_like_the_predictor_of_the_driver(self, request, score, tmp_path, model, options):
        if model == "tiny_emotions" and "auto" in options:
            pytest.skip("six labels have no threshold")
        if model == "tiny_model" and "--abstain" in options:
            options = ["--abstain", "0.4", "0.6"]
        path = ["--model", str(request.getfixturevalue(model)), "--batch-size", "2", *options]
        write_rows(tmp_path / "in.txt", ["text"], [[text * 9] for text in TEXTS])
        for engine in ("local", "ray"):
            assert score("in.txt", f"{engine}.csv", "--engine", engine, "--all-probabilities", *path)[0] == 0
        assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()

    def test_values_of_parquet_stay(self, score, tmp_path):
        table = pyarrow.table(
            {
                "text": ["很好", None, "隔音太差", "还行"],
                "at": pyarrow.array([1, 2, None, 3], pyarrow.timestamp("ns", "Asia/Hong_Kong")),
                "vector": pyarrow.array([[1.5, 2.5], [], None, [0.1]], pyarrow.list_(pyarrow.float32())),
            }
        )
        pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
        assert score("in.parquet", "out.parquet", "--engine", "ray")[0] == 0
        assert pyarrow.parquet.read_table(tmp_path / "out.parquet").select(table.column_names).equals(table)

    def test_without_rows(self, score, tmp_path):
        (tmp_path / "in.csv").write_text("text,n\n", encoding="utf-8")
        assert score("in.csv", "out.csv", "--engine", "ray")[0] == 0
        assert (tmp_path / "out.csv").read_text() == "text,n,label,probability,confidence,problem\n"


@pytest.fixture
def folder(tmp_path):
    """A folder of three files, the second of which has no rows."""
    (tmp_path / "in").mkdir()
    for name, count in (("a", 10), ("b", 0), ("c", 7)):
        rows = [[text, f"{name}{number}"] for number, text in enumerate(TEXTS[:count])]
        write_rows(tmp_path / "in" / f"{name}.csv", ["text", "number"], rows)
    return tmp_path / "in"


class TestManyFiles:
    def test_one_file_has_the_rows_of_all_in_order(self, score, tmp_path, folder):
        status, errors = score("in/*.csv", "out.csv", "--engine", "ray")
        assert status == 0
        expected = []
        for name in "abc":
            score(f"in/{name}.csv", f"{name}.csv")
            header, *rows = read_rows(tmp_path / f"{name}.csv")
            expected += rows
        assert read_rows(tmp_path / "out.csv") == [header, *expected]
        assert "17 rows, " in errors and "saved to out.csv" in errors
        problems = [line for line in errors.splitlines() if ", row " in line]
        assert problems[0] == "in/a.csv, row 4: the text is empty"
        assert problems[-1] == "in/c.csv, row 6: the text is empty"

    @pytest.mark.parametrize("to", ["csv", "parquet", "jsonl"])
    def test_a_folder_has_files_in_order(self, score, tmp_path, folder, to):
        for output in (f"out.{to}", "parts"):
            assert score("in/*.csv", output, "--engine", "ray", "--output-format", to)[0] == 0
        files = sorted((tmp_path / "parts").iterdir())
        assert [file.name for file in files] == [f"part-{number:05}.{to}" for number in range(len(files))]
        assert len(files) == 5  # two of the first file with four blocks, one without rows, two of the last one
        rows = [row for file in files for row in read_rows(file)[1:]]
        assert rows == read_rows(tmp_path / f"out.{to}")[1:]

    def test_a_second_run_keeps_the_first_folder_as_the_previous_one(self, score, tmp_path, folder):
        for source in ("in/*.csv", "in/c.csv"):
            assert score(source, "parts", "--engine", "ray")[0] == 0
        assert len(list((tmp_path / "parts").iterdir())) == 2
        assert len(list((tmp_path / "parts.previous").iterdir())) == 5

    def test_from_one_uri_to_another(self, score, tmp_path, folder):
        assert score("in/*.csv", "local", "--engine", "ray")[0] == 0
        for output in ("remote", "remote.csv"):
            assert score(f"{folder.as_uri()}/*.csv", f"{tmp_path.as_uri()}/far/{output}", "--engine", "ray")[0] == 0
        for file in (tmp_path / "local").iterdir():
            assert (tmp_path / "far" / "remote" / file.name).read_bytes() == file.read_bytes()
        assert len(read_rows(tmp_path / "far" / "remote.csv")) == 18
        assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "in", "local"]

    def test_json_files_may_have_different_fields(self, score, tmp_path):
        for name, rows in (("1", [{"text": "好", "a": 1}]), ("2", [{"text": "坏", "b": 2}])):
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        assert score("*.jsonl", "out.csv", "--engine", "ray")[0] == 0
        header, *rows = read_rows(tmp_path / "out.csv")
        assert header[:3] == ["text", "a", "b"]
        assert [row[:3] for row in rows] == [["好", "1", ""], ["坏", "", "2"]]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("2.csv", "text,m\n好,1\n", "2.csv has other columns than 1.csv; score them separately"),
            ("2.csv", "n,content\n1,好\n", "1.csv has its texts in 'text', but 2.csv in 'content'; name one column"),
            ("2.csv", "", "2.csv is empty"),
            ("2.csv", "n\n", "2.csv has no text column"),
            ("2.jsonl", '{"text": "好", "n": 1}', "1.csv is csv, but 2.jsonl is jsonl"),
            ("2.data", "", "2.data: unknown kind of file"),
        ],
    )
    def test_files_that_do_not_fit_together_are_refused(self, score, tmp_path, name, content, message):
        (tmp_path / "1.csv").write_text("text,n\n好,1\n", encoding="utf-8")
        (tmp_path / name).write_text(content, encoding="utf-8")
        status, errors = score("[12].*", "out.csv", "--engine", "ray")
        assert status == 1
        assert f"error: {message}" in errors
        assert not (tmp_path / "out.csv.parts").exists()

    def test_a_strict_run_stops_at_a_row_without_a_prediction(self, score, folder):
        status, errors = score("in/*.csv", "out.csv", "--engine", "ray", "--strict")
        assert status == 1
        assert "the text is empty" in errors or "NUL" in errors


class TestResume:
    @pytest.fixture
    def interrupted(self, score, monkeypatch, folder):
        """Return the function that runs until so many blocks are scored, and returns the texts scored in all runs."""
        scored = []
        score_block = tasks.score_block

        def counting(*arguments):
            if len(scored) == counting.limit:
                raise KeyboardInterrupt
            scored.append([row.values["number"] for row in arguments[4]])
            return score_block(*arguments)

        monkeypatch.setattr(tasks, "score_block", counting)

        def run(limit, *options):
            counting.limit = limit
            status, errors = score("in/*.csv", "out.csv", "--engine", "ray", *options)
            return status, errors, scored

        return run

    def test_finished_parts_are_not_scored_again(self, interrupted, score, tmp_path, folder):
        status, errors, _ = interrupted(2)
        assert status == 130
        assert "run the same command with --resume to continue" in errors
        assert interrupted(5, "--resume")[0] == 130
        status, errors, scored = interrupted(None, "--resume")
        assert status == 0
        assert "17 rows (11 scored before)" in errors
        scored = [name for block in scored for name in block]
        assert sorted(scored) == [f"a{number}" for number in range(10)] + [f"c{number}" for number in range(7)]
        assert score("in/*.csv", "whole.csv", "--engine", "ray")[0] == 0
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()

    def test_with_other_files_it_is_refused(self, interrupted, score, folder):
        interrupted(2)
        write_rows(folder / "d.csv", ["text", "number"], [["好", "d0"]])
        status, errors, _ = interrupted(None, "--resume")
        assert status == 1
        assert "holds a run with a different source" in errors
        status, errors = score("in/[abc].csv", "out.csv", "--engine", "ray", "--resume", "--threshold", "0.6")
        assert "holds a run with a different threshold" in errors


def test_a_file_that_changes_during_the_run_is_refused(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("好\n", encoding="utf-8")
    plan = tasks.ReadingPlan([tasks.InputFile("in.txt", str(path))], None, None, False)
    survey = tasks.item_of(tasks.survey_file(tasks.table_of(0), plan=plan))
    path.write_text("坏\n", encoding="utf-8")
    (table,) = tasks.read_file(tasks.table_of(0), plan=plan, done={}, hashes=[survey.sha256])
    assert tasks.item_of(table) == tasks.Failure(0, "in.txt has changed during the run; start over without --resume")


class TestUnreliableCluster:
    def test_a_part_that_comes_twice_counts_once(self, score, monkeypatch, tmp_path, folder):
        items = ray_engine.items_of
        monkeypatch.setattr(ray_engine, "items_of", lambda dataset: (item for item in items(dataset) for _ in range(2)))
        survey = ray_engine.Pipeline.survey
        monkeypatch.setattr(ray_engine.Pipeline, "survey", lambda pipeline: survey(pipeline)[::2])
        assert score("in/a.csv", "local.csv")[0] == 0
        status, errors = score("in/a.csv", "out.csv", "--engine", "ray")
        assert status == 0 and "10 rows, " in errors
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()

    def test_a_part_that_does_not_come_is_an_error_and_the_others_are_kept(self, score, monkeypatch, tmp_path, folder):
        items = ray_engine.items_of
        with monkeypatch.context() as patch:
            patch.setattr(ray_engine, "items_of", lambda dataset: (each for each in items(dataset) if each[0] != 1))
            status, errors = score("in/a.csv", "out.csv", "--engine", "ray")
        assert status == 1
        assert "1 parts did not come back from the Ray cluster" in errors
        assert "run the same command with --resume to continue" in errors
        status, errors = score("in/a.csv", "out.csv", "--engine", "ray", "--resume")
        assert status == 0 and "10 rows (7 scored before)" in errors

    def test_a_part_that_ends_every_worker_is_named_and_the_others_are_kept(self, score, monkeypatch, tmp_path, folder):
        class AttemptsAtDeadlyPart(Attempts):
            def begin(self, number):
                for _ in range(MOST_ATTEMPTS * (number == 1)):  # workers that began it and died
                    super().begin(number)
                return super().begin(number)

        with monkeypatch.context() as patch:
            patch.setattr(ray_in_process, "Attempts", AttemptsAtDeadlyPart)
            status, errors = score("in/a.csv", "out.csv", "--engine", "ray")
        assert status == 1
        assert "error: in/a.csv, rows 5 to 7: 5 workers have died while they predicted these rows" in errors
        assert "run the same command with --resume to continue" in errors
        status, errors = score("in/a.csv", "out.csv", "--engine", "ray", "--resume")
        assert status == 0 and "10 rows (4 scored before)" in errors
        assert score("in/a.csv", "local.csv")[0] == 0
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()
