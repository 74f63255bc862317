"""Files made to fill the memory: each is read in a bounded amount of it, and its other rows are scored."""

import tracemalloc

import pyarrow
import pyarrow.parquet
import pytest
from scored_files import read_dicts, read_rows, score

from serving.answers import Answers
from serving.predictor import Predictor
from system.errors import InputError
from text.corpus import iter_texts
from text.sources import read_labelled
from text.tables.input import limits
from text.tables.kinds import open_table

MEGABYTE = 1 << 20
LONG = 15 * MEGABYTE  # bytes of the long line, which would take 10 MB as a string
BEYOND_ANY_ROW = "好" * 7_000_000


@pytest.fixture(autouse=True)
def low_limits(monkeypatch):
    monkeypatch.setattr(limits, "MAX_ROW_CHARACTERS", 100_000)
    monkeypatch.setattr(limits, "MAX_COLUMNS", 100)


def write_long_line(path, first, begin, end, last):
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(first + begin)
        for _ in range(LONG // (3 * MEGABYTE)):
            file.write("好" * MEGABYTE)
        file.write(end + last)


KINDS = {
    "in.txt": ("好\n", "", "\n", "坏\n"),
    "in.csv": ("text,n\n好,1\n", "", ",2\n", "坏,3\n"),
    "in.tsv": ("text\tn\n好\t1\n", "", "\t2\n", "坏\t3\n"),
    "in.jsonl": ('{"text": "好"}\n', '{"text": "', '"}\n', '{"text": "坏"}\n'),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_a_line_of_many_megabytes_is_a_row_with_a_problem(tmp_path, name, line_end):
    write_long_line(tmp_path / name, *(part.replace("\n", line_end) for part in KINDS[name]))
    tracemalloc.start()
    try:
        score(tmp_path / name, tmp_path / "out.jsonl")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 9 * MEGABYTE
    rows = read_dicts(tmp_path / "out.jsonl")
    assert [row["text"] for row in rows] == ["好", "", "坏"]
    number = 2 + (name in ("in.csv", "in.tsv"))
    assert [row["problem"] for row in rows] == [
        "",
        f"row {number}: the row has more than 100,000 characters; divide it",
        "",
    ]


@pytest.mark.parametrize(("name", "lines"), [("in.txt", "{}"), ("in.csv", '"{}"')])
def test_what_ends_no_line_does_not_end_a_long_one(tmp_path, monkeypatch, name, lines):
    monkeypatch.setattr(limits, "MAX_ROW_CHARACTERS", 9)
    for length in range(8, 24):
        text = "a" * length + ("\r" if name == "in.txt" else "b") + "c" * 20
        lines_of_file = ["text", *map(lines.format, ("好", text, "坏"))]
        (tmp_path / name).write_bytes(("\n".join(lines_of_file) + "\n").encode())
        rows = list(open_table(tmp_path / name, kind=name[-3:], lossless=True).rows)
        assert [row.values.get("text") for row in rows][-3:] == ["好", None, "坏"]


def test_a_text_from_anywhere_has_the_same_limit(tiny_model, capsys):
    predictor = Predictor(tiny_model)
    long = "好" * 100_001
    predictions = predictor.predict([long, long[1:]])
    assert [bool(prediction.label) for prediction in predictions] == [False, True]
    assert predictions[0].problem == "the text has more than 100,000 characters"
    assert Answers(predictor, explain=True).answer([long]) == 1
    assert len(capsys.readouterr().err) < 300


def test_training_leaves_such_a_line_out(tmp_path, caplog):
    write_long_line(tmp_path / "in.csv", "text,label\n好,1\n", "", ",1\n", "坏,0\n")
    assert list(read_labelled(tmp_path / "in.csv").problems) == [1]
    write_long_line(tmp_path / "in.txt", *KINDS["in.txt"])
    assert list(iter_texts([tmp_path / "in.txt"])) == ["好", "坏"]
    assert "row 2: the row has more than 100,000 characters" in caplog.text


def test_a_record_of_many_lines_has_the_same_limit(tmp_path):
    record = "\n".join(["好" * 999] * 150)
    (tmp_path / "in.csv").write_text(f'text,n\n"{record}",1\n坏,2\n', encoding="utf-8")
    score(tmp_path / "in.csv", tmp_path / "out.csv")
    first, *_, last = read_dicts(tmp_path / "out.csv")
    assert "a quotation mark is never closed" in first["problem"]
    assert (last["text"], last["problem"]) == ("坏", "")


@pytest.mark.parametrize(("name", "separator"), [("in.csv", ","), ("in.tsv", "\t")])
def test_a_header_of_too_many_columns_is_refused(tmp_path, name, separator):
    (tmp_path / name).write_text(f"text{separator * 100}\n好{separator * 100}\n", encoding="utf-8")
    with pytest.raises(InputError, match="has 101 columns; at most 100 can be read"):
        score(tmp_path / name, tmp_path / "out.csv")


@pytest.mark.parametrize("lossless", [True, False])
def test_a_new_field_in_each_object_is_refused(tmp_path, lossless):
    lines = (f'{{"text": "好", "{number}": 1}}\n' for number in range(200))
    (tmp_path / "in.jsonl").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="row 100: the objects up to here have 101 different fields; at most 100"):
        open_table(tmp_path / "in.jsonl", lossless=lossless)


def test_long_names_of_fields_are_refused(tmp_path):
    lines = (f'{{"{str(number) * 50_000}": 1}}\n' for number in range(3))
    (tmp_path / "in.jsonl").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match="row 3: the objects up to here have 3 different fields"):
        score(tmp_path / "in.jsonl", tmp_path / "out.csv")


def test_an_object_of_too_many_fields_is_a_row_with_a_problem(tmp_path):
    fields = ", ".join(f'"{number}": 1' for number in range(101))
    (tmp_path / "in.jsonl").write_text(f'{{"text": "好"}}\n{{{fields}}}\n', encoding="utf-8")
    score(tmp_path / "in.jsonl", tmp_path / "out.csv")
    header, first, second = read_rows(tmp_path / "out.csv")
    assert header[0] == "text" and len(header) == 5
    assert second[-1] == "row 2: the object has more than 100 fields"


class TestParquet:
    """The real limits, because pyarrow has to meet a text beyond them."""

    @pytest.fixture(autouse=True)
    def real_limits(self, low_limits, monkeypatch):
        monkeypatch.setattr(limits, "MAX_ROW_CHARACTERS", 4 * MEGABYTE)

    @pytest.fixture
    def peaks(self):
        """Return the function that reads a file; it returns the rows and the peaks of Python and of pyarrow."""
        usual = pyarrow.default_memory_pool()
        pool = pyarrow.proxy_memory_pool(usual)

        def read(path, seen):
            pyarrow.set_memory_pool(pool)
            tracemalloc.start()
            try:
                found = [seen(row) for row in open_table(path).rows]
                return found, tracemalloc.get_traced_memory()[1], pool.max_memory()
            finally:
                tracemalloc.stop()
                pyarrow.set_memory_pool(usual)

        return read

    def write(self, path, text, count):
        repeated = [
            pyarrow.DictionaryArray.from_arrays(numbers, [text, "a"]) for numbers in ([0] * count, [0, 1] * count)
        ]
        tags = pyarrow.ListArray.from_arrays(range(0, 2 * count + 1, 2), repeated[1])
        table = pyarrow.table({"id": range(count), "text": repeated[0], "tags": tags})
        pyarrow.parquet.write_table(table, path, compression="zstd", store_schema=False)
        assert path.stat().st_size < 20_000
        return path

    def test_a_long_text_in_each_row(self, tmp_path, peaks):
        path = self.write(tmp_path / "in.parquet", BEYOND_ANY_ROW, 300)
        found, of_python, of_pyarrow = peaks(path, lambda row: (row.number, row.values, row.problem))
        problem = "the row has more than 4,194,304 characters; divide it"
        assert found == [(number, {}, problem) for number in range(1, 301)]
        assert of_python < 50 * MEGABYTE and of_pyarrow < 500 * MEGABYTE

    def test_a_text_within_the_limit_in_each_row(self, tmp_path, peaks):
        path = self.write(tmp_path / "in.parquet", "好" * MEGABYTE, 80)
        found, of_python, of_pyarrow = peaks(path, lambda row: (len(row.values["text"]), row.values["tags"][1]))
        assert found == [(MEGABYTE, "a")] * 80
        assert of_python < 150 * MEGABYTE and of_pyarrow < 300 * MEGABYTE

    def test_too_many_columns_are_refused(self, tmp_path):
        table = pyarrow.table({f"text{number}": ["好"] for number in range(101)})
        pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
        with pytest.raises(InputError, match="has 101 columns"):
            open_table(tmp_path / "in.parquet")

    def test_lists_of_too_many_values_are_refused(self, tmp_path):
        numbers = pyarrow.ListArray.from_arrays([0, 5_000_000], pyarrow.nulls(5_000_000, pyarrow.int8()))
        pyarrow.parquet.write_table(pyarrow.table({"text": ["好"], "n": numbers}), tmp_path / "in.parquet")
        with pytest.raises(InputError, match="its rows have 5,000,001 values each"):
            list(open_table(tmp_path / "in.parquet").rows)
