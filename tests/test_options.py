"""The values of --also: a source, and a weight after the last "=" of the word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.errors import InputError
from text.dataset.options import DataOptions, parse_further_source

# Also characters of a weight, and the one before it.
SOURCES = st.text(st.sampled_from("=.1e-/房a "), min_size=1, max_size=12)
WEIGHTS = st.floats(min_value=1e-6, max_value=1e6)


@given(source=SOURCES, weight=WEIGHTS)
def test_the_weight_follows_the_last_equals_sign(source, weight):
    assert parse_further_source(f"{source}={weight!r}") == (source, weight)


@given(source=SOURCES)
def test_without_a_number_at_the_end_the_whole_word_is_the_source(source):
    assert parse_further_source(f"{source}=.csv") == (f"{source}=.csv", 1)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("more.csv", ("more.csv", 1.0)),
        ("more.csv=2", ("more.csv", 2.0)),
        ("more.csv=.5", ("more.csv", 0.5)),
        ("more.csv=1e-3", ("more.csv", 0.001)),
        ("owner/name:config=0.5", ("owner/name:config", 0.5)),
        ("a=b.csv", ("a=b.csv", 1.0)),
        ("a=1=2", ("a=1", 2.0)),
        ("a=1_000", ("a=1_000", 1.0)),
        ("a=nan", ("a=nan", 1.0)),
        ("2", ("2", 1.0)),
        ("a=", ("a=", 1.0)),
    ],
)
def test_only_a_number_is_a_weight(word, expected):
    assert parse_further_source(word) == expected


def test_a_file_or_folder_of_the_whole_name_is_the_source(tmp_path):
    folder = tmp_path / "year=2024"
    assert parse_further_source(str(folder)) == (str(tmp_path / "year"), 2024)
    folder.mkdir()
    assert parse_further_source(str(folder)) == (str(folder), 1)
    assert parse_further_source(f"{folder}=3") == (str(folder), 3)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("a.csv=0", "^--also a.csv=0: the weight must be a number above 0$"),
        ("a.csv=-1", "the weight must be a number above 0"),
        ("a.csv=1e999", "the weight must be a number above 0"),
        ("=2", "^--also =2: name a source before the weight, such as reviews.csv=2$"),
    ],
)
def test_a_wrong_weight_is_refused(word, message):
    with pytest.raises(InputError, match=message):
        DataOptions(dataset="a.csv", test_size=0.2, also=["b.csv", word]).check_data(["also"])


def test_sets_are_saved_one_at_a_time():
    options = DataOptions(dataset="a.csv", test_size=0.2, also=["b.csv"], save_splits="splits")
    with pytest.raises(InputError, match="leave out --also, and save each set by a command of its own"):
        options.check_data(["also", "save_splits"])


@pytest.mark.parametrize("other", [{"test_dataset": "test.csv"}, {"folds": 3}])
def test_beside_further_sets_the_test_size_is_theirs(other):
    DataOptions(dataset="a.csv", test_size=0.2, also=["b.csv"], **other).check_data(["test_size", *other])
    with pytest.raises(InputError, match="leave out --test-size"):
        DataOptions(dataset="a.csv", test_size=0.2, **other).check_data(["test_size", *other])


def test_a_draw_without_a_fraction_is_refused():
    with pytest.raises(InputError, match="^--train-draw needs --train-fraction$"):
        DataOptions(dataset="a.csv", test_size=0.5, train_draw=1).check_data(["train_draw"])
