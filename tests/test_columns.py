"""Name, type and fill the columns that scoring adds to a file."""

import pytest

from serving.prediction import Prediction
from serving.scoring.columns import PredictionColumns

PREDICTIONS = ["label", "probability", "confidence", "problem"]


def test_their_names():
    assert list(PredictionColumns(["text"]).types) == PREDICTIONS
    taken = ["label", "predicted_label", "problem"]
    assert list(PredictionColumns(taken).types) == [
        "predicted_predicted_label",
        "probability",
        "confidence",
        "predicted_problem",
    ]


def test_a_column_per_label_comes_after_the_others():
    columns = PredictionColumns(["text"], ["愤怒", "悲伤", "a b"])
    assert list(columns.types) == [*PREDICTIONS, "probability_愤怒", "probability_悲伤", "probability_a b"]


def test_the_column_of_a_label_that_is_in_use_is_renamed():
    columns = PredictionColumns(["probability_愤怒", "predicted_probability_愤怒", "x"], ["愤怒", "x"])
    assert list(columns.types)[4:] == ["predicted_predicted_probability_愤怒", "probability_x"]


def test_probabilities_are_numbers_and_the_others_text():
    types = PredictionColumns(["label"], ["愤怒"]).types
    assert list(types.values()) == ["string", "double", "double", "string", "double"]


def test_a_prediction_has_rounded_probabilities():
    columns = PredictionColumns([], ["愤怒", "悲伤"])
    values = columns.values(Prediction("气", "愤怒", 2 / 3, 2 / 3, probabilities=(2 / 3, 1 / 3)))
    assert list(values.items()) == [
        ("label", "愤怒"),
        ("probability", 0.666667),
        ("confidence", 0.666667),
        ("problem", None),
        ("probability_愤怒", 0.666667),
        ("probability_悲伤", 0.333333),
    ]


@pytest.mark.parametrize("labels", [(), ("愤怒", "悲伤")])
def test_a_row_without_a_prediction_has_its_problem_alone(labels):
    columns = PredictionColumns([], labels)
    values = columns.values_without_prediction("row 2: empty")
    assert list(values) == list(columns.types)
    assert {name for name, value in values.items() if value is not None} == {"problem"}
    assert values["problem"] == "row 2: empty"
