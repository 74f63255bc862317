"""Whole files scored: every row comes out once, in its place, whatever it holds and whenever the run is killed."""

import collections
import csv
import io
import itertools
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, settings

from serving.predictor import Prediction
from serving.scoring import source as rows_module
from serving.scoring.local_engine import ScoringPlan, in_background, score_file, verdict_columns
from system.errors import InputError
from text.problems import EMPTY
from text.tables.kinds import KIND_NAMES

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = [f".{kind}" for kind in KIND_NAMES]
VERDICTS = ["label", "probability", "confidence", "problem"]
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
FUZZED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], database=None
)


class FakePredictor:
    """Judges as the real one does, by the length of a text; remembers what it was asked."""

    def __init__(self, fails_after=None):
        self.asked = collections.Counter()
        self.calls = 0
        self.fails_after = fails_after

    def predict(self, texts):
        if self.calls == self.fails_after:
            raise KeyboardInterrupt
        self.calls += 1
        self.asked.update(texts)
        return [self._judge(text) for text in texts]

    def _judge(self, text):
        if not text.strip():
            return Prediction(text, problem=EMPTY)
        probability = 1 / (1 + len(text))
        positive = probability > 0.2
        return Prediction(text, "正面" if positive else "负面", probability, max(probability, 1 - probability))


def score(source, output, predictor=None, **options):
    score_file(predictor or FakePredictor(), ScoringPlan(str(source), str(output), **options))


def write_rows(path, columns, rows):
    """Writes a file of a kind without this project's help; `rows` are lists of texts."""
    if path.suffix in (".csv", ".tsv"):
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="," if path.suffix == ".csv" else "\t").writerows([columns, *rows])
    elif path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    elif path.suffix == ".parquet":
        arrays = [pyarrow.array(list(values), pyarrow.string()) for values in zip(*rows, strict=True)]
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, columns), path)
    else:
        path.write_bytes("".join(f"{row[columns.index('text')]}\n" for row in rows).encode("utf-8"))


def read_rows(path):
    """Reads a scored file without this project's help, as lists of texts; the columns are the first row."""
    if path.suffix in (".csv", ".tsv"):
        text = path.read_bytes().decode("utf-8").removeprefix("\ufeff")
        delimiter = "," if path.suffix == ".csv" else "\t"
        csv.field_size_limit(sys.maxsize)
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    if path.suffix == ".jsonl":
        found = [json.loads(line) for line in path.read_bytes().decode("utf-8").split("\n")[:-1]]
        columns = list(dict.fromkeys(itertools.chain.from_iterable(found)))
        return [columns, *([as_cell(row.get(column)) for column in columns] for row in found)]
    if path.suffix == ".parquet":
        table = pyarrow.parquet.ParquetFile(path).read()
        columns = [column.to_pylist() for column in table.columns]
        cells = [[as_cell(value) for value in row] for row in zip(*columns, strict=True)]
        return [table.column_names, *cells]
    return [line.split("\t") for line in path.read_bytes().decode("utf-8").split("\n")[:-1]]


def as_cell(value):
    return "" if value is None else value if isinstance(value, str) else repr(value)


def count_rows(path):
    return len(read_rows(path)) - (path.suffix != ".txt")


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 3)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # thousands of files need no safety from power cuts


class TestEveryKind:
    @pytest.mark.parametrize("to", SUFFIXES)
    @pytest.mark.parametrize("of", SUFFIXES)
    def test_order_and_columns_are_kept(self, tmp_path, small_blocks, of, to):
        texts = TEXTS if of == ".txt" else TEXTS + BROKEN_LINES  # a line of a text file is a text
        columns = ["text"] if of == ".txt" else ["number", "text", "label", "more, columns"]
        rows = [[str(number), text, "old", text[::-1]] for number, text in enumerate(texts)]
        if of == ".txt":
            rows = [[text] for text in texts]
        write_rows(tmp_path / f"in{of}", columns, rows)
        score(tmp_path / f"in{of}", tmp_path / f"out{to}")
        found = read_rows(tmp_path / f"out{to}")
        added = VERDICTS if of == ".txt" else ["predicted_label", *VERDICTS[1:]]
        if to == ".txt":
            order = [column for column in [*columns, *added] if column != "text"] + ["text"]
            assert [len(row) for row in found] == [len(order)] * len(rows)
            found = [order, *found]
        else:
            assert found[0] == columns + added
        assert len(found) == len(rows) + 1
        for number, (before, after) in enumerate(zip(rows, found[1:], strict=True)):
            cells = dict(zip(found[0], after, strict=True))
            for column, value in zip(columns, before, strict=True):
                expected = " ".join(value.replace("\t", " ").splitlines()) if to == ".txt" else value
                assert cells[column] == expected, number
            prediction = FakePredictor()._judge(before[columns.index("text")])
            assert cells[added[0]] == (prediction.label or "")
            if prediction.problem:
                assert cells["probability"] == cells["confidence"] == ""
                assert cells["problem"].startswith("row ") and cells["problem"].endswith(": the text is empty")
            else:
                assert float(cells["probability"]) == pytest.approx(prediction.probability, abs=1e-6)
                assert float(cells["confidence"]) == pytest.approx(prediction.confidence, abs=1e-6)
                assert cells["problem"] == ""

    def test_a_table_goes_round_all_kinds(self, tmp_path, small_blocks):
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
        assert [{name: row[name] for name in row if name not in VERDICTS} for row in found] == values
        assert [row["label"] for row in found] == ["正面", "正面", None]
        assert found[2]["problem"] == "row 3: the row has no column 'text'"
        score(tmp_path / "in.jsonl", tmp_path / "out.csv")
        assert read_rows(tmp_path / "out.csv")[0] == ["text", "a", "n", "other", *VERDICTS]
        assert read_rows(tmp_path / "out.csv")[1][:4] == ["好", '[1, {"b": null}]', "1.5", ""]

    def test_spreadsheets_get_a_mark(self, tmp_path):
        for encoding, has_mark in [("utf-8", False), ("utf-8-sig", True), ("gb18030", True), ("utf-16", True)]:
            (tmp_path / "in.csv").write_bytes("text\n好评如潮\n".encode(encoding))
            score(tmp_path / "in.csv", tmp_path / "out.csv")
            assert (tmp_path / "out.csv").read_bytes().startswith(b"\xef\xbb\xbf") is has_mark
            assert read_rows(tmp_path / "out.csv")[1][0] == "好评如潮"

    def test_names_of_the_added_columns(self):
        assert verdict_columns(["text"]) == VERDICTS
        taken = ["label", "predicted_label", "problem"]
        assert verdict_columns(taken) == [
            "predicted_predicted_label",
            "probability",
            "confidence",
            "predicted_problem",
        ]

    def test_kind_of_the_output(self, tmp_path):
        (tmp_path / "in.jsonl").write_text('{"text": "a"}')
        score(tmp_path / "in.jsonl", tmp_path / "scored")
        assert json.loads((tmp_path / "scored").read_text())["text"] == "a"
        score(tmp_path / "in.jsonl", tmp_path / "out.data", output_kind="csv")
        assert (tmp_path / "out.data").read_text().startswith("text,label")
        with pytest.raises(InputError, match="--output-format"):
            score(tmp_path / "in.jsonl", tmp_path / "out.xlsx")


MEGABYTE = "好" * 1_000_000
BAD_CSV = 'text,n\n好,1\n\n"没有结束,2\n"a\nb",3\n一\n一,二,三\n"好"的,1\na\0b,1\n,1\n坏,4\n\n'
BAD_JSONL = '{"text": "好"}\n\n{"text": "a\n[1]\n5\n{"text": 5}\n{"no": "text"}\n{"text": "a\\u0000"}\n{"text": "坏"}'
BAD_TSV = 'text\tn\n好\t1\n\n一\n一\t二\t三\na\0b\t1\n\t1\n坏\t"4\n'
BAD_TXT = "好\n\na\0b\n \n坏"
BAD = {
    ".csv": (BAD_CSV, ["", "empty", "quotation", "", "1 col", "3 col", "not valid CSV", "NUL", "empty", "", "empty"]),
    ".jsonl": (BAD_JSONL, ["", "empty", "not JSON", "not a", "not a", "no string", "no column", "NUL", ""]),
    ".tsv": (BAD_TSV, ["", "empty", "1 col", "3 col", "NUL", "empty", ""]),
    ".txt": (BAD_TXT, ["", "empty", "NUL", "empty", ""]),
}


class TestBadInput:
    @pytest.mark.parametrize("of", list(BAD))
    @pytest.mark.parametrize("to", SUFFIXES)
    def test_each_row_is_told_and_none_ends_the_run(self, tmp_path, small_blocks, capsys, of, to):
        content, problems = BAD[of]
        (tmp_path / f"in{of}").write_bytes(content.encode())
        score(tmp_path / f"in{of}", tmp_path / f"out{to}")
        found = read_rows(tmp_path / f"out{to}")
        index = -2 if to == ".txt" else found.pop(0).index("problem")
        assert len(found) == len(problems)
        first = 2 if of in (".csv", ".tsv") else 1
        for number, (row, problem) in enumerate(zip(found, problems, strict=True), start=first):
            assert bool(problem) == bool(row[index]), row
            if problem:
                assert row[index].startswith(f"row {number}: ")
                assert problem.replace("no string", "not a string") in row[index]
        told = capsys.readouterr().err
        count = sum(map(bool, problems))
        assert told.count(f"in{of}, row ") == min(count, 5)
        assert f"{count} without a verdict" in told
        if count > 5:
            assert f"{count - 5} rows more are without a verdict" in told

    @pytest.mark.parametrize("of", list(BAD))
    def test_strict(self, tmp_path, of):
        content, problems = BAD[of]
        (tmp_path / f"in{of}").write_bytes(content.encode())
        row = 3 if of in (".csv", ".tsv") else 2
        with pytest.raises(InputError, match=f"in{of}, row {row}: the (line|text) is empty"):
            score(tmp_path / f"in{of}", tmp_path / "out.csv", strict=True)
        assert not (tmp_path / "out.csv").exists()

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
        monkeypatch.setattr("text.tables.delimited.MAX_FIELD_CHARACTERS", 1000)
        (tmp_path / "in.csv").write_text(f'text,n\n{"a" * 1001},1\nb,2\n"{"c" * 600}\n{"c" * 600}",3\nd,4\n')
        score(tmp_path / "in.csv", tmp_path / "out.csv")
        found = read_rows(tmp_path / "out.csv")
        assert [row[0][:1] for row in found[1:]] == ["a", "b", '"', "c", "d"]
        assert "field larger than field limit" in found[1][-1]
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

    def test_what_is_refused(self, tmp_path):
        path = tmp_path / "in.csv"
        path.write_text("text\n好\n", encoding="utf-8")
        with pytest.raises(InputError, match="there is no file"):
            score(tmp_path / "missing.csv", tmp_path / "out.csv")
        with pytest.raises(InputError, match="is the file that is to be scored"):
            score(path, tmp_path / ".." / tmp_path.name / "in.csv")
        with pytest.raises(InputError, match="is a folder"):
            score(path, tmp_path)
        for stream in ("-", "/dev/null"):
            with pytest.raises(InputError, match="no text for standard output"):
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
    """Runs that end before their end, in this process; `TestKilled` kills real ones."""

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
            assert "--resume goes on with it" in capsys.readouterr().err
            asked += predictor.asked
        predictor = FakePredictor()
        score(source, output, predictor, resume=True)
        asked += predictor.asked
        assert output.read_bytes() == whole.read_bytes()
        assert len(asked) == 100
        assert set(asked.values()) == {1}
        assert "39 scored before" in capsys.readouterr().err
        assert not list(tmp_path.glob("*.parts"))

    @pytest.fixture
    def interrupted(self, tmp_path, source, small_blocks):
        with pytest.raises(KeyboardInterrupt):
            score(source, tmp_path / "out.csv", FakePredictor(5), settings={"model": "a", "threshold": 0.7})
        return source

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"settings": {"model": "b", "threshold": 0.7}}, "another model"),
            ({"settings": {"model": "a", "threshold": 0.6}}, "another threshold"),
            ({"text_column": "n"}, "another text column"),
            ({"output_kind": "tsv"}, "another output kind"),
            ({"source_kind": "tsv", "text_column": "text,n"}, "source kind"),
        ],
    )
    def test_another_run_is_refused(self, tmp_path, interrupted, options, words):
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
        with pytest.raises(InputError, match="another source"):
            score(interrupted, tmp_path / "out.csv", resume=True, settings={"model": "a", "threshold": 0.7})

    def test_standard_input(self, tmp_path, small_blocks, monkeypatch):
        def give(content):
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))

        give("好\n" * 50)
        with pytest.raises(KeyboardInterrupt):
            score("-", tmp_path / "out.txt", FakePredictor(3))
        give("坏\n" * 50)
        with pytest.raises(InputError, match="another source"):
            score("-", tmp_path / "out.txt", resume=True)
        give("好\n" * 50)
        score("-", tmp_path / "out.txt", resume=True)
        assert count_rows(tmp_path / "out.txt") == 50

    def test_strict_goes_on_without(self, tmp_path, small_blocks):
        (tmp_path / "in.txt").write_text("好\n" * 7 + "\n" + "好\n" * 7, encoding="utf-8")
        with pytest.raises(InputError, match="row 8"):
            score(tmp_path / "in.txt", tmp_path / "out.txt", strict=True)
        predictor = FakePredictor()
        score(tmp_path / "in.txt", tmp_path / "out.txt", predictor, resume=True)
        assert count_rows(tmp_path / "out.txt") == 15
        assert predictor.asked["好"] < 14


class TestInBackground:
    def test_items_in_order(self):
        assert list(in_background(range(100))) == list(range(100))
        assert list(in_background([])) == []

    def test_an_error_comes_after_the_items_before_it(self):
        def items():
            yield 1
            raise InputError("no more")

        results = in_background(items())
        assert next(results) == 1
        with pytest.raises(InputError, match="no more"):
            next(results)

    def test_one_who_stops_asking_stops_the_fetching(self):
        fetched = []
        results = in_background(fetched.append(number) or number for number in itertools.count())
        next(results)
        results.close()
        count = len(fetched)
        assert count < 10
        time.sleep(0.3)
        assert len(fetched) == count
