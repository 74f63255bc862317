"""The choice of the epoch whose weights are kept: by a metric, with patience, and across interruptions."""

import numpy as np
import pytest
from layer_checks import as_array
from small_runs import EPOCHS, STEPS, KillAfter, Killed, fit, small_network

from system.errors import InputError
from training.engine.best_epoch import BestEpoch
from training.engine.checkpoint import Checkpoint


def weights_of(model):
    return [as_array(variable.value) for variable in model.trainable_variables]


def scripted(values, metric="loss", before_each=lambda: None):
    """Return a validation with these values, one an epoch."""
    remaining = list(values)

    def validate():
        before_each()
        return {"loss": 1.0} | {metric: remaining.pop(0)}

    return validate


def recording(model, seen):
    """Return a function that appends the weights of a model to `seen`."""
    return lambda: seen.append(weights_of(model))


def assert_equal(weights, expected):
    for value, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(value, other)


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("loss", [0.5, 0.4, 0.6], 1),
        ("loss", [0.5, 0.4, 0.4], 1),
        ("loss", [0.3, 0.4, 0.6], 0),
        ("accuracy", [0.5, 0.4, 0.6], 2),
        ("binary_accuracy", [0.7, 0.8, 0.75], 1),
        ("macro_f1", [0.5, 0.5, 0.4], 0),
    ],
)
def test_the_weights_of_the_best_epoch_are_kept(capsys, metric, values, best):
    model, seen = small_network(), []
    history = fit(
        model,
        validate=scripted(values, metric, recording(model, seen)),
        best=BestEpoch(metric.removeprefix("binary_")),
    )
    assert history[f"val_{metric}"] == values and len(history["loss"]) == EPOCHS
    assert_equal(weights_of(model), seen[best])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"kept epoch {best + 1} of {EPOCHS}: val_{metric} {values[best]:.4f}"


def test_without_a_metric_the_last_epoch_is_kept(capsys):
    model, seen = small_network(), []
    fit(model, validate=scripted([0.1, 0.2, 0.3], before_each=recording(model, seen)))
    assert_equal(weights_of(model), seen[-1])
    assert "kept" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("patience", "values", "epochs"),
    [
        (1, [0.5, 0.6, 0.1], 2),
        (1, [0.5, 0.5, 0.1], 2),
        (2, [0.5, 0.6, 0.7], 3),
        (1, [0.5, 0.4, 0.3], 3),
        (2, [0.5, 0.6, 0.4], 3),
        (None, [0.5, 0.6, 0.7], 3),
    ],
)
def test_the_training_ends_after_so_many_epochs_without_a_better_value(patience, values, epochs):
    history = fit(small_network(), validate=scripted(values), best=BestEpoch("loss", patience))
    assert history["val_loss"] == values[:epochs]


def test_a_metric_that_the_validation_lacks_is_refused():
    with pytest.raises(InputError, match="--monitor macro_f1: .* choose one of loss, accuracy"):
        fit(small_network(), validate=scripted([0.5], metric="accuracy"), best=BestEpoch("macro_f1"))


class TestInterruptedRun:
    VALUES = [0.4, 0.5, 0.6]  # the first epoch is the best one

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "checkpoint.npz"

    @pytest.fixture(scope="class")
    @classmethod
    def undisturbed(cls):
        model = small_network()
        return fit(model, validate=scripted(cls.VALUES), best=BestEpoch("loss", 2)), weights_of(model)

    def resumed(self, path, values, patience=2):
        model, checkpoint = small_network(seed=8), Checkpoint(path)
        checkpoint.load()
        checkpoint.restore(model)
        history = fit(model, checkpoint, validate=scripted(values), best=BestEpoch("loss", patience))
        return history, weights_of(model)

    @pytest.mark.parametrize("batches", [STEPS, STEPS + 1, 2 * STEPS, 3 * STEPS - 1])
    def test_keeps_the_best_weights(self, path, undisturbed, batches):
        """Killed right after the best epoch, in the middle of the next one, or later."""
        with pytest.raises(Killed):
            fit(
                small_network(),
                Checkpoint(path, interval=0),
                validate=scripted(self.VALUES),
                callbacks=[KillAfter(batches)],
                best=BestEpoch("loss", 2),
            )
        history, weights = self.resumed(path, self.VALUES[batches // STEPS :])
        assert history == undisturbed[0]
        assert_equal(weights, undisturbed[1])

    def test_counts_the_epochs_without_a_better_value(self, path):
        """Killed at the end of a training whose patience was exhausted: no further epoch is trained."""

        def kill_before_the_end(history):
            raise Killed

        best = BestEpoch("loss", 1)
        best.describe = kill_before_the_end
        model = small_network()
        with pytest.raises(Killed):
            fit(model, Checkpoint(path, interval=0), validate=scripted([0.4, 0.5]), best=best)
        history, weights = self.resumed(path, [], patience=1)
        assert history["val_loss"] == [0.4, 0.5]
        assert_equal(weights, weights_of(model))
