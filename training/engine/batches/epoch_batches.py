"""Batches of rows for `fit` and `evaluate`, as NumPy arrays."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from text.packing.packed_rows import PackedRows, RowReader
from text.packing.row_order import BlockOrder, random_order
from text.tokens.masking import Masker
from training.engine.batches.next_sentence import draw_pairs

Inputs = np.ndarray | dict[str, np.ndarray]
Targets = np.ndarray | dict[str, np.ndarray]
LENGTH_STEP = 16  # tokens from one length of a batch to the next
# To compile a training step takes two cores 8 seconds, in which the included network trains on 250,000 positions.
MIN_POSITIONS_SAVED = 500_000


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return all rows in random order, (count,)."""
    return np.random.default_rng((seed, epoch)).permutation(count)


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch, in an order that depends only on seed and epoch.

    A run that is resumed in the middle of an epoch therefore continues with the same batches. All batches are full, as
    compiled steps require; each shuffled epoch leaves out other rows.

    Args:
        count: number of rows.
        batch_size: rows per batch.
        seed: seed of the order; None keeps the rows in order.
        epoch: number of the epoch, which also seeds the order.
        first_batch: number of batches of this epoch that are already done.
        last_batch: number of the batch to stop before; None continues to the end.
        frequencies: (rows,), how often to draw each row in relation to the others, with a seed; None draws each row
            once. An epoch has the same number of rows in either case.
        random_order: returns an order of the rows by their number, the seed and the epoch.
    """

    changes_length = False  # whether the inputs of one batch are longer than those of another

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        first_batch: int = 0,
        last_batch: int | None = None,
        frequencies: np.ndarray | None = None,
        random_order: Callable[[int, int, int], np.ndarray | BlockOrder] = permutation,
    ):
        super().__init__()
        self.batch_size = min(batch_size, count)
        self.epoch = epoch
        self.first_batch = first_batch
        self.last_batch = min(count // self.batch_size, count if last_batch is None else last_batch)
        if seed is None:
            self._order = np.arange(count)
        elif frequencies is None:
            self._order = random_order(count, seed, epoch)
        else:
            self._order = _drawn_rows(frequencies, np.random.default_rng((seed, epoch)))

    def __len__(self) -> int:
        return self.last_batch - self.first_batch

    def __getitem__(self, index: int) -> Any:
        number = self.first_batch + index
        return self.batch(self.rows_of(number), number)

    def rows_of(self, number: int) -> np.ndarray:
        """Return the indices of the rows of a batch, (batch_size,), by its number in the epoch."""
        # Sorted, because rows may be on disk; their order within a batch does not matter.
        return np.sort(self._order[number * self.batch_size : (number + 1) * self.batch_size])

    def for_fit(self) -> Any:
        """Return what to pass to `fit`."""
        return dataset_of_any_length(self) if self.changes_length else self

    def batch(self, rows: np.ndarray, number: int) -> Any:
        """Return a batch for Keras.

        Args:
            rows: the indices of its rows.
            number: its number in the epoch.
        """
        raise NotImplementedError


def _drawn_rows(frequencies: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return as many rows as there are, in random order, each about as often as its frequency demands.

    The draw is systematic: a row occurs as often as is expected, rounded up or down, and so do all rows of the same
    frequency together. Independent draws would leave out a third of the rows even if all frequencies were equal.

    Args:
        frequencies: (rows,).
    """
    order = generator.permutation(len(frequencies))
    order = order[np.argsort(frequencies[order], kind="stable")]
    ends = np.cumsum(frequencies[order], dtype=np.float64)
    points = (np.arange(len(order)) + generator.random()) * (ends[-1] / len(order))
    drawn = np.minimum(np.searchsorted(ends, points, side="right"), len(order) - 1)
    return generator.permutation(order[drawn])


class MaskedBatches(EpochBatches):
    """Packed rows with masked tokens, which change from epoch to epoch.

    For rows packed as pairs of texts, targets and weights are dicts with those of both tasks, "masked_lm" and
    "next_sentence"; see `draw_pairs`.

    Args:
        rows: the packed rows.
        masker: masks the tokens.
        batch_size: rows per batch.
        mask_seed: seed of masks and pairs, together with the epoch and the number of the batch.
        targets_as_input: whether the masked tokens are an input, for `training.masked_lm.sampled_masked_lm`; the
            correct prediction is then 0.
        options: see `EpochBatches`.
    """

    def __init__(
        self,
        rows: PackedRows,
        masker: Masker,
        batch_size: int,
        *,
        mask_seed: int,
        targets_as_input: bool = False,
        **options: Any,
    ):
        count, max_seq_len = rows.input_ids.shape
        order = functools.partial(random_order, max_seq_len=max_seq_len)
        super().__init__(count, batch_size, random_order=order, **options)
        self.rows = rows
        arrays = {"input_ids": rows.input_ids, "continues_word": rows.continues_word, "pairs": rows.pairs}
        self._readers = {name: RowReader(array) for name, array in arrays.items() if array is not None}
        self.masker = masker
        self.mask_seed = mask_seed
        self.targets_as_input = targets_as_input

    def batch(self, rows: np.ndarray, number: int) -> tuple[Inputs, Targets, Targets]:
        found = {name: read(rows) for name, read in self._readers.items()}
        input_ids, continues_word = found["input_ids"], found.get("continues_word")
        generator = np.random.default_rng((self.mask_seed, self.epoch, number))
        drawn = None
        if "pairs" in found:
            drawn = draw_pairs(input_ids, continues_word, found["pairs"], generator)
            input_ids, continues_word = drawn.input_ids, drawn.continues_word
        masked = self.masker(input_ids, generator, continues_word)
        inputs = {
            "input_ids": masked.input_ids,
            "token_type_ids": drawn.token_type_ids if drawn else np.zeros_like(masked.input_ids),
            "masked_positions": masked.positions,
        }
        targets = masked.targets
        if self.targets_as_input:
            inputs["targets"], targets = targets, np.zeros_like(targets)
        if drawn is None:
            return inputs, targets, masked.weights
        return (
            inputs,
            {"masked_lm": targets, "next_sentence": drawn.labels},
            {"masked_lm": masked.weights, "next_sentence": drawn.weights},
        )


class LabelledBatches(EpochBatches):
    """Labelled rows.

    Args:
        inputs: an array, or a dict of arrays, of (rows, …).
        labels: (rows,) or (rows, outputs).
        batch_size: rows per batch.
        weights: (rows,), the weight of each row in the loss; None gives all rows the same weight.
        options: see `EpochBatches`.
    """

    def __init__(
        self,
        inputs: Inputs,
        labels: np.ndarray,
        batch_size: int,
        *,
        weights: np.ndarray | None = None,
        **options: Any,
    ):
        super().__init__(len(labels), batch_size, **options)
        self.inputs = inputs
        self.labels = labels
        self.weights = np.ones(len(labels), np.float32) if weights is None else weights

    def batch(self, rows: np.ndarray, number: int) -> tuple[Inputs, np.ndarray, np.ndarray]:
        inputs = (
            {name: values[rows] for name, values in self.inputs.items()}
            if isinstance(self.inputs, dict)
            else self.inputs[rows]
        )
        return inputs, self.labels[rows], self.weights[rows]


class LengthGroupedBatches(LabelledBatches):
    """Labelled windows, in batches of windows of about the same length, which need little padding.

    A batch holds random windows among those of its length, and the batches are in random order. The windows of a length
    that fill no batch join those of the next one.

    Args:
        inputs: a dict of int32 arrays of (windows, max_seq_len).
        labels: see `LabelledBatches`.
        batch_size: see `LabelledBatches`.
        padded_lengths: (windows,), the length to which each window is filled up; see `choose_padded_lengths`.
        options: see `LabelledBatches`; the order needs a seed.
    """

    changes_length = True

    def __init__(
        self, inputs: Inputs, labels: np.ndarray, batch_size: int, *, padded_lengths: np.ndarray, **options: Any
    ):
        super().__init__(inputs, labels, batch_size, **options)
        self.padded_lengths = padded_lengths
        # Stable, so that the windows of a length remain in random order.
        order = self._order[np.argsort(padded_lengths[self._order], kind="stable")]
        batches = order[len(order) % self.batch_size :].reshape(-1, self.batch_size)
        self._order = np.random.default_rng((options["seed"], self.epoch, 1)).permutation(batches).ravel()

    def batch(self, rows: np.ndarray, number: int) -> tuple[Inputs, np.ndarray, np.ndarray]:
        inputs, labels, weights = super().batch(rows, number)
        length = self.padded_lengths[rows].max()
        return {name: values[:, :length] for name, values in inputs.items()}, labels, weights


def dataset_of_any_length(batches: keras.utils.PyDataset) -> Any:
    """Return what to pass to `fit` for batches whose inputs, int32 arrays of (rows, length), change in length."""
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    # Keras would take the length of the first two batches for that of all.
    inputs, *others = batches[0]
    signature = (
        {name: tf.TensorSpec((None, None), values.dtype) for name, values in inputs.items()},
        *keras.tree.map_structure(lambda values: tf.TensorSpec((None, *values.shape[1:]), values.dtype), others),
    )
    dataset = tf.data.Dataset.from_generator(lambda: batches, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(tf.data.AUTOTUNE)


def choose_padded_lengths(lengths: np.ndarray, epochs: int) -> np.ndarray:
    """Return the length to which to fill up each window, (windows,), in a training of `epochs` epochs.

    A training step is compiled again for each length, so a length is used only if it saves enough computation.

    Args:
        lengths: (windows,), the number of tokens of each window, with special tokens.
    """
    longest = lengths.max()
    used = np.array([longest])
    candidates = np.arange(LENGTH_STEP, longest, LENGTH_STEP)

    def padded(used: np.ndarray) -> np.ndarray:
        return used[np.searchsorted(used, lengths)]

    while len(candidates):
        choices = [np.sort(np.append(used, candidate)) for candidate in candidates]
        padding = [int(padded(choice).sum()) for choice in choices]
        best = int(np.argmin(padding))
        if (int(padded(used).sum()) - padding[best]) * epochs < MIN_POSITIONS_SAVED:
            break
        used, candidates = choices[best], np.delete(candidates, best)
    return padded(used)
