"""Corrected labels: how their files are read, whose labels they change, and what is refused."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_splits import labelled_texts
from tiny import sample_tokenizer

from system.errors import InputError
from text.dataset.duplicates import letters
from text.dataset.labels.corrections import corrected, effect_of, read_corrections
from text.dataset.options import DataOptions
from text.dataset.saving import described_data, print_splits, save_splits
from text.dataset.splits import load_splits
from text.labels import SENTIMENT, LabelSet
from text.sources import read_labelled
from text.tables.kinds import open_format

TOPICS = LabelSet(("经济", "体育", "=科技"))
ASPECTS = LabelSet(("价格", "外观", "空间"), multi_label=True)
COLUMNS = ["text", "corrected_label"]
ROWS = {"training": np.arange(4), "validation": np.arange(4, 6), "test": np.arange(6, 8)}


def write_csv(path, rows, columns=COLUMNS):
    """Write rows as the audit of labels does."""
    table = open_format("csv", columns, {}, "text", byte_order_mark=True, csv_safe=True)
    Path(path).write_bytes(table.encode([dict(zip(columns, row, strict=True)) for row in rows], is_first=True))
    return str(path)


def corrections_of(folder, rows, label_set=SENTIMENT):
    return read_corrections(write_csv(Path(folder, "checked.csv"), rows), label_set)


def labels_after(labelled, corrections, rows=ROWS):
    return corrected(labelled, rows, corrections).labels.tolist()


def test_only_training_and_validation_rows_are_corrected(tmp_path):
    labelled = labelled_texts([0] * 8, SENTIMENT)
    corrections = corrections_of(tmp_path, [("文1", "正面"), ("文5", "1"), ("文6", "pos"), ("文2", ""), ("文3", "0")])
    assert labels_after(labelled, corrections) == [0, 1, 0, 0, 0, 1, 0, 0]
    assert labels_after(labelled, None) == [0] * 8
    effect = effect_of(corrections, [labelled], [ROWS], [corrected(labelled, ROWS, corrections).labels])
    assert effect.num_rows == 2
    assert "labels corrected in training and validation: 2;" in effect.line
    assert "left alone because they are test rows: 1" in effect.line
    assert "not in the data" not in effect.line


def test_all_copies_are_corrected_whatever_their_punctuation(tmp_path):
    labelled = labelled_texts([0] * 8, SENTIMENT)
    labelled.texts[:2] = ["房间 很好！", "房间很好。\n"]
    assert labels_after(labelled, corrections_of(tmp_path, [("房间很好", "1")]))[:3] == [1, 1, 0]


def test_labels_of_more_than_two_are_their_names(tmp_path):
    labelled = labelled_texts([0] * 8, TOPICS)
    corrections = corrections_of(tmp_path, [("文0", "=科技"), ("文1", "体育")], TOPICS)
    assert labels_after(labelled, corrections)[:3] == [2, 1, 0]
    assert "'=科技" in Path(tmp_path, "checked.csv").read_text(encoding="utf-8-sig")


def test_several_labels_and_none_of_them(tmp_path):
    labelled = labelled_texts([[1, 0, 0]] * 8, ASPECTS)
    rows = [("文0", "空间|价格"), ("文1", "|"), ("文2", "")]
    assert labels_after(labelled, corrections_of(tmp_path, rows, ASPECTS))[:3] == [[1, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_every_kind_of_file_is_read(tmp_path):
    rows = [{"text": "文1", "corrected_label": "正面"}, {"text": "文2", "corrected_label": None}]
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    tsv = tmp_path / "a.tsv"
    tsv.write_text("row\ttext\tcorrected_label\n9\t文1\t正面\n10\t文2\t\n", encoding="utf-8")
    parquet = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), parquet)
    numbers = tmp_path / "b.parquet"
    floats = [{"text": "文1", "corrected_label": 1.0}, {"text": "文2", "corrected_label": float("nan")}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(floats), numbers)
    for path in (jsonl, tsv, parquet, numbers):
        corrections = read_corrections(str(path), SENTIMENT)
        assert labels_after(labelled_texts([0] * 8, SENTIMENT), corrections) == [0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("文1", "好")], ["row 2", "unknown label '好'", "负面, 正面"]),
        ([("文1", "1"), ("文1！", "0")], ["row 3", "row 2", "another label"]),
        ([("", "1")], ["row 2", "the text is empty"]),
        ([("文1", ""), ("文2", "  ")], ["corrects nothing", "corrected_label"]),
        ([], ["corrects nothing"]),
    ],
)
def test_wrong_rows_are_refused(tmp_path, rows, words):
    with pytest.raises(InputError) as error:
        corrections_of(tmp_path, rows)
    for word in ["checked.csv", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize("columns", [["text", "label"], ["review", "corrected_label"]])
def test_a_missing_column_is_named(tmp_path, columns):
    path = write_csv(tmp_path / "checked.csv", [("文1", "1")], columns)
    with pytest.raises(InputError, match=r"no column .*--audit-labels"):
        read_corrections(path, SENTIMENT)
    if "review" in columns:
        assert read_corrections(path, SENTIMENT, text_column="review").by_digest


@pytest.mark.parametrize("column", ["source", "row", "label"])
def test_the_texts_of_an_audit_are_in_its_own_column(tmp_path, column):
    """The data may have their texts in a column that has the name of another one of the audit."""
    columns = ["source", "row", "text", "label", "suggested_label", "corrected_label"]
    path = write_csv(tmp_path / "label_audit.csv", [("a.csv", 3, "文1", "负面", "正面", "正面")], columns)
    corrections = read_corrections(path, SENTIMENT, text_column=column)
    assert labels_after(labelled_texts([0] * 8, SENTIMENT), corrections)[:3] == [0, 1, 0]


def test_a_damaged_row_is_refused(tmp_path):
    path = tmp_path / "checked.csv"
    path.write_text("text,corrected_label\n文1,1\n文2\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 3"):
        read_corrections(str(path), SENTIMENT)


def test_texts_that_are_not_in_the_data_are_counted_and_a_file_of_them_alone_is_refused(tmp_path):
    labelled = labelled_texts([0] * 8, SENTIMENT)

    def effect(rows):
        corrections = corrections_of(tmp_path, rows)
        return effect_of(corrections, [labelled], [ROWS], [corrected(labelled, ROWS, corrections).labels])

    assert "texts that are not in the data: 1, first: row 3" in effect([("文1", "1"), ("别的", "1")]).line
    with pytest.raises(InputError, match="none of its texts is in the data"):
        effect([("别的", "1"), ("更多", "0")])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text.strip() and "\0" not in text
)


@given(texts=st.lists(TEXTS, min_size=1, max_size=8, unique_by=letters), data=st.data())
def test_what_the_audit_writes_is_read_back(texts, data):
    """Whatever the texts hold, such as formulas, quotes and line breaks, each row finds its own text again."""
    label_set = data.draw(st.sampled_from([SENTIMENT, TOPICS, ASPECTS]))
    shape = (len(texts), len(label_set.names)) if label_set.multi_label else (len(texts),)
    most = 1 if label_set.multi_label else len(label_set.names) - 1
    count = int(np.prod(shape))
    new = np.array(data.draw(st.lists(st.integers(0, most), min_size=count, max_size=count)), np.int8).reshape(shape)
    labelled = labelled_texts(np.zeros(shape, int).tolist(), label_set)
    labelled.texts[:] = texts
    rows = {"training": np.arange(len(texts)), "validation": np.arange(0), "test": np.arange(0)}
    with TemporaryDirectory() as folder:
        written = [(text, label_set.name(label) or "|") for text, label in zip(texts, new, strict=True)]
        corrections = corrections_of(folder, written, label_set)
    assert labels_after(labelled, corrections, rows) == new.tolist()


class TestSplits:
    """Corrections of a whole data set with a test split."""

    @pytest.fixture
    def splits(self, tmp_path):
        def load(rows, **options):
            options = DataOptions(
                dataset="sample", test_size=0.2, label_corrections=write_csv(tmp_path / "checked.csv", rows), **options
            )
            return load_splits(options, sample_tokenizer(), 16), options

        return load

    def test_all_rows_keep_their_splits(self, splits, capsys):
        labelled = read_labelled("sample")
        new = [(text, "01"[1 - label]) for text, label in zip(labelled.texts[:60], labelled.labels[:60], strict=True)]
        plain = load_splits(DataOptions(dataset="sample", test_size=0.2, stratify=True), sample_tokenizer(), 16)
        changed, _ = splits(new, stratify=True)
        for name in ("train", "validation", "test"):
            before, after = getattr(plain, name), getattr(changed, name)
            assert before.texts == after.texts
            of_file = np.isin(after.rows, np.arange(60)) & (name != "test")
            np.testing.assert_array_equal(before.labels != after.labels, of_file)
        applied = changed.corrections
        assert applied.num_rows == (plain.train.rows < 60).sum() + (plain.validation.rows < 60).sum()
        data = described_data(changed)
        assert data["corrections"] == {"name": "checked.csv", "rows": applied.num_rows, "sha256": applied.sha256}
        assert data["sha256"] == plain.labelled.sha256
        print_splits(changed)
        assert applied.line in capsys.readouterr().out.splitlines()

    def test_saved_splits_have_the_corrected_labels(self, splits, tmp_path):
        labelled = read_labelled("sample")
        new = [(text, "01"[1 - label]) for text, label in zip(labelled.texts[:60], labelled.labels[:60], strict=True)]
        changed, options = splits(new, stratify=True, save_splits=str(tmp_path / "splits"))
        save_splits(changed, options)
        saved = read_labelled(tmp_path / "splits" / "train.csv")
        label_of = dict(zip(saved.texts, saved.labels.tolist(), strict=True))
        for split in (changed.train, changed.validation):
            assert [label_of[text] for text in split.texts] == split.labels.tolist()

    def test_a_corrected_contradiction_is_none(self, tmp_path):
        texts = [f"房间{number}" for number in range(20)]
        rows = [(text, number % 2) for number, text in enumerate(texts)] + [("房间0！", 1), ("房间1！", 0)]
        write_csv(tmp_path / "rooms.csv", rows, ["text", "label"])
        test = [("别的很好", 1), ("别的很差", 0)]
        options = {
            "dataset": str(tmp_path / "rooms.csv"),
            "test_dataset": write_csv(tmp_path / "test.csv", test, ["text", "label"]),
            "test_size": 0.2,
            "drop_duplicates": True,
        }
        checked = write_csv(tmp_path / "checked.csv", [("房间0", "1")])
        split = [
            load_splits(DataOptions(**options, label_corrections=path), sample_tokenizer(), 16)
            for path in (None, checked)
        ]
        texts = [[*each.train.texts, *each.validation.texts] for each in split]
        assert not {"房间0", "房间0！", "房间1", "房间1！"} & set(texts[0])
        assert len({"房间0", "房间0！"} & set(texts[1])) == 1
        assert not {"房间1", "房间1！"} & set(texts[1])
