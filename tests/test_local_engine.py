"""Score files: every row is written once, in order, whatever it contains and whenever a run is interrupted."""

import collections
import dataclasses
import io
import json
import os
import sys
from types import SimpleNamespace

import pyarrow.parquet
import pytest
from scored_files import FakePredictor, count_rows, prediction_of, read_dicts, read_rows, score, write_rows

from serving.scoring import source as source_module
from system.errors import InputError
from text.labels import LabelSet
from text.tables.kinds import KIND_NAMES

SUFFIXES = [f".{kind}" for kind in KIND_NAMES]
TABLES = [suffix for suffix in SUFFIXES if suffix != ".txt"]
PREDICTIONS = ["label", "probability", "confidence", "problem"]
# The same four columns for a source that has a column "label" already.
RENAMED = ["predicted_label", *PREDICTIONS[1:]]
TEXTS = [
    "房间很干净",
    'he said "no", twice',
    '"quoted"',
    "😀 \\ ' \\n",
    "",
    " 两边有空格 ",
    "null",
    "a, b; c|d",
    "\ufeffmark",
    "line\u2028separator\x0bhere",
]
BROKEN_LINES = ["tab\there", "line\nbreak", "windows\r\nbreak", "return\ralone", 'all ",\n\t"']


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(source_module, "BLOCK_ROWS", 3)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # thousands of files need no safety from power cuts


def check_predictions(rows, texts, columns):
    """Check the four columns, whose names are given, of the rows of some texts."""
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        prediction = prediction_of(text)
        label, probability, confidence, problem = (row[column] for column in columns)
        assert label == (prediction.label or ""), number
        if prediction.problem:
            assert probability == confidence == ""
            assert problem.startswith("row ") and problem.endswith(": the text is empty")
        else:
            assert float(probability) == pytest.approx(prediction.probability, abs=1e-6)
            assert float(confidence) == pytest.approx(prediction.confidence, abs=1e-6)
            assert problem == ""


def on_one_line(text):
    return " ".join(text.replace("\t", " ").splitlines())


class TestEveryKind:
    COLUMNS = ["number", "text", "label", "more, columns"]
    ROWS = [[str(number), text, "old", text[::-1]] for number, text in enumerate(TEXTS + BROKEN_LINES)]

    @pytest.mark.parametrize("to", TABLES)
    @pytest.mark.parametrize("of", TABLES)
    def test_a_table_keeps_its_rows_and_columns_in_order(self, tmp_path, small_blocks, of, to):
        write_rows(tmp_path / f"in{of}", self.COLUMNS, self.ROWS)
        score(tmp_path / f"in{of}", tmp_path / f"out{to}")
        columns, *rows = read_rows(tmp_path / f"out{to}")
        assert columns == [*self.COLUMNS, *RENAMED]
        assert [row[:4] for row in rows] == self.ROWS
        check_predictions(read_dicts(tmp_path / f"out{to}"), TEXTS + BROKEN_LINES, RENAMED)

    @pytest.mark.parametrize("of", TABLES)
    def test_in_plain_text_the_text_comes_last(self, tmp_path, small_blocks, of):
        write_rows(tmp_path / f"in{of}", self.COLUMNS, self.ROWS)
        score(tmp_path / f"in{of}", tmp_path / "out.txt")
        columns = ["number", "label", "more, columns", *RENAMED, "text"]
        rows = [dict(zip(columns, row, strict=True)) for row in read_rows(tmp_path / "out.txt")]
        expected = [[on_one_line(value) for value in row] for row in self.ROWS]
        assert [[row[column] for column in self.COLUMNS] for row in rows] == expected
        check_predictions(rows, TEXTS + BROKEN_LINES, RENAMED)

    @pytest.mark.parametrize("to", TABLES)
    def test_lines_of_plain_text_become_rows(self, tmp_path, small_blocks, to):
        write_rows(tmp_path / "in.txt", ["text"], [[text] for text in TEXTS])
        score(tmp_path / "in.txt", tmp_path / f"out{to}")
        columns, *rows = read_rows(tmp_path / f"out{to}")
        assert columns == ["text", *PREDICTIONS]
        assert [row[0] for row in rows] == TEXTS
        check_predictions(read_dicts(tmp_path / f"out{to}"), TEXTS, PREDICTIONS)

    def test_plain_text_from_plain_text(self, tmp_path, small_blocks):
        write_rows(tmp_path / "in.txt", ["text"], [[text] for text in TEXTS])
        score(tmp_path / "in.txt", tmp_path / "out.txt")
        rows = [dict(zip([*PREDICTIONS, "text"], row, strict=True)) for row in read_rows(tmp_path / "out.txt")]
        assert [row["text"] for row in rows] == [on_one_line(text) for text in TEXTS]
        check_predictions(rows, TEXTS, PREDICTIONS)

    def test_a_table_survives_all_kinds_in_turn(self, tmp_path, small_blocks):
        columns, texts = ["number", "text"], TEXTS + BROKEN_LINES
        rows = [[str(number), text] for number, text in enumerate(texts)]
        write_rows(tmp_path / "0.csv", columns, rows)
        for number, suffix in enumerate([".jsonl", ".parquet", ".csv", ".tsv", ".jsonl"], start=1):
            (before,) = tmp_path.glob(f"{number - 1}.*")
            score(before, tmp_path / f"{number}{suffix}")
        assert [row[:2] for row in read_rows(tmp_path / "5.jsonl")] == [columns, *rows]

    def test_nested_values_and_types_stay(self, tmp_path):
        values = [{"text": "好", "a": [1, {"b": None}], "n": 1.5}, {"text": "坏", "other": True}, {"n": 3}]
        (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, values)), encoding="utf-8")
        score(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        assert [{name: row[name] for name in row if name not in PREDICTIONS} for row in found] == values
        assert [row["label"] for row in found] == ["正面", "正面", None]
        assert found[2]["problem"] == "row 3: the row has no column 'text'"
        score(tmp_path / "in.jsonl", tmp_path / "out.csv")
        assert read_rows(tmp_path / "out.csv")[0] == ["text", "a", "n", "other", *PREDICTIONS]
        assert read_rows(tmp_path / "out.csv")[1][:4] == ["好", '[1, {"b": null}]', "1.5", ""]

    def test_spreadsheets_get_a_byte_order_mark(self, tmp_path):
        for encoding, has_mark in [("utf-8", False), ("utf-8-sig", True), ("gb18030", True), ("utf-16", True)]:
            (tmp_path / "in.csv").write_bytes("text\n好评如潮\n".encode(encoding))
            score(tmp_path / "in.csv", tmp_path / "out.csv")
            assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbf") is has_mark
            assert read_rows(tmp_path / "out.csv")[1][0] == "好评如潮"

    @pytest.mark.parametrize("to", SUFFIXES)
    def test_a_column_per_label(self, tmp_path, small_blocks, to):
        columns = ["number", "text", "probability_正面"]
        rows = [[str(number), text, "old"] for number, text in enumerate(TEXTS)]
        write_rows(tmp_path / "in.csv", columns, rows)
        score(tmp_path / "in.csv", tmp_path / f"out{to}", all_probabilities=True)
        added = [*PREDICTIONS, "probability_负面", "predicted_probability_正面"]
        in_order = [*columns, *added] if to != ".txt" else ["number", "probability_正面", *added, "text"]
        found = read_rows(tmp_path / f"out{to}")
        if to != ".txt":
            assert found.pop(0) == in_order
        found = [dict(zip(in_order, row, strict=True)) for row in found]
        assert [row["number"] for row in found] == [row[0] for row in rows]
        check_predictions(found, TEXTS, PREDICTIONS)
        for row in found:
            assert row["predicted_probability_正面"] == row["probability"]
            assert row["probability"] == "" or float(row["probability_负面"]) == 1 - float(row["probability"])

    def test_in_parquet_the_added_columns_have_types(self, tmp_path):
        write_rows(tmp_path / "in.csv", ["text"], [["好"], [""]])
        score(tmp_path / "in.csv", tmp_path / "out.parquet", all_probabilities=True)
        schema = pyarrow.parquet.read_schema(tmp_path / "out.parquet")
        names = ["text", *PREDICTIONS, "probability_负面", "probability_正面"]
        types = ["string", "string", "double", "double", "string", "double", "double"]
        assert [(field.name, str(field.type)) for field in schema] == list(zip(names, types, strict=True))

    def test_kind_of_the_output(self, tmp_path):
        (tmp_path / "in.jsonl").write_text('{"text": "a"}')
        score(tmp_path / "in.jsonl", tmp_path / "scored")
        assert json.loads((tmp_path / "scored").read_text())["text"] == "a"
        score(tmp_path / "in.jsonl", tmp_path / "out.data", output_kind="csv")
        assert (tmp_path / "out.data").read_text().startswith("text,label")
        with pytest.raises(InputError, match="--output-format"):
            score(tmp_path / "in.jsonl", tmp_path / "out.xlsx")


MEGABYTE = "好" * 1_000_000
# For each kind of table, lines of which most are damaged, and words of the problem of each row, "" for a sound one.
BAD = {
    ".csv": (
        'text,n\n好,1\n\n"没有结束,2\n"a\nb",3\n一\n一,二,三\n"好"的,1\na\0b,1\n,1\n坏,4\n\n',
        ["", "empty", "quotation", "", "1 col", "3 col", "not valid CSV", "NUL", "empty", "", "empty"],
    ),
    ".jsonl": (
        '{"text": "好"}\n\n{"text": "a\n[1]\n5\n{"text": 5}\n{"no": "text"}\n{"text": "a\\u0000"}\n{"text": "坏"}',
        ["", "empty", "not JSON", "not a JSON object", "not a JSON object", "not a string", "no column", "NUL", ""],
    ),
    ".tsv": (
        'text\tn\n好\t1\n\n一\n一\t二\t三\na\0b\t1\n\t1\n坏\t"4\n',
        ["", "empty", "1 col", "3 col", "NUL", "empty", ""],
    ),
    ".txt": ("好\n\na\0b\n \n坏", ["", "empty", "NUL", "empty", ""]),
}
FIRST_ROW = {".csv": 2, ".tsv": 2, ".jsonl": 1, ".txt": 1}


@pytest.fixture
def bad_file(tmp_path):
    """Return the function that writes a damaged file of a kind, and returns its path."""

    def write(of):
        path = tmp_path / f"in{of}"
        path.write_bytes(BAD[of][0].encode())
        return path

    return write


class TestBadInput:
    @pytest.mark.parametrize("of", list(BAD))
    @pytest.mark.parametrize("to", TABLES)
    def test_every_damaged_row_has_its_problem_and_the_run_goes_on(self, tmp_path, bad_file, small_blocks, of, to):
        score(bad_file(of), tmp_path / f"out{to}")
        self.check_problems([row["problem"] for row in read_dicts(tmp_path / f"out{to}")], of)

    @pytest.mark.parametrize("of", list(BAD))
    def test_plain_text_has_the_problem_before_the_text(self, tmp_path, bad_file, small_blocks, of):
        score(bad_file(of), tmp_path / "out.txt")
        self.check_problems([row[-2] for row in read_rows(tmp_path / "out.txt")], of)

    def check_problems(self, found, of):
        expected = BAD[of][1]
        assert [bool(problem) for problem in found] == [bool(problem) for problem in expected]
        for number, (problem, words) in enumerate(zip(found, expected, strict=True), start=FIRST_ROW[of]):
            assert words in problem
            assert problem == "" or problem.startswith(f"row {number}: ")

    @pytest.mark.parametrize(
        ("of", "num_problems", "num_more"), [(".csv", 8, 3), (".jsonl", 7, 2), (".tsv", 5, 0), (".txt", 3, 0)]
    )
    def test_the_first_five_problems_are_printed(self, tmp_path, bad_file, capsys, of, num_problems, num_more):
        score(bad_file(of), tmp_path / "out.jsonl")
        printed = capsys.readouterr().err
        assert printed.count(f"in{of}, row ") == num_problems - num_more
        assert f"{num_problems} without a prediction" in printed
        assert (f"in{of}: {num_more} more rows have no prediction" in printed) is (num_more > 0)

    @pytest.mark.parametrize("of", list(BAD))
    def test_a_strict_run_stops_at_the_first_problem_and_leaves_nothing(self, tmp_path, bad_file, of):
        source = bad_file(of)
        with pytest.raises(InputError, match=f"in{of}, row {FIRST_ROW[of] + 1}: the (line|text) is empty"):
            score(source, tmp_path / "out.csv", strict=True)
        assert os.listdir(tmp_path) == [source.name]

    @pytest.mark.parametrize(
        ("name", "line", "words"),
        [
            ("in.csv", '"没有结束,2', "quotation mark"),
            ("in.csv", "一", "1 column but"),
            ("in.csv", "a\0b,1", "NUL"),
            ("in.csv", "", "empty"),
            ("in.jsonl", "{", "not JSON"),
            ("in.txt", "\udcff", "cannot be decoded"),
        ],
    )
    def test_strict_for_each_kind_of_damage(self, tmp_path, name, line, words):
        good = {"in.csv": ["text,n", "好,1"], "in.jsonl": ['{"text": "好"}'], "in.txt": ["好"]}[name]
        lines = [*good, line, good[-1], ""]
        (tmp_path / name).write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
        score(tmp_path / name, tmp_path / "out.jsonl")
        assert count_rows(tmp_path / "out.jsonl") == 3
        with pytest.raises(InputError, match=words):
            score(tmp_path / name, tmp_path / "out.jsonl", strict=True)
        (tmp_path / name).write_text("\n".join(good), encoding="utf-8")
        score(tmp_path / name, tmp_path / "out.jsonl", strict=True)
        assert count_rows(tmp_path / "out.jsonl") == 1

    @pytest.mark.parametrize("of", SUFFIXES)
    def test_long_fields(self, tmp_path, of):
        texts = [MEGABYTE, "好", MEGABYTE[:-1]]
        write_rows(tmp_path / f"in{of}", ["text"], [[text] for text in texts])
        score(tmp_path / f"in{of}", tmp_path / "out.jsonl")
        assert [row[0] for row in read_rows(tmp_path / "out.jsonl")[1:]] == texts

    def test_a_field_that_is_too_long(self, tmp_path, monkeypatch):
        monkeypatch.setattr("text.tables.input.limits.MAX_ROW_CHARACTERS", 1000)
        (tmp_path / "in.csv").write_text(f'text,n\n{"a" * 1001},1\nb,2\n"{"c" * 600}\n{"c" * 600}",3\nd,4\n')
        score(tmp_path / "in.csv", tmp_path / "out.csv")
        found = read_rows(tmp_path / "out.csv")
        assert [row[0][:1] for row in found[1:]] == ["", "b", '"', "c", "d"]
        assert "the row has more than 1,000 characters" in found[1][-1]
        assert [bool(row[-1]) for row in found[1:]] == [True, False, True, False, False]

    def test_many_quotes_that_nothing_closes_lose_no_line(self, tmp_path):
        lines = ['",a",b"c,"'] * 3000
        (tmp_path / "in.csv").write_text("\n".join(["text,label", *lines, "好,1", ""]), encoding="utf-8")
        score(tmp_path / "in.csv", tmp_path / "out.jsonl")
        found = read_rows(tmp_path / "out.jsonl")
        assert len(found) == 1 + 3001
        problem = found[0].index("problem")
        assert all(row[problem].startswith(f"row {number:,}: ") for number, row in enumerate(found[1:3001], start=2))

    @pytest.mark.parametrize(
        ("name", "content", "count"),
        [
            ("in.csv", "text,n\n", 0),
            ("in.csv", "text,n", 0),
            ("in.tsv", "text\tn\n", 0),
            ("in.txt", "", 0),
            ("in.txt", "\n", 1),
            ("in.csv", "\n\ntext\n好\n\n", 2),
        ],
    )
    def test_few_rows(self, tmp_path, name, content, count):
        (tmp_path / name).write_text(content, encoding="utf-8")
        for suffix in SUFFIXES:
            score(tmp_path / name, tmp_path / f"out{suffix}")
            assert count_rows(tmp_path / f"out{suffix}") == count

    def test_a_header_of_many_columns_without_a_name(self, tmp_path):
        (tmp_path / "in.csv").write_text("text" + "," * 16_000 + "\n好" + "," * 16_000 + "\n", encoding="utf-8")
        score(tmp_path / "in.csv", tmp_path / "out.csv")
        header, row = read_rows(tmp_path / "out.csv")
        assert len(set(header)) == len(row) == 16_005

    def test_json_of_many_levels(self, tmp_path):
        lines = [json.dumps({"text": "好", "a": 1})]
        lines += ['{"text": "好", "a": ' + "[" * depth + "]" * depth + "}" for depth in (50, 99, 100, 500, 100_000)]
        (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
        for suffix in SUFFIXES:
            score(tmp_path / "in.jsonl", tmp_path / f"out{suffix}")
            assert count_rows(tmp_path / f"out{suffix}") == 6
        problems = [row[-1] for row in read_rows(tmp_path / "out.csv")[1:]]
        assert [bool(problem) for problem in problems] == [False] * 3 + [True] * 3

    def test_inputs_and_outputs_that_are_refused(self, tmp_path):
        path = tmp_path / "in.csv"
        path.write_text("text\n好\n", encoding="utf-8")
        with pytest.raises(InputError, match="missing.csv: no such file"):
            score(tmp_path / "missing.csv", tmp_path / "out.csv")
        with pytest.raises(InputError, match="in.csv is also the input"):
            score(path, tmp_path / ".." / tmp_path.name / "in.csv")
        with pytest.raises(InputError, match="is a folder"):
            score(path, tmp_path)
        for stream in ("-", "/dev/null"):
            with pytest.raises(InputError, match="Parquet cannot be written to standard output"):
                score(path, stream, output_kind="parquet")
            with pytest.raises(InputError, match="name it with --output"):
                score(path, stream, resume=True)
        assert path.read_text(encoding="utf-8") == "text\n好\n"


def test_a_closed_standard_output(tmp_path, monkeypatch):
    (tmp_path / "in.txt").write_text("好", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(InputError, match="name a file with --output"):
        score(tmp_path / "in.txt", "-")


class TestResume:
    """Interrupted runs in this process; `test_local_engine_killed.py` kills processes."""

    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "in.csv"
        path.write_text("text,n\n" + "".join(f"第{number}条,{number}\n" for number in range(100)), encoding="utf-8")
        return path

    @pytest.mark.parametrize("to", SUFFIXES)
    def test_no_row_is_scored_twice_and_none_is_lost(self, tmp_path, source, small_blocks, capsys, to):
        whole, output = tmp_path / f"whole{to}", tmp_path / f"out{to}"
        score(source, whole)
        asked = collections.Counter()
        for number, fails_after in enumerate([5, 0, 1, 7]):
            predictor = FakePredictor(fails_after)
            with pytest.raises(KeyboardInterrupt):
                score(source, output, predictor, resume=number > 0)
            assert not output.exists()
            assert "with --resume to continue" in capsys.readouterr().err
            asked += predictor.asked
        predictor = FakePredictor()
        score(source, output, predictor, resume=True)
        asked += predictor.asked
        assert output.read_bytes() == whole.read_bytes()
        assert len(asked) == 100
        assert set(asked.values()) == {1}
        assert "100 rows (39 scored before), 90 负面, 10 正面; " in capsys.readouterr().err
        assert not list(tmp_path.glob("*.parts"))

    @pytest.fixture
    def interrupted(self, tmp_path, source, small_blocks):
        with pytest.raises(KeyboardInterrupt):
            score(source, tmp_path / "out.csv", FakePredictor(5), settings={"model": "a", "threshold": 0.7})
        return source

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"settings": {"model": "b", "threshold": 0.7}}, "a different model"),
            ({"settings": {"model": "a", "threshold": 0.6}}, "a different threshold"),
            ({"text_column": "n"}, "a different text column"),
            ({"all_probabilities": True}, "a different --all-probabilities"),
            ({"output_kind": "tsv"}, "a different output kind"),
            ({"source_kind": "tsv", "text_column": "text,n"}, "source kind"),
        ],
    )
    def test_a_run_with_other_settings_is_refused(self, tmp_path, interrupted, options, words):
        with pytest.raises(InputError, match=words):
            score(
                interrupted,
                tmp_path / "out.csv",
                resume=True,
                **({"settings": {"model": "a", "threshold": 0.7}} | options),
            )
        assert not (tmp_path / "out.csv").exists()

    def test_a_changed_source_is_refused(self, tmp_path, interrupted):
        status = interrupted.stat()
        interrupted.write_bytes(interrupted.read_bytes().replace("第99条".encode(), "第98条".encode()))
        os.utime(interrupted, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(InputError, match="a different source"):
            score(interrupted, tmp_path / "out.csv", resume=True, settings={"model": "a", "threshold": 0.7})

    @pytest.fixture
    def pipe_in(self, monkeypatch):
        """Return the function that makes a text the standard input."""

        def pipe_in(content):
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))

        return pipe_in

    def test_standard_input(self, tmp_path, small_blocks, pipe_in):
        pipe_in("好\n" * 50)
        with pytest.raises(KeyboardInterrupt):
            score("-", tmp_path / "out.txt", FakePredictor(3))
        pipe_in("坏\n" * 50)
        with pytest.raises(InputError, match="a different source"):
            score("-", tmp_path / "out.txt", resume=True)
        pipe_in("好\n" * 50)
        score("-", tmp_path / "out.txt", resume=True)
        assert count_rows(tmp_path / "out.txt") == 50

    def test_the_summary_counts_the_rows_of_the_first_run(self, tmp_path, small_blocks, capsys):
        texts = ["好", "", "房间很干净", "好"] * 3
        (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "in.txt", tmp_path / "out.txt", FakePredictor(2))
        score(tmp_path / "in.txt", tmp_path / "out.txt", resume=True)
        printed = capsys.readouterr().err
        assert "12 rows (6 scored before), 6 正面, 3 负面, 3 without a prediction; " in printed
        # The problems of the first run are counted and not listed again.
        assert printed.count("in.txt, row ") == 1 and "2 more rows have no prediction" in printed

    def test_the_summary_counts_truncated_texts(self, tmp_path, small_blocks, capsys):
        """All of them, those of a resumed run included."""

        class TruncatingPredictor(FakePredictor):
            def predict(self, texts):
                predictions = super().predict(texts)
                return [dataclasses.replace(each, is_truncated=len(each.text) > 3) for each in predictions]

        texts = ["好", "", "房间很干净", "好"] * 3
        (tmp_path / "in.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "in.txt", tmp_path / "out.txt", TruncatingPredictor(2))
        score(tmp_path / "in.txt", tmp_path / "out.txt", TruncatingPredictor(), resume=True)
        expected = "12 rows (6 scored before), 6 正面, 3 负面, 3 truncated, 3 without a prediction; "
        assert expected in capsys.readouterr().err

    def test_a_run_without_scored_rows_leaves_nothing(self, tmp_path, source, capsys):
        with pytest.raises(KeyboardInterrupt):
            score(source, tmp_path / "out.csv", FakePredictor(0))
        assert os.listdir(tmp_path) == [source.name]
        assert "--resume" not in capsys.readouterr().err

    def test_a_strict_run_can_be_resumed_without_strict(self, tmp_path, small_blocks):
        (tmp_path / "in.txt").write_text("好\n" * 7 + "\n" + "好\n" * 7, encoding="utf-8")
        with pytest.raises(InputError, match="row 8"):
            score(tmp_path / "in.txt", tmp_path / "out.txt", strict=True)
        predictor = FakePredictor()
        score(tmp_path / "in.txt", tmp_path / "out.txt", predictor, resume=True)
        assert count_rows(tmp_path / "out.txt") == 15
        assert predictor.asked["好"] < 14


class AspectPredictor(FakePredictor):
    """A predictor of several labels a text: those that the text names."""

    labels = LabelSet(("服务", "位置"), multi_label=True)

    def predict(self, texts):
        predictions = super().predict(texts)
        named = [tuple(name for name in self.labels.names if name in text) for text in texts]
        return [
            one if one.problem else dataclasses.replace(one, label="|".join(names), labels=names)
            for one, names in zip(predictions, named, strict=True)
        ]


class TestSeveralLabels:
    TEXTS = ["服务好", "服务差，位置偏", "", "一般", "位置好"]
    LABELS = ["服务", "服务|位置", "", "", "位置"]

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_they_are_joined_and_no_label_is_empty(self, tmp_path, suffix, capsys):
        write_rows(tmp_path / f"in{suffix}", ["n", "text"], [["1", text] for text in self.TEXTS])
        score(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", AspectPredictor())
        rows = read_rows(tmp_path / f"out{suffix}")
        columns = ["label", "probability", "confidence", "problem", "text"] if suffix == ".txt" else rows.pop(0)
        assert [row[columns.index("label")] for row in rows] == self.LABELS
        assert [bool(row[columns.index("problem")]) for row in rows] == [False, False, True, False, False]
        assert "5 rows, 2 服务, 2 位置, 1 no label, 1 without a prediction; " in capsys.readouterr().err

    def test_in_json_lines_no_label_differs_from_no_prediction(self, tmp_path):
        write_rows(tmp_path / "in.jsonl", ["text"], [["一般"], [""]])
        score(tmp_path / "in.jsonl", tmp_path / "out.jsonl", AspectPredictor())
        found = [json.loads(line)["label"] for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
        assert found == ["", None]

    def test_a_resumed_run_counts_the_labels_of_the_first_one(self, tmp_path, small_blocks, capsys):
        write_rows(tmp_path / "in.txt", ["text"], [[text] for text in self.TEXTS * 2])
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "in.txt", tmp_path / "out.txt", AspectPredictor(2))
        score(tmp_path / "in.txt", tmp_path / "out.txt", AspectPredictor(), resume=True)
        expected = "10 rows (6 scored before), 4 服务, 4 位置, 2 no label, 2 without a prediction; "
        assert expected in capsys.readouterr().err
