"""Batches of whole documents, each with all of its windows."""

import math
from typing import Any

import numpy as np

from system.errors import InputError
from training.engine.batches.epoch_batches import EpochBatches, Inputs

MAX_WINDOWS = 4096  # of a batch; a training step of the included network then needs about 5 GB
GROWTH = 1.25  # from one size of a batch to the next
BATCHES_DEALT_AT_ONCE = 64


class DocumentBatches(EpochBatches):
    """Labelled documents with all of their windows.

    A compiled step is compiled again for each number of windows, so a batch is filled up to one of few sizes with
    padding: copies of its last window, with weight 0. A shuffled order is dealt out so that most batches have about the
    same number of windows. They then need little padding and about the same memory.

    Args:
        inputs: the inputs of the network by name, (windows, …), document by document.
        num_windows: (documents,), the number of windows of each document, at least 1.
        window_weights: float32, (windows,), the weight of each window in its document, above 0.
        labels: (documents,) or (documents, outputs).
        batch_size: documents per batch.
        weights: (documents,), the weight of each document in the loss; None gives all documents the same weight.
        options: see `EpochBatches`; its rows are the documents.

    Raises:
        InputError: a batch has more than `MAX_WINDOWS` windows.
    """

    def __init__(
        self,
        inputs: dict[str, np.ndarray],
        num_windows: np.ndarray,
        window_weights: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        *,
        weights: np.ndarray | None = None,
        **options: Any,
    ):
        super().__init__(len(labels), batch_size, **options)
        self.inputs = inputs
        self.num_windows = num_windows
        self.window_weights = window_weights
        self.labels = labels
        self.weights = np.ones(len(labels), np.float32) if weights is None else weights
        self._first_windows = np.cumsum(num_windows) - num_windows
        # A batch that is dealt out seldom has more windows than the mean by the deviation of a single document.
        self._usual_size = num_windows.mean() * self.batch_size + num_windows.std()
        if options.get("seed") is not None:
            self._order = deal_out(self._order, num_windows, self.batch_size)
        self._require_small_batches()

    @property
    def most_windows(self) -> int:
        """The number of windows of the largest batch of this epoch, without padding."""
        num_batches = len(self._order) // self.batch_size
        rows = self._order[: num_batches * self.batch_size].reshape(num_batches, self.batch_size)
        return int(self.num_windows[rows].sum(axis=1).max())

    def batch(self, rows: np.ndarray, number: int) -> tuple[Inputs, np.ndarray, np.ndarray]:
        counts = self.num_windows[rows]
        num_windows = int(counts.sum())
        first_windows = np.cumsum(counts) - counts
        windows = np.repeat(self._first_windows[rows] - first_windows, counts) + np.arange(num_windows)
        windows = np.pad(windows, (0, self._size(num_windows) - num_windows), mode="edge")
        window_weights = self.window_weights[windows]
        window_weights[num_windows:] = 0
        inputs = {
            "first_windows": first_windows.astype(np.int32),
            **{name: values[windows] for name, values in self.inputs.items()},
            "window_weights": window_weights,
        }
        return inputs, self.labels[rows], self.weights[rows]

    def _size(self, num_windows: int) -> int:
        """Return the number of windows of a batch with its padding."""
        step = math.ceil(math.log(num_windows / self._usual_size, GROWTH) - 1e-9)
        return max(num_windows, min(math.ceil(self._usual_size * GROWTH**step - 1e-9), MAX_WINDOWS))

    def _require_small_batches(self) -> None:
        remedy = "read less of long texts with --spread-windows or --max-windows"
        if (longest := self.num_windows.max()) > MAX_WINDOWS:
            raise InputError(
                f"a text has {longest:,} windows, but --document-loss computes at most {MAX_WINDOWS:,} at once: "
                f"{remedy}"
            )
        if self.most_windows > MAX_WINDOWS:
            raise InputError(
                f"a batch of {self.batch_size} texts has {self.most_windows:,} windows, but --document-loss computes "
                f"at most {MAX_WINDOWS:,} at once: reduce --batch-size, or {remedy}"
            )


def deal_out(order: np.ndarray, num_windows: np.ndarray, batch_size: int) -> np.ndarray:
    """Return a new order of documents in which the batches have about the same number of windows.

    For some batches at a time: in each round every batch gets one document, and the longer ones go to the batches with
    fewer windows. What a batch holds remains random, because the documents of these batches are.

    Args:
        order: the indices of the documents, of which those after the last whole batch are left out.
        num_windows: the number of windows of every document, by index.
        batch_size: documents per batch.
    """
    order = order[: len(order) // batch_size * batch_size]
    dealt = []
    for start in range(0, len(order), BATCHES_DEALT_AT_ONCE * batch_size):
        documents = order[start : start + BATCHES_DEALT_AT_ONCE * batch_size]
        rounds = documents[np.argsort(-num_windows[documents], kind="stable")].reshape(batch_size, -1)
        batches = np.empty_like(rounds.T)
        totals = np.zeros(len(batches), np.int64)
        for number, longest_left in enumerate(rounds):
            fewest_first = np.argsort(totals, kind="stable")
            batches[fewest_first, number] = longest_left
            totals[fewest_first] += num_windows[longest_left]
        dealt.append(batches.ravel())
    return np.concatenate(dealt)
