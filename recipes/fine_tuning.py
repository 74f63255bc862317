"""A whole fine-tuning: from labelled texts and a pre-trained model to a tested classifier, its files and its report."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path

import keras

from evaluation.assessment import (
    assess,
    assess_validation,
    assess_validation_baseline,
    most_probable_metrics,
    print_assessment,
    validation_of,
)
from evaluation.baseline import TestedBaseline, baseline_test_logits
from evaluation.report.label_scores import plot_label_scores
from evaluation.report.multi_label import most_frequent_labels
from evaluation.report.plots import confusion_legend, plot_confusion_matrix, plot_training_curves
from evaluation.report.terminal import write_metrics
from network.backbone import copy_backbone
from network.bert import BertClassifier, BertMaskedLM, copy_pooler, logits_model
from network.metadata import Metadata
from network.model_file import save_model
from recipes.report.of_training import write_training_report
from recipes.runs.distillation.states import load_state_teacher
from recipes.runs.distillation.teachers import soft_label_splits, taught_splits
from recipes.runs.label_audit import audit_labels, check_audit
from recipes.runs.resumption import checkpoint_of
from recipes.runs.run_data import load_data, load_masked_text
from recipes.runs.run_folder import environment, finish_run, owned_output, previous_model_remark, run_in_folder
from recipes.runs.starting_models import kept_head, load_pretrained, new_classifier, new_layers
from serving.export.onnx_file import export_onnx, onnx_path
from system.command_line import option_name
from system.errors import InputError
from system.files import check_writable
from text.dataset.saving import described_data, save_splits
from text.dataset.splits import Splits
from text.labels import EVEN_THRESHOLD, LabelSet
from training.classification import document_logits, train_classifier
from training.engine.distribution.processes import goes_on_alone, is_main, joined
from training.engine.loop import History, format_metrics
from training.masked_lm import held_out_metrics
from training.objectives.document_loss import document_batches, most_windows
from training.objectives.masked_rows import MASKED_LM, MaskedText
from training.plans.fine_tuning import FineTuningPlan

PLOT_NAME = "training_curves.png"
CONFUSION_MATRIX_NAME = "confusion_matrix.png"
METRICS_NAME = "metrics.json"


@dataclasses.dataclass(frozen=True)
class FineTuningResult:
    """The results of a fine-tuning.

    Attributes:
        classifier: the trained model.
        assessment: its metrics on the test split, as `evaluation.assessment.assess` returns them; if it was not
            tested, those of `assess_validation` as "validation". With `--corpus` and held-out rows "masked_lm" too.
        history: the metrics of each epoch.
    """

    classifier: BertClassifier
    assessment: dict
    history: History


def fine_tune(
    plan: FineTuningPlan,
    typed: Mapping[str, object] | None = None,
    plot_name: str = PLOT_NAME,
    *,
    test: bool = True,
    validate_baseline: bool = False,
) -> FineTuningResult | None:
    """Train and test a classifier, print its report, and write model, plots, metrics.json and run.json.

    Args:
        plan: the settings. A resumed run uses those in the run.json of the interrupted one, except for its folder.
        typed: the fields that the user set, with their values; a resumed run refuses one that differs.
        plot_name: the file name of the learning curves in the report folder.
        test: whether to test and save the classifier. Otherwise the run ends with its validation: metrics.json holds
            "validation", "history" and perhaps "masked_lm", and there is no model and nothing of the test split.
        validate_baseline: whether a run without a test validates the baseline too, see `assess_validation_baseline`.

    Returns:
        The result; None for a dry run, which stops before the training, and in all but one of several processes.

    Raises:
        InputError: the data, the model or a folder cannot be used, or the trained model is useless.
    """
    with joined(plan.distributed), run_in_folder(dataclasses.asdict(plan), typed or {}) as arguments:
        return _fine_tune(FineTuningPlan(**arguments), plot_name, test=test, validate_baseline=validate_baseline)


def _fine_tune(plan: FineTuningPlan, plot_name: str, *, test: bool, validate_baseline: bool) -> FineTuningResult | None:
    _check_outputs(plan, plot_name)
    keras.utils.set_random_seed(plan.seed)
    pretrained, splits = load_data(plan, load_pretrained(plan))
    classifier = new_classifier(plan, pretrained, splits.label_set)
    if plan.audit_labels and not plan.resume:  # an interrupted run has made its audit
        audit_labels(plan, splits, classifier, pretrained)
    if plan.save_splits and is_main():
        save_splits(splits, plan)
    classifier.summary()
    kept = kept_head(plan, pretrained, splits.label_set)
    if kept is not None:
        print(f"head: starts as that of {plan.pretrained}, which has the same labels")
    if plan.document_loss and plan.unfreeze == 0:
        print("--document-loss changes nothing without --unfreeze: the head alone is always trained on whole texts")
    state_teacher = load_state_teacher(plan, classifier)
    distilled = soft_label_splits(plan, splits, classifier)
    masked_text = load_masked_text(plan, pretrained, splits) if plan.corpus else None
    if plan.asks_teachers and (plan.save_soft_labels or not plan.dry_run):
        splits, labelled_now = taught_splits(plan, splits, classifier)
        distilled = [*labelled_now, *distilled]
    if plan.dry_run:
        _print_dry_run(plan, classifier, splits, plot_name, test=test)
        return None
    checkpoint = checkpoint_of(plan, splits, distilled, masked_text)
    history = train_classifier(
        classifier,
        splits,
        plan,
        validation_of(splits, plan.monitor),
        checkpoint,
        distilled=distilled,
        kept=kept,
        new_layers=new_layers(classifier, pretrained),
        masked_text=masked_text,
        state_teacher=state_teacher,
        resume=plan.resume,
    )
    if not goes_on_alone():
        return None
    with checkpoint.explained_if_interrupted():
        more = _masked_lm_metrics(plan, masked_text) | (assess_validation_baseline(splits) if validate_baseline else {})
        if not test:
            return _end_with_validation(plan, classifier, splits, history, more)
        try:
            baseline = baseline_test_logits(splits) if plan.report else None  # else nobody needs its answers again
            result = FineTuningResult(classifier, _test(plan, classifier, splits, baseline) | more, history)
        except InputError:
            checkpoint.remove()
            raise
        _write_report(plan, result, splits.label_set, plot_name)  # before the model, whose .onnx file may take minutes
        previous = _save(plan, result, splits)
        if plan.backbone_output:
            _save_backbone(plan.backbone_output, result, pretrained)
        if plan.report:
            write_training_report(plan, splits, baseline, history)
        finish_run(plan.run_folder)
    print(f"{_model_files(plan)}; {_report_files(plan, plot_name)}{previous}")
    return result


def _check_outputs(plan: FineTuningPlan, plot_name: str) -> None:
    """Check that the files of a run can be written, before the work whose results they will hold."""
    own_files = (plan.backbone_output or plan.output, plan.save_soft_labels, plan.report)
    for path in (*own_files, Path(plan.report_folder, plot_name)):
        if path is not None and is_main():
            check_writable(path)
    if plan.audit_labels and not plan.resume:
        check_audit(plan)


def train_basic(plan: FineTuningPlan) -> FineTuningResult:
    """Train, test and save a classifier as `fine_tune` does, without run folder, plots and metrics.json.

    Raises:
        InputError: as `fine_tune`.
    """
    with owned_output(plan.output):
        keras.utils.set_random_seed(plan.seed)
        pretrained, splits = load_data(plan, load_pretrained(plan))
        classifier = new_classifier(plan, pretrained, splits.label_set)
        kept = kept_head(plan, pretrained, splits.label_set)
        history = train_classifier(classifier, splits, plan, validation_of(splits), kept=kept)
        result = FineTuningResult(classifier, _test(plan, classifier, splits), history)
        previous = _save(plan, result, splits)
        print(f"{_model_files(plan)}{previous}")
    return result


def _model_files(plan: FineTuningPlan) -> str:
    return f"Model saved to {plan.output} and {onnx_path(plan.output)}"


def _report_files(plan: FineTuningPlan, plot_name: str) -> str:
    page = f"; the report page in {plan.report}" if plan.report else ""
    return f"{plot_name}, {CONFUSION_MATRIX_NAME} and {METRICS_NAME} in {Path(plan.report_folder).resolve()}{page}"


def _print_dry_run(
    plan: FineTuningPlan, classifier: BertClassifier, splits: Splits, plot_name: str, *, test: bool
) -> None:
    """Print what the run would train, and where the results would go."""
    trainable = sum(math.prod(variable.shape) for variable in classifier.trainable_variables)
    texts = f"{len(splits.train.texts):,} texts"
    if sources := [option for option in ("unlabelled", "mixtures", "soft_labels") if getattr(plan, option)]:
        texts += " and those of " + " and ".join(map(option_name, sources))
    if plan.document_loss and plan.unfreeze != 0:
        batches_of = document_batches([splits.train], plan)
        largest = most_windows(batches_of, plan.epochs)
        texts += f" in batches of {batches_of().batch_size} whole texts (up to {largest:,} windows)"
    if plan.corpus:
        texts += f", beside {plan.masked_rows:g} masked rows of --corpus for each window"
    duration = "for 1 epoch" if plan.epochs == 1 else f"for {plan.epochs} epochs"
    if plan.unfreeze == 0 and not sources and plan.fits_head(len(splits.train.texts)):
        duration = "until they converge"
    print(
        f"dry run: nothing was trained. The run would train {trainable:,} of {classifier.count_params():,} parameters "
        f"{duration} on {texts}, validate on {len(splits.validation.texts):,} and "
        + (f"test on {sum(len(each.texts) for each in splits.tests):,}." if test else "stop before the test.")
    )
    if test:
        print(
            f"The model would be saved to {plan.output} and {onnx_path(plan.output)}; {_report_files(plan, plot_name)}."
        )


def _test(
    plan: FineTuningPlan, classifier: BertClassifier, splits: Splits, baseline: TestedBaseline | None = None
) -> dict:
    """Test the classifier on the test split, print its metrics and return them."""
    if splits.further:
        num_texts = len(splits.train.texts) + len(splits.validation.texts)
        print(f"TF-IDF with logistic regression learns {num_texts:,} texts", flush=True)  # it may take minutes
    threshold = splits.label_set.default_threshold if plan.threshold is None else plan.threshold
    assessment = assess(functools.partial(document_logits, logits_model(classifier)), splits, threshold, baseline)
    print_assessment(assessment, splits.test_name)
    return assessment


def _masked_lm_metrics(plan: FineTuningPlan, masked_text: MaskedText | None) -> dict[str, dict[str, float]]:
    """Return the held-out metrics of the language model that was trained beside the labels, and print them."""
    if masked_text is None or not len(masked_text.corpus.held_out.input_ids):
        return {}
    model, corpus, masker = masked_text.model, masked_text.corpus, masked_text.masker
    metrics = held_out_metrics(model, corpus, masker, plan.batch_size, jit_compile=plan.jit_compile)()
    print(f"masked language modelling, held out: {format_metrics(metrics)}")
    return {MASKED_LM: metrics}


def _end_with_validation(
    plan: FineTuningPlan, classifier: BertClassifier, splits: Splits, history: History, other: dict
) -> FineTuningResult:
    """Write the validation metrics of the trained weights, other ones and the history, and finish the run."""
    logits = document_logits(logits_model(classifier), splits.validation)
    validation = {"validation": assess_validation(splits.validation, logits)}
    result = FineTuningResult(classifier, validation | other, history)
    write_metrics(Path(plan.report_folder, METRICS_NAME), result.assessment | {"history": history} | environment())
    finish_run(plan.run_folder)
    return result


def _save(plan: FineTuningPlan, result: FineTuningResult, splits: Splits) -> str:
    """Save the classifier for Keras and for ONNX Runtime; return a remark on the model that it replaces."""
    previous = previous_model_remark(plan.output)
    result.classifier.metadata = Metadata(
        labels=splits.label_set,
        **result.assessment["calibration"],
        windows=plan.windows,
        data=described_data(splits),
        test=result.assessment["test"],
    ).to_json()
    save_model(result.classifier, plan.output)
    export_onnx(plan.output)
    return previous


def _save_backbone(path: str, result: FineTuningResult, pretrained: BertMaskedLM) -> None:
    """Save the pre-trained model with the backbone layers and the pooler of the classifier."""
    copy_backbone(result.classifier, pretrained)
    copy_pooler(result.classifier, pretrained)
    # The held-out metrics of the file belong to the old layers.
    pretrained.metadata = {name: value for name, value in pretrained.metadata.items() if name != "held_out"}
    pretrained.metadata["fine_tuned_on"] = result.classifier.metadata["data"]
    if MASKED_LM in result.assessment:
        pretrained.metadata["held_out"] = result.assessment[MASKED_LM]
    save_model(pretrained, path)


def _write_report(plan: FineTuningPlan, result: FineTuningResult, labels: LabelSet, plot_name: str) -> None:
    folder = Path(plan.report_folder)
    plot_training_curves(result.history, folder / plot_name)
    metrics, names = most_probable_metrics(result.assessment["test"]), labels.english_names
    if labels.multi_label:
        names = most_frequent_labels(metrics)
        plot_label_scores(metrics, result.assessment["baseline"], folder / CONFUSION_MATRIX_NAME)
    else:
        title = f"Test set, threshold {EVEN_THRESHOLD}" if labels.is_binary else "Test set"
        plot_confusion_matrix(metrics["confusion_matrix"], folder / CONFUSION_MATRIX_NAME, names, title)
    if legend := confusion_legend(names):
        print(f"Labels in {CONFUSION_MATRIX_NAME}: {legend}")
    write_metrics(folder / METRICS_NAME, result.assessment | {"history": result.history} | environment())
