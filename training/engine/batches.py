"""Hands rows to `fit` and `evaluate` a batch at a time, as NumPy arrays."""

import keras
import numpy as np

from text.tokens.masking import Masker
from text.tokens.packing import PackedRows


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch, in an order that depends on seed and epoch alone.

    A run taken up in the middle of an epoch therefore goes on with the very batches that it would have had. Only whole
    batches are served, as compiled steps want them; a mixed epoch leaves out other rows each time.

    Args:
        count: number of rows.
        batch_size: rows a batch.
        seed, epoch: what the order is drawn from; seed None leaves the rows in their order.
        first_batch: number of batches of this epoch that are already done.
        last_batch: number of the batch to stop before; None goes on to the end.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int | None = None,
        epoch: int = 0,
        first_batch: int = 0,
        last_batch: int | None = None,
    ):
        super().__init__()
        self.batch_size = min(batch_size, count)
        self.epoch = epoch
        self.first_batch = first_batch
        self.last_batch = min(count // self.batch_size, count if last_batch is None else last_batch)
        self._order = np.arange(count) if seed is None else np.random.default_rng((seed, epoch)).permutation(count)

    def __len__(self) -> int:
        return self.last_batch - self.first_batch

    def __getitem__(self, index: int):
        number = self.first_batch + index
        # Sorted, because rows may lie on disk; their order within a batch has no meaning.
        return self.batch(np.sort(self._order[number * self.batch_size : (number + 1) * self.batch_size]), number)

    def batch(self, rows: np.ndarray, number: int):
        """Returns batch `number`, made of the rows with the given indices, as Keras takes it."""
        raise NotImplementedError


class MaskedBatches(EpochBatches):
    """Packed rows with tokens hidden, drawn anew for each epoch.

    Args:
        rows: the packed rows.
        masker: draws the masks.
        mask_seed: what masks are drawn from, together with the epoch and the number of the batch.
        targets_as_input: whether the hidden tokens are an input, as `training.masked_lm.sampled_masked_lm` takes
            them; the right answer is 0 then.
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
        **options,
    ):
        super().__init__(len(rows.input_ids), batch_size, **options)
        self.rows = rows
        self.masker = masker
        self.mask_seed = mask_seed
        self.targets_as_input = targets_as_input

    def batch(self, rows, number):
        continues_word = None if self.rows.continues_word is None else self.rows.continues_word[rows]
        generator = np.random.default_rng((self.mask_seed, self.epoch, number))
        masked = self.masker(self.rows.input_ids[rows], generator, continues_word)
        inputs = {
            "input_ids": masked.input_ids,
            "token_type_ids": np.zeros_like(masked.input_ids),
            "masked_positions": masked.positions,
        }
        if self.targets_as_input:
            return inputs | {"targets": masked.targets}, np.zeros_like(masked.targets), masked.weights
        return inputs, masked.targets, masked.weights


class LabelledBatches(EpochBatches):
    """Labelled rows.

    Args:
        inputs: an array, or a dict of arrays, of (rows, …).
        labels: (rows,).
        weights: (rows,), what each row counts in the loss; None counts them alike.
        options: see `EpochBatches`.
    """

    def __init__(self, inputs, labels: np.ndarray, batch_size: int, *, weights: np.ndarray | None = None, **options):
        super().__init__(len(labels), batch_size, **options)
        self.inputs = inputs
        self.labels = labels
        self.weights = np.ones(len(labels), np.float32) if weights is None else weights

    def batch(self, rows, number):
        inputs = (
            {name: values[rows] for name, values in self.inputs.items()}
            if isinstance(self.inputs, dict)
            else self.inputs[rows]
        )
        return inputs, self.labels[rows], self.weights[rows]
