"""The cache of the teachers' answers: its key, and what happens to a damaged file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.runs.distillation.answers import kept_answers
from text.labels import SENTIMENT, LabelSet

TEXTS = ["房间很好", "隔音差", "\ud800"]
ANSWERS = np.array([[0.1], [-2.0], [1e-9]])


class Teacher:
    """A teacher that counts how often it is asked."""

    def __init__(self, answers=ANSWERS):
        self.answers = answers
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.answers


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_teacher_is_asked_once():
    teacher = Teacher()
    first, again = (kept_answers({"files": ["a"]}, SENTIMENT, TEXTS, teacher) for _ in range(2))
    assert teacher.asked == 1
    np.testing.assert_array_equal(first, ANSWERS)
    np.testing.assert_array_equal(again, ANSWERS)
    assert again.dtype == np.float64


@pytest.mark.parametrize(
    ("files", "labels", "texts"),
    [
        (["b"], SENTIMENT, TEXTS),
        (["a"], LabelSet(("正面", "负面")), TEXTS),
        (["a"], SENTIMENT, [*TEXTS[1:], TEXTS[0]]),
        (["a"], SENTIMENT, ["".join(TEXTS[:2]), "", TEXTS[2]]),
    ],
)
def test_another_question_is_asked(files, labels, texts):
    kept_answers({"files": ["a"]}, SENTIMENT, TEXTS, Teacher())
    teacher = Teacher(ANSWERS + 1)
    np.testing.assert_array_equal(kept_answers({"files": files}, labels, texts, teacher), ANSWERS + 1)
    assert teacher.asked == 1


def test_answers_that_cannot_be_kept_are_returned(caplog):
    Path("runs").write_text("a file where the folder of the cache would be")
    np.testing.assert_array_equal(kept_answers({}, SENTIMENT, TEXTS, Teacher()), ANSWERS)
    assert "the answers of the teacher are not kept: cannot write" in caplog.text


@given(place=st.integers(0, 55), value=st.integers(1, 255), end=st.integers(0, 56))
def test_a_damaged_file_is_written_anew(place, value, end):
    kept_answers({}, SENTIMENT, TEXTS, Teacher())
    (path,) = Path("runs/cache").glob("answers-*")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[place] ^= value
    for damaged in (bytes(flipped), whole[:end] if end < len(whole) else whole + b"\0"):
        path.write_bytes(damaged)
        teacher = Teacher()
        np.testing.assert_array_equal(kept_answers({}, SENTIMENT, TEXTS, teacher), ANSWERS)
        assert teacher.asked == 1 and path.read_bytes() == whole
