"""Thousands of files and texts that nobody wrote by hand: each row has its verdict or the reason why it has none."""

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
from test_scoring import FakePredictor, count_rows, score

from serving.predictor import Predictor
from serving.scoring import source as rows_module
from system.errors import InputError
from text.tables.text_file import scan

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


def valid_file(kind, texts):
    """Returns the bytes of a file that is in order."""
    if kind == "parquet":
        buffer = io.BytesIO()
        columns = {"text": pyarrow.array(texts, pyarrow.string()), "n": [[len(text)] for text in texts]}
        pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
        return buffer.getvalue()
    if kind == "jsonl":
        return "".join(json.dumps({"text": text, "n": len(text)}) + "\n" for text in texts).encode()
    if kind == "csv":
        buffer = io.StringIO()
        csv.writer(buffer).writerows([("text", "n"), *((text, len(text)) for text in texts)])
        return buffer.getvalue().encode()
    lines = [" ".join(text.splitlines()).replace("\t", " ") for text in texts]
    ending = "\t1\n" if kind == "tsv" else "\n"
    return (HEADERS[kind] + "".join(line + ending for line in lines)).encode()


@st.composite
def files(draw):
    """A kind of file and its bytes: of no kind at all, scraps of text in any encoding, or once in order."""
    way = draw(st.sampled_from(["bytes", "scraps", "mutated"]))
    kind = draw(st.sampled_from([*KINDS, "parquet"] if way != "scraps" else KINDS))
    if way == "bytes":
        beginning = draw(st.sampled_from(["", HEADERS.get(kind, "PAR1")])).encode()
        return kind, beginning + draw(st.binary(max_size=200))
    if way == "scraps":
        content = draw(st.sampled_from(["", HEADERS[kind]])) + "".join(draw(st.lists(st.sampled_from(SCRAPS))))
        return kind, content.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")
    content = bytearray(valid_file(kind, draw(st.lists(VALID_TEXT, max_size=8))))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, max(len(content) - 1, 0)))
        change = draw(st.sampled_from(["put", "cut", "insert", "repeat"]))
        if change == "put":
            content[position : position + 1] = draw(st.binary(min_size=1, max_size=1))
        elif change == "cut":
            del content[position : position + draw(st.integers(1, 20))]
        elif change == "insert":
            content[position:position] = draw(st.sampled_from([b'"', b"\n", b"\r", b"\0", b"\xff", b",", b"\t", b"{"]))
        else:
            content[position:position] = content[: draw(st.integers(0, 30))]
    return kind, bytes(content)


def expected_count(kind, path):
    """Counts the rows of a file in another way than the one that is tested; None where that cannot be said."""
    if kind == "parquet":
        return pyarrow.parquet.read_metadata(path).num_rows
    file = scan(path, lossless=True)
    text = path.read_bytes().decode(file.encoding, file.errors)
    if kind == "csv":
        try:
            records = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except csv.Error:
            return None
        return len(list(itertools.dropwhile(lambda record: not record, records))) - 1
    end = "\n" if "\n" in text or "\r" not in text else "\r"
    lines = text.removesuffix(end).split(end) if text else []
    if kind == "tsv" and re.search('(^|[\t\n\r])"', text):
        return None  # a CSV writer may have quoted a line end
    if kind == "tsv":
        return len(list(itertools.dropwhile(lambda line: line in ("", "\r"), lines))) - 1
    return len(lines)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is empty for every file; blocks are small, and no disk is waited for."""
    monkeypatch.setattr(rows_module, "BLOCK_ROWS", 3)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    def make():
        shutil.rmtree(tmp_path / "files", ignore_errors=True)
        (tmp_path / "files").mkdir()
        return tmp_path / "files"

    return make


@settings(UNBOUND, max_examples=2500)
@given(file=files(), to=st.sampled_from([*KINDS, "parquet"]), strict=st.sampled_from([False, False, False, True]))
def test_any_file(folder, file, to, strict):
    (kind, content), place = file, folder()
    source, output = place / f"in.{kind}", place / f"out.{to}"
    source.write_bytes(content)
    predictor = FakePredictor()
    try:
        score(source, output, predictor, strict=strict)
    except InputError as error:
        assert "in." in str(error)
        assert not output.exists()
        # What has lines that are no table at all is a text file.
        assert kind != "txt" or strict
        return
    count = count_rows(output)
    assert sum(predictor.asked.values()) == count
    expected = expected_count(kind, source)
    assert expected is None or count == expected
    assert os.listdir(place) in ([source.name, output.name], [output.name, source.name])


@settings(UNBOUND, max_examples=100)
@given(texts=st.lists(VALID_TEXT, max_size=12), kind=st.sampled_from([*KINDS, "parquet"]))
def test_a_valid_file_is_scored_to_the_last_row(folder, texts, kind):
    place = folder()
    (place / f"in.{kind}").write_bytes(valid_file(kind, texts))
    try:
        score(place / f"in.{kind}", place / "out.jsonl")
    except InputError:
        assert kind == "jsonl" and not texts
        return
    assert count_rows(place / "out.jsonl") == len(texts)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
REVIEW = st.text(st.sampled_from("房间很干净前台也热情隔音太差ꙮ \u3000😀[CLS]\n\0"), max_size=60)


@settings(UNBOUND, max_examples=250)
@given(texts=st.lists(ANY_TEXT | REVIEW, min_size=8, max_size=12))
def test_every_text_has_a_verdict_or_a_problem(tiny_predictor, texts):
    predictions = tiny_predictor.predict(texts)
    assert [prediction.text for prediction in predictions] == texts
    for prediction in predictions:
        if prediction.problem:
            assert (prediction.label, prediction.probability, prediction.confidence) == (None, None, None)
        else:
            assert prediction.label in ("正面", "负面")
            assert 0 <= prediction.probability <= 1
            confidence = prediction.probability if prediction.label == "正面" else 1 - prediction.probability
            assert prediction.confidence == pytest.approx(confidence, rel=1e-12)


@pytest.fixture(scope="module")
def tiny_predictor(tiny_model):
    return Predictor(tiny_model, runtime="onnx")
