"""The training data of a distillation: unlabelled and new texts, labelled by the teachers now or before."""

import csv
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evaluation.baseline import TEACHER_CHARACTERS, baseline_logits
from network.bert import BertClassifier
from serving.predictor import Predictor
from system.display import progress
from system.errors import InputError
from system.files import write_atomically
from text.cleaning import cleaned_texts
from text.corpus import iter_texts
from text.dataset.duplicates import leave_out
from text.dataset.splits import Split, Splits
from text.labels import LabelSet
from text.sources import TEXT_COLUMNS
from text.tables.kinds import open_table
from text.tables.rows import Table, choose_column
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.windows import encode_windows
from training.plans.fine_tuning import FineTuningPlan

CLAUSE = re.compile(r"[^，。！？；,.!?;\n\s]*[，。！？；,.!?;\n\s]*")
MAX_CHARACTERS = 110  # about what 64 tokens hold
MIN_CHARACTERS = 40
CLAUSES_PER_TEXT = 4


def distillation_splits(plan: FineTuningPlan, splits: Splits, student: BertClassifier) -> list[Split]:
    """Return the texts to learn with probabilities as targets: those that the teachers label, and `--soft-labels`.

    Args:
        plan: the settings.
        splits: texts of its validation and test splits are left out.
        student: the classifier to train; its tokenizer makes the windows.

    Raises:
        InputError: see `distillation_split` and `read_soft_labels`.
    """
    distilled = [distillation_split(plan, splits, student)] if plan.unlabelled or plan.mixtures else []
    tokenizer = tokenizer_from_json(student.tokenizer_json)
    evaluated_on = evaluated_texts(splits)
    for source, weight in plan.soft_sources:
        texts, probabilities = read_soft_labels(source, splits.label_set, plan.text_column, evaluated_on)
        print(f"{source}: {len(texts):,} texts with probabilities", flush=True)
        distilled.append(
            Split(
                texts,
                splits.label_set.soft_targets(probabilities),
                encode_windows(tokenizer, texts, student.config.max_seq_len, plan.windows),
                label_set=splits.label_set,
                text_weights=None if weight == 1 else np.full(len(texts), weight, np.float32),
            )
        )
    return distilled


def evaluated_texts(splits: Splits) -> list[str]:
    """Return the texts of the validation split and of all test splits, from which nothing may be learnt."""
    return list(itertools.chain(splits.validation.texts, *(test.texts for test in splits.tests)))


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
    texts = list(leave_out(unlabelled, evaluated_texts(splits)))
    if plan.unlabelled and not texts:
        raise InputError(
            "--unlabelled: no text remains besides those of the validation and the test split"
            f"{' and of --exclude' if plan.exclude else ''}; name more texts"
        )
    if plan.mixtures:
        texts += mixed_texts(splits.train.texts + texts, plan.mixtures, plan.seed)
    print(f"the teachers label {len(texts):,} texts", flush=True)
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
    windows = encode_windows(tokenizer, texts, student.config.max_seq_len, plan.windows)
    probabilities = splits.label_set.probabilities(np.mean(logits, axis=0))
    if plan.save_soft_labels:
        save_soft_labels(plan.save_soft_labels, splits.label_set, texts, probabilities)
    return Split(texts, splits.label_set.soft_targets(probabilities), windows, label_set=splits.label_set)


def save_soft_labels(path: str, labels: LabelSet, texts: Sequence[str], probabilities: np.ndarray) -> None:
    """Write texts with the probability of each label to a CSV file, with the columns of `application.py`.

    Args:
        path: the file.
        labels: the labels.
        texts: the texts.
        probabilities: (texts, labels).

    Raises:
        OutputError: the file cannot be written.
    """
    with write_atomically(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", *map(probability_column, labels.names)])
        writer.writerows([text, *map("{:.6f}".format, row)] for text, row in zip(texts, probabilities, strict=True))
    print(f"{len(texts):,} texts with probabilities saved to {path}", flush=True)


def read_soft_labels(
    source: str, labels: LabelSet, text_column: str | None, unwanted: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Read texts with the probability of each label, from the columns that `application.py` writes.

    Rows without a text or a prediction are left out.

    Args:
        source: a table file with the columns probability_LABEL.
        labels: the labels.
        text_column: the column of the texts; None for one of the usual names.
        unwanted: texts to leave out, by their letters and digits.

    Returns:
        The texts and the probabilities, (texts, labels).

    Raises:
        InputError: the file or a column cannot be read, a row has no probabilities, or no row remains.
    """
    table = open_table(Path(source))
    rows = {text: row for text, row in _soft_rows(table, labels, text_column)}
    texts = list(leave_out(rows, unwanted))
    if not texts:
        raise InputError(f"{source}: no row has a text and probabilities, besides texts to validate or test on")
    return texts, np.array([rows[text] for text in texts])


def _soft_rows(table: Table, labels: LabelSet, text_column: str | None) -> Iterator[tuple[str, list[float]]]:
    """Yield the text and the probabilities of each row that has both."""
    text_column = choose_column(table, text_column if text_column in table.columns else None, TEXT_COLUMNS, "text")
    columns = [choose_column(table, probability_column(name), (), "probability") for name in labels.names]
    for row in progress(table.rows, f"reading {table.name}", " rows"):
        values = [row.values.get(column) for column in columns]
        text = row.values.get(text_column)
        if row.problem or not isinstance(text, str) or not text.strip() or all(value in (None, "") for value in values):
            continue
        try:
            probabilities = [float(value) for value in values]
        except (TypeError, ValueError):
            probabilities = [math.nan]
        total = 1 if labels.multi_label else sum(probabilities)
        if not (all(0 <= value <= 1 for value in probabilities) and abs(total - 1) < 0.01):
            raise InputError(
                f"{table.name}, row {row.number:,}: {', '.join(columns)} must be probabilities"
                + ("" if labels.multi_label else ", 1 in total")
            )
        yield text, probabilities


def probability_column(label: str) -> str:
    """Return the name of the column with the probabilities of a label, as `application.py` writes it."""
    return f"probability_{label}"


def _require_labels(labels: LabelSet, teachers: Sequence[Predictor]) -> None:
    for teacher in teachers:
        if teacher.labels != labels:
            found, expected = map(_described, (teacher.labels, labels))
            raise InputError(f"{teacher.model_path} has the labels {found}, but the data set has {expected}")


def _described(labels: LabelSet) -> str:
    return ", ".join(labels.names) + (" (several per text)" if labels.multi_label else "")


def mixed_texts(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Return `count` new texts made of clauses of the given ones; the same arguments return the same texts.

    Half of them are excerpts of one text, which begin at a random clause. The others mix up to four clauses from each
    of two texts in random order, so that praise and complaint meet. Tang et al., "Distilling Task-Specific Knowledge
    from BERT into Simple Neural Networks" (2019), section 3.3, sample n-grams in much the same way.

    Args:
        texts: at least one of them is not blank.

    Raises:
        ValueError: all texts are blank.
    """
    clauses = [found for found in map(_clauses, texts) if found]
    generator = np.random.default_rng(seed)
    mixed = []
    while len(mixed) < count:
        first, second = (clauses[index] for index in generator.integers(len(clauses), size=2))
        if len(mixed) % 2:
            chosen = [*_random_clauses(first, generator), *_random_clauses(second, generator)]
            text = "".join(chosen[index] for index in generator.permutation(len(chosen)))[:MAX_CHARACTERS]
        else:
            start = generator.integers(len(first))
            text = "".join(first[start:])[: generator.integers(MIN_CHARACTERS, MAX_CHARACTERS + 1)]
        if text := text.strip():
            mixed.append(text)
    return mixed


def _clauses(text: str) -> list[str]:
    return [clause for clause in CLAUSE.findall(text) if clause.strip()]


def _random_clauses(clauses: list[str], generator: np.random.Generator) -> list[str]:
    return [clauses[index] for index in generator.permutation(len(clauses))[:CLAUSES_PER_TEXT]]
