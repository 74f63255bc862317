"""Runs a classifier through ONNX Runtime, from the `.onnx` file that fine-tuning writes beside the `.keras` file."""

from __future__ import annotations

import base64
import json
import os
import zlib
from typing import TYPE_CHECKING

import numpy as np

from network.metadata import Metadata
from system.errors import InputError, first_line
from system.libraries import disable_telemetry

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

BATCH_SIZE = 32
# The entries of the file's own metadata, of which ONNX Runtime keeps copies: the tokenizer is compressed.
ABOUT, TOKENIZER, WEIGHTS_SHA256 = "mini_bert", "tokenizer.json.zlib.base64", "weights_sha256"
INPUT, OUTPUT = "input_ids", "logits"
FORMAT = 2  # the number of this form of the file: the first gave probabilities


class OnnxRuntime:
    """A loaded classifier; several threads may use it at once, and processes that fork.

    Attributes:
        tokenizer_file: the tokenizer that it was trained with, the bytes of a `tokenizer.json`.
        metadata: what its file says about it.
        max_seq_len: tokens that it reads at once.
        weights_sha256: of the `.keras` file that it was made from, see `network.metadata.weights_sha256`.

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
            if about.get("format") != FORMAT:
                raise ValueError(f"it has format {about.get('format', 1)}, and this version reads format {FORMAT}")
            self.max_seq_len = about["max_seq_len"]
            self.weights_sha256 = own[WEIGHTS_SHA256]
            self.tokenizer_file = zlib.decompress(base64.b64decode(own[TOKENIZER]))
        except Exception as error:  # the library's own kinds of error have no common base
            reason = f"no {error}" if isinstance(error, KeyError) else first_line(error)
            raise InputError(
                f"{model_path}: not an ONNX file that this version of the project wrote, or a damaged one ({reason}); "
                "`python -m recipes.export FILE.keras` writes one"
            ) from None
        self.metadata = Metadata.from_json(about["metadata"], str(model_path))
        self._num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._pool, self._pool_process = None, None

    def logits(self, input_ids: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Return the logits of each window, float32, (windows, outputs).

        Args:
            input_ids: int32, (windows, max_seq_len), at least one.
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
            return self._session.run(None, {INPUT: batch})[0]

        results = list(map(run, batches) if len(batches) == 1 else self._threads().map(run, batches))
        logits = np.empty((len(input_ids), results[0].shape[1]), np.float32)
        for rows, result in zip(batches, results, strict=True):
            logits[rows] = result
        return logits

    def _threads(self) -> ThreadPoolExecutor:
        """Return the threads, started when they are first needed: a single answer does without them."""
        # The child of a fork has the pool without its threads, and would wait for them forever.
        if self._pool_process != os.getpid():
            from concurrent.futures import ThreadPoolExecutor

            self._pool, self._pool_process = ThreadPoolExecutor(self._num_threads), os.getpid()
        return self._pool
