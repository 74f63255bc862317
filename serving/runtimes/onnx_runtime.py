"""Runs a classifier through ONNX Runtime, from the `.onnx` file that fine-tuning writes beside the `.keras` file."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from text.commands import InputError, first_line

BATCH_SIZE = 32
LENGTH_STEP = 4  # windows are padded to a multiple of it: short ones need not pay for long ones
# The entries of the file's own metadata.
ABOUT, TOKENIZER, FINGERPRINT = "mini_bert", "tokenizer.json", "keras_fingerprint"


class OnnxRuntime:
    """A loaded classifier; several threads may use it at once.

    Attributes:
        tokenizer_json: the tokenizer that it was trained with, as the text of a `tokenizer.json`.
        metadata: what its file says about it.
        max_seq_len: tokens that it reads at once.
        fingerprint: of the `.keras` file that it was made from, see `text.reading.files.fingerprint_of_file`.

    Raises:
        InputError: the file cannot be used.
        ModuleNotFoundError: `onnxruntime` is not installed.
    """

    name = "onnx"

    def __init__(self, model_path: str | os.PathLike):
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
            self.tokenizer_json, self.fingerprint = own[TOKENIZER], own[FINGERPRINT]
        except Exception as error:  # the library's own kinds of error have no common base
            reason = f"no {error}" if isinstance(error, KeyError) else first_line(error)
            raise InputError(f"{model_path}: not an ONNX file of this project, or a damaged one ({reason})") from None
        self._num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool = None

    def probabilities(self, input_ids: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the probability of each window to be positive, (n,), for int32 ids of (n, max_seq_len), n > 0.

        Args:
            batch_size: windows that the network reads together; they are of about the same length.
        """
        lengths = (input_ids != 0).sum(axis=1)
        order = np.argsort(lengths, kind="stable")
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]

        def run(rows):
            length = min(-(-int(lengths[rows[-1]]) // LENGTH_STEP) * LENGTH_STEP, input_ids.shape[1])
            batch = np.ascontiguousarray(input_ids[rows, :length])
            return self._session.run(None, {"input_ids": batch})[0][:, 0]

        probabilities = np.empty(len(input_ids), np.float32)
        results = map(run, batches) if len(batches) == 1 else self._threads().map(run, batches)
        for rows, result in zip(batches, results, strict=True):
            probabilities[rows] = result
        return probabilities

    def _threads(self) -> ThreadPoolExecutor:
        """The threads, started when they are first needed: a single answer does without them."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._num_threads)
        return self._pool
