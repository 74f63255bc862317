"""Labelled reviews made ready for training: read, split, and turned into integers."""

import os
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from text.commands import InputError
from text.reading.readers import LabelledTexts, read_labelled, source_name
from text.tokenizer import encode_batch

SPLIT_SEED = 42
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Part:
    """The usable rows of one part of a data set.

    Attributes:
        texts: as they stand in the data set.
        labels: float32, (n,), 1 positive, 0 negative.
        input_ids: int32, (n, max_seq_len), 0 is padding.
        num_cut: how many texts are longer than `max_seq_len` tokens.
    """

    texts: list[str]
    labels: np.ndarray
    input_ids: np.ndarray
    num_cut: int

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The inputs of the network."""
        return {"input_ids": self.input_ids, "token_type_ids": np.zeros_like(self.input_ids)}


@dataclass(frozen=True)
class Reviews:
    """A data set and its three parts."""

    labelled: LabelledTexts
    train: Part
    validation: Part
    test: Part


def load_reviews(
    source: str | os.PathLike,
    tokenizer: Tokenizer,
    max_seq_len: int,
    *,
    test_size: float,
    text_column: str | None = None,
    label_column: str | None = None,
    split_seed: int = SPLIT_SEED,
) -> Reviews:
    """Returns the data set, split as the original splits it, with a tenth of its training part for validation.

    The split is drawn over all rows, before those that cannot be used are left out, so that it does not depend on
    what this project takes for usable.

    Raises:
        InputError: the data cannot be read, or a part of it lacks one of the two labels.
    """
    labelled = read_labelled(source, text_column, label_column)
    train, test = train_test_split(len(labelled.texts), test_size, split_seed)
    train, test = (rows[labelled.usable[rows]] for rows in (train, test))
    train, validation = validation_split(labelled.labels, train, VALIDATION_SHARE, split_seed)
    parts = {"training": train, "validation": validation, "test": test}
    for name, rows in parts.items():
        if len(np.unique(labelled.labels[rows])) < 2:
            raise InputError(f"{labelled.name}: the {name} part, {len(rows)} rows, lacks one of the two labels")
    return Reviews(labelled, *(_part(labelled, rows, tokenizer, max_seq_len) for rows in parts.values()))


def _part(labelled: LabelledTexts, rows: np.ndarray, tokenizer: Tokenizer, max_seq_len: int) -> Part:
    texts = [labelled.texts[row] for row in rows]
    input_ids, lengths = encode_batch(tokenizer, texts, max_seq_len)
    return Part(texts, labelled.labels[rows].astype(np.float32), input_ids, int((lengths > max_seq_len).sum()))


def print_reviews(reviews: Reviews) -> None:
    """Prints how many rows each part has, and which rows cannot be used."""
    print(f"{source_name(reviews.labelled.name)}: {reviews.labelled.describe_problems()}")
    for name, part in (("training", reviews.train), ("validation", reviews.validation), ("test", reviews.test)):
        print(
            f"{name}: {len(part.texts):,} reviews, {part.labels.mean():.1%} positive, "
            f"{part.num_cut:,} longer than {part.input_ids.shape[1]} tokens"
        )


def train_test_split(count: int, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Shuffled row indices `(train, test)`, int64, of `count` rows; `test_size` is the share to test on.

    Drawn by `datasets.Dataset.train_test_split` itself, so that it stays the split of the original.
    Raises InputError where the rows are too few or the share is none.
    """
    from datasets import Dataset

    rows = Dataset.from_dict({"row": np.arange(count)})
    try:
        parts = rows.train_test_split(test_size=test_size, shuffle=True, seed=seed)
    except ValueError as error:
        raise InputError(f"{count} rows cannot be split into training and test rows: {error}") from error
    train, test = (np.asarray(parts[name][:]["row"], dtype=np.int64) for name in ("train", "test"))
    return train, test


def validation_split(
    labels: np.ndarray, indices: np.ndarray, share: float = 0.1, seed: int = 42
) -> tuple[np.ndarray, np.ndarray]:
    """`indices` in two parts, `(train, validation)`: `share` of the rows of every label go to validation.

    `labels` has shape `(n,)`, and `indices` are some of its rows, whose order is kept. A label with two rows
    or more has at least one in each part. Raises InputError where no label has two.
    """
    indices = np.asarray(indices)
    generator = np.random.default_rng(seed)
    in_validation = np.zeros(len(indices), dtype=bool)
    for label in np.unique(labels[indices]):
        positions = generator.permutation(np.flatnonzero(labels[indices] == label))
        wanted = min(max(round(share * len(positions)), 1), len(positions) - 1)
        in_validation[positions[:wanted]] = True
    if not in_validation.any():
        raise InputError(f"{len(indices)} training rows are too few to put some aside for validation")
    return indices[~in_validation], indices[in_validation]
