"""Distillation of hidden states: its layers, its model, and whole runs with --hidden-loss-weight."""

import functools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_models
from bert_checkpoints import random_bert, save_checkpoint
from hub_servers import model_server, use_hub
from interrupted_runs import progress_of
from layer_checks import as_array, randomize
from opinions import write_opinions
from scripts import assert_one_error
from small_runs import Killed, KillingCheckpoint

import fine_tuning
import recipes.runs.resumption
from network.backbone import backbone_of_any_length
from network.bert import BertClassifier, logits_model
from network.model_file import load_model, save_model
from text.tokens.tokenizer import tokenizer_from_json
from training.engine.batches.epoch_batches import LabelledBatches, LengthGroupedBatches
from training.engine.checkpoint import Checkpoint
from training.objectives.hidden_states import (
    TEACHER,
    StateTeacher,
    student_batches,
    student_model,
    teaching_layers,
)
from training.objectives.losses import classification_accuracy, classification_loss

WINDOWS, LENGTH, BATCH_SIZE, WIDTH = 24, 16, 8, 24


@pytest.fixture(scope="module")
def teacher():
    """A model of four encoders, wider than the student, that reads longer windows."""
    return tiny_models.masked_lm(max_seq_len=2 * LENGTH, d_model=WIDTH, num_layers=4, dropout_rate=0.5)


@pytest.fixture
def student():
    classifier = tiny_models.classifier(max_seq_len=LENGTH, num_layers=2, dropout_rate=0.0)
    return BertClassifier.from_config(classifier.get_config() | {"unfreeze": "all"})


def labelled_of(grouped=False, **options):
    """Return batches of labelled windows of two lengths; if `grouped`, each batch of one of them."""
    generator = np.random.default_rng(0)
    ids = generator.integers(5, 30, (WINDOWS, LENGTH), "int32")
    lengths = np.where(np.arange(WINDOWS) % 2, LENGTH, LENGTH // 2)
    ids[np.arange(LENGTH) >= lengths[:, None]] = 0
    inputs = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
    labels = generator.integers(0, 2, (WINDOWS, 1)).astype(np.float32)
    weights = generator.uniform(0.5, 1.5, WINDOWS).astype(np.float32)
    options = {"weights": weights, "seed": 1, **options}
    if grouped:
        return LengthGroupedBatches(inputs, labels, BATCH_SIZE, padded_lengths=lengths, **options)
    return LabelledBatches(inputs, labels, BATCH_SIZE, **options)


def compiled(student, teacher, weight=1.0, optimizer="sgd"):
    model = student_model(student, teacher, weight)
    labels = student.label_set
    model.compile(optimizer, **model.objectives(classification_loss(labels), classification_accuracy(labels)))
    return model


def states_of(model, inputs):
    return [as_array(state) for state in backbone_of_any_length(model)(inputs)["hidden_states"]]


@pytest.mark.parametrize(
    ("num_teacher", "num_student", "expected"),
    [(12, 4, [0, 3, 6, 9, 12]), (2, 2, [0, 1, 2]), (3, 2, [0, 1, 3]), (1, 2, [0, 0, 1])],
)
def test_the_layers_of_the_teacher_are_evenly_chosen(num_teacher, num_student, expected):
    assert teaching_layers(num_teacher, num_student) == expected


def test_the_teacher_has_no_dropout_in_training(teacher):
    inputs = labelled_of()[0][0]
    layer = StateTeacher(teacher, [0, 2, 4])
    states = states_of(teacher, inputs)
    for state, expected in zip(layer(inputs, training=True), (states[0], states[2], states[4]), strict=True):
        np.testing.assert_allclose(as_array(state), expected, atol=1e-5)
    assert layer.trainable_variables == []


class TestModel:
    def test_its_loss_is_the_mean_squared_error_over_the_real_tokens_beside_the_loss_of_the_labels(
        self, student, teacher
    ):
        model = compiled(student, teacher, weight=0.3)
        randomize(model.get_layer("state_projections"))
        inputs, targets, weights = student_batches(labelled_of)()[0]
        is_token = inputs["input_ids"] != 0
        of_student, of_teacher = states_of(student, inputs), states_of(teacher, inputs)
        errors = []
        for number, projection in enumerate(model.get_layer("state_projections").projections):
            kernel, bias = projection.get_weights()
            projected = of_student[number] @ kernel + bias
            errors.append(np.square(projected - of_teacher[2 * number])[is_token].mean())
        loss = classification_loss(student.label_set)
        logits = logits_model(student)(inputs)
        of_labels = float(loss(targets["classification"], logits, weights["classification"]))
        computed = float(model.compute_loss(inputs, targets, model(inputs), weights))
        assert computed == pytest.approx(of_labels + 0.3 * np.mean(errors), rel=1e-4)

    def test_the_student_learns_the_states_and_the_teacher_remains(self, student, teacher, quickly):
        before, of_teacher = student.get_weights(), teacher.get_weights()
        model = compiled(student, teacher, optimizer=keras.optimizers.Adam(1e-2))
        history = model.fit(student_batches(labelled_of)(), epochs=8, verbose=0).history
        assert history["hidden_states_loss"][-1] < 0.7 * history["hidden_states_loss"][0]
        assert all((new != old).any() for new, old in zip(student.get_weights(), before, strict=True))
        for value, old in zip(teacher.get_weights(), of_teacher, strict=True):
            np.testing.assert_array_equal(value, old)

    def test_no_variable_of_the_teacher_has_the_path_of_one_that_is_trained(self, student, teacher):
        """Otherwise torch would add up the gradients of all steps."""
        model = student_model(student, teacher, weight=1.0)
        trained = {variable.path for variable in model.trainable_variables}
        assert len(trained) == len(model.trainable_variables)
        assert trained.isdisjoint(variable.path for variable in model.fixed_variables)

    def test_its_metrics_of_the_labels_have_their_usual_names(self, student, teacher, quickly):
        logs = compiled(student, teacher).fit(student_batches(labelled_of)().for_fit(), verbose=0).history
        assert sorted(logs) == ["binary_accuracy", "hidden_states_loss", "loss"]

    def test_windows_of_several_lengths(self, student, teacher, quickly):
        batches = student_batches(functools.partial(labelled_of, grouped=True))()
        assert {batch[0]["input_ids"].shape[1] for batch in batches} == {LENGTH // 2, LENGTH}
        logs = compiled(student, teacher).fit(batches.for_fit(), verbose=0).history
        assert np.isfinite([logs["loss"], logs["hidden_states_loss"]]).all()

    def test_a_checkpoint_contains_the_projections_but_not_the_teacher(self, student, teacher, tmp_path):
        model = compiled(student, teacher)
        checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
        checkpoint.save(model)
        with np.load(tmp_path / "checkpoint.npz") as arrays:
            saved = sum(name.startswith("model_") for name in arrays.files)
        assert saved == len(model.variables) - len(model.get_layer(TEACHER).variables)
        assert saved >= len(student.weights) + 2 * 3
        projections = model.get_layer("state_projections").get_weights()
        randomize(model.get_layer("state_projections"))
        checkpoint.load()
        checkpoint.restore(model)
        for value, expected in zip(model.get_layer("state_projections").get_weights(), projections, strict=True):
            np.testing.assert_array_equal(value, expected)


@pytest.fixture
def options(tmp_path, monkeypatch, tiny_pretrained):
    """A short fine-tuning, in a folder with a teacher."""
    monkeypatch.chdir(tmp_path)
    metadata = {"labels": ["差", "中", "好"]}
    save_model(tiny_models.classifier(metadata, max_seq_len=32, d_model=WIDTH, num_layers=4), "teacher.keras")
    write_opinions(Path("opinions.csv"))
    options = ["--dataset", "opinions.csv", "--pretrained", str(tiny_pretrained), "--unfreeze", "all", "--no-xla"]
    options += ["--learning-rate", "2e-3", "--head-learning-rate", "1e-2", "--batch-size", "4", "--head-fit", "epochs"]
    return [*options, "--teachers", "teacher.keras", "--hidden-loss-weight", "0.5", "--output", "student.keras"]


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
class TestRuns:
    def test_the_states_are_learnt_beside_the_labels(self, options, tiny_pretrained, capsys):
        assert fine_tuning.main([*options, "--epochs", "3", "--hard-label-weight", "0.5"]) == 0
        printed = capsys.readouterr().out
        assert "hidden states: those of layers 0, 2, 4 of teacher.keras (0: the embedding) are learnt" in printed
        losses = json.loads(Path("metrics.json").read_text(encoding="utf-8"))["history"]["hidden_states_loss"]
        assert losses[2] < losses[1] < losses[0]
        student = load_model("student.keras", BertClassifier)
        assert student.config.d_model == load_model(tiny_pretrained).config.d_model
        assert not any("projection" in variable.path for variable in student.weights)

    def test_a_killed_run_is_resumed_as_if_nothing_had_happened(self, options, monkeypatch, capsys):
        options = [*options, "--epochs", "2"]
        assert fine_tuning.main(options) == 0
        expected = load_model("student.keras").get_weights()
        with monkeypatch.context() as patch:
            patch.setattr(recipes.runs.resumption, "Checkpoint", functools.partial(KillingCheckpoint, batches=3))
            with pytest.raises(Killed):
                fine_tuning.main(options)
        assert progress_of("runs/fine_tuning/checkpoint.npz") == (0, 3)
        content = Path("teacher.keras").read_bytes()
        save_model(tiny_models.classifier({"labels": ["差", "中", "好"]}, max_seq_len=32), "teacher.keras")
        assert fine_tuning.main(["--resume"]) == 1
        assert "the data has changed since the run was interrupted" in capsys.readouterr().err
        Path("teacher.keras").write_bytes(content)
        assert fine_tuning.main(["--resume"]) == 0
        for value, whole in zip(load_model("student.keras").get_weights(), expected, strict=True):
            np.testing.assert_array_equal(value, whole)

    def test_a_grid_compares_weights_in_half_precision(self, options):
        options = [*options[:-2], "--epochs", "1", "--precision", "mixed_bfloat16"]
        assert fine_tuning.main([*options, "--grid", "hidden_loss_weight=0.1,5"]) == 0
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in Path("runs/fine_tuning").rglob("metrics.json")]
        weak, strong = sorted(run["history"]["hidden_states_loss"][0] for run in runs)
        assert np.isfinite([weak, strong]).all() and weak != strong


class TestTeachers:
    def test_a_folder_with_a_bert_that_has_no_labels(self, options, tmp_path, capsys):
        for name, layers in (("student", 2), ("teacher", 4)):
            (tmp_path / name).mkdir()
            save_checkpoint(tmp_path / name, random_bert(num_hidden_layers=layers))
        assert fine_tuning.main([*options, "--pretrained", "student", "--teachers", "teacher", "--dry-run"]) == 0
        assert "those of layers 0, 2, 4 of teacher (" in capsys.readouterr().out

    def test_a_bert_of_the_hub(self, options, tmp_path, monkeypatch, capsys):
        for name, layers in (("student", 2), ("teacher", 4)):
            (tmp_path / name).mkdir()
            save_checkpoint(tmp_path / name, random_bert(num_hidden_layers=layers))
        with model_server("owner/teacher", tmp_path / "teacher") as (address, _):
            use_hub(monkeypatch, tmp_path / "cache", address)
            options = [*options, "--pretrained", "student", "--teachers", "owner/teacher", "--dry-run"]
            assert fine_tuning.main(options) == 0
        assert "those of layers 0, 2, 4 of owner/teacher (" in capsys.readouterr().out

    def test_cleaned_texts(self, options, capsys):
        assert fine_tuning.main([*options, "--clean", "urls", "--dry-run"]) == 0
        assert "those of layers 0, 2, 4 of teacher.keras (" in capsys.readouterr().out

    def test_one_with_another_tokenizer_is_refused(self, options, capsys):
        teacher = load_model("teacher.keras")
        described = json.loads(teacher.tokenizer_json)
        described["normalizer"] = None
        teacher.tokenizer_asset.json = tokenizer_from_json(json.dumps(described)).to_str()
        save_model(teacher, "teacher.keras")
        assert fine_tuning.main(options) == 1
        assert_one_error(capsys.readouterr().err, "teacher.keras has another tokenizer than", "--hard-label-weight")

    def test_one_that_reads_fewer_tokens_is_refused(self, options, tiny_model, capsys):
        assert fine_tuning.main([*options, "--teachers", str(tiny_model)]) == 1
        assert_one_error(capsys.readouterr().err, "reads at most 16 tokens at once", "32: add --max-seq-len 16")
        assert fine_tuning.main([*options, "--teachers", str(tiny_model), "--max-seq-len", "16", "--dry-run"]) == 0

    def test_one_that_is_not_there_is_refused(self, options, capsys):
        assert fine_tuning.main([*options, "--teachers", "none.keras"]) == 1
        assert_one_error(capsys.readouterr().err, "none.keras: no such model file")

    @pytest.mark.parametrize("weight", ["0", "-1", "nan"])
    def test_the_weight_is_above_0(self, options, weight, capsys):
        with pytest.raises(SystemExit):
            fine_tuning.main([*options, "--hidden-loss-weight", weight])
        assert "a number above 0" in capsys.readouterr().err
