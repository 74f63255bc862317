"""The loop over epochs: its history, its lines, and the ways in which it ends."""

import math
import signal

import keras
import numpy as np
import pytest
from interrupted_runs import progress_of
from small_runs import (
    BATCH_SIZE,
    EPOCHS,
    FEATURES,
    LABELS,
    ROWS,
    STEPS,
    KillAfter,
    batches_of,
    evaluate,
    fit,
    small_network,
)

from system.errors import InputError, Terminated
from training.engine.batches.epoch_batches import LabelledBatches
from training.engine.checkpoint import Checkpoint
from training.engine.interruption import SIGNALS
from training.engine.loop import ProgressBar, TimeLimit


class RecordedBatches(LabelledBatches):
    """Batches that record which rows they served: (epoch, number of the batch, rows)."""

    served = []

    def batch(self, rows, number):
        self.served.append((self.epoch, number, tuple(rows)))
        return super().batch(rows, number)


def recorded_batches_of(epoch, first_batch):
    return RecordedBatches(FEATURES, LABELS, BATCH_SIZE, seed=1, epoch=epoch, first_batch=first_batch)


class StopAfterOneBatch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = True


def test_history_and_printed_lines(capsys):
    calls = []
    history = fit(small_network(), after_epoch=lambda: calls.append("after"))
    assert list(history) == ["loss", "binary_accuracy", "val_loss", "val_binary_accuracy"]
    assert [len(values) for values in history.values()] == [EPOCHS] * 4
    assert all(type(value) is float for values in history.values() for value in values)
    assert calls == ["after"] * EPOCHS
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == EPOCHS
    for number, line in enumerate(lines):
        head, _, *metrics = line.split(" - ")
        assert head == f"Epoch {number + 1}/{EPOCHS}"
        assert metrics == [f"{name}: {values[number]:.4f}" for name, values in history.items()]


def test_every_epoch_sees_every_row_once():
    RecordedBatches.served.clear()
    fit(small_network(), batches=recorded_batches_of)
    for epoch in range(EPOCHS):
        # Keras asks for the first batch twice: the first time only for its shape.
        served = [(number, rows) for at, number, rows in RecordedBatches.served if at == epoch]
        assert sorted(row for rows in dict(served).values() for row in rows) == list(range(ROWS))
        assert [number for number, _ in served][-STEPS:] == list(range(STEPS))


class TestLossThatIsNotANumber:
    @pytest.fixture
    def checkpoint(self, tmp_path):
        return Checkpoint(tmp_path / "checkpoint.npz", interval=0)

    def assert_refused(self, checkpoint, **options):
        with pytest.raises(InputError, match="reduce the learning rate"):
            fit(small_network(), checkpoint, **options)

    def test_in_training(self, checkpoint):
        def batches(epoch, first_batch):
            return batches_of(epoch, first_batch, labels=LABELS * np.float32(np.nan))

        self.assert_refused(checkpoint, batches=batches)

    def test_in_validation(self, checkpoint):
        self.assert_refused(checkpoint, validate=lambda: {"loss": math.nan})
        assert progress_of(checkpoint.path) == (0, STEPS - 1)  # the last good state


@pytest.mark.parametrize("callback", [StopAfterOneBatch(), TimeLimit(end=-math.inf)], ids=["callback", "time limit"])
def test_a_callback_ends_the_run_after_its_epoch(callback):
    calls = []
    history = fit(small_network(), callbacks=[callback], after_epoch=lambda: calls.append("after"))
    assert [len(values) for values in history.values()] == [1] * 4
    assert calls == ["after"]


def test_a_time_limit_in_the_future_stops_nothing():
    history = fit(small_network(), callbacks=[TimeLimit(end=math.inf)])
    assert len(history["loss"]) == EPOCHS


class TestInterruptedRun:
    def interrupted_after(self, batches, tmp_path, capsys):
        """Return what a run prints to standard error when it is interrupted after so many batches."""
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz", interval=0)
        with pytest.raises(KeyboardInterrupt):
            fit(small_network(), checkpoint, callbacks=[KillAfter(batches, KeyboardInterrupt)])
        return capsys.readouterr().err

    def test_says_how_to_resume(self, tmp_path, capsys):
        error = self.interrupted_after(1, tmp_path, capsys)
        assert "--resume" in error and str(tmp_path) in error

    @pytest.mark.parametrize("number", SIGNALS)
    def test_saves_its_state_after_the_step(self, tmp_path, capsys, number):
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz", interval=3600)
        ask = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: signal.raise_signal(number))
        handlers = [signal.getsignal(each) for each in SIGNALS]
        with pytest.raises(KeyboardInterrupt) as ended:
            fit(small_network(), checkpoint, callbacks=[ask])
        assert progress_of(checkpoint.path) == (0, 1)
        assert [signal.getsignal(each) for each in SIGNALS] == handlers
        if number != signal.SIGINT:
            assert ended.value.status == 128 + number
        assert "--resume" in capsys.readouterr().err

    def test_a_second_signal_ends_the_step(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz", interval=3600)

        def ask_twice(batch, logs):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            fit(small_network(), checkpoint, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_begin=ask_twice)])
        assert not checkpoint.path.exists()

    def test_in_the_validation_saves_the_whole_epoch(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz", interval=3600)
        model = small_network()

        def validate():
            signal.raise_signal(signal.SIGTERM)
            return evaluate(model)

        with pytest.raises(Terminated):
            fit(model, checkpoint, validate=validate)
        assert progress_of(checkpoint.path) == (1, 0)

    def test_without_a_checkpoint_says_nothing(self, tmp_path, capsys):
        error = self.interrupted_after(0, tmp_path, capsys)
        assert "--resume" not in error and str(tmp_path) not in error


def test_progress_goes_to_standard_error(capsys):
    fit(small_network(), callbacks=[ProgressBar(" rows", BATCH_SIZE)])
    output = capsys.readouterr()
    assert "epoch 1:" in output.err
    assert f"/{ROWS:.1f}" in output.err
    assert "epoch 1:" not in output.out
