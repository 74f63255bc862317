"""The labels that a data set has, and the label of each row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.errors import InputError
from text.dataset.labelled_texts import LabelOptions, index_labels, label_text, read_label_map
from text.labels import UNDECIDED_NAME
from text.sources import read_labelled

NAME = st.text().map(str.strip).filter(lambda name: name.isprintable() and name != UNDECIDED_NAME)
NAMES = st.lists(NAME, min_size=2)


def index(labels, **options):
    """Return the names of the labels, the index of each row's label, and the problems, for rows with usable texts."""
    label_set, indices, problems = index_labels(labels, [True] * len(labels), LabelOptions(**options))
    return label_set.names, indices.tolist(), problems


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), ("1.0", "1"), ("-2.00", "-2"), (0.5, "0.5"), ("01", "01"), (" 喜 ", "喜"), (True, "True")],
)
def test_the_text_of_a_label(value, text):
    assert label_text(value) == text


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_a_missing_label(value):
    assert label_text(value) is None


class TestLabelsOfTheData:
    def test_words_for_positive_and_negative_are_sentiment(self):
        names, indices, problems = index(["1", "差评", "positive", "0", None])
        assert (names, indices) == (("负面", "正面"), [1, 0, 1, 0, -1])
        assert problems == {4: "no label"}

    def test_other_words_are_sorted(self):
        assert index(["b", "a", "c"] * 3)[:2] == (("a", "b", "c"), [1, 0, 2] * 3)

    def test_numbers_are_sorted_as_numbers(self):
        assert index(["10", "9", "-1"] * 3)[0] == ("-1", "9", "10")

    def test_a_third_class_is_kept_beside_words_of_sentiment(self):
        assert index(["正面", "负面", "中性"] * 3)[0] == ("中性", "正面", "负面")

    def test_a_rare_label_is_a_mistake(self):
        names, indices, problems = index(["1", "0"] * 3 + ["l", "l"])
        assert (names, indices) == (("负面", "正面"), [1, 0] * 3 + [-1, -1])
        assert problems == dict.fromkeys((6, 7), "only 2 rows have the label 'l'")

    def test_a_rare_label_among_others(self):
        names, indices, problems = index(["a", "b", "c"] * 3 + ["d", "1"])
        assert (names, indices[-2:]) == (("a", "b", "c"), [-1, -1])
        assert problems == {9: "only 1 row has the label 'd'", 10: "only 1 row has the label '1'"}

    def test_few_rows_beside_sentiment_are_a_mistake(self):
        names, indices, problems = index(["1", "0"] * 200 + ["label"] * 3)
        assert names == ("负面", "正面") and indices[-3:] == [-1] * 3
        assert problems[402] == "only 3 rows have the label 'label'"
        assert index(["1", "0"] * 100 + ["2"] * 3)[0] == ("0", "1", "2")

    def test_a_label_that_is_no_finite_number_makes_all_of_them_words(self):
        assert index(["nan", "10", "9"] * 3)[0] == index(["9", "nan", "10"] * 3)[0] == ("10", "9", "nan")

    def test_more_labels_than_fit_in_a_byte(self):
        labels = [f"{number:03}" for number in range(200)] * 3
        label_set, indices, _ = index_labels(labels, [True] * 600, LabelOptions())
        assert len(label_set.names) == 200 and indices.tolist() == [*range(200)] * 3

    def test_rows_without_a_text_do_not_count(self):
        label_set, indices, problems = index_labels(
            ["a", "b"] * 3 + ["c"] * 3, [True] * 6 + [False] * 3, LabelOptions()
        )
        assert label_set.names == ("a", "b")
        assert list(problems) == [6, 7, 8] and indices.tolist() == [0, 1] * 3 + [-1] * 3

    def test_one_label_is_too_few(self):
        with pytest.raises(InputError, match=r"fewer than two labels have 3 rows; the labels are 'a' \(3\), 'b' \(1\)"):
            index(["a"] * 3 + ["b"])

    @given(names=NAMES, data=st.data())
    def test_any_names(self, names, data):
        names = sorted({name for name in names if name})
        if len(names) < 2:
            return
        labels = data.draw(st.permutations(names * 3))
        found, indices, _ = index(labels, names=tuple(names))
        assert found == tuple(names) or found == ("负面", "正面")
        assert [found[position] for position in indices] == labels or found == ("负面", "正面")


class TestNamedLabels:
    def test_they_keep_their_order(self):
        assert index(["正面", "中性", "负面"], names=("负面", "中性", "正面"))[:2] == (
            ("负面", "中性", "正面"),
            [2, 1, 0],
        )

    def test_rows_with_another_label_are_unusable(self):
        names, indices, problems = index(["好", "坏", "怪"], names=("坏", "好"))
        assert (names, indices, problems) == (("坏", "好"), [1, 0, -1], {2: "unknown label '怪'"})

    def test_the_names_of_sentiment_accept_its_words(self):
        assert index(["1", "0", "2"], names=("负面", "正面"))[1] == [1, 0, -1]

    def test_a_name_that_does_not_occur(self):
        with pytest.raises(InputError, match=r"no row has the label 'c'; the labels are 'a' \(1\), 'b' \(1\)"):
            index(["a", "b"], names=("a", "b", "c"))


class TestLabelMap:
    @pytest.fixture
    def write(self, tmp_path):
        """Return the function that writes a label map and returns its path."""

        def write(content):
            (tmp_path / "map.csv").write_text(content, encoding="utf-8")
            return str(tmp_path / "map.csv")

        return write

    def test_it_renames_and_merges(self, write):
        new_labels = read_label_map(write("label,new_label\n0,中性\n1,负面\n3,负面\n2,正面\n4,\n"))
        names, indices, problems = index(["0", "1", "2", "3", "4"] * 3, new_labels=new_labels)
        assert names == ("中性", "正面", "负面")
        assert indices[:5] == [0, 2, 1, 2, -1]
        assert problems[4] == "the label map leaves out its label"

    def test_labels_that_it_does_not_name_stay(self, write):
        new_labels = read_label_map(write("label,new_label\n1.0,甲\n"))
        assert index(["1", "2"] * 3, new_labels=new_labels)[0] == ("2", "甲")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("0,中性\n1,负面\n", "the first line must be label,new_label, not 0,中性"),
            ("label,new_label\n0,a\n0.0,b\n", "row 3: a second row for '0'"),
            ("label,new_label\n,a\n", "row 2: the label is missing"),
            ("label,new_label\n0\n", "row 2: the row has 1 column"),
            ("", "empty"),
        ],
    )
    def test_a_map_that_cannot_be_used(self, write, content, words):
        with pytest.raises(InputError, match=words):
            read_label_map(write(content))


def test_a_data_set_of_three_labels(tmp_path):
    rows = "text,label\n" + "气死我了,生气\n真开心,高兴\n想哭,伤心\n" * 3 + "嗯,\n"
    (tmp_path / "emotions.csv").write_text(rows, encoding="utf-8")
    labelled = read_labelled(tmp_path / "emotions.csv")
    assert labelled.label_set.names == ("伤心", "生气", "高兴")
    assert labelled.labels.tolist() == [1, 2, 0] * 3 + [-1]
    assert labelled.problems == {9: "row 11: no label"}
    reversed_order = LabelOptions(names=("高兴", "生气", "伤心"))
    other = read_labelled(tmp_path / "emotions.csv", label_options=reversed_order)
    assert other.labels.tolist() == [1, 0, 2] * 3 + [-1]
    assert other.sha256 != labelled.sha256
