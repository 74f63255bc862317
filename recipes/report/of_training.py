"""The report page of a classifier that was just trained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.baseline import TestedBaseline
from evaluation.report.page.contents import Contents
from evaluation.report.page.document import report_page
from evaluation.report.page.language import default_language
from recipes.report.answers import answers_of, marker_of, robustness_of
from serving.export.onnx_file import onnx_path
from serving.predictor import Predictor
from system.files import write_atomically
from text.dataset.splits import Splits
from training.plans.fine_tuning import FineTuningPlan


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


def write_training_report(
    plan: FineTuningPlan, splits: Splits, baseline: TestedBaseline, history: Mapping[str, Sequence[float]]
) -> None:
    """Write the report page of a training, about the test split of the data set itself.

    The saved model answers, as it will answer in the application.

    Args:
        plan: the settings; `report` is the file.
        splits: the data.
        baseline: the answers of the baseline to the texts of all test splits.
        history: the metrics of each epoch.

    Raises:
        OutputError: the file cannot be written.
    """
    test = splits.test
    predictor = Predictor(onnx_path(plan.output), plan.threshold)
    answers = answers_of(predictor, test.texts)
    robustness, num_perturbed = robustness_of(predictor, test.texts, test.labels)
    contents = Contents(
        model_name=Path(plan.output).name,
        data_name=splits.test_name,
        label_set=predictor.labels,
        texts=test.texts,
        labels=test.labels,
        **answers._asdict(),
        temperature=predictor.temperature,
        threshold=predictor.threshold,
        num_training_texts=len(splits.train.texts) + len(splits.validation.texts),
        groups=test.groups,
        baseline=baseline._replace(logits=baseline.logits[: len(test.texts)]),
        history=history,
        marked=marker_of(predictor, test.texts),
        num_perturbed=num_perturbed,
        robustness=robustness,
    )
    write_page(plan.report, contents, plan.language)
