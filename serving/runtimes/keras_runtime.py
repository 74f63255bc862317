"""Runs a classifier through Keras, on the backend that it is set to."""

import os

import numpy as np

from system.libraries import quiet_imports

BATCH_SIZE = 256


class KerasRuntime:
    """A loaded classifier.

    Attributes:
        tokenizer_file: the tokenizer that it was trained with, the bytes of a `tokenizer.json`.
        metadata: what its file says about it.
        max_seq_len: tokens that it reads at once.

    Raises:
        InputError: the file cannot be used.
    """

    name = "keras"

    def __init__(self, model_path: str | os.PathLike):
        with quiet_imports():
            import keras

            from network.bert import BertClassifier
            from network.model_file import load_model

        self._to_numpy = keras.ops.convert_to_numpy
        self._model = load_model(model_path, BertClassifier)
        self.tokenizer_file = self._model.tokenizer_json.encode()
        self.metadata = self._model.metadata
        self.max_seq_len = self._model.config.max_seq_len

    def probabilities(self, input_ids: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the probability of each window to be positive, (n,), for int32 ids of (n, max_seq_len), n > 0.

        Args:
            batch_size: windows that the network reads together.
        """
        batches = []
        for start in range(0, len(input_ids), batch_size):
            batch = input_ids[start : start + batch_size]
            # Called, not `predict`ed: for a single text that takes a tenth of the time.
            outputs = self._model({"input_ids": batch, "token_type_ids": np.zeros_like(batch)}, training=False)
            batches.append(self._to_numpy(outputs)[:, 0])
        return np.concatenate(batches)
