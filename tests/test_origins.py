"""The names of several sets and of the groups of their rows."""

import numpy as np
import pytest

from text.dataset.origins import groups_of_sets, unique_names


def groups(sources, *of_sets):
    return [of_set.tolist() for of_set in groups_of_sets(sources, of_sets)]


@pytest.fixture
def files(tmp_path):
    """Two files and a folder."""
    for name in ("hotel.v2.csv", "other.tsv"):
        (tmp_path / name).write_text("")
    (tmp_path / "saved.splits").mkdir()
    return [str(tmp_path / name) for name in ("hotel.v2.csv", "other.tsv", "saved.splits")]


def test_a_short_name_is_kept_where_it_is_the_only_one():
    assert unique_names(["a/train.csv", "b/train.csv", "c/more.csv"], ["train.csv", "train.csv", "more.csv"]) == [
        "a/train.csv",
        "b/train.csv",
        "more.csv",
    ]


def test_rows_without_a_group_have_the_name_of_their_set(files):
    named = groups([*files, "owner/hotels.8k"], ["", ""], ["film", ""], [""], [""])
    assert named == [["hotel.v2", "hotel.v2"], ["film", "other"], ["saved.splits"], ["hotels.8k"]]


def test_groups_of_several_sets_are_named_with_their_set(files):
    named = groups(files, ["film", "book"], ["film", "shop"], ["app", ""])
    assert named == [["hotel.v2/film", "book"], ["other/film", "shop"], ["app", "saved.splits"]]


def test_a_group_with_the_name_of_another_set(files):
    assert groups(files, [""], ["hotel.v2", "other", ""], ["film"]) == [
        ["hotel.v2"],
        ["other/hotel.v2", "other", "other"],
        ["film"],
    ]


def test_the_name_of_a_set_counts_only_if_a_row_has_it(files):
    assert groups(files[:2], ["film"], ["hotel.v2"]) == [["film"], ["hotel.v2"]]


def test_sets_of_the_same_name_are_named_with_their_folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.csv").write_text("")
    sources = [str(tmp_path / name / "train.csv") for name in ("a", "b")]
    assert groups(sources, [""], [""]) == [[sources[0]], [sources[1]]]


def test_the_groups_are_arrays(files):
    (of_set, _) = groups_of_sets(files[:2], [["a", "b"], ["c"]])
    assert isinstance(of_set, np.ndarray) and of_set.shape == (2,)
