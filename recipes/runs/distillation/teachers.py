"""The training data of a distillation: texts that the teachers label, now or before."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from evaluation.baseline import LOGISTIC_REGRESSION, TEACHER_CHARACTERS, baseline_logits
from network.bert import BertClassifier
from recipes.runs.distillation.answers import kept_answers, sha256_of
from recipes.runs.distillation.classifiers import Teacher
from recipes.runs.distillation.mixtures import mixed_texts
from recipes.runs.distillation.soft_labels import counted, read_soft_labels, save_soft_labels
from system.errors import InputError
from text.corpus import iter_texts
from text.dataset.duplicates import leave_out
from text.dataset.splits import Split, Splits, excluded_texts
from text.labels import LabelSet
from text.tokens.cleaning import cleaned_texts
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.windows import encode_windows
from training.plans.fine_tuning import FineTuningPlan


def soft_label_splits(plan: FineTuningPlan, splits: Splits, student: BertClassifier) -> list[Split]:
    """Return the texts of each file of `--soft-labels`, with their probabilities as targets.

    Args:
        plan: the settings; texts of its `exclude` are left out.
        splits: texts of its validation and test splits are left out.
        student: the classifier to train; its tokenizer makes the windows.

    Raises:
        InputError: see `read_soft_labels`.
    """
    read = []
    for source, weight in plan.soft_sources:
        unwanted = itertools.chain(splits.evaluated_texts, excluded_texts(plan))
        texts, probabilities = read_soft_labels(source, splits.label_set, plan.text_column, unwanted)
        print(f"{source}: {counted(texts)} with probabilities", flush=True)
        softened = probabilities
        if plan.teacher_temperature != 1:
            softened = splits.label_set.softened(probabilities, plan.teacher_temperature)
        split = _soft_split(texts, probabilities, softened, splits.label_set, student, plan)
        text_weights = None if weight == 1 else np.full(len(texts), weight, np.float32)
        read.append(dataclasses.replace(split, text_weights=text_weights))
    return read


def taught_splits(plan: FineTuningPlan, splits: Splits, student: BertClassifier) -> tuple[Splits, list[Split]]:
    """Let the teachers label all texts that the plan gives them.

    Returns:
        The splits, whose training texts have soft targets with `--hard-label-weight` below 1; the splits of further
        texts, see `distillation_split`.

    Raises:
        InputError: no unlabelled text remains, or a teacher cannot be used.
        OutputError: the soft labels cannot be written.
    """
    teachers = [Teacher(source, splits.label_set) for source in plan.teachers]
    further = []
    if plan.unlabelled or plan.mixtures:
        further.append(distillation_split(plan, splits, student, teachers))
    if plan.hard_label_weight < 1:
        print(f"the teachers label {counted(splits.train.texts)} of the training split", flush=True)
        train = labelled_by_teachers(plan, splits.train, teachers)
        splits = dataclasses.replace(splits, train=train)
    return splits, further


def labelled_by_teachers(plan: FineTuningPlan, train: Split, teachers: Sequence[Teacher]) -> Split:
    """Return the training split with the probabilities of the classifiers beside its labels.

    Args:
        plan: the settings.
        train: the training split.
        teachers: one classifier or more.
    """
    logits = np.mean([teacher.logits(train.texts) for teacher in teachers], axis=0)
    softened = train.label_set.probabilities(logits / plan.teacher_temperature)
    soft_targets = train.label_set.soft_targets(softened)
    return dataclasses.replace(train, soft_targets=soft_targets, label_weight=plan.hard_label_weight)


def distillation_split(
    plan: FineTuningPlan, splits: Splits, student: BertClassifier, teachers: Sequence[Teacher]
) -> Split:
    """Return the texts of `--unlabelled` and `--mixtures`, with the probabilities of the teachers as targets.

    TF-IDF with logistic regression, trained on the training split, is one teacher; the classifiers together are
    another. Their logits are averaged. TF-IDF reads texts as the student's tokenizer cleans them.

    Args:
        plan: the settings; texts of its `exclude` are left out. With `save_soft_labels` it names a file to write too.
        splits: texts of its validation and test splits are left out.
        student: the classifier to train; its tokenizer makes the windows.
        teachers: the classifiers, perhaps none.

    Raises:
        InputError: no unlabelled text remains, or a teacher cannot be used.
        OutputError: the soft labels cannot be written.
    """
    unlabelled = iter_texts(plan.unlabelled, plan.text_column, plan.exclude, or_usual=True, option="--unlabelled")
    texts = list(leave_out(unlabelled, splits.evaluated_texts))
    if plan.unlabelled and not texts:
        raise InputError(
            "--unlabelled: no text remains besides those of the validation and the test split"
            f"{' and of --exclude' if plan.exclude else ''}; name more texts"
        )
    # Asked about separately, because other seeds mix other texts.
    parts = [texts] if texts else []
    if plan.mixtures:
        parts.append(mixed_texts(splits.train.texts + texts, plan.mixtures, plan.seed))
    texts = [text for part in parts for text in part]
    print(f"the teachers label {counted(texts)}", flush=True)
    logits = np.concatenate([_mean_logits(splits.train, part, student, teachers) for part in parts])
    probabilities = splits.label_set.probabilities(logits)
    if plan.save_soft_labels:
        save_soft_labels(plan.save_soft_labels, splits.label_set, texts, probabilities)
    softened = splits.label_set.probabilities(logits / plan.teacher_temperature)
    return _soft_split(texts, probabilities, softened, splits.label_set, student, plan)


def _mean_logits(
    train: Split, texts: Sequence[str], student: BertClassifier, teachers: Sequence[Teacher]
) -> np.ndarray:
    """Return the mean of the logits of TF-IDF and of those of the classifiers together, (texts, outputs)."""
    # The classifiers are asked first, because one with other labels is refused.
    of_classifiers = [teacher.logits(texts) for teacher in teachers]
    logits = [_tfidf_logits(train, texts, student)]
    if teachers:
        # Together they count as much as TF-IDF does: the two kinds of model err differently.
        logits.append(np.mean(of_classifiers, axis=0))
    return np.mean(logits, axis=0)


def _tfidf_logits(train: Split, texts: Sequence[str], student: BertClassifier) -> np.ndarray:
    """Return the logits of TF-IDF with logistic regression, trained on the training split, (texts, outputs)."""
    tokenizer = tokenizer_from_json(student.tokenizer_json)
    train_texts, cleaned = cleaned_texts(tokenizer, train.texts), cleaned_texts(tokenizer, texts)
    weights = None if train.text_weights is None else train.text_weights.tolist()
    settings = {"features": TEACHER_CHARACTERS, "class_weight": None}
    learnt = {"texts": train_texts, "labels": train.labels.tolist(), "weights": weights}
    return kept_answers(
        {"tfidf": settings | LOGISTIC_REGRESSION, "learnt": sha256_of(learnt)},
        train.label_set,
        cleaned,
        lambda: baseline_logits(
            train.label_set,
            train_texts,
            train.labels,
            cleaned,
            text_weights=train.text_weights,
            **settings,
        ),
    )


def _soft_split(
    texts: list[str],
    probabilities: np.ndarray,
    softened: np.ndarray,
    labels: LabelSet,
    student: BertClassifier,
    plan: FineTuningPlan,
) -> Split:
    """Return texts with the probabilities of teachers, (texts, labels), as they are and at the temperature."""
    tokenizer = tokenizer_from_json(student.tokenizer_json)
    windows = encode_windows(tokenizer, texts, student.config.max_seq_len, plan.windows)
    split = Split(texts, labels.soft_targets(probabilities), windows, label_set=labels)
    if plan.teacher_temperature == 1:
        return split
    return dataclasses.replace(split, soft_targets=labels.soft_targets(softened), label_weight=0.0)
