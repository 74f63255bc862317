"""Score files of random damage: every row has its prediction or the reason why it has none."""

import csv
import io
import itertools
import json
import os
import re
import shutil

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scored_files import FakePredictor, count_rows, score

from serving.scoring import source as source_module
from system.errors import InputError
from text.tables.input.text_file import scan

UNBOUND = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
KINDS = ("csv", "tsv", "jsonl", "txt")
ENCODINGS = ("utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-be", "latin-1", "big5")
SCRAPS = [
    "text",
    "好",
    '"',
    '""',
    ",",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "😀",
    "{",
    "}",
    "[",
    ":",
    '{"text": "坏"}',
    "1e999",
]
SCRAPS += ["NaN", "\\ud83d", '{"text": 1, "a": NaN}', "\ufeff", "\u2028", "\x1a", "9" * 30, "a" * 3000]
HEADERS = {"csv": "text,n\n", "tsv": "text\tn\n", "jsonl": '{"text": "好", "n": [1, {"a": null}]}\n', "txt": ""}
VALID_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def valid_parquet(texts):
    buffer = io.BytesIO()
    columns = {"text": pyarrow.array(texts, pyarrow.string()), "n": [[len(text)] for text in texts]}
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def valid_jsonl(texts):
    return "".join(json.dumps({"text": text, "n": len(text)}) + "\n" for text in texts).encode()


def valid_csv(texts):
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("text", "n"), *((text, len(text)) for text in texts)])
    return buffer.getvalue().encode()


def valid_tsv(texts):
    return (HEADERS["tsv"] + "".join(f"{on_one_line(text)}\t1\n" for text in texts)).encode()


def valid_lines(texts):
    return "".join(f"{on_one_line(text)}\n" for text in texts).encode()


def on_one_line(text):
    return " ".join(text.splitlines()).replace("\t", " ")


VALID_FILES = {"parquet": valid_parquet, "jsonl": valid_jsonl, "csv": valid_csv, "tsv": valid_tsv, "txt": valid_lines}


@st.composite
def bytes_of_no_format(draw):
    kind = draw(st.sampled_from([*KINDS, "parquet"]))
    beginning = draw(st.sampled_from(["", HEADERS.get(kind, "PAR1")])).encode()
    return kind, beginning + draw(st.binary(max_size=200))


@st.composite
def scraps_of_text(draw):
    kind = draw(st.sampled_from(KINDS))
    content = draw(st.sampled_from(["", HEADERS[kind]])) + "".join(draw(st.lists(st.sampled_from(SCRAPS))))
    return kind, content.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")


def replace_byte(draw, content, position):
    content[position : position + 1] = draw(st.binary(min_size=1, max_size=1))


def delete_bytes(draw, content, position):
    del content[position : position + draw(st.integers(1, 20))]


def insert_separator(draw, content, position):
    content[position:position] = draw(st.sampled_from([b'"', b"\n", b"\r", b"\0", b"\xff", b",", b"\t", b"{"]))


def repeat_beginning(draw, content, position):
    content[position:position] = content[: draw(st.integers(0, 30))]


CHANGES = [replace_byte, delete_bytes, insert_separator, repeat_beginning]


@st.composite
def changed_files(draw):
    kind = draw(st.sampled_from([*KINDS, "parquet"]))
    content = bytearray(VALID_FILES[kind](draw(st.lists(VALID_TEXT, max_size=8))))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, max(len(content) - 1, 0)))
        change = draw(st.sampled_from(CHANGES))
        change(draw, content, position)
    return kind, bytes(content)


def decoded(path):
    file = scan(path, lossless=True)
    return path.read_bytes().decode(file.encoding, file.errors)


def expected_rows_of_parquet(path):
    return pyarrow.parquet.read_metadata(path).num_rows


def expected_rows_of_csv(path):
    try:
        records = list(csv.reader(io.StringIO(decoded(path), newline=""), strict=True))
    except csv.Error:
        return None
    return len(list(itertools.dropwhile(lambda record: not record, records))) - 1


def lines_of(text):
    end = "\n" if "\n" in text or "\r" not in text else "\r"
    return text.removesuffix(end).split(end) if text else []


def expected_rows_of_tsv(path):
    text = decoded(path)
    if re.search('(^|[\t\n\r])"', text):
        return None  # a CSV writer may have quoted a line end
    return len(list(itertools.dropwhile(lambda line: line in ("", "\r"), lines_of(text)))) - 1


def expected_lines(path):
    return len(lines_of(decoded(path)))


# Each counts the rows of a file without the project's reader, and returns None if it cannot.
EXPECTED_ROWS = {
    "parquet": expected_rows_of_parquet,
    "csv": expected_rows_of_csv,
    "tsv": expected_rows_of_tsv,
    "jsonl": expected_lines,
    "txt": expected_lines,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the function that makes an empty folder; blocks are small, and nothing waits for the disk."""
    monkeypatch.setattr(source_module, "BLOCK_ROWS", 3)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    def make():
        shutil.rmtree(tmp_path / "files", ignore_errors=True)
        (tmp_path / "files").mkdir()
        return tmp_path / "files"

    return make


def check_damaged_file(folder, kind, content, to, strict):
    source, output = folder / f"in.{kind}", folder / f"out.{to}"
    source.write_bytes(content)
    predictor = FakePredictor()
    try:
        score(source, output, predictor, strict=strict)
    except InputError as error:
        assert "in." in str(error)
        assert not output.exists()
        # Any lines are a plain text file, which is refused only by a strict run.
        assert kind != "txt" or strict
        return
    count = count_rows(output)
    assert sum(predictor.asked.values()) == count
    assert EXPECTED_ROWS[kind](source) in (None, count)
    assert set(os.listdir(folder)) == {source.name, output.name}


any_damaged_file = given(
    file=st.one_of(bytes_of_no_format(), scraps_of_text(), changed_files()),
    to=st.sampled_from([*KINDS, "parquet"]),
    strict=st.sampled_from([False, False, False, True]),
)


@settings(UNBOUND, max_examples=120)
@any_damaged_file
def test_any_file_is_scored_or_refused(folder, file, to, strict):
    check_damaged_file(folder(), *file, to, strict)


@pytest.mark.slow
@settings(UNBOUND, max_examples=1000)
@any_damaged_file
def test_a_thousand_files_are_scored_or_refused(folder, file, to, strict):
    check_damaged_file(folder(), *file, to, strict)


@settings(UNBOUND, max_examples=80)
@given(texts=st.lists(VALID_TEXT, max_size=12), kind=st.sampled_from([*KINDS, "parquet"]))
def test_a_valid_file_is_scored_to_the_last_row(folder, texts, kind):
    parent = folder()
    (parent / f"in.{kind}").write_bytes(VALID_FILES[kind](texts))
    try:
        score(parent / f"in.{kind}", parent / "out.jsonl")
    except InputError:
        assert kind == "jsonl" and not texts
        return
    assert count_rows(parent / "out.jsonl") == len(texts)
