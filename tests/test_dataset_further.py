"""Further labelled sets beside a data set: their splits, their labels, their columns, and what is left out of them."""

import json

import numpy as np
import pytest
from datasets import Dataset
from table_files import csv_of, write
from tiny import tokenizer_of

from system.errors import InputError
from text.dataset.options import DataOptions
from text.dataset.saving import print_splits, save_splits
from text.dataset.splits import load_splits

TOKENIZER = tokenizer_of(("好", "差", "中", *"0123456789"))
WORDS = "差好中"

NOTHING = "0 texts (0 in a test split, 0 in --exclude, 0 in the validation split of another set)"


def reviews(count, first=0, labels=2):
    """Return rows of a text and a label; texts of different numbers differ."""
    return [(f"{WORDS[number % labels]}{number}", number % labels) for number in range(first, first + count)]


def texts_of(count, first=0):
    return [text for text, _ in reviews(count, first)]


def write_rows(path, rows, columns=("text", "label")):
    return write(path, csv_of([columns, *rows]))


@pytest.fixture
def dataset(tmp_path):
    """A file of a hundred reviews."""
    return write_rows(tmp_path / "hotels.csv", reviews(100))


def load(dataset, *also, **options):
    chosen = DataOptions(dataset=dataset, also=[str(source) for source in also], **({"test_size": 0.2} | options))
    return load_splits(chosen, TOKENIZER, 8)


def lines_of(splits, capsys):
    print_splits(splits)
    return capsys.readouterr().out.splitlines()


class TestSplits:
    @pytest.mark.parametrize("options", [{}, {"stratify": True}, {"test_size": 0.4}])
    def test_each_set_is_split_as_if_it_were_alone(self, dataset, tmp_path, options):
        more = write_rows(tmp_path / "more.csv", reviews(60, 100))
        own, of_more = load(dataset, **options), load(more, **options)
        splits = load(dataset, more, **options)
        assert splits.test.texts == own.test.texts
        assert splits.test.rows.tolist() == own.test.rows.tolist()
        assert splits.further[0].test.texts == of_more.test.texts
        assert splits.train.texts == own.train.texts + of_more.train.texts
        assert splits.validation.texts == own.validation.texts + of_more.validation.texts
        assert splits.train.labels.tolist() == [*own.train.labels, *of_more.train.labels]
        assert splits.train.windows.text_index.tolist() == list(range(len(splits.train.texts)))
        assert splits.tests == (splits.test, splits.further[0].test)

    def test_official_files_and_folds_belong_to_the_data_set_alone(self, dataset, tmp_path):
        more = write_rows(tmp_path / "more.csv", reviews(60, 100))
        test = write_rows(tmp_path / "test.csv", reviews(10, 500))
        of_more = load(more)
        for options in ({"test_dataset": test}, {"validation_dataset": test}, {"folds": 5, "fold": 1}):
            own, splits = load(dataset, **options), load(dataset, more, **options)
            assert splits.test.texts == own.test.texts
            assert splits.validation.texts == own.validation.texts + of_more.validation.texts
            assert splits.further[0].test.texts == of_more.test.texts

    def test_a_folder_of_saved_splits_keeps_them(self, dataset, tmp_path):
        saved = DataOptions(
            dataset=write_rows(tmp_path / "more.csv", reviews(60, 100)),
            validation_dataset=write_rows(tmp_path / "dev.csv", reviews(10, 200)),
            test_size=0.5,
            save_splits=str(tmp_path / "saved"),
        )
        before = load_splits(saved, TOKENIZER, 8)
        save_splits(before, saved)
        splits, own = load(dataset, tmp_path / "saved"), load(dataset)
        assert splits.further[0].test.texts == before.test.texts
        assert splits.train.texts == own.train.texts + before.train.texts
        assert splits.validation.texts == own.validation.texts + before.validation.texts

    def test_without_a_validation_split_a_tenth_is_drawn(self, dataset, tmp_path):
        (tmp_path / "saved").mkdir()
        write_rows(tmp_path / "saved" / "train.csv", reviews(40, 100))
        write_rows(tmp_path / "saved" / "test.csv", reviews(7, 200))
        (further,) = load(dataset, tmp_path / "saved").further
        assert further.test.texts == texts_of(7, 200)
        assert (further.num_train, further.num_validation) == (36, 4)

    def test_the_texts_of_a_set_have_its_weight(self, dataset, tmp_path):
        more, others = (
            write_rows(tmp_path / f"{name}.csv", reviews(40, first)) for name, first in (("m", 100), ("o", 200))
        )
        splits = load(dataset, f"{more}=0.25", f"{others}=1")
        assert [each.labelled.weight for each in splits.further] == [0.25, 1]
        for split in (splits.train, splits.validation):
            numbers = np.array([int(text[1:]) for text in split.texts])
            assert split.text_weights.dtype == np.float32
            assert split.text_weights.tolist() == np.where(numbers // 100 == 1, 0.25, 1).tolist()
        assert load(dataset, more).train.text_weights is splits.test.text_weights is None

    def test_what_is_printed(self, dataset, tmp_path, capsys):
        rows = [*reviews(58, 100), ("", 1), ("好", "中性")]
        more = write_rows(tmp_path / "more.csv", rows)
        splits = load(dataset, f"{more}=0.5")
        problems = "row 60: the text is empty; row 61: --dataset has no label '中性'"
        (further,), num_test = splits.further, len(splits.further[0].test.texts)
        assert [line.split(" positive, ")[0] for line in lines_of(splits, capsys)] == [
            "hotels.csv: 100 rows, 0 unusable",
            f"more.csv (weight 0.5): 60 rows, 2 unusable: {problems}",
            "1 other label is left out (rows): '中性' (1)",
            f"training (all sets): {len(splits.train.texts)} texts, {splits.train.labels.mean():.1%}",
            f"validation (all sets): {len(splits.validation.texts)} texts, {splits.validation.labels.mean():.1%}",
            f"test (hotels.csv): 20 texts, {splits.test.labels.mean():.1%}",
            f"more.csv: {further.num_train} texts for training, {further.num_validation} for validation",
            f"test (more.csv): {num_test} texts, {further.test.labels.mean():.1%}",
            f"hotels.csv: left out of training and validation: {NOTHING}",
            f"more.csv: left out of training and validation: {NOTHING}",
        ]
        assert further.num_train + further.num_validation + num_test == 58


class TestLabels:
    def test_words_for_sentiment_are_recognised(self, dataset, tmp_path):
        words = [(text, ("负面", "好评")[label]) for text, label in reviews(40, 100)]
        splits = load(dataset, write_rows(tmp_path / "more.csv", words))
        assert splits.further[0].test.labels.tolist() == [int(text[0] == "好") for text in splits.further[0].test.texts]

    def test_a_set_may_lack_labels(self, tmp_path):
        dataset = write_rows(tmp_path / "three.csv", reviews(90, labels=3))
        splits = load(dataset, write_rows(tmp_path / "more.csv", [(text, 2) for text in texts_of(30, 100)]))
        assert splits.label_set.names == ("0", "1", "2")
        assert set(splits.further[0].test.labels.tolist()) == {2}

    def test_rows_with_other_labels_are_left_out(self, tmp_path, capsys):
        dataset = write_rows(tmp_path / "three.csv", reviews(90, labels=3))
        more = write_rows(tmp_path / "more.csv", [*reviews(30, 100, labels=3), *((f"新{n}", "x") for n in range(9))])
        splits = load(dataset, more)
        assert len(splits.further[0].labelled.problems) == 9
        lines = lines_of(splits, capsys)
        assert lines[1].startswith("more.csv: 39 rows, 9 unusable: row 32: --dataset has no label 'x'; row 33: ")
        assert lines[2] == "1 other label is left out (rows): 'x' (9)"

    def test_other_numbers_are_not_read_as_sentiment(self, dataset, tmp_path):
        more = write_rows(tmp_path / "more.csv", reviews(30, 100, labels=3))
        message = r"more\.csv: the labels are '1' \(10\), .*, so 0 and 1 may not mean .* --label-map .* --save-splits"
        with pytest.raises(InputError, match=message):
            load(dataset, more)
        label_map = write(tmp_path / "map.csv", "label,new_label\n2,\n")
        assert len(load(dataset, more, label_map=label_map).further[0].labelled.problems) == 10
        few = write_rows(tmp_path / "few.csv", [*reviews(30, 100), ("好", 2)])
        assert len(load(dataset, few).further[0].labelled.problems) == 1

    def test_a_set_without_any_usable_row_is_named(self, dataset, tmp_path):
        more = write_rows(tmp_path / "more.csv", [("好", "喜悦"), ("差", "悲伤")])
        message = r"more\.csv has no usable rows: 2 rows, 2 unusable: row 2: --dataset has no label '喜悦'; "
        with pytest.raises(InputError, match=message):
            load(dataset, more)

    def test_label_maps_and_names_hold_for_every_set(self, tmp_path):
        label_map = write(tmp_path / "map.csv", "label,new_label\n2,0\n")
        dataset = write_rows(tmp_path / "three.csv", reviews(90, labels=3))
        more = write_rows(tmp_path / "more.csv", reviews(30, 100, labels=3))
        splits = load(dataset, more, label_map=label_map, labels=["1", "0"])
        assert splits.label_set.names == ("1", "0")
        assert splits.further[0].test.labels.tolist() == [int(text[0] != "好") for text in splits.further[0].test.texts]


class TestSeveralLabels:
    @pytest.fixture
    def dataset(self, tmp_path):
        rows = [(text, ("a", "b", "a|b", "")[number % 4]) for number, text in enumerate(texts_of(40))]
        return write_rows(tmp_path / "hotels.csv", rows)

    def test_a_text_keeps_the_labels_of_the_data_set(self, dataset, tmp_path, capsys):
        rows = [(text, ("a|c", "b", "c")[number % 3]) for number, text in enumerate(texts_of(30, 100))]
        splits = load(dataset, write_rows(tmp_path / "more.csv", rows), multi_label=True)
        known = dict(rows)
        further = splits.further[0].test
        expected = [[int("a" in known[text]), int("b" in known[text])] for text in further.texts]
        assert further.labels.tolist() == expected
        assert "1 other label is left out (rows): 'c' (20)" in lines_of(splits, capsys)

    def test_columns_of_labels_may_be_a_saved_label_column(self, tmp_path):
        rows = [(text, number % 2, number % 3 // 2) for number, text in enumerate(texts_of(40))]
        options = DataOptions(
            dataset=write_rows(tmp_path / "hotels.csv", rows, ("text", "a", "b")),
            multi_label=True,
            label_columns=["a", "b"],
            test_size=0.2,
        )
        saved = write_rows(tmp_path / "saved.csv", [(text, "b|a") for text in texts_of(10, 100)])
        splits = load(options.dataset, saved, multi_label=True, label_columns=["a", "b"])
        assert splits.further[0].test.labels.tolist() == [[1, 1]] * len(splits.further[0].test.texts)

    def test_a_set_without_any_of_the_labels_is_refused(self, dataset, tmp_path):
        more = write_rows(tmp_path / "more.csv", [(text, "c") for text in texts_of(30, 100)])
        with pytest.raises(InputError, match=r"more\.csv: no row has one of the labels of --dataset; .* 'c' \(30\)"):
            load(dataset, more, multi_label=True)


class TestColumns:
    def test_each_set_may_have_columns_of_its_own(self, tmp_path):
        dataset = write_rows(tmp_path / "hotels.csv", reviews(100), ("正文", "分"))
        rows = [{"content": text, "sentiment": label} for text, label in reviews(40, 100)]
        more = write(tmp_path / "more.jsonl", "\n".join(map(json.dumps, rows)))
        splits = load(dataset, more, text_column="正文", label_column="分")
        assert (len(splits.test.texts), len(splits.further[0].test.texts)) == (20, 8)

    def test_groups_are_those_of_the_sets_that_have_them(self, dataset, tmp_path):
        columns = ("text", "label", "domain")
        films = [(*row, "film" if number % 2 else "book") for number, row in enumerate(reviews(80, 100))]
        shops = [(*row, "shop") for row in reviews(40, 200)]
        more = write_rows(tmp_path / "more.csv", films, columns)
        saved = write_rows(tmp_path / "saved.csv", shops, ("text", "label", "group"))
        splits, own = load(dataset, more, saved, group_column="domain"), load(dataset)
        assert splits.test.texts == own.test.texts, "the draw of the data set is that without groups"
        assert set(splits.test.groups.tolist()) == {"hotels"}
        known = {text: group for text, _, group in films + shops}
        for each in splits.further:
            assert each.test.groups.tolist() == [known[text] for text in each.test.texts]
        assert len(splits.train.groups) == len(splits.train.texts)

    def test_a_group_column_that_no_set_has_is_an_error(self, dataset, tmp_path):
        more = write_rows(tmp_path / "more.csv", reviews(40, 100))
        with pytest.raises(InputError, match="no set has a column 'domain'; name another one with --group-column"):
            load(dataset, more, group_column="domain")


class TestLeakage:
    def test_no_text_is_both_learned_and_tested(self, dataset, tmp_path, capsys):
        tested = load(dataset).test.texts
        rows = [*reviews(40, 100), *((f"{text}！", 1) for text in tested)]
        own_test = load(write_rows(tmp_path / "more.csv", rows)).test.texts
        again = [(text.replace("！", ""), label) for text in own_test for label in (0, 1) * 3]
        again = write_rows(tmp_path / "again.csv", again)
        splits = load(dataset, tmp_path / "more.csv", again)
        of_tests = {text.strip("！") for split in splits.tests for text in split.texts}
        learned = [text.strip("！") for text in splits.train.texts + splits.validation.texts]
        assert of_tests.isdisjoint(learned)
        assert splits.test.texts == tested and splits.further[0].test.texts == own_test
        left_out = [line for line in lines_of(splits, capsys) if "left out of training" in line]
        num_left = 0
        for name, line in zip(("hotels.csv", "more.csv", "again.csv"), left_out, strict=True):
            assert line.startswith(f"{name}: left out of training and validation: ")
            assert " in a test split, 0 in --exclude, " in line
            num_left += int(line.split("validation: ")[1].split()[0])
        alone = [load(source) for source in (dataset, tmp_path / "more.csv", again)]
        num_before = sum(len(each.train.texts) + len(each.validation.texts) for each in alone)
        assert num_left == num_before - len(learned) > len(tested) / 2
        assert splits.further[1].num_train == 0, "all texts of the last set are test texts of another one"

    def test_no_text_is_learned_in_one_set_and_validated_in_another(self, dataset, tmp_path, capsys):
        own = load(dataset)
        rows = [*reviews(40, 100), *((f"{text}！", 1) for text in own.validation.texts)]
        more = write_rows(tmp_path / "more.csv", rows)
        splits = load(dataset, more)
        learned = {text.strip("！") for text in splits.train.texts}
        assert learned.isdisjoint(own.validation.texts)
        (line,) = [line for line in lines_of(splits, capsys) if line.startswith("more.csv: left out of training")]
        count = int(line.split(", ")[-1].split()[0])
        assert 0 < count <= len(own.validation.texts)

    def test_excluded_texts_are_left_out_of_training_and_validation(self, dataset, tmp_path, capsys):
        before = load(dataset)
        chosen = [*before.train.texts[:3], *before.validation.texts[:2], *before.test.texts[:4]]
        exclude = write(tmp_path / "unwanted.txt", "\n".join(f"{text}。" for text in chosen))
        splits = load(dataset, exclude=[exclude])
        assert splits.train.texts == before.train.texts[3:]
        assert splits.validation.texts == before.validation.texts[2:]
        assert splits.test.texts == before.test.texts
        assert lines_of(splits, capsys)[-1] == (
            "left out of training and validation: 5 texts (0 in a test split, 5 in --exclude)"
        )

    def test_a_line_of_an_excluded_document_counts_as_in_pre_training(self, tmp_path):
        rows = [(f"{'好差'[number % 2]}这里的第{number}个房间真的很值得推荐", number % 2) for number in range(60)]
        dataset = write_rows(tmp_path / "hotels.csv", rows)
        before = load(dataset)
        document = [{"text": "\n".join(["别的", before.train.texts[0]])}]
        exclude = write(tmp_path / "documents.jsonl", "\n".join(map(json.dumps, document)))
        assert load(dataset, exclude=[exclude]).train.texts == before.train.texts[1:]

    def test_a_split_of_which_too_little_remains_is_refused_with_the_reason(self, dataset, tmp_path):
        exclude = write(tmp_path / "unwanted.txt", "\n".join(text for text, label in reviews(100) if label))
        message = (
            r"hotels\.csv: the training split \(37 rows\) lacks one of the two labels; left out of training and "
            r"validation: 39 texts \(0 in a test split, 39 in --exclude\); 100 rows, 0 unusable$"
        )
        with pytest.raises(InputError, match=message):
            load(dataset, exclude=[exclude])

    def test_repeated_texts_are_dropped_within_each_set(self, dataset, tmp_path):
        more = write_rows(tmp_path / "more.csv", [*reviews(40, 100), *reviews(10, 100)])
        splits, of_more = load(dataset, more, drop_duplicates=True), load(more, drop_duplicates=True)
        assert splits.further[0].test.texts == of_more.test.texts
        assert splits.train.texts == load(dataset).train.texts + of_more.train.texts
        assert any(line.startswith("more.csv: dropped from training: ") for line in splits.duplicates)


class TestSources:
    def test_a_source_that_is_not_there_is_named_with_its_option(self, dataset):
        with pytest.raises(InputError, match=r"no file or folder missing\.csv; give --also a path"):
            load(dataset, "missing.csv=2")
        with pytest.raises(InputError, match=r"no file or folder missing\.txt; give --exclude a path"):
            load(dataset, exclude=["missing.txt"])

    @pytest.mark.parametrize("weight", ["", "=2"])
    def test_a_set_cannot_be_named_twice(self, dataset, tmp_path, weight):
        more = write_rows(tmp_path / "more.csv", reviews(40, 100))
        with pytest.raises(InputError, match=r"--also .*hotels.csv is already the data of --dataset; name another"):
            load(dataset, f"{tmp_path}/./hotels.csv{weight}")
        with pytest.raises(InputError, match=r"more.csv is already the data of --also"):
            load(dataset, more, f"{more}{weight}")
        with pytest.raises(InputError, match=r"more.csv is already the data of --test-dataset"):
            load(dataset, f"{more}{weight}", test_dataset=more)

    def test_a_set_that_is_too_small_to_split_is_named(self, dataset, tmp_path):
        more = write_rows(tmp_path / "more.csv", [("好", 1), ("差", 0)])
        with pytest.raises(InputError, match=r"more\.csv: 1 rows are too few to split"):
            load(dataset, more)

    def test_splits_of_other_names_are_not_read(self, dataset, tmp_path, caplog):
        Dataset.from_dict({"text": texts_of(20, 100), "label": [0, 1] * 10}).save_to_disk(tmp_path / "saved" / "train")
        Dataset.from_dict({"text": texts_of(20, 200), "label": [0, 1] * 10}).save_to_disk(tmp_path / "saved" / "extra")
        write(tmp_path / "saved" / "dataset_dict.json", json.dumps({"splits": ["train", "extra"]}))
        splits = load(dataset, tmp_path / "saved")
        assert caplog.messages == [f"{tmp_path / 'saved'}: not read: extra"]
        assert len(splits.further[0].labelled.texts) == 20
