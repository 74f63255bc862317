"""Scripts of the project as a person starts them, in a process of their own or in this one, and what they print."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
# Without the log level that TensorFlow has set in this process, which would hide how a script sets its own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
ENVIRONMENT["HF_HUB_OFFLINE"] = "1"
FINE_TUNING_METRICS = ["loss", "binary_accuracy", "val_loss", "val_binary_accuracy"]


def start(script, arguments, folder):
    """Start a script in a folder and return its process."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def run(script, arguments, folder):
    """Run a script in a folder; return its exit status and what it printed."""
    process = start(script, arguments, folder)
    output, error = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, error)


def call(main, arguments, folder):
    """Call the `main` of a script in this process; return the same as `run`. For fixtures, which have no `capsys`."""
    output, error = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output), contextlib.redirect_stderr(error):
        status = main([*arguments])
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), error.getvalue())


def assert_one_error(standard_error, *words):
    """Check that standard error is one sentence that contains the words."""
    (error,) = standard_error.splitlines()
    assert error.startswith("error: ")
    for word in words:
        assert word in error


def assert_same_weights(path, other):
    """Check that two model files hold the same weights, bit for bit."""
    from network.model_file import load_model  # only here: not every user needs Keras

    for value, expected in zip(*(load_model(each).get_weights() for each in (path, other)), strict=True):
        np.testing.assert_array_equal(value, expected)


def assert_fine_tuning_is_printed(lines, epochs):
    """Check the metrics of each epoch, those of the test, and the report."""
    shown = [line for line in lines if line.startswith("Epoch ")]
    assert len(shown) == epochs
    for number, line in enumerate(shown):
        head, _, *metrics = line.split(" - ")
        assert head == f"Epoch {number + 1}/{epochs}"
        assert [metric.split(": ")[0] for metric in metrics] == FINE_TUNING_METRICS
    after = lines[lines.index(shown[-1]) + 1 :]
    assert re.fullmatch(r"Test set loss: \d\.\d{4}", after[0])
    assert re.fullmatch(r"Test set accuracy: [01]\.\d{4}", after[1])
    report = "\n".join(after)
    for row in ("Test on ", "Always the majority class", "TF-IDF + logistic regression", "Mini-BERT at 0.5", "at 0.7"):
        assert row in report
