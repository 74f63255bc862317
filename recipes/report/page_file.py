"""The contents of a report page from a predictor and labelled texts, and the file of the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.report.page.contents import Contents
from evaluation.report.page.document import report_page
from evaluation.report.page.language import default_language
from recipes.report.answers import answers_of, marker_of, robustness_of
from serving.predictor import Predictor
from system.files import write_atomically


def tested_contents(predictor: Predictor, texts: Sequence[str], labels: np.ndarray, **further: Any) -> Contents:
    """Let a model answer, and return the contents of its report page.

    Args:
        predictor: the model.
        texts: the texts of the test.
        labels: their labels, (texts,) or (texts, labels), see `LabelSet`.
        further: the names and the other fields of `Contents`.

    Raises:
        InputError: the model fails.
    """
    answers = answers_of(predictor, texts)
    robustness, num_perturbed = robustness_of(predictor, texts, labels)
    return Contents(
        label_set=predictor.labels,
        texts=texts,
        labels=labels,
        **answers._asdict(),
        temperature=predictor.temperature,
        threshold=predictor.threshold,
        marked=marker_of(predictor, texts),
        num_perturbed=num_perturbed,
        robustness=robustness,
        **further,
    )


def write_page(path: str, contents: Contents, language: str | None) -> None:
    """Write the report page, which appears whole or not at all.

    Args:
        path: the file.
        contents: the tested model.
        language: "zh" or "en"; None for that of the locale.

    Raises:
        OutputError: the file cannot be written.
    """
    content = report_page(contents, language or default_language(os.environ))
    with write_atomically(path) as file:
        file.write(content)
