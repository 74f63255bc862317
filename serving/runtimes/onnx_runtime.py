"""Run a classifier with ONNX Runtime, from the `.onnx` file that fine-tuning writes beside the `.keras` file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np

from network.metadata import Metadata
from serving.runtimes.onnx_check import ABOUT, INPUT, TOKENIZER, WEIGHTS_SHA256, inflated, read_onnx_file
from system.errors import InputError, first_line
from system.libraries import available_cores, disable_telemetry

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

BATCH_SIZE = 32
BATCH_TOKENS = 1024  # more take 5% longer with two threads, perhaps because their values leave the cache of a core
DAMAGED = "damaged, or not an ONNX file of this version of the project"
REMEDY = "recreate it with `python -m recipes.export FILE.keras`"
FORMAT = 2  # the version of the file format; version 1 returned probabilities


class OnnxRuntime:
    """A classifier loaded by ONNX Runtime; several threads may use it at once, and processes may fork.

    Args:
        model_path: an `.onnx` file.

    Attributes:
        tokenizer_file: the tokenizer of its training, the bytes of a `tokenizer.json`.
        metadata: the metadata in the file.
        max_seq_len: the maximum length of a window, in tokens.
        vocab_size: the number of tokens of the network, above all ids.
        weights_sha256: the hash of the weights; see `network.metadata.weights_sha256`.

    Raises:
        InputError: the file cannot be used.
        ModuleNotFoundError: `onnxruntime` is not installed.
    """

    name = "onnx"

    def __init__(self, model_path: str | os.PathLike) -> None:
        disable_telemetry()
        import onnxruntime

        self._path = str(model_path)
        options = onnxruntime.SessionOptions()
        # For matrices this small, running batches in parallel is faster than several threads per batch.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            file = read_onnx_file(model_path)
            about = json.loads(file.entries[ABOUT])
            if about.get("format") != FORMAT:
                raise ValueError(f"format {about.get('format', 1)}; this version reads format {FORMAT}")
            self.max_seq_len, self.vocab_size = about["max_seq_len"], file.vocab_size
            file.check_windows(self.max_seq_len, BATCH_TOKENS)
            self.weights_sha256 = file.entries[WEIGHTS_SHA256]
            self.tokenizer_file = inflated(file.entries[TOKENIZER])
            metadata = about["metadata"]
            # From its path, because the bytes of a file would stay in memory.
            self._session = onnxruntime.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's exceptions have no common base
            reason = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
            raise InputError(f"{model_path}: {DAMAGED} ({reason}); {REMEDY}") from None
        self.metadata = Metadata.from_json(metadata, str(model_path))
        self._check_outputs(file.num_outputs)
        self._num_threads = available_cores()
        self._pool, self._pool_process = None, None

    def _check_outputs(self, num_outputs: int) -> None:
        """Raise an InputError if the number of outputs of the graph does not fit the labels."""
        labels = self.metadata.labels
        if num_outputs != labels.num_outputs:
            raise InputError(
                f"{self._path}: the network's number of outputs is {num_outputs}, but its {len(labels.names)} labels "
                f"need {labels.num_outputs}; {REMEDY}"
            )

    def logits(self, input_ids: np.ndarray, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Return the logits of each window, float32, (windows, outputs).

        Args:
            input_ids: int32, (windows, max_seq_len), at least one.
            batch_size: the maximum number of windows per batch; fewer if they have more than `BATCH_TOKENS` tokens.
                The windows of a batch have equal lengths, so that there is no padding.

        Raises:
            InputError: the network fails.
        """
        lengths = np.count_nonzero(input_ids, axis=1)
        order = np.argsort(-lengths, kind="stable")  # longest first, so that the threads end together
        groups_of_equal_length = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
        batches = []
        for rows in groups_of_equal_length:
            size = max(1, min(batch_size, BATCH_TOKENS // max(1, lengths[rows[0]])))
            batches += [rows[start : start + size] for start in range(0, len(rows), size)]

        def run(rows: np.ndarray) -> np.ndarray:
            batch = np.ascontiguousarray(input_ids[rows, : lengths[rows[0]]])
            try:
                return self._session.run(None, {INPUT: batch})[0]
            except Exception as error:  # the library's exceptions have no common base
                raise InputError(f"{self._path}: the network fails on a text ({first_line(error)}); {REMEDY}") from None

        results = list(map(run, batches) if len(batches) == 1 else self._threads().map(run, batches))
        logits = np.empty((len(input_ids), self.metadata.labels.num_outputs), np.float32)
        for rows, result in zip(batches, results, strict=True):
            logits[rows] = result
        return logits

    def _threads(self) -> ThreadPoolExecutor:
        """Return the threads, which start when they are first needed: a single text does not need them."""
        # The child of a fork inherits the pool without its threads, and would wait for them forever.
        if self._pool_process != os.getpid():
            from concurrent.futures import ThreadPoolExecutor

            self._pool, self._pool_process = ThreadPoolExecutor(self._num_threads), os.getpid()
        return self._pool
