"""Run a classifier with Keras, on its current backend."""

from __future__ import annotations

import os

import numpy as np

from network.metadata import Metadata
from system.libraries import quiet_imports, without_extras_of_keras

BATCH_SIZE = 256
MOST_SCORES = 2**27  # of the attention of a batch, half a gigabyte


class KerasRuntime:
    """A classifier loaded by Keras.

    Args:
        model_path: a `.keras` file.

    Attributes:
        tokenizer_file: the tokenizer of its training, the bytes of a `tokenizer.json`.
        metadata: the metadata in the file.
        max_seq_len: the maximum length of a window, in tokens.
        vocab_size: the number of tokens of the network, above all ids.

    Raises:
        InputError: the file cannot be used.
        ModuleNotFoundError: Keras or its backend is not installed.
    """

    name = "keras"

    def __init__(self, model_path: str | os.PathLike) -> None:
        with quiet_imports():
            with without_extras_of_keras():
                import keras

            from network.bert import BertClassifier, logits_model
            from network.model_file import load_model

        self._to_numpy = keras.ops.convert_to_numpy
        classifier = load_model(model_path, BertClassifier)
        self._model = logits_model(classifier)
        self.tokenizer_file = classifier.tokenizer_json.encode()
        self.metadata = Metadata.from_json(classifier.metadata, str(model_path))
        self.max_seq_len, self.vocab_size = classifier.config.max_seq_len, classifier.config.vocab_size
        # Of a long window, the attention of all heads takes the most memory.
        self._most_windows = max(1, MOST_SCORES // (classifier.config.num_heads * self.max_seq_len**2))

    def logits(self, input_ids: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Return the logits of each window, float32, (windows, outputs).

        Args:
            input_ids: int32, (windows, max_seq_len), at least one.
            batch_size: the maximum number of windows per batch; fewer if they are long.
        """
        batches, batch_size = [], min(batch_size, self._most_windows)
        for start in range(0, len(input_ids), batch_size):
            batch = input_ids[start : start + batch_size]
            # A call takes a tenth of the time of `predict` for a single text.
            outputs = self._model({"input_ids": batch, "token_type_ids": np.zeros_like(batch)}, training=False)
            batches.append(self._to_numpy(outputs))
        return np.concatenate(batches)
