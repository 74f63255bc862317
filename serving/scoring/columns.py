"""The columns that scoring adds to a file: their names, their types, and their values for each row."""

from __future__ import annotations

from collections.abc import Iterable

from serving.prediction import Prediction
from text.labels import probability_column

PREDICTION_TYPES = {"label": "string", "probability": "double", "confidence": "double", "problem": "string"}
DECIMALS = 6


class PredictionColumns:
    """The added columns: `PREDICTION_TYPES`, then on demand a column of probabilities per label.

    Args:
        columns: the columns of the source. "predicted_" precedes an added name that is already in use.
        labels: the labels that have a column `probability_LABEL`, in the order of `Prediction.probabilities`.

    Attributes:
        types: the type in Parquet of each added column, by its name, in their order.
    """

    def __init__(self, columns: Iterable[str], labels: Iterable[str] = ()) -> None:
        wanted = PREDICTION_TYPES | {probability_column(label): "double" for label in labels}
        used = set(columns)
        self.types: dict[str, str] = {}
        for name, kind in wanted.items():
            while name in used:
                name = f"predicted_{name}"
            self.types[name] = kind
            used.add(name)
        self._num_labels = len(wanted) - len(PREDICTION_TYPES)

    def values(self, prediction: Prediction) -> dict[str, object]:
        """Return the values of a row with a prediction, by column."""
        values = [
            prediction.label,
            round(prediction.probability, DECIMALS),
            round(prediction.confidence, DECIMALS),
            None,
        ]
        if self._num_labels:
            values += [round(probability, DECIMALS) for probability in prediction.probabilities]
        return dict(zip(self.types, values, strict=True))

    def values_without_prediction(self, problem: str) -> dict[str, object]:
        """Return the values of a row that has a problem instead of a prediction, by column."""
        return dict(zip(self.types, [None, None, None, problem, *[None] * self._num_labels], strict=True))
