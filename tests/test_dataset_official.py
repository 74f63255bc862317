"""Official files of the validation and the test split, beside the data set itself."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from table_files import csv_of, write
from tiny import tokenizer_of

from system.errors import InputError
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.options import DataOptions
from text.dataset.origins import DATASET, TEST, VALIDATION, Origins
from text.dataset.saving import print_splits, save_splits
from text.dataset.splits import load_splits, read_rows
from text.sources import read_labelled

TOKENIZER = tokenizer_of(("好", "差", "中", *"0123456789"))
WORDS = "差好中"


def reviews(count, labels=2, first=0):
    """Return rows of a text and a label; texts of different numbers differ."""
    return [(f"{WORDS[number % labels]}{number}", number % labels) for number in range(first, first + count)]


@pytest.fixture
def sources(tmp_path):
    """The options of a data set with official files, as different kinds of tables with different columns."""
    train = write(tmp_path / "train.csv", csv_of([("text", "label"), *reviews(100)]))
    rows = [{"sentiment": label, "content": text} for text, label in reviews(20, first=100)]
    dev = write(tmp_path / "dev.jsonl", "\n".join(map(json.dumps, rows)))
    texts, labels = zip(*reviews(30, first=200), strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"review": texts, "label": labels}), tmp_path / "test.parquet")
    return {"dataset": train, "validation_dataset": dev, "test_dataset": str(tmp_path / "test.parquet")}


def load(sources, *names, **options):
    """Load the splits of the data set with the named official files."""
    chosen = {name: sources[name] for name in ("dataset", *names)}
    return load_splits(DataOptions(**chosen, test_size=0.2, **options), TOKENIZER, 8)


def texts_of(count, first=0):
    return [text for text, _ in reviews(count, first=first)]


def test_the_origins_of_rows():
    origins = Origins({DATASET: "a.csv", TEST: "b.csv"}, np.array([0, 0, 1], np.int8), np.array([2, 1234, 2]))
    assert [origins.rows_of(part).tolist() for part in (DATASET, VALIDATION, TEST)] == [[0, 1], [], [2]]
    assert [origins.row_name(row) for row in (1, 2)] == ["a.csv, row 1,234", "b.csv, row 2"]


class TestSplits:
    def test_with_both_files_nothing_is_drawn(self, sources):
        splits = load(sources, "validation_dataset", "test_dataset")
        assert splits.train.texts == texts_of(100)
        assert splits.validation.texts == texts_of(20, 100)
        assert splits.test.texts == texts_of(30, 200)
        assert splits.test.labels.tolist() == [label for _, label in reviews(30, first=200)]
        assert (splits.test_name, splits.labelled.name) == ("test.parquet", sources["dataset"])

    def test_with_a_test_file_a_tenth_is_for_validation(self, sources):
        splits = load(sources, "test_dataset")
        assert splits.test.texts == texts_of(30, 200)
        assert len(splits.validation.texts) == 10
        assert sorted(splits.train.texts + splits.validation.texts) == sorted(texts_of(100))

    @pytest.mark.parametrize("options", [{}, {"stratify": True}])
    def test_with_a_validation_file_the_test_split_is_that_without(self, sources, options):
        splits, without = load(sources, "validation_dataset", **options), load(sources, **options)
        assert splits.validation.texts == texts_of(20, 100)
        assert splits.test.texts == without.test.texts
        assert sorted(splits.train.texts) == sorted(without.train.texts + without.validation.texts)
        assert splits.test_name == "train.csv"

    def test_groups_are_read_from_all_files(self, tmp_path, sources):
        for name, rows in (("dataset", reviews(100)), ("test_dataset", reviews(30, first=200))):
            content = csv_of([("text", "label", "domain"), *((*row, f"d{row[1]}") for row in rows)])
            sources[name] = write(tmp_path / f"{name}.csv", content)
        splits = load(sources, "test_dataset", group_column="domain")
        assert splits.test.groups.tolist() == ["d0", "d1"] * 15
        with pytest.raises(InputError, match="dev.jsonl has no column 'domain'.*--group-column"):
            load(sources, "validation_dataset", group_column="domain")

    def test_the_lines_describe_each_file(self, sources, tmp_path, capsys):
        sources["test_dataset"] = write(tmp_path / "test.csv", csv_of([("text", "label"), *reviews(4), ("", 1)]))
        print_splits(load(sources, "validation_dataset", "test_dataset"))
        lines = capsys.readouterr().out.splitlines()
        assert lines[:3] == [
            "train.csv: 100 rows, 0 unusable",
            "dev.jsonl: 20 rows, 0 unusable",
            "test.csv: 5 rows, 1 unusable: row 6: the text is empty",
        ]
        assert lines[-1] == "4 of 4 test texts also occur in training, first: test.csv, row 2 = train.csv, row 2"

    def test_the_hash_covers_all_files(self, sources):
        alone = read_labelled(sources["dataset"]).sha256
        with_test = read_labelled(sources["dataset"], test_source=sources["test_dataset"]).sha256
        as_validation = read_labelled(sources["dataset"], validation_source=sources["test_dataset"]).sha256
        assert len({alone, with_test, as_validation}) == 3

    def test_the_hash_of_one_file_is_that_of_earlier_versions(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", "text,label\n好,1\n坏,0\n"))
        assert labelled.sha256 == "09f7da49422600666d9f105d279405125c43a176a341e7de19477255f752dd76"


class TestLabels:
    @pytest.fixture
    def three(self, tmp_path):
        """The options of a data set of three labels, and the function that writes its test file."""
        train = write(tmp_path / "train.csv", csv_of([("text", "label"), *reviews(90, labels=3)]))

        def write_test(*rows):
            return {"dataset": train, "test_dataset": write(tmp_path / "test.csv", csv_of([("text", "label"), *rows]))}

        return write_test

    def test_a_label_that_only_an_official_file_has_is_unusable(self, three):
        sources = three(("好1", 1), ("好2", 7), ("好3", 0), ("好4", 7), ("好5", 7))
        splits = load(sources, "test_dataset")
        assert splits.label_set.names == ("0", "1", "2")
        assert splits.test.texts == ["好1", "好3"]
        problem = "no usable row of --dataset has the label '7'"
        described = splits.labelled.describe_problems(part=TEST)
        assert described == f"5 rows, 3 unusable: row 3: {problem}; row 5: {problem}; row 6: {problem}"

    def test_its_words_for_sentiment_may_be_others(self, sources, tmp_path):
        sources["test_dataset"] = write(tmp_path / "test.csv", "text,label\n好,正面\n差,负面\n坏,2\n")
        splits = load(sources, "test_dataset")
        assert splits.test.labels.tolist() == [1, 0]
        assert splits.labelled.describe_problems(part=TEST).endswith(
            "row 4: no usable row of --dataset has the label '2'"
        )

    def test_an_official_file_may_lack_one_of_three_labels(self, three):
        splits = load(three(("好1", 1), ("差1", 0)), "test_dataset")
        assert splits.test.labels.tolist() == [1, 0]

    def test_one_label_is_too_few(self, three):
        with pytest.raises(
            InputError, match=r"the test split \(2 rows of test.csv\) lacks 0; 90 rows, 0 unusable; test"
        ):
            load(three(("好1", 1), ("好2", 1)), "test_dataset")

    def test_a_file_without_a_usable_row_is_named(self, three):
        with pytest.raises(
            InputError, match=r"test\.csv has no usable rows: .*; test.csv: 1 rows, 1 unusable: row 2: "
        ):
            load(three(("", 1)), "test_dataset")

    def test_label_maps_and_names_hold_for_all_files(self, three, tmp_path):
        sources = three(("好1", 1), ("差1", 0), ("中1", 2))
        label_map = write(tmp_path / "map.csv", "label,new_label\n0,坏\n1,好\n2,坏\n")
        splits = load(sources, "test_dataset", label_map=label_map, labels=["坏", "好"])
        assert splits.test.labels.tolist() == [1, 0, 0]


class TestSources:
    def test_a_file_that_is_not_there_is_named_with_its_option(self, sources):
        sources["test_dataset"] = "missing.csv"
        with pytest.raises(InputError, match="no file or folder missing.csv; give --test-dataset a path"):
            load(sources, "test_dataset")

    def test_the_columns_of_each_file_are_needed(self, sources, tmp_path):
        sources["test_dataset"] = write(tmp_path / "test.csv", "body,label\n好,1\n差,0\n")
        with pytest.raises(InputError, match=r"test\.csv has no text column"):
            load(sources, "test_dataset")

    def test_the_same_file_twice_is_refused(self, sources):
        sources["validation_dataset"] = sources["dataset"]
        with pytest.raises(
            InputError, match=r"--validation-dataset .*train.csv is the data of --dataset; name another"
        ):
            load(sources, "validation_dataset")

    def test_files_of_the_same_name_are_named_with_their_folders(self, sources, tmp_path):
        (tmp_path / "other").mkdir()
        sources["test_dataset"] = write(tmp_path / "other" / "train.csv", csv_of([("text", "label"), *reviews(4)]))
        lines = load(sources, "test_dataset").duplicates
        assert lines[-1].endswith(f"first: {sources['test_dataset']}, row 2 = {sources['dataset']}, row 2")


class TestSaving:
    def save(self, sources, folder, *names, **options):
        chosen = {name: sources[name] for name in ("dataset", *names)}
        options = DataOptions(**chosen, test_size=0.2, save_splits=str(folder), **options)
        splits = load_splits(options, TOKENIZER, 8)
        save_splits(splits, options)
        return splits, {path.stem: read_labelled(path).texts for path in folder.iterdir()}

    def test_without_an_official_validation_file_it_is_in_train(self, sources, tmp_path):
        splits, saved = self.save(sources, tmp_path / "splits", "test_dataset")
        assert saved == {"train": texts_of(100), "test": texts_of(30, 200)}

    def test_an_official_validation_file_is_saved_too(self, sources, tmp_path):
        splits, saved = self.save(sources, tmp_path / "splits", "validation_dataset")
        assert saved == {"train": splits.train.texts, "validation": texts_of(20, 100), "test": splits.test.texts}

    def test_dropped_rows_are_not_saved(self, sources, tmp_path):
        sources["test_dataset"] = write(tmp_path / "t.csv", csv_of([("text", "label"), *reviews(4)]))
        _, saved = self.save(sources, tmp_path / "splits", "test_dataset", drop_duplicates=True)
        assert saved == {"train": texts_of(96, 4), "test": texts_of(4)}

    def test_no_source_is_overwritten(self, sources, tmp_path):
        sources["test_dataset"] = write(tmp_path / "test.csv", csv_of([("text", "label"), *reviews(4)]))
        with pytest.raises(InputError, match="it would change the data of --dataset"):
            self.save(sources, tmp_path, "test_dataset")
        sources["dataset"] = write(tmp_path / "other.csv", csv_of([("text", "label"), *reviews(90, first=9)]))
        with pytest.raises(InputError, match="it would change the data of --test-dataset"):
            self.save(sources, tmp_path, "test_dataset")

    def test_nothing_is_written_into_the_folder_of_a_data_set(self, tmp_path):
        (tmp_path / "hotels").mkdir()
        path = write(tmp_path / "hotels" / "train.csv", csv_of([("text", "label"), *reviews(30)]))
        before = Path(path).read_bytes()
        for folder in (tmp_path / "hotels", tmp_path / "hotels" / "splits"):
            with pytest.raises(InputError, match="it would change the data of --dataset"):
                self.save({"dataset": str(tmp_path / "hotels")}, folder)
        assert Path(path).read_bytes() == before


class TestSeveralLabels:
    @pytest.fixture
    def load_with(self, tmp_path):
        """A function that loads 40 texts of the labels a and b, with a test file of rows with the given labels."""

        def load_with(*labels):
            rows = [(f"好{number}", ("a", "b", "a|b", "")[number % 4]) for number in range(40)]
            path = write(tmp_path / "train.csv", csv_of([("text", "label"), *rows]))
            test = write(tmp_path / "test.csv", csv_of([("text", "label"), *zip("差中", labels, strict=True)]))
            options = DataOptions(dataset=path, test_dataset=test, test_size=0.2, multi_label=True)
            return load_splits(options, TOKENIZER, 8)

        return load_with

    def test_labels_that_only_an_official_file_has_are_named(self, load_with, capsys):
        splits = load_with("a|c", "d")
        assert splits.test.labels.tolist() == [[1, 0], [0, 0]]
        print_splits(splits)
        assert "2 rare labels are left out (rows of --dataset): 'c' (0), 'd' (0)\n" in capsys.readouterr().out

    def test_an_official_file_with_none_of_the_labels_is_refused(self, load_with):
        with pytest.raises(InputError, match=r"the test split \(2 rows of test.csv\) lacks all labels \(a, b\); 40 "):
            load_with("c", "")


def test_rows_of_splits_name_the_file_in_their_errors(tmp_path):
    options = DataOptions(dataset=write(tmp_path / "a.csv", "text,label\n好,1\n差,0\n"), test_size=0.5)
    with pytest.raises(InputError, match=r"a\.csv: 1 rows are too few to split"):
        rows_of_splits(read_rows(options), options)
