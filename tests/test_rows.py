"""What all tables share: unique column names, and the text of cells."""

import pytest

from text.tables.rows import as_text, unique_names, utf8


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
        (["a", "a", "a (2)"], ["a", "a (3)", "a (2)"]),
        (["a (2)", "a", "a (2)", "a"], ["a (2)", "a", "a (2) (2)", "a (3)"]),
        ([""] * 20_000, ["", *(f" ({number})" for number in range(2, 20_001))]),
    ],
)
def test_repeated_column_names_get_numbers(given_names, expected):
    assert unique_names(given_names) == expected


def test_half_of_a_surrogate_pair_is_written_as_in_json():
    assert utf8("好\ud83d") == "好".encode() + b"\\ud83d"
    assert as_text({"a": None}) == '{"a": null}'
