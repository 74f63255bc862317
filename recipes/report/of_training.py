"""The report page of a classifier that was just trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.baseline import TestedBaseline
from recipes.report.page_file import tested_contents, write_page
from serving.export.onnx_file import onnx_path
from serving.predictor import Predictor
from text.dataset.splits import Splits
from training.plans.fine_tuning import FineTuningPlan


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
    contents = tested_contents(
        Predictor(onnx_path(plan.output), plan.threshold),
        test.texts,
        test.labels,
        model_name=Path(plan.output).name,
        data_name=splits.test_name,
        num_training_texts=len(splits.train.texts) + len(splits.validation.texts),
        groups=test.groups,
        baseline=baseline._replace(logits=baseline.logits[: len(test.texts)]),  # that of the data set is the first
        history=history,
    )
    write_page(plan.report, contents, plan.language)
