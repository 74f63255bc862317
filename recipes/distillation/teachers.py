"""The training data of a distillation: unlabelled and new texts, labelled by the teachers now or before."""

import itertools
from collections.abc import Sequence

import numpy as np

from evaluation.baseline import TEACHER_CHARACTERS, baseline_logits
from network.bert import BertClassifier
from recipes.distillation.mixtures import mixed_texts
from recipes.distillation.soft_labels import counted, read_soft_labels, save_soft_labels
from serving.predictor import Predictor
from system.errors import InputError
from text.cleaning import cleaned_texts
from text.corpus import iter_texts
from text.dataset.duplicates import leave_out
from text.dataset.splits import Split, Splits, excluded_texts
from text.labels import LabelSet
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
        text_weights = None if weight == 1 else np.full(len(texts), weight, np.float32)
        read.append(_soft_split(texts, probabilities, splits.label_set, student, plan, text_weights))
    return read


def distillation_split(plan: FineTuningPlan, splits: Splits, student: BertClassifier) -> Split:
    """Return the texts of `--unlabelled` and `--mixtures`, with the probabilities of the teachers as targets.

    TF-IDF with logistic regression, trained on the training split, is one teacher; the models of `--teachers` together
    are another. Their logits are averaged. TF-IDF reads texts as the student's tokenizer cleans them.

    Args:
        plan: the settings; texts of its `exclude` are left out. With `save_soft_labels` it names a file to write too.
        splits: texts of its validation and test splits are left out.
        student: the classifier to train; its tokenizer makes the windows.

    Raises:
        InputError: no unlabelled text remains, or a teacher has other labels.
        OutputError: the file cannot be written.
    """
    teachers = [Predictor(path) for path in plan.teachers]
    _require_labels(splits.label_set, teachers)
    unlabelled = iter_texts(plan.unlabelled, plan.text_column, plan.exclude, or_usual=True, option="--unlabelled")
    texts = list(leave_out(unlabelled, splits.evaluated_texts))
    if plan.unlabelled and not texts:
        raise InputError(
            "--unlabelled: no text remains besides those of the validation and the test split"
            f"{' and of --exclude' if plan.exclude else ''}; name more texts"
        )
    if plan.mixtures:
        texts += mixed_texts(splits.train.texts + texts, plan.mixtures, plan.seed)
    print(f"the teachers label {counted(texts)}", flush=True)
    tokenizer = tokenizer_from_json(student.tokenizer_json)
    train_texts, cleaned = cleaned_texts(tokenizer, splits.train.texts), cleaned_texts(tokenizer, texts)
    logits = [
        baseline_logits(
            splits.label_set,
            train_texts,
            splits.train.labels,
            cleaned,
            text_weights=splits.train.text_weights,
            features=TEACHER_CHARACTERS,
        )
    ]
    if teachers:
        # Together they count as much as TF-IDF does: the two kinds of model err differently.
        logits.append(np.mean([teacher.logits(texts) for teacher in teachers], axis=0))
    probabilities = splits.label_set.probabilities(np.mean(logits, axis=0))
    if plan.save_soft_labels:
        save_soft_labels(plan.save_soft_labels, splits.label_set, texts, probabilities)
    return _soft_split(texts, probabilities, splits.label_set, student, plan)


def _soft_split(
    texts: list[str],
    probabilities: np.ndarray,
    labels: LabelSet,
    student: BertClassifier,
    plan: FineTuningPlan,
    text_weights: np.ndarray | None = None,
) -> Split:
    tokenizer = tokenizer_from_json(student.tokenizer_json)
    windows = encode_windows(tokenizer, texts, student.config.max_seq_len, plan.windows)
    targets = labels.soft_targets(probabilities)
    return Split(texts, targets, windows, label_set=labels, text_weights=text_weights)


def _require_labels(labels: LabelSet, teachers: Sequence[Predictor]) -> None:
    for teacher in teachers:
        if teacher.labels != labels:
            found, expected = map(_described, (teacher.labels, labels))
            raise InputError(f"{teacher.model_path} has the labels {found}, but the data set has {expected}")


def _described(labels: LabelSet) -> str:
    return ", ".join(labels.names) + (" (several per text)" if labels.multi_label else "")
