"""The texts of a distillation: those without labels and new ones, as the teachers label them."""

import re
from collections.abc import Sequence

import numpy as np

from evaluation.baseline import baseline_logits
from network.bert import BertClassifier
from serving.predictor import Predictor
from system.errors import InputError
from text.dataset import Split, Splits
from text.labels import SENTIMENT
from text.sources import iter_texts, leave_out
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.windows import encode_windows
from training.plans import FineTuningPlan

CLAUSE = re.compile(r"[^，。！？；,.!?;\n\s]*[，。！？；,.!?;\n\s]*")
MOST_CHARACTERS = 110  # about what 64 tokens hold
FEWEST_CHARACTERS = 40
CLAUSES_OF_EACH = 4


def distillation_split(plan: FineTuningPlan, splits: Splits, student: BertClassifier) -> Split:
    """Return the texts of `--unlabelled` and `--mixtures`, with the probabilities of the teachers as targets.

    TF-IDF with logistic regression, trained on the training split, is one teacher; the models of `--teachers` together
    are another. Their logits are averaged.

    Raises:
        InputError: there is no text besides those of the validation and the test split.
    """
    kept_apart = splits.validation.texts + splits.test.texts
    unlabelled = iter_texts(plan.unlabelled, plan.text_column, or_usual=True, option="--unlabelled")
    texts = list(leave_out(unlabelled, kept_apart))
    if plan.unlabelled and not texts:
        raise InputError("--unlabelled holds no text beside those of the validation and the test part")
    if plan.mixtures:
        texts += mixed_texts(splits.train.texts + texts, plan.mixtures, plan.seed)
    print(f"teaching on {len(texts):,} texts without labels", flush=True)
    logits = [baseline_logits(splits.train.texts, splits.train.labels, texts)]
    if plan.teachers:
        teachers = [Predictor(path) for path in plan.teachers]
        # Together they count as much as TF-IDF does: the two kinds of model err differently.
        logits.append(np.mean([teacher.logits(texts) for teacher in teachers], axis=0))
    tokenizer = tokenizer_from_json(student.tokenizer_json)
    windows = encode_windows(tokenizer, texts, student.config.max_seq_len, plan.windows)
    probabilities = SENTIMENT.probabilities(np.mean(logits, axis=0))
    return Split(texts, SENTIMENT.soft_targets(probabilities), windows)


def mixed_texts(texts: Sequence[str], count: int, seed: int) -> list[str]:
    """Return `count` new texts made of clauses of the given ones, which depend on the arguments alone.

    One half are pieces of a text, from some clause on. The others are up to four clauses of each of two texts in any
    order, so that praise stands beside complaint. Tang et al., "Distilling Task-Specific Knowledge from BERT into
    Simple Neural Networks" (2019), section 3.3, sample n-grams in much the same way.

    Args:
        texts: not all of them blank.
    """
    clauses = [found for found in map(_clauses, texts) if found]
    generator = np.random.default_rng(seed)
    mixed = []
    while len(mixed) < count:
        first, second = (clauses[index] for index in generator.integers(len(clauses), size=2))
        if len(mixed) % 2:
            chosen = [*_some(first, generator), *_some(second, generator)]
            text = "".join(chosen[index] for index in generator.permutation(len(chosen)))[:MOST_CHARACTERS]
        else:
            start = generator.integers(len(first))
            text = "".join(first[start:])[: generator.integers(FEWEST_CHARACTERS, MOST_CHARACTERS + 1)]
        if text := text.strip():
            mixed.append(text)
    return mixed


def _clauses(text: str) -> list[str]:
    return [clause for clause in CLAUSE.findall(text) if clause.strip()]


def _some(clauses: list[str], generator: np.random.Generator) -> list[str]:
    return [clauses[index] for index in generator.permutation(len(clauses))[:CLAUSES_OF_EACH]]
