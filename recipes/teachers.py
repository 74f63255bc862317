"""The training data of a distillation: unlabelled and new texts, labelled by the teachers now or before."""

import itertools
import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from evaluation.baseline import TEACHER_CHARACTERS, baseline_logits
from network.bert import BertClassifier
from serving.predictor import Predictor
from system.errors import InputError
from system.files import write_atomically
from system.output.display import progress
from text.cleaning import cleaned_texts
from text.corpus import iter_texts
from text.dataset.duplicates import leave_out
from text.dataset.splits import Split, Splits, excluded_texts
from text.labels import LabelSet, probability_column
from text.sources import TEXT_COLUMNS
from text.tables.delimited import DelimitedFormat
from text.tables.kinds import open_table
from text.tables.problems import row_problem
from text.tables.rows import Table, choose_column
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.windows import encode_windows
from training.plans.fine_tuning import FineTuningPlan

CLAUSE = re.compile(r"[^，。！？；,.!?;\n\s]*[，。！？；,.!?;\n\s]*")
MAX_CHARACTERS = 110  # about what 64 tokens hold
MIN_CHARACTERS = 40
CLAUSES_PER_TEXT = 4

logger = logging.getLogger(__name__)


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
        print(f"{source}: {_counted(texts)} with probabilities", flush=True)
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
    print(f"the teachers label {_counted(texts)}", flush=True)
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


def _counted(texts: Sequence[str]) -> str:
    return "1 text" if len(texts) == 1 else f"{len(texts):,} texts"


def save_soft_labels(path: str, labels: LabelSet, texts: Sequence[str], probabilities: np.ndarray) -> None:
    """Write texts with the probability of each label to a CSV file, with the columns of `application.py`.

    Args:
        path: the file; an earlier one is kept beside it.
        labels: the labels.
        texts: the texts.
        probabilities: (texts, labels).

    Raises:
        OutputError: the file cannot be written.
    """
    table = DelimitedFormat(["text", *map(probability_column, labels.names)], ",")
    cells = ([text, *map("{:.6f}".format, row)] for text, row in zip(texts, probabilities, strict=True))
    rows = [dict(zip(table.columns, of_row, strict=True)) for of_row in cells]
    with write_atomically(path, "wb", keep_previous=True) as file:
        file.write(table.encode(rows, is_first=True))
    print(f"{_counted(texts)} with probabilities saved to {path}", flush=True)


def read_soft_labels(
    source: str, labels: LabelSet, text_column: str | None, unwanted: Iterable[str]
) -> tuple[list[str], np.ndarray]:
    """Read texts with the probability of each label, from the columns that `application.py` writes.

    Rows without a text or a prediction are left out, with a warning. A text that occurs several times has the mean of
    its probabilities.

    Args:
        source: a table file with the columns probability_LABEL.
        labels: the labels.
        text_column: the column of the texts; None, or one that is not there, for one of the usual names.
        unwanted: texts to leave out, by their letters and digits.

    Returns:
        The texts, each once, and the probabilities, float32, (texts, labels).

    Raises:
        InputError: the file cannot be read, a column is missing, a row has other numbers than probabilities, or no
            row remains.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for text, probabilities in _soft_rows(open_table(Path(source)), labels, text_column):
        rows.setdefault(text, []).append(probabilities)
    texts = list(leave_out(rows, unwanted))
    if not texts:
        raise InputError(f"{source}: no row has a text and probabilities, besides the texts to evaluate on or exclude")
    return texts, np.stack([sum(rows[text]) / len(rows[text]) for text in texts])


def _soft_rows(table: Table, labels: LabelSet, text_column: str | None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the text and the probabilities, float32, (labels,), of each row that has both."""
    text_column = choose_column(table, text_column if text_column in table.columns else None, TEXT_COLUMNS, "text")
    columns = [probability_column(name) for name in labels.names]
    if missing := [column for column in columns if column not in table.columns]:
        raise InputError(
            f"{table.name} has no column {', '.join(missing)}: --soft-labels needs a column for each label, "
            f"{', '.join(columns)}"
        )
    left_out, first_problem = 0, ""
    for row in progress(table.rows, f"reading {table.name}", " rows"):
        values = [row.values.get(column) for column in columns]
        problem = row_problem(row, text_column)
        if problem is None and all(value in (None, "") for value in values):
            problem = "the text has no probabilities"
        if problem is not None:
            left_out += 1
            first_problem = first_problem or f"row {row.number:,}: {problem}"
            continue
        yield row.values[text_column], _probabilities(values, f"{table.name}, row {row.number:,}", labels)
    if left_out:
        logger.warning("%s: %d rows left out, first: %s", table.name, left_out, first_problem)


def _probabilities(values: Sequence[object], place: str, labels: LabelSet) -> np.ndarray:
    """Return the cells of a row as probabilities.

    Raises:
        InputError: they are others; the message begins with `place`.
    """
    try:
        probabilities = [float(value) for value in values]
    except (TypeError, ValueError):
        probabilities = [math.nan]
    total = 1 if labels.multi_label else sum(probabilities)
    if not (all(0 <= value <= 1 for value in probabilities) and abs(total - 1) < 0.01):
        columns = ", ".join(map(probability_column, labels.names))
        raise InputError(f"{place}: {columns} must be probabilities" + ("" if labels.multi_label else ", 1 in total"))
    return np.array(probabilities, np.float32)


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
