"""Runs a classifier through ONNX Runtime, from the `.onnx` file that fine-tuning writes beside the `.keras` file."""

from __future__ import annotations

import base64
import json
import os
import zlib
from typing import TYPE_CHECKING

import numpy as np

from system.errors import InputError, first_line
from system.libraries import disable_telemetry

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

BATCH_SIZE = 32
# The entries of the file's own metadata, of which ONNX Runtime keeps copies: the tokenizer is compressed.
ABOUT, TOKENIZER, FINGERPRINT = "mini_bert", "tokenizer.json.zlib.base64", "keras_fingerprint"


class OnnxRuntime:
    """A loaded classifier; several threads may use it at once.

    Attributes:
        tokenizer_file: the tokenizer that it was trained with, the bytes of a `tokenizer.json`.
        metadata: what its file says about it.
        max_seq_len: tokens that it reads at once.
        fingerprint: of the `.keras` file that it was made from, see `system.files.fingerprint_of_file`.

    Raises:
        InputError: the file cannot be used.
        ModuleNotFoundError: `onnxruntime` is not installed.
    """

    name = "onnx"

    def __init__(self, model_path: str | os.PathLike):
        disable_telemetry()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Matrices as small as these gain more from several batches at a time than from several threads a batch.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            # By its path: a file's content would be kept in memory for good.
            self._session = onnxruntime.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
            own = self._session.get_modelmeta().custom_metadata_map
            about = json.loads(own[ABOUT])
            self.metadata, self.max_seq_len = about["metadata"], about["max_seq_len"]
            self.fingerprint = own[FINGERPRINT]
            self.tokenizer_file = zlib.decompress(base64.b64decode(own[TOKENIZER]))
        except Exception as error:  # the library's own kinds of error have no common base
            reason = f"no {error}" if isinstance(error, KeyError) else first_line(error)
            raise InputError(
                f"{model_path}: not an ONNX file that this version of the project wrote, or a damaged one ({reason}); "
                "`python -m recipes.export FILE.keras` writes one"
            ) from None
        self._num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = None

    def probabilities(self, input_ids: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the probability of each window to be positive, (n,), for int32 ids of (n, max_seq_len), n > 0.

        Args:
            batch_size: windows, at most, that the network reads together; they are of one length, so that it reads no
                padding and masks none.
        """
        lengths = np.count_nonzero(input_ids, axis=1)
        order = np.argsort(-lengths, kind="stable")  # the last ones are the quickest: no thread waits long for another
        of_one_length = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
        batches = [
            rows[start : start + batch_size] for rows in of_one_length for start in range(0, len(rows), batch_size)
        ]

        def run(rows):
            batch = np.ascontiguousarray(input_ids[rows, : lengths[rows[0]]])
            return self._session.run(None, {"input_ids": batch})[0][:, 0]

        probabilities = np.empty(len(input_ids), np.float32)
        results = map(run, batches) if len(batches) == 1 else self._threads().map(run, batches)
        for rows, result in zip(batches, results, strict=True):
            probabilities[rows] = result
        return probabilities

    def _threads(self) -> ThreadPoolExecutor:
        """The threads, loaded and started when they are first needed: a single answer does without them."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._num_threads)
        return self._pool
