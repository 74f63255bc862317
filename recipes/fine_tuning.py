"""A whole fine-tuning: from the texts and the pre-trained model to a tested classifier, its files and its report."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from evaluation.assessment import assess, print_assessment, validation_of
from evaluation.report.plots import plot_confusion_matrix, plot_training_curves
from evaluation.report.terminal import write_metrics
from network.bert import (
    BertClassifier,
    BertMaskedLM,
    BertModel,
    classifier_from_pretrained,
    copy_backbone,
    logits_model,
)
from network.metadata import Metadata
from network.model_file import load_model, save_model
from recipes.run_folder import CHECKPOINT_NAME, environment, finish_run, owned_output, run_in_folder
from recipes.teachers import distillation_split
from serving.export.onnx_file import export_onnx
from system.errors import InputError
from system.files import check_writable, sha256_of_file
from text.dataset import Split, Splits, load_splits, print_splits, split_rows, write_rows
from text.sources import LabelledTexts, source_name
from text.tokens.tokenizer import tokenizer_from_json
from training.classification import document_logits, train_classifier
from training.engine.checkpoint import Checkpoint
from training.engine.loop import History
from training.plans import FineTuningPlan

PLOT_NAME = "training_curves.png"
CONFUSION_MATRIX_NAME = "confusion_matrix.png"
METRICS_NAME = "metrics.json"
SPLIT_NAMES = ("train.csv", "test.csv")


@dataclasses.dataclass(frozen=True)
class FineTuningResult:
    """What a fine-tuning gives.

    Attributes:
        classifier: the trained model.
        assessment: its metrics on the test split, as `evaluation.assessment.assess` returns them.
        history: the metrics of each epoch.
    """

    classifier: BertClassifier
    assessment: dict
    history: History


def fine_tune(
    plan: FineTuningPlan, typed: Mapping[str, object] | None = None, plot_name: str = PLOT_NAME
) -> FineTuningResult | None:
    """Train and test a classifier, print its report, and write model, plots, metrics.json and run.json.

    Args:
        plan: a resumed run takes all but the folder from the run.json of the interrupted one.
        typed: the values of the plan that a resumed run must share with the interrupted one, by field.
        plot_name: the file of the learning curves in the report folder.

    Returns:
        The result; None for a dry run, which stops before the training.

    Raises:
        InputError: the data, the model or a folder cannot be used.
    """
    with run_in_folder(dataclasses.asdict(plan), typed or {}) as arguments:
        return _fine_tune(FineTuningPlan(**arguments), plot_name)


def _fine_tune(plan: FineTuningPlan, plot_name: str) -> FineTuningResult | None:
    for path in (plan.backbone_output or plan.output, Path(plan.report_folder, plot_name)):
        check_writable(path)
    keras.utils.set_random_seed(plan.seed)
    pretrained = load_model(plan.pretrained, BertMaskedLM if plan.backbone_output else BertModel)
    classifier = classifier_from_pretrained(pretrained, plan.unfreeze, plan.dropout_rate)
    splits = _load_splits(plan, classifier)
    if plan.save_splits:
        _save_splits(splits.labelled, plan)
    classifier.summary()
    if plan.dry_run:
        return None
    distilled = distillation_split(plan, splits, classifier) if plan.unlabelled or plan.mixtures else None
    checkpoint = _checkpoint(plan, splits, distilled)
    history = train_classifier(
        classifier, splits, plan, validation_of(splits), checkpoint, distilled=distilled, resume=plan.resume
    )
    try:
        result = FineTuningResult(classifier, _test(plan, classifier, splits), history)
    except InputError:
        checkpoint.path.unlink(missing_ok=True)  # resumed, the run would only come here again
        raise
    _save(plan, result, splits)
    if plan.backbone_output:
        _save_backbone(plan.backbone_output, classifier, pretrained)
    _write_report(plan, result, plot_name)
    finish_run(plan.run_folder)
    folder = Path(plan.report_folder).resolve()
    print(f"Model saved to {plan.output}; {plot_name}, {CONFUSION_MATRIX_NAME} and {METRICS_NAME} in {folder}")
    return result


def train_basic(plan: FineTuningPlan) -> FineTuningResult:
    """Train and test a classifier as `fine_tune` does, without run folder, plots and files but the model."""
    with owned_output(plan.output):
        keras.utils.set_random_seed(plan.seed)
        classifier = classifier_from_pretrained(load_model(plan.pretrained), plan.unfreeze, plan.dropout_rate)
        splits = _load_splits(plan, classifier)
        history = train_classifier(classifier, splits, plan, validation_of(splits))
        result = FineTuningResult(classifier, _test(plan, classifier, splits), history)
        _save(plan, result, splits)
        print(f"Model saved to {plan.output}")
    return result


def _load_splits(plan: FineTuningPlan, classifier: BertClassifier) -> Splits:
    splits = load_splits(
        plan.dataset,
        tokenizer_from_json(classifier.tokenizer_json),
        classifier.config.max_seq_len,
        test_size=plan.test_size,
        window_settings=plan.windows,
        text_column=plan.text_column,
        label_column=plan.label_column,
        group_column=plan.group_column,
    )
    print_splits(splits)
    return splits


def _save_splits(labelled: LabelledTexts, plan: FineTuningPlan) -> None:
    """Write the rows to train and validate on to train.csv, those to test on to test.csv."""
    paths = [Path(plan.save_splits, name) for name in SPLIT_NAMES]
    if Path(plan.dataset).resolve() in [path.resolve() for path in paths]:
        raise InputError(f"--save-splits {plan.save_splits} would overwrite --dataset: choose another folder")
    for path in paths:
        check_writable(path)
    for rows, path in zip(split_rows(labelled, plan.test_size), paths, strict=True):
        write_rows(labelled, rows, path)
        print(f"{len(rows):,} rows saved to {path}")


def _checkpoint(plan: FineTuningPlan, splits: Splits, distilled: Split | None) -> Checkpoint:
    """Return the checkpoint of the run, which knows the data and the model that the run started from."""
    further = [str(distilled.targets.tolist()), *distilled.texts] if distilled else []
    sha256 = data_sha256(splits.labelled, plan.pretrained, further)
    return Checkpoint(Path(plan.run_folder, CHECKPOINT_NAME), data_sha256=sha256)


def data_sha256(labelled: LabelledTexts, pretrained: str, further: Sequence[str] = ()) -> str:
    """Return a hash of what a run starts from: it can be resumed with the same alone."""
    data = [labelled.sha256, sha256_of_file(pretrained), *further]
    return hashlib.sha256("\n".join(data).encode()).hexdigest()


def _test(plan: FineTuningPlan, classifier: BertClassifier, splits: Splits) -> dict:
    """Return the metrics of the test split, and print them."""
    assessment = assess(functools.partial(document_logits, logits_model(classifier)), splits, plan.threshold)
    print_assessment(assessment, source_name(splits.labelled.name))
    return assessment


def _save(plan: FineTuningPlan, result: FineTuningResult, splits: Splits) -> None:
    labelled = splits.labelled
    result.classifier.metadata = Metadata(
        **result.assessment["calibration"],
        windows=plan.windows,
        data={"name": source_name(labelled.name), "rows": len(labelled.texts), "sha256": labelled.sha256},
        test=result.assessment["test"],
    ).to_json()
    save_model(result.classifier, plan.output)
    export_onnx(plan.output)


def _save_backbone(path: str, classifier: BertClassifier, pretrained: BertMaskedLM) -> None:
    """Write the pre-trained model with the layers of the classifier."""
    copy_backbone(classifier, pretrained)
    # The metrics of the masked language model were those of other layers.
    pretrained.metadata = {name: value for name, value in pretrained.metadata.items() if name != "held_out"}
    pretrained.metadata["fine_tuned_on"] = classifier.metadata["data"]
    save_model(pretrained, path)


def _write_report(plan: FineTuningPlan, result: FineTuningResult, plot_name: str) -> None:
    folder = Path(plan.report_folder)
    plot_training_curves(result.history, folder / plot_name)
    plot_confusion_matrix(
        result.assessment["test"]["at_half"]["confusion_matrix"],
        folder / CONFUSION_MATRIX_NAME,
        title="Test set, threshold 0.5",
    )
    write_metrics(folder / METRICS_NAME, result.assessment | {"history": result.history} | environment())
