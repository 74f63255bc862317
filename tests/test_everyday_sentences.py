"""The everyday opinion sentences of `data/`: they are usable, unique, and no kind or part tells the label."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from text.dataset.duplicates import letters
from text.labels import SENTIMENT
from text.sources import read_labelled

PATH = Path(__file__).resolve().parents[1] / "data" / "everyday_sentences.csv"
KINDS = {
    *("plain", "negation", "contrast", "irony", "idiom", "slang", "emoji", "mild", "comparison", "question"),
    "figures",
}
LONGEST = 60  # characters


@pytest.fixture(scope="module")
def labelled():
    """The sentences as fine_tuning.py reads them, with the kinds as their groups."""
    return read_labelled(PATH, group_column="kind")


@pytest.fixture(scope="module")
def rows():
    with open(PATH, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_file_is_plain_csv():
    content = PATH.read_bytes()
    assert content.startswith(b"text,label,kind,part\n"), "no byte order mark, and the columns in this order"
    assert b"\r" not in content


def test_every_row_is_usable(labelled, rows):
    assert labelled.problems == {}
    assert labelled.label_set == SENTIMENT
    assert labelled.texts == [row["text"] for row in rows]
    assert labelled.labels.tolist() == [int(row["label"]) for row in rows]


def test_half_of_the_sentences_are_positive(labelled):
    assert Counter(labelled.labels.tolist()) == {0: 200, 1: 200}


def test_no_text_occurs_twice(labelled):
    """A text of emoji alone is compared as it is, see `letters`."""
    counts = Counter(map(letters, labelled.texts))
    assert [text for text, count in counts.items() if count > 1] == []


def test_texts_are_short_and_without_outer_whitespace(labelled):
    assert [text for text in labelled.texts if text != text.strip() or len(text) > LONGEST] == []


def test_no_kind_tells_the_label(labelled):
    kinds, positive = Counter(labelled.groups), Counter()
    for kind, label in zip(labelled.groups, labelled.labels.tolist(), strict=True):
        positive[kind] += label
    assert set(kinds) == KINDS
    for kind, count in kinds.items():
        assert 25 <= count <= 60, kind
        assert 0.45 <= positive[kind] / count <= 0.55, kind


def test_each_part_has_half_of_every_kind_and_label(rows):
    counts = {part: Counter() for part in ("dev", "test")}
    for row in rows:
        counts[row["part"]][row["kind"], row["label"]] += 1
    assert counts["dev"] == counts["test"]
