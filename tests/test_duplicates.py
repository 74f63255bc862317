"""Texts that occur more than once: found, named and dropped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_files import csv_of, write
from tiny import tokenizer_of

from system.errors import InputError
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.duplicates import describe_duplicates, drop_duplicates, letters, text_ids
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.options import DataOptions
from text.dataset.origins import Origins
from text.dataset.saving import print_splits
from text.dataset.splits import load_splits, read_rows
from text.labels import LabelSet
from text.sources import read_labelled

SPLITS = ("training", "validation", "test")


def read(tmp_path, *rows, **sources):
    """Read rows of texts and labels, with official files of other rows."""
    paths = {"data": rows, **sources}
    for name, content in paths.items():
        paths[name] = write(tmp_path / f"{name}.csv", csv_of([("text", "label"), *content]))
    official = {f"{name}_source": path for name, path in paths.items() if name != "data"}
    return read_labelled(paths["data"], **official)


def rows(*of_splits):
    return {name: np.array(each, np.int64) for name, each in zip(SPLITS, of_splits, strict=True)}


def dropped(labelled, *of_splits):
    """Return the rows that remain in each split, and the lines."""
    kept, lines = drop_duplicates(labelled, rows(*of_splits))
    assert tuple(kept) == SPLITS
    return [each.tolist() for each in kept.values()], lines


class TestLetters:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("房间 很好！", "房间很好"),
            ("ＷｉＦｉ_快", "wifi快"),
            (" 😀 ", "😀"),
            ("！！", "！！"),
            ("25℃", "25c"),
            ("", ""),
        ],
    )
    def test_whitespace_case_and_punctuation_do_not_count(self, text, expected):
        assert letters(text) == expected

    @given(texts=st.lists(st.text(st.sampled_from("好差 ，aA１1😀！"), max_size=4)))
    def test_texts_with_the_same_letters_have_the_same_number(self, texts):
        ids = text_ids(texts).tolist()
        assert ids == [list(dict.fromkeys(map(letters, texts))).index(letters(text)) for text in texts]


class TestDescription:
    def test_shared_texts_are_counted_and_named(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("差", 0), ("好！", 1), ("很 差", 0), ("很差。", 0), ("不错", 1))
        assert describe_duplicates(labelled, rows([5, 4, 0], [2, 3], [1])) == [
            "2 of 2 validation texts also occur in training, first: row 4 = row 2",
        ]
        assert describe_duplicates(labelled, rows([1, 4], [2, 3], [0, 5])) == [
            "1 of 2 validation texts also occur in training, first: row 5 = row 6",
            "1 of 2 test texts also occur in validation, first: row 2 = row 4",
        ]
        assert describe_duplicates(labelled, rows([0, 1], [5], [4])) == []

    def test_rows_of_official_files_are_named_with_their_file(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("差", 0), validation=[("差", 0)], test=[("不", 0), ("好", 1)])
        assert describe_duplicates(labelled, rows([0, 1], [2], [3, 4])) == [
            "1 of 1 validation texts also occur in training, first: validation.csv, row 2 = data.csv, row 3",
            "1 of 2 test texts also occur in training, first: test.csv, row 3 = data.csv, row 2",
        ]

    def test_contradicting_labels_are_counted_and_named(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("差", 0), ("好！", 1), (" 好", 0), ("差", 0), ("差？", 1))
        (line,) = describe_duplicates(labelled, rows([0, 1, 2, 3, 4, 5], [], []))
        assert line == ("2 texts have contradicting labels, first: row 2 正面 ≠ row 5 负面; row 3 负面 ≠ row 7 正面")

    def test_only_the_first_contradictions_are_named(self, tmp_path):
        labelled = read(tmp_path, *((f"文{number}", label) for label in (0, 1) for number in range(5)))
        (line,) = describe_duplicates(labelled, rows(range(10), [], []))
        assert line.startswith("5 texts have contradicting labels, first: row 2 负面 ≠ row 7 正面; ")
        assert line.count("≠") == 3

    def test_rows_of_no_split_do_not_count(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("好", 0), ("好", 1))
        assert describe_duplicates(labelled, rows([0], [], [])) == []

    def test_several_labels_a_text(self):
        labels = np.array([[1, 0, 1], [1, 0, 1], [0, 0, 1]], np.int8)
        origins = Origins({"dataset": "a.csv"}, np.zeros(3, np.int8), np.arange(2, 5))
        label_set = LabelSet(("甲", "乙", "丙"), multi_label=True)
        labelled = LabelledTexts("a.csv", ["好", "好", "好"], labels, {}, "", None, label_set, origins=origins)
        assert describe_duplicates(labelled, rows([0, 1], [], [])) == []
        assert describe_duplicates(labelled, rows([0, 1, 2], [], [])) == [
            "1 text has contradicting labels, first: row 2 甲|丙 ≠ row 4 丙"
        ]


class TestDropping:
    def test_a_later_split_wins(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("好!", 1), ("好?", 1), ("差", 0), ("差!", 0), ("不", 0))
        kept, lines = dropped(labelled, [5, 4, 0], [1, 3], [2])
        assert kept == [[5], [3], [2]]
        assert lines == [
            "dropped from training: 2 texts (2 in validation or test too)",
            "dropped from validation: 1 text (1 in test too)",
        ]

    def test_the_first_of_equal_texts_stays(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("差", 0), ("好!", 1), ("不", 0), ("不!", 0))
        kept, lines = dropped(labelled, [2, 1, 0], [], [4, 3])
        assert kept == [[1, 0], [], [3]]
        assert lines == [
            "dropped from training: 1 text (1 repeated)",
            "dropped from test: 1 text (1 repeated)",
        ]

    def test_contradicting_labels_leave_training_and_validation(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("好", 0), ("差", 0), ("差", 1), ("不", 0), ("不", 1), ("行", 1))
        kept, lines = dropped(labelled, [0, 1, 2, 6], [3], [5, 4])
        assert kept == [[6], [], [4]]
        assert lines == [
            "dropped from training: 3 texts (1 in validation or test too, 2 with contradicting labels)",
            "dropped from validation: 1 text (1 with contradicting labels)",
            "dropped from test: 1 text (1 repeated)",
        ]

    def test_an_official_test_file_stays_complete(self, tmp_path):
        test = [("好", 1), ("好", 1), ("好", 0)]
        labelled = read(tmp_path, ("好", 1), ("差", 0), validation=[("好", 1), ("不", 0)], test=test)
        kept, _ = dropped(labelled, [0, 1], [2, 3], [4, 5, 6])
        assert kept == [[1], [3], [4, 5, 6]]

    def test_without_duplicates_it_says_so(self, tmp_path):
        labelled = read(tmp_path, ("好", 1), ("差", 0), ("不", 0))
        assert dropped(labelled, [0], [1], [2]) == ([[0], [1], [2]], ["dropped: nothing"])

    @given(
        data=st.lists(st.tuples(st.sampled_from("甲乙丙丁戊"), st.integers(0, 1), st.sampled_from(SPLITS)), min_size=1),
        seed=st.integers(0, 9),
    )
    def test_no_text_remains_twice(self, data, seed):
        texts, labels, of_split = zip(*data, strict=True)
        origins = Origins({"dataset": "a"}, np.zeros(len(data), np.int8), np.arange(len(data)))
        labelled = LabelledTexts("a", list(texts), np.array(labels, np.int8), {}, "", origins=origins)
        order = np.random.default_rng(seed).permutation(len(data))
        before = {name: order[[of_split[row] == name for row in order]] for name in SPLITS}
        kept, _ = drop_duplicates(labelled, before)
        remaining = np.concatenate(list(kept.values()))
        assert len({texts[row] for row in remaining}) == len(remaining)
        assert describe_duplicates(labelled, kept) == []
        for name in SPLITS:
            assert [row for row in before[name] if row in kept[name]] == kept[name].tolist(), "their order is kept"
        assert {texts[row] for row in kept["test"]} == {texts[row] for row in before["test"]}
        for name in ("training", "validation"):
            for row in set(before[name].tolist()) - set(kept[name].tolist()):
                others = [other for other in range(len(data)) if texts[other] == texts[row] and other != row]
                assert others, "no text without a copy is dropped"


class TestSplitsOfADataSet:
    @pytest.fixture
    def path(self, tmp_path):
        """Sixty reviews, each of them twice, and some three times with another label."""
        reviews = [(f"{'差好'[number % 2]}{number}", number % 2) for number in range(60)]
        again = [(f"{text}！", label) for text, label in reviews]
        contradicting = [(text, 1 - label) for text, label in reviews[:4]]
        return write(tmp_path / "reviews.csv", csv_of([("text", "label"), *reviews, *again, *contradicting]))

    def splits(self, path, **options):
        tokenizer = tokenizer_of(("好", "差", *"0123456789"))
        return load_splits(DataOptions(dataset=path, test_size=0.25, **options), tokenizer, 8)

    def test_they_are_printed_and_stay(self, path, capsys):
        splits = self.splits(path)
        assert len(splits.train.texts + splits.validation.texts + splits.test.texts) == 124
        print_splits(splits)
        lines = capsys.readouterr().out.splitlines()
        assert " test texts also occur in training, first: row " in lines[-3]
        assert lines[-1].startswith("4 texts have contradicting labels, first: row 2 负面 ≠ row 122 正面; ")

    def test_they_are_dropped(self, path, capsys):
        before, splits = self.splits(path), self.splits(path, drop_duplicates=True)
        parts = (splits.train, splits.validation, splits.test)
        texts = [letters(text) for part in parts for text in part.texts]
        assert len(texts) == len(set(texts))
        assert set(map(letters, splits.test.texts)) == set(map(letters, before.test.texts))
        for part in parts:
            assert part.texts == [splits.labelled.texts[row] for row in part.rows]
            assert part.labels.tolist() == splits.labelled.labels[part.rows].tolist()
        print_splits(splits)
        assert "\ndropped from training: " in capsys.readouterr().out

    def test_the_rows_are_those_of_the_splits(self, path):
        options = DataOptions(dataset=path, test_size=0.25, drop_duplicates=True)
        chosen, splits = rows_of_splits(read_rows(options), options), self.splits(path, drop_duplicates=True)
        for name in ("train", "validation", "test"):
            assert getattr(chosen, name).tolist() == getattr(splits, name).rows.tolist()

    @pytest.mark.parametrize("labels", [(0, 1), ("a", "b")])
    def test_a_split_of_which_nothing_remains_is_refused_with_the_reason(self, tmp_path, labels):
        first, again = ([(f"好{number}", labels[number % 2]) for number in range(count)] for count in (40, 10))
        files = [
            write(tmp_path / f"{name}.csv", csv_of([("text", "label"), *rows]))
            for name, rows in (("train", first), ("validation", again), ("test", again))
        ]
        sources = dict(zip(("dataset", "validation_dataset", "test_dataset"), files, strict=True))
        message = r"the validation split \(0 rows of validation.csv\) lacks all labels \(.*\); dropped from training: "
        with pytest.raises(InputError, match=message):
            load_splits(
                DataOptions(**sources, test_size=0.2, drop_duplicates=True, multi_label=labels[0] == "a"),
                tokenizer_of(("好",)),
                8,
            )


def test_the_known_duplicates_of_chnsenticorp(shared_data):
    folder = shared_data / "chnsenticorp"
    labelled = read_labelled(folder / "train.tsv", validation_source=folder / "dev.tsv")
    train, dev = (labelled.origins.rows_of(part) for part in ("dataset", "validation"))
    # 338 are equal to the last character, and four more but for punctuation.
    known = {labelled.texts[row] for row in train}
    assert sum(labelled.texts[row] in known for row in dev) == 338
    first = describe_duplicates(labelled, rows(train, dev, []))[0]
    assert first.startswith("342 of 1,200 validation texts also occur in training, first: dev.tsv, row 5 = train.tsv, ")
