"""The everyday opinion sentences of `data/everyday/`: usable, unique, and neither kind nor form tells the label."""

from collections import Counter
from pathlib import Path

import pytest

from text.dataset.duplicates import letters
from text.labels import SENTIMENT
from text.sources import read_labelled

FOLDER = Path(__file__).resolve().parents[1] / "data" / "everyday"
PARTS = {"train": 10041, "validation": 200, "test": 200}
KINDS = {
    *("plain", "negation", "contrast", "irony", "idiom", "slang", "emoji", "mild", "comparison", "question"),
    "figures",
}
KINDS_OF_TRAINING = KINDS | {"literal", "story"}
LONGEST = 60  # characters


@pytest.fixture(scope="module", params=PARTS)
def part(request):
    return request.param


@pytest.fixture(scope="module")
def labelled(part):
    """The sentences as fine_tuning.py reads them, with the kinds as their groups."""
    return read_labelled(FOLDER / f"{part}.csv", group_column="kind")


def test_the_file_is_plain_csv(part):
    content = (FOLDER / f"{part}.csv").read_bytes()
    assert content.startswith(b"label,kind,text\n"), "no byte order mark, and the columns in this order"
    assert b"\r" not in content


def test_every_row_is_usable(part, labelled):
    assert labelled.problems == {}
    assert labelled.label_set == SENTIMENT
    assert len(labelled.texts) == PARTS[part]


def test_half_of_the_sentences_are_positive(labelled):
    assert labelled.labels.mean() == pytest.approx(0.5, abs=0.005)


def test_no_text_occurs_twice_in_any_part():
    counts = Counter(letters(text) for part in PARTS for text in read_labelled(FOLDER / f"{part}.csv").texts)
    assert [text for text, count in counts.items() if count > 1] == []


def test_texts_are_short_and_without_outer_whitespace(labelled):
    assert [text for text in labelled.texts if text != text.strip() or len(text) > LONGEST] == []


def test_no_kind_tells_the_label(part, labelled):
    kinds, positive = Counter(labelled.groups), Counter()
    for kind, label in zip(labelled.groups, labelled.labels.tolist(), strict=True):
        positive[kind] += label
    assert set(kinds) == (KINDS_OF_TRAINING if part == "train" else KINDS)
    for kind, count in kinds.items():
        assert 0.45 <= positive[kind] / count <= 0.55, kind


def test_validation_and_test_have_the_same_kinds_and_labels():
    counts = []
    for part in ("validation", "test"):
        labelled = read_labelled(FOLDER / f"{part}.csv", group_column="kind")
        counts.append(Counter(zip(labelled.groups, labelled.labels.tolist(), strict=True)))
    assert counts[0] == counts[1]
