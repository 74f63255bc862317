"""Tests of evaluation/analysis/slices.py: each text is in one part of each kind."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.analysis.slices import MOST_GROUPS, slices_by_group, slices_by_length, slices_by_windows


@given(lengths=st.lists(st.integers(1, 7000), min_size=1, max_size=30))
def test_every_text_has_one_length(lengths):
    found = slices_by_length(["字" * length for length in lengths])
    assert sorted(row for part in found for row in part.rows.tolist()) == list(range(len(lengths)))


def test_the_names_of_ranges():
    names = [part.name for part in slices_by_length(["字" * length for length in (20, 21, 1000, 1001, 6000)])]
    assert names == ["1–20", "21–50", "501–1,000", "1,001–5,000", "5,001+"]
    assert [part.name for part in slices_by_windows(np.array([1, 2, 3, 17]))] == ["1", "2", "3–4", "17+"]


def test_the_largest_groups_come_first():
    found = slices_by_group(["b", "a", "b", ""])
    assert [(part.name, part.rows.tolist()) for part in found] == [("b", [0, 2]), ("", [3]), ("a", [1])]
    assert len(slices_by_group([str(number) for number in range(100)])) == MOST_GROUPS
