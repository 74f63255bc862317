"""The training data of a distillation: unlabelled and new texts, labelled by the teachers."""

import itertools
import re
from collections.abc import Sequence

import numpy as np

from evaluation.baseline import TEACHER_CHARACTERS, baseline_logits
from network.bert import BertClassifier
from serving.predictor import Predictor
from system.errors import InputError
from text.cleaning import cleaned_texts
from text.corpus import iter_texts
from text.dataset.duplicates import leave_out
from text.dataset.splits import Split, Splits
from text.labels import LabelSet
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.windows import encode_windows
from training.plans.fine_tuning import FineTuningPlan

CLAUSE = re.compile(r"[^，。！？；,.!?;\n\s]*[，。！？；,.!?;\n\s]*")
MAX_CHARACTERS = 110  # about what 64 tokens hold
MIN_CHARACTERS = 40
CLAUSES_PER_TEXT = 4


def distillation_split(plan: FineTuningPlan, splits: Splits, student: BertClassifier) -> Split:
    """Return the texts of `--unlabelled` and `--mixtures`, with the probabilities of the teachers as targets.

    TF-IDF with logistic regression, trained on the training split, is one teacher; the models of `--teachers` together
    are another. Their logits are averaged. TF-IDF reads texts as the student's tokenizer cleans them.

    Args:
        plan: the settings; texts of its `exclude` are left out.
        splits: texts of its validation and test splits are left out.
        student: the classifier to train; its tokenizer makes the windows.

    Raises:
        InputError: no unlabelled text remains, or a teacher has other labels.
    """
    teachers = [Predictor(path) for path in plan.teachers]
    _require_labels(splits.label_set, teachers)
    evaluated_on = itertools.chain(splits.validation.texts, *(test.texts for test in splits.tests))
    unlabelled = iter_texts(plan.unlabelled, plan.text_column, plan.exclude, or_usual=True, option="--unlabelled")
    texts = list(leave_out(unlabelled, evaluated_on))
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
    return Split(texts, splits.label_set.soft_targets(probabilities), windows, label_set=splits.label_set)


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
