"""Print the prediction for each text: a line for a person, or JSON for a program."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from serving.prediction import NO_LABEL, Prediction
from serving.predictor import Predictor
from system.files import check_writable, write_atomically
from system.output.display import printable, say
from system.streams import is_stream
from text.labels import SEPARATOR

if TYPE_CHECKING:
    from serving.explanation.occlusion import Explanation
    from serving.explanation.window_influence import InfluentialWindow

LONGEST_EXCERPT = 200  # characters of a text without a prediction
ALL_LABELS = sys.maxsize  # as `top_k`


class Answers:
    """Predictions printed to standard output, and problems to standard error.

    Args:
        predictor: the model.
        as_json: whether to print one JSON object per text.
        explain: whether to mark the words that influenced a prediction.
        explain_windows: whether to list the windows of a long text that decided.
        page: an HTML file for all texts with their words marked; None for no page.
        top_k: how many of the most probable labels to show with their probabilities; `ALL_LABELS` for all, None for
            the predicted label alone.
        explain_label: the label to explain; None: see `serving.explanation.occlusion.explain` for the words and
            `serving.explanation.window_influence.influential_windows` for the windows.

    Raises:
        InputError: the page cannot be written, or there is no such label.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        as_json: bool = False,
        explain: bool = False,
        explain_windows: bool = False,
        page: str | None = None,
        top_k: int | None = None,
        explain_label: str | None = None,
    ) -> None:
        self.predictor = predictor
        self.as_json = as_json
        self.explain = explain
        self.explain_windows = explain_windows
        self.page = page
        self.top_k = top_k
        self.explain_label = explain_label
        self._explanations: list[Explanation] = []
        self._num_written = 0  # of the explanations, on the page
        if page is not None:
            check_writable(page, allow_stream=True)
        if explain_label is not None:
            from serving.explanation.occlusion import check_label

            check_label(predictor.labels, explain_label)

    def answer(self, texts: Sequence[str]) -> int:
        """Print the prediction for each text. The page gets them with `write_page`.

        Returns:
            The exit status: 1 if a text has no prediction, else 0.
        """
        status = 0
        for prediction, explanation in self._predictions(texts):
            if prediction.problem:
                say(f"error: {prediction.problem}: {_excerpt(prediction.text)!r}")
                status = 1
            else:
                show = self._as_json if self.as_json else self._as_text
                print(show(prediction, explanation), flush=True)
        return status

    def write_page(self) -> None:
        """Write the page with all texts so far, if there is to be one and it lacks some.

        Raises:
            OutputError: the page cannot be written.
        """
        if self.page is None or self._num_written == len(self._explanations):
            return
        from serving.explanation.marking import html_page

        with write_atomically(self.page) as file:
            file.write(html_page(self._explanations))
        if not self._num_written and not is_stream(self.page):
            say(f"explanations saved to {self.page}")
        self._num_written = len(self._explanations)

    def _predictions(self, texts: Sequence[str]) -> Iterator[tuple[Prediction, Explanation | None]]:
        if not self.explain and self.page is None:
            yield from ((prediction, None) for prediction in self.predictor.predict(texts))
            return
        from serving.explanation.occlusion import explain

        for text in texts:
            explanation = explain(self.predictor, text, self.explain_label)
            if self.page is not None:
                self._explanations.append(explanation)
            yield explanation.prediction, explanation

    def _as_text(self, prediction: Prediction, explanation: Explanation | None) -> str:
        remark = f"  {self.predictor.truncated_remark}" if prediction.is_truncated else ""
        decision, named = self._decision(prediction)
        others = [f" | {name} {value:.4f}" for name, value in self._most_probable(prediction) if name not in named]
        lines = [printable(f"{decision}  confidence {prediction.confidence:.4f}{''.join(others)}{remark}")]
        if self.explain:
            from serving.explanation.marking import marked_for_terminal, wants_colour

            lines.append(marked_for_terminal(explanation, wants_colour(sys.stdout)))
        if self.explain_windows and (windows := self._windows(prediction)):
            from serving.explanation.marking import windows_for_terminal

            lines.append(windows_for_terminal(windows))
        return "\n".join(lines)

    def _decision(self, prediction: Prediction) -> tuple[str, Sequence[str]]:
        """Return the label with its probability as a person reads them, and the names whose probability is shown."""
        if not self.predictor.labels.multi_label:
            return f"{prediction.label}  probability {prediction.probability:.4f}", (prediction.label,)
        probability_of = dict(zip(self.predictor.labels.names, prediction.probabilities, strict=True))
        if prediction.labels:
            values = SEPARATOR.join(f"{probability_of[name]:.4f}" for name in prediction.labels)
            return f"{prediction.label}  probability {values}", prediction.labels
        best = max(probability_of, key=probability_of.get)
        return f"{prediction.label or NO_LABEL}  most probable {best} {probability_of[best]:.4f}", (best,)

    def _as_json(self, prediction: Prediction, explanation: Explanation | None) -> str:
        labels = self.predictor.labels
        names = ("text", "label", *(["labels"] if labels.multi_label else []), "probability", "confidence")
        fields = {name: getattr(prediction, name) for name in (*names, "is_truncated")}
        if self.top_k is not None:
            fields["probabilities"] = dict(self._most_probable(prediction))
        if self.explain:
            if self.explain_label is not None or not labels.is_binary:
                fields["explained_label"] = explanation.label
            fields["words"] = [dataclasses.asdict(word) for word in explanation.words]
        if self.explain_windows:
            fields["windows"] = [dataclasses.asdict(window) for window in self._windows(prediction)]
        line = json.dumps(fields, ensure_ascii=False)
        return printable(line) if sys.stdout.isatty() else line

    def _windows(self, prediction: Prediction) -> list[InfluentialWindow]:
        from serving.explanation.window_influence import influential_windows

        return influential_windows(self.predictor, prediction, self.explain_label)

    def _most_probable(self, prediction: Prediction) -> list[tuple[str, float]]:
        """Return the `top_k` most probable labels and their probabilities, the most probable first."""
        if self.top_k is None:
            return []
        by_label = zip(self.predictor.labels.names, prediction.probabilities, strict=True)
        return sorted(by_label, key=lambda pair: -pair[1])[: self.top_k]


def _excerpt(text: object) -> object:
    is_long = isinstance(text, str) and len(text) > LONGEST_EXCERPT
    return f"{text[:LONGEST_EXCERPT]}…" if is_long else text
