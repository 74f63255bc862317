"""The audit of labels: which rows of training and validation probably have a wrong one, as a page and as a table."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evaluation.analysis.label_doubt import contradicting_copies, doubts_of, most_doubtful, stratified_folds
from evaluation.baseline import out_of_fold_baseline_logits, texts_of
from evaluation.report.page.label_audit_page import DoubtedRow, label_audit_page, reasons_in
from evaluation.report.page.language import default_language
from network.bert import BertClassifier, BertModel
from system.errors import InputError
from system.files import check_writable, write_atomically
from system.locks import owned
from system.output.display import say, show
from text.dataset.draws.drawing import strata_of
from text.dataset.duplicates import text_ids
from text.dataset.labelled_texts import LabelledTexts
from text.dataset.labels.corrections import CORRECTED_COLUMN, LEARNT_FROM, SUGGESTED_COLUMN, TEXT_COLUMN
from text.dataset.saving import refuse_changed_sources
from text.dataset.splits import Splits, joined_text_weights, short_names
from text.labels import SEPARATOR, LabelSet
from text.tables.kinds import open_format, open_table
from text.tables.problems import is_blank
from text.tables.rows import utf8
from training.frozen_head import feature_extractor, text_features, whitening
from training.logistic_regression import LabelledFeatures, out_of_fold_logits
from training.plans.fine_tuning import FineTuningPlan

PAGE_NAME, TABLE_NAME = "label_audit.html", "label_audit.csv"
COLUMNS = ("source", "row", TEXT_COLUMN, "label", SUGGESTED_COLUMN, "probability", "reason", CORRECTED_COLUMN)
FOLDS = 5
FEWEST_TEXTS = 10


class _AuditedRow(NamedTuple):
    """A row of a data set, with the name of its source in messages, and what it is stratified by."""

    source: str
    number: int
    stratum: str


def check_audit(plan: FineTuningPlan) -> None:
    """Check that the files of the audit can be written, and that neither data nor corrected labels are lost.

    Raises:
        InputError: the table would become a part of the data, or the earlier one has corrected labels, or may have.
        OutputError: a file cannot be written.
    """
    table = Path(plan.report_folder, TABLE_NAME)
    refuse_changed_sources([table], plan, f"--audit-labels with --report-folder {plan.report_folder}")
    _refuse_lost_corrections(table)
    for name in (PAGE_NAME, TABLE_NAME):
        check_writable(Path(plan.report_folder, name))


def _refuse_lost_corrections(path: Path) -> None:
    """Raise an InputError if a file may be replaced only by losing what a reader has filled in."""
    if found := _corrections_in(path):
        raise InputError(
            f"{path} {found}, which --audit-labels would overwrite: rename it (and name it in --label-corrections), or "
            "choose another --report-folder"
        )


def _corrections_in(path: Path) -> str:
    """Return which corrected labels a file has, in words; "" if it is missing, or a table whose column is empty."""
    if not path.is_file():
        return ""
    # A spreadsheet may have saved it in another format, with the corrections that it read before.
    unknown = f"may have corrected labels (it cannot be read as a table with the column {CORRECTED_COLUMN})"
    try:
        table = open_table(path)
        rows = list(table.rows)
    except InputError:
        return unknown
    if CORRECTED_COLUMN not in table.columns:
        return unknown
    if count := sum(not is_blank(row.values.get(CORRECTED_COLUMN)) for row in rows):
        return f"has {count:,} corrected labels"
    return unknown if any(row.problem for row in rows) else ""


def audit_labels(plan: FineTuningPlan, splits: Splits, classifier: BertClassifier, pretrained: BertModel) -> None:
    """Write the training and validation rows whose labels are most in doubt to label_audit.html and label_audit.csv.

    The probability of a label is the mean of those of two logistic regressions, on the features of the frozen backbone
    and on TF-IDF of characters, which err differently. Both were fitted to the four fifths of the rows without the
    text and its copies.

    Args:
        plan: the settings; it lists the `audit_labels` most doubtful rows, and as many with contradicting labels.
        splits: the data; the test splits are not read.
        classifier: the classifier before its training, whose backbone computes the features.
        pretrained: the model of `--pretrained`.

    Raises:
        InputError: there are too few texts, another audit is writing the files, or a reader has corrected labels in
            the earlier table meanwhile.
        OutputError: a file cannot be written.
    """
    if known := _seen_labels(plan, splits, pretrained):
        say(known)
    texts, labels = [*splits.train.texts, *splits.validation.texts], _labels(splits)
    ids, label_set, rows = text_ids(texts), splits.label_set, _audited_rows(splits)
    if len(np.unique(ids)) < FEWEST_TEXTS:
        raise InputError(f"--audit-labels needs {FEWEST_TEXTS} different texts, and there are {len(np.unique(ids))}")
    folds = stratified_folds(np.array([row.stratum for row in rows]), ids, FOLDS, plan.seed)
    doubts = doubts_of(label_set, labels, _out_of_fold_probabilities(splits, classifier, folds))
    copies = contradicting_copies(ids, labels)
    is_doubted = (doubts.suggested != labels).reshape(len(texts), -1).any(axis=1)
    chosen = most_doubtful(doubts.scores, [is_doubted, copies >= 0], plan.audit_labels)
    language = plan.language or default_language(os.environ)

    def doubted_row(index: int) -> DoubtedRow:
        twin = copies[index]
        reasons = reasons_in(
            language,
            is_doubted=bool(is_doubted[index]),
            copy=f"{rows[twin].source}, {rows[twin].number:,}" if twin >= 0 else None,
            label_of_copy=_name(label_set, labels[twin]) if twin >= 0 else "",
        )
        given, suggested = (_name(label_set, each) for each in (labels[index], doubts.suggested[index]))
        probability = float(doubts.probabilities[index])
        return DoubtedRow(rows[index].source, rows[index].number, texts[index], given, suggested, probability, reasons)

    _write_audit([doubted_row(index) for index in chosen], len(texts), int(is_doubted.sum()), plan, language)
    show(
        f"label audit: another label is more probable for {is_doubted.sum():,} of {len(texts):,} training and "
        f"validation rows, and {(copies >= 0).sum():,} have a copy with another label; {len(chosen):,} of them are in "
        f"{PAGE_NAME} and {TABLE_NAME} in {Path(plan.report_folder).resolve()}"
    )


def _seen_labels(plan: FineTuningPlan, splits: Splits, pretrained: BertModel) -> str:
    """Return a warning where the backbone has learnt from labels, perhaps those of this audit; else ""."""
    learnt = pretrained.metadata.get("data" if isinstance(pretrained, BertClassifier) else "fine_tuned_on")
    if learnt is None and not isinstance(pretrained, BertClassifier):
        return ""
    further = learnt.get("also") if isinstance(learnt, Mapping) else None  # a file may hold anything there
    sets = [learnt, *further] if isinstance(further, list | tuple) else [learnt]
    sets = [each for each in sets if isinstance(each, Mapping)]
    if {each.get("sha256") for each in sets} & {labelled.sha256 for labelled in splits.sets}:
        return (
            f"note: {plan.pretrained} was fine-tuned on these data: its features have seen their labels, and a wrong "
            "one may look right. Audit with a model that has not learnt them"
        )
    names = ", ".join(str(each.get("name")) for each in sets) or "unknown data"
    return (
        f"note: {plan.pretrained} was fine-tuned ({names}). A wrong label may look right to it in a row whose label it "
        "has learnt; if such rows may be in these data, audit with another model"
    )


def _labels(splits: Splits) -> np.ndarray:
    """Return the labels of the training texts and then of the validation texts, (texts,) or (texts, labels)."""
    return np.concatenate([splits.train.labels, splits.validation.labels])


def _audited_rows(splits: Splits) -> list[_AuditedRow]:
    """Return the rows of the training texts and then of the validation texts."""
    names = short_names(splits.sets)
    strata = [
        strata_of(dataclasses.replace(labelled, labels=rows.labels))
        for labelled, rows in zip(splits.sets, splits.rows, strict=True)
    ]
    return [
        _AuditedRow(_source(labelled, name, row), int(labelled.origins.numbers[row]), f"{name}\t{of_set[row]}")
        for split in LEARNT_FROM
        for labelled, name, rows, of_set in zip(splits.sets, names, splits.rows, strata, strict=True)
        for row in rows.by_split[split]
    ]


def _source(labelled: LabelledTexts, name: str, row: int) -> str:
    """Return the name of a row's set, or of its official file."""
    origins = labelled.origins
    return list(origins.names.values())[origins.parts[row]] if len(origins.names) > 1 else name


def _out_of_fold_probabilities(splits: Splits, classifier: BertClassifier, folds: np.ndarray) -> np.ndarray:
    """Return the probability of each label in the training texts and then in the validation texts, (texts, labels)."""
    label_set, both = splits.label_set, (splits.train, splits.validation)
    of_backbone, _ = out_of_fold_logits(_whitened_features(splits, classifier), folds)
    texts = [text for split in both for text in texts_of(split)]
    of_tfidf = out_of_fold_baseline_logits(label_set, texts, _labels(splits), folds, joined_text_weights(both))
    return (label_set.probabilities(of_backbone) + label_set.probabilities(of_tfidf)) / 2


def _whitened_features(splits: Splits, classifier: BertClassifier) -> LabelledFeatures:
    """Return the whitened features of the training texts and then of the validation texts."""
    extractor, both = feature_extractor(classifier), (splits.train, splits.validation)
    features = np.concatenate([text_features(extractor, split) for split in both]).astype(np.float64)
    mean, matrix = whitening(features)
    targets = np.concatenate([split.targets for split in both]).astype(np.float64)
    return LabelledFeatures((features - mean) @ matrix, targets, splits.label_set, joined_text_weights(both))


def _name(label_set: LabelSet, label: np.ndarray) -> str:
    """Return the name of a label; "|" for none of several, because an empty cell would mean no correction."""
    return label_set.name(label) or SEPARATOR


def _write_audit(rows: Sequence[DoubtedRow], audited: int, doubted: int, plan: FineTuningPlan, language: str) -> None:
    """Write the page, and a CSV file that a spreadsheet may open, with an empty column for the reader.

    Args:
        rows: the rows to list.
        audited: see `evaluation.report.page.label_audit_page.label_audit_page`.
        doubted: as `audited`.
        plan: the settings, with the folder.
        language: "en" or "zh".
    """
    page_path, table_path = Path(plan.report_folder, PAGE_NAME), Path(plan.report_folder, TABLE_NAME)
    page = label_audit_page(rows, audited, doubted, str(table_path), language)
    cells = [
        (row.source, row.number, row.text, row.label, row.suggested, f"{row.probability:.4f}", row.reasons, "")
        for row in rows
    ]
    table = open_format("csv", COLUMNS, {}, "text", byte_order_mark=True, csv_safe=True)
    encoded = table.encode([dict(zip(COLUMNS, each, strict=True)) for each in cells], is_first=True)
    with owned(table_path, "wait until it has ended, or choose another --report-folder"):
        _refuse_lost_corrections(table_path)  # the audit took a while, in which a reader may have filled in the table
        for path, content in ((page_path, utf8(page)), (table_path, encoded)):
            with write_atomically(path, "wb") as file:
                file.write(content)
