"""Checkpoints: a killed run continues bit for bit, and a file that cannot be used is refused."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest
from interrupted_runs import progress_of
from layer_checks import as_array
from small_runs import EPOCHS, FEATURES, LABELS, STEPS, KillAfter, Killed, all_variables, evaluate, fit, small_network

from system.errors import InputError
from system.files import previous_path
from training.engine.checkpoint import Checkpoint


def assert_same_state(model, other):
    for value, expected in zip(all_variables(model), all_variables(other), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.npz"


@pytest.fixture(scope="module")
def undisturbed():
    """A model that was trained without interruption, and its history."""
    model = small_network()
    return model, fit(model)


def restored_run(path):
    """Return a model with other weights and another seed, into which the checkpoint was restored."""
    keras.utils.set_random_seed(77)
    model, checkpoint = small_network(seed=8), Checkpoint(path)
    checkpoint.load()
    checkpoint.restore(model)
    return model, checkpoint


def assert_resumes(path, undisturbed):
    model, checkpoint = restored_run(path)
    expected_model, expected_history = undisturbed
    assert fit(model, checkpoint) == expected_history
    assert_same_state(model, expected_model)


class TestKilledRun:
    @pytest.mark.parametrize(
        "batches_done",
        [
            pytest.param(1, marks=pytest.mark.slow),
            pytest.param(STEPS - 1, marks=pytest.mark.slow),
            STEPS,
            STEPS + 1,
            pytest.param(EPOCHS * STEPS - 1, marks=pytest.mark.slow),
        ],
    )
    def test_continues_bit_for_bit(self, path, undisturbed, batches_done):
        with pytest.raises(Killed):
            fit(small_network(), Checkpoint(path, interval=0), callbacks=[KillAfter(batches_done)])
        assert_resumes(path, undisturbed)

    @pytest.mark.slow
    @pytest.mark.parametrize("complete_validations", [0, EPOCHS - 1])
    def test_continues_after_a_kill_in_the_validation(self, path, undisturbed, complete_validations):
        model, validations = small_network(), []

        def validate():
            if len(validations) == complete_validations:
                raise Killed
            validations.append(evaluate(model))
            return validations[-1]

        with pytest.raises(Killed):
            fit(model, Checkpoint(path, interval=0), validate=validate)
        assert_resumes(path, undisturbed)

    @pytest.mark.slow
    def test_continues_after_a_kill_between_two_epochs(self, path, undisturbed):
        epochs_done = []

        def after_epoch():
            epochs_done.append(len(epochs_done) + 1)
            if len(epochs_done) == 2:
                raise Killed

        with pytest.raises(Killed):
            fit(small_network(), Checkpoint(path, interval=0), after_epoch=after_epoch)
        assert_resumes(path, undisturbed)

    @pytest.mark.slow
    def test_continues_after_a_second_kill(self, path, undisturbed):
        with pytest.raises(Killed):
            fit(small_network(), Checkpoint(path, interval=0), callbacks=[KillAfter(1)])
        model, checkpoint = small_network(seed=5), Checkpoint(path, interval=0)
        checkpoint.load()
        checkpoint.restore(model)
        with pytest.raises(Killed):
            fit(model, checkpoint, callbacks=[KillAfter(1)])
        assert json.loads(str(np.load(path)["progress"]))["batch"] == 2
        assert_resumes(path, undisturbed)


def test_round_trip(path):
    model, checkpoint = small_network(), Checkpoint(path)
    checkpoint.progress["total_steps"] = 9
    with pytest.raises(Killed):
        fit(model, checkpoint, callbacks=[KillAfter(STEPS + 2)])
    checkpoint.save(model)
    metrics = [as_array(variable.value) for variable in model.metrics_variables]
    assert any(metric.any() for metric in metrics)

    other, again = small_network(seed=9), Checkpoint(path)
    again.load()
    again.restore(other)
    assert again.progress == checkpoint.progress
    assert again.progress["total_steps"] == 9
    assert (again.progress["epoch"], again.progress["batch"]) == (1, 2)
    assert_same_state(other, model)
    other.fit(FEATURES, LABELS, epochs=1, steps_per_epoch=1, verbose=0)  # creates the variables of the metrics
    other.reset_metrics()
    again.set_model(other)
    again.on_epoch_begin(0)
    for variable, expected in zip(other.metrics_variables, metrics, strict=True):
        np.testing.assert_array_equal(as_array(variable.value), expected)


def test_nothing_is_written_before_the_interval_has_passed(path):
    with pytest.raises(Killed):
        fit(small_network(), Checkpoint(path, interval=3600), callbacks=[KillAfter(STEPS - 1)])
    assert not path.exists()


def test_is_written_after_a_number_of_steps_whatever_the_time(path):
    with pytest.raises(Killed):
        fit(small_network(), Checkpoint(path, interval=3600, steps=2), callbacks=[KillAfter(STEPS - 1)])
    assert progress_of(path) == (0, 2)


class TestTwoCheckpoints:
    """The last state and the one before."""

    @pytest.fixture
    def killed(self, path):
        with pytest.raises(Killed):
            fit(small_network(), Checkpoint(path, interval=0), callbacks=[KillAfter(STEPS + 2)])
        return path

    def test_both_are_kept(self, killed):
        assert progress_of(killed) == (1, 2)
        assert progress_of(previous_path(killed)) == (1, 1)

    @pytest.mark.parametrize("damage", ["cut in half", "missing"])
    def test_a_damaged_one_is_replaced_by_the_one_before(self, killed, undisturbed, capsys, damage):
        content = killed.read_bytes()
        killed.unlink()
        if damage == "cut in half":
            killed.write_bytes(content[: len(content) // 2])
        assert_resumes(killed, undisturbed)
        assert "continuing from checkpoint.previous.npz" in capsys.readouterr().err

    def test_both_damaged(self, killed):
        for each in (killed, previous_path(killed)):
            each.write_bytes(b"PK")
        with pytest.raises(InputError, match="damaged"):
            Checkpoint(killed).load()


class TestWeightsThatAreNotNumbers:
    def broken(self, model):
        model.layers[-1].bias.assign([np.nan])

    def test_the_last_good_state_remains(self, path):
        model, checkpoint = small_network(), Checkpoint(path)
        checkpoint.progress |= {"epoch": 0, "batch": 5}
        checkpoint.save(model)
        before = path.read_bytes()
        self.broken(model)
        checkpoint.progress |= {"epoch": 1, "batch": 7}
        with pytest.raises(InputError, match="epoch 2, after step 7, .* --resume and a lower --learning-rate"):
            checkpoint.save(model)
        assert path.read_bytes() == before

    def test_without_a_good_state(self, path):
        model, checkpoint = small_network(), Checkpoint(path)
        checkpoint.progress |= {"epoch": 0, "batch": 1}
        self.broken(model)
        with pytest.raises(InputError, match="reduce the learning rate$"):
            checkpoint.save(model)
        assert not path.exists()


def test_a_resumed_run_may_have_another_learning_rate(path):
    Checkpoint(path).save(small_network())
    model, checkpoint = small_network(seed=3), Checkpoint(path)
    model.optimizer.learning_rate = 0.01
    checkpoint.load()
    checkpoint.restore(model)
    assert float(as_array(model.optimizer.learning_rate)) == pytest.approx(0.01)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a checkpoint."""
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.npz"
    Checkpoint(path).save(small_network())
    return path.read_bytes()


class TestUnusableFile:
    def test_missing(self, path):
        with pytest.raises(InputError, match="no interrupted run to resume") as caught:
            Checkpoint(path).load()
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("damage", ["empty", "text", "truncated", "without progress"])
    def test_damaged(self, path, content, damage):
        damaged = {"empty": b"", "text": b"not a checkpoint", "truncated": content[: len(content) // 2]}
        if damage in damaged:
            path.write_bytes(damaged[damage])
        else:
            np.savez(path, model_0000=np.zeros(3))
        with pytest.raises(InputError, match="damaged; delete it and start again") as caught:
            Checkpoint(path).load()
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        "progress", ["[1]", "1", '{"epoch": "x"}', '{"batch": -1}', '{"history": []}', '{"history": {"loss": "x"}}']
    )
    def test_of_a_progress_that_is_none(self, path, progress):
        np.savez(path, progress=np.array(progress))
        with pytest.raises(InputError, match="damaged; delete it and start again"):
            Checkpoint(path).load()

    def test_of_an_array_that_claims_more_values_than_there_are(self, path, content):
        path.write_bytes(content)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**13,)})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("model_9999.npy", header.getvalue())
        with pytest.raises(InputError, match="damaged; delete it and start again"):
            Checkpoint(path).load()

    def test_that_is_a_single_array(self, path):
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
        with pytest.raises(InputError, match="damaged; delete it and start again"):
            Checkpoint(path).load()

    def test_that_is_compressed(self, path):
        np.savez_compressed(path, progress=np.array("{}"), model_0000=np.zeros(10**6))
        with pytest.raises(InputError, match="damaged; delete it and start again"):
            Checkpoint(path).load()

    def test_of_other_data(self, path):
        Checkpoint(path, data_sha256="one").save(small_network())
        Checkpoint(path, data_sha256="one").load()
        with pytest.raises(InputError, match="data has changed"):
            Checkpoint(path, data_sha256="other").load()

    def assert_of_another_network(self, path, model):
        checkpoint = Checkpoint(path)
        checkpoint.load()
        with pytest.raises(InputError, match="another network"):
            checkpoint.restore(model)

    def test_of_a_wider_network(self, path, content):
        path.write_bytes(content)
        self.assert_of_another_network(path, small_network(units=7))

    def test_of_another_optimizer(self, path, content):
        path.write_bytes(content)
        model = small_network()
        model.compile(keras.optimizers.SGD(), "binary_crossentropy")
        model.optimizer.build(model.trainable_variables)
        self.assert_of_another_network(path, model)


@pytest.mark.parametrize("is_saved", [False, True])
def test_an_interruption_is_explained(path, capsys, is_saved):
    checkpoint = Checkpoint(path)
    if is_saved:
        checkpoint.save(small_network())
    with pytest.raises(KeyboardInterrupt), checkpoint.explained_if_interrupted():
        raise KeyboardInterrupt
    assert ("run the same command again" in capsys.readouterr().err) != is_saved  # no epoch has begun
    checkpoint.start_epoch(0, {})
    with pytest.raises(KeyboardInterrupt), checkpoint.explained_if_interrupted():
        raise KeyboardInterrupt
    error = capsys.readouterr().err
    assert (f"The run is saved in {path.parent}; continue it with --resume" in error) == is_saved
    assert ("Nothing of this run is saved yet" in error) != is_saved


def test_both_files_are_removed(path):
    checkpoint = Checkpoint(path)
    for _ in range(2):
        checkpoint.save(small_network())
    assert len(list(path.parent.iterdir())) == 2
    checkpoint.remove()
    assert list(path.parent.iterdir()) == []
