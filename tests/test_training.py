"""What the training scripts share: rates, losses, the loop, its checkpoints, and the folder of a run."""

import argparse
import dataclasses
import json
import math
import platform

import keras
import numpy as np
import pytest
from layer_checks import as_array, randomize

import fine_tuning
import pretrain
from evaluation.assessment import validation_of
from network.bert import BertClassifier, BertConfig, BertMaskedLM, backbone_layers, logits_model
from recipes.pretraining import BLANK, SENTENCES, fill_blank, print_filled_blanks
from recipes.run_folder import CHECKPOINT_NAME, RECORD_NAME, environment, finish_run, run_in_folder
from system.command_line import parse_plan
from system.errors import InputError
from text.dataset import Split, Splits
from text.labels import SENTIMENT
from text.sources import iter_texts
from text.tokens.tokenizer import SPECIAL_TOKENS, special_ids
from text.tokens.vocabulary import train_unigram
from text.tokens.windows import Windows
from training.classification import document_logits, feature_extractor, train_classifier
from training.engine.batches import LabelledBatches
from training.engine.checkpoint import Checkpoint
from training.engine.loop import ProgressBar, TimeLimit, fit_epochs
from training.engine.optimizer import DiscriminativeAdamW, decaying_learning_rate, fine_tuning_optimizer
from training.losses import binary_accuracy
from training.masked_lm import masked_accuracy, masked_lm_loss

ROWS, BATCH_SIZE, EPOCHS = 24, 4, 3
STEPS = ROWS // BATCH_SIZE
FEATURES = np.random.default_rng(0).normal(size=(ROWS, 5)).astype("float32")
LABELS = (FEATURES[:, 0] > 0).astype("float32")


@pytest.fixture(scope="module")
def tokenizer():
    texts = list(iter_texts(["sample"]))
    return train_unigram(lambda: texts, vocab_size=1500, min_count=2)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


class TestLearningRate:
    @pytest.mark.parametrize("total_steps", [2, 3, 10, 100])
    def test_rises_to_the_peak_and_falls_to_nothing(self, total_steps):
        schedule = decaying_learning_rate(0.5, total_steps)
        rates = [float(schedule(step)) for step in range(total_steps + 1)]
        peak = int(np.argmax(rates))
        assert peak == max(1, round(0.06 * total_steps))
        assert rates[peak] == 0.5
        assert (np.diff(rates[: peak + 1]) > 0).all()
        assert (np.diff(rates[peak:]) < 0).all()
        assert rates[0] == 0
        assert rates[total_steps] == pytest.approx(0, abs=1e-7)

    def test_warmup_is_linear_and_the_fall_a_cosine(self):
        schedule = decaying_learning_rate(1.0, 100)
        assert [float(schedule(step)) for step in (1, 3, 6)] == pytest.approx([1 / 6, 1 / 2, 1])
        assert float(schedule(6 + 47)) == pytest.approx(0.5)
        assert float(schedule(6 + 94 // 3)) == pytest.approx((1 + math.cos(math.pi * 31 / 94)) / 2)

    def test_a_single_step_has_the_peak(self):
        assert decaying_learning_rate(0.5, 1) == 0.5


class TestDiscriminativeAdamW:
    def layers(self):
        layers = [keras.layers.Dense(3, name=name) for name in ("transformer_encoder", "classification_output", "old")]
        for number, layer in enumerate(layers):
            layer.build((None, 2))
            randomize(layer, seed=number)
        return layers

    def apply(self, optimizer, layers, steps=4):
        generator = np.random.default_rng(1)
        variables = [variable for layer in layers for variable in layer.trainable_variables]
        for _ in range(steps):
            gradients = [generator.normal(size=variable.shape).astype("float32") for variable in variables]
            optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], variables)

    def test_each_layer_moves_as_with_an_optimizer_of_its_own(self):
        together, apart = self.layers(), self.layers()
        factors = {"classification_output": 1.0, "old": 0.5}
        self.apply(DiscriminativeAdamW(0.02, factors, other_factor=0.1, weight_decay=0.0), together)
        for layer, rate in zip(apart, (0.002, 0.02, 0.01), strict=True):
            others = [other for other in self.layers() if other.name != layer.name]
            # All layers are handed over, so that each gets the gradients that it gets above.
            everything = sorted([layer, *others], key=lambda one: [other.name for other in together].index(one.name))
            self.apply(keras.optimizers.Adam(rate), everything)
        for layer, expected in zip(together, apart, strict=True):
            for value, other in zip(layer.get_weights(), expected.get_weights(), strict=True):
                np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_rates_of_fine_tuning_in_a_compiled_step(self, jit_compile):
        keras.utils.set_random_seed(1)  # some weights give a gradient that is small even beside epsilon
        inputs = keras.Input((5,))
        hidden = keras.layers.Dense(4, name="bert_embedding")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid", name="classification_output")(hidden))
        model.compile(fine_tuning_optimizer(5e-5, 1e-2, 1), loss="binary_crossentropy", jit_compile=jit_compile)
        before = model.get_weights()
        model.fit(FEATURES, LABELS, batch_size=ROWS, verbose=0)
        # The first step of Adam moves each weight by the rate, whatever its gradient.
        moves = [np.abs(new - old).max() for new, old in zip(model.get_weights(), before, strict=True)]
        assert moves == pytest.approx([5e-5, 5e-5, 1e-2, 1e-2], rel=0.02)

    def test_config_round_trip(self):
        optimizer = fine_tuning_optimizer(5e-5, 1e-2, 100)
        again = keras.optimizers.deserialize(json.loads(json.dumps(keras.optimizers.serialize(optimizer))))
        assert type(again) is DiscriminativeAdamW
        assert again.factors == {"classification_output": 1.0}
        assert again.other_factor == pytest.approx(5e-3)
        assert again.get_config() == optimizer.get_config()


class TestLosses:
    generator = np.random.default_rng(2)
    logits = generator.normal(size=(4, 3, 7)).astype("float32")
    targets = generator.integers(0, 7, (4, 3))
    weights = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], "float32")

    def loss(self, targets=targets, logits=logits, weights=weights):
        return float(masked_lm_loss()(targets, logits, sample_weight=weights))

    def test_is_the_mean_over_the_real_targets(self):
        losses = -np.take_along_axis(log_softmax(self.logits), self.targets[..., None], -1)[..., 0]
        assert self.loss() == pytest.approx((losses * self.weights).sum() / 6, rel=1e-5)

    def test_targets_without_weight_change_nothing(self):
        hidden = self.weights == 0
        targets, logits = self.targets.copy(), self.logits.copy()
        targets[hidden] = (targets[hidden] + 3) % 7
        logits[hidden] *= -5
        assert self.loss(targets, logits) == self.loss()
        more_rows = [np.concatenate([array, array[2:3]]) for array in (self.targets, self.logits, self.weights)]
        assert self.loss(*more_rows) == pytest.approx(self.loss(), rel=1e-6)

    def test_without_any_target_it_is_zero(self):
        assert self.loss(weights=np.zeros((4, 3), "float32")) == 0

    def test_accuracy_is_that_of_the_best_token(self):
        expected = (self.logits.argmax(-1) == self.targets).astype("float32")
        assert 0 < expected.sum() < expected.size
        np.testing.assert_array_equal(as_array(masked_accuracy(self.targets, self.logits)), expected)
        np.testing.assert_array_equal(as_array(masked_accuracy(self.logits.argmax(-1), self.logits)), 1)


def small_network(seed=0, units=6):
    """A compiled network with dropout, whose random numbers a resumed run must go on with."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,))
    hidden = keras.layers.Dropout(0.3)(keras.layers.Dense(units, "relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, "sigmoid")(hidden))
    model.compile(keras.optimizers.AdamW(0.05), "binary_crossentropy", metrics=["binary_accuracy"], run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return model


def batches_of(epoch=0, first_batch=0, labels=LABELS):
    return LabelledBatches(FEATURES, labels, BATCH_SIZE, seed=1, epoch=epoch, first_batch=first_batch)


def fit(model, checkpoint=None, batches=batches_of, validate=None, **options):
    def evaluate():
        return model.evaluate(FEATURES, LABELS, batch_size=ROWS, verbose=0, return_dict=True)

    return fit_epochs(model, batches, validate or evaluate, EPOCHS, checkpoint=checkpoint, **options)


def all_variables(model):
    return [as_array(variable.value) for variable in (*model.variables, *model.optimizer.variables)]


def assert_same_state(model, other):
    for value, expected in zip(all_variables(model), all_variables(other), strict=True):
        np.testing.assert_array_equal(value, expected)


class Killed(Exception):
    """Stands for SIGKILL: nothing of the run's own code takes notice."""


class KillAfter(keras.callbacks.Callback):
    """Ends the run after so many batches."""

    def __init__(self, batches, error=Killed):
        super().__init__()
        self.batches_left = batches
        self.error = error

    def on_train_batch_begin(self, batch, logs=None):
        if not self.batches_left:
            raise self.error
        self.batches_left -= 1


@pytest.fixture(scope="module")
def undisturbed():
    model = small_network()
    return model, fit(model)


class TestCheckpoint:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / CHECKPOINT_NAME

    def test_other_data_is_refused(self, path):
        fit(small_network(), Checkpoint(path, data_sha256="one"))
        Checkpoint(path, data_sha256="one").load()
        with pytest.raises(InputError, match="data has changed"):
            Checkpoint(path, data_sha256="other").load()

    def test_round_trip(self, path):
        model, checkpoint = small_network(), Checkpoint(path)
        checkpoint.progress["total_steps"] = 18
        with pytest.raises(Killed):
            fit(model, checkpoint, callbacks=[KillAfter(STEPS + 2)])
        checkpoint.save(model)
        metrics = [as_array(variable.value) for variable in model.metrics_variables]
        assert any(metric.any() for metric in metrics)

        other, again = small_network(seed=9), Checkpoint(path)
        again.load()
        again.restore(other)
        assert again.progress == checkpoint.progress
        assert again.progress["total_steps"] == 18
        assert (again.progress["epoch"], again.progress["batch"]) == (1, 2)
        assert_same_state(other, model)
        other.fit(FEATURES, LABELS, epochs=1, steps_per_epoch=1, verbose=0)  # builds the metrics
        other.reset_metrics()
        again.set_model(other)
        again.on_epoch_begin(0)
        for variable, expected in zip(other.metrics_variables, metrics, strict=True):
            np.testing.assert_array_equal(as_array(variable.value), expected)

    @pytest.mark.parametrize("batches_done", [1, STEPS - 1, STEPS, STEPS + 1, EPOCHS * STEPS - 1])
    def test_a_killed_run_goes_on_as_if_nothing_had_happened(self, path, undisturbed, batches_done):
        with pytest.raises(Killed):
            fit(small_network(), Checkpoint(path, interval=0), callbacks=[KillAfter(batches_done)])
        self.assert_resumes(path, undisturbed)

    @pytest.mark.parametrize(("where", "epoch"), [("validate", 0), ("validate", EPOCHS - 1), ("after_epoch", 1)])
    def test_a_run_killed_between_two_epochs(self, path, undisturbed, where, epoch):
        model, calls = small_network(), []

        def kill():
            calls.append(where)
            if len(calls) > epoch:
                raise Killed
            return model.evaluate(FEATURES, LABELS, batch_size=ROWS, verbose=0, return_dict=True)

        with pytest.raises(Killed):
            fit(model, Checkpoint(path, interval=0), **{where: kill})
        self.assert_resumes(path, undisturbed)

    def test_a_run_killed_twice(self, path, undisturbed):
        with pytest.raises(Killed):
            fit(small_network(), Checkpoint(path, interval=0), callbacks=[KillAfter(2)])
        model, checkpoint = small_network(seed=5), Checkpoint(path, interval=0)
        checkpoint.load()
        checkpoint.restore(model)
        with pytest.raises(Killed):
            fit(model, checkpoint, callbacks=[KillAfter(2)])
        assert json.loads(str(np.load(path)["progress"]))["batch"] == 4
        self.assert_resumes(path, undisturbed)

    def assert_resumes(self, path, undisturbed):
        keras.utils.set_random_seed(77)
        model, checkpoint = small_network(seed=8), Checkpoint(path)
        checkpoint.load()
        checkpoint.restore(model)
        history = fit(model, checkpoint)
        assert history == undisturbed[1]
        assert_same_state(model, undisturbed[0])

    def test_writes_only_as_often_as_asked(self, path):
        with pytest.raises(Killed):
            fit(small_network(), Checkpoint(path, interval=3600), callbacks=[KillAfter(STEPS - 1)])
        assert not path.exists()

    @pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "without progress"])
    def test_a_file_that_cannot_be_used(self, path, damage):
        checkpoint = Checkpoint(path)
        checkpoint.save(small_network())
        content = path.read_bytes()
        if damage == "missing":
            path.unlink()
        elif damage == "without progress":
            np.savez(path, model_0000=np.zeros(3))
        else:
            path.write_bytes(
                {"empty": b"", "text": b"not a checkpoint", "truncated": content[: len(content) // 2]}[damage]
            )
        with pytest.raises(InputError, match="no interrupted run" if damage == "missing" else "damaged") as caught:
            Checkpoint(path).load()
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("other", ["wider", "another optimizer"])
    def test_a_file_of_another_network(self, path, other):
        Checkpoint(path).save(small_network())
        model = small_network(units=7) if other == "wider" else small_network()
        if other == "another optimizer":
            model.compile(keras.optimizers.SGD(), "binary_crossentropy")
            model.optimizer.build(model.trainable_variables)
        checkpoint = Checkpoint(path)
        checkpoint.load()
        with pytest.raises(InputError, match="another network"):
            checkpoint.restore(model)


class TestLoop:
    def test_history_and_what_is_printed(self, capsys):
        calls = []
        history = fit(small_network(), after_epoch=lambda: calls.append("after"))
        assert list(history) == ["loss", "binary_accuracy", "val_loss", "val_binary_accuracy"]
        assert [len(values) for values in history.values()] == [EPOCHS] * 4
        assert all(type(value) is float for values in history.values() for value in values)
        assert calls == ["after"] * EPOCHS
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == EPOCHS
        for number, line in enumerate(lines):
            head, _, *figures = line.split(" - ")
            assert head == f"Epoch {number + 1}/{EPOCHS}"
            assert figures == [f"{name}: {values[number]:.4f}" for name, values in history.items()]

    def test_epochs_see_every_row_once(self):
        seen = []

        class Recorded(LabelledBatches):
            def batch(self, rows, number):
                seen.append((self.epoch, number, tuple(rows)))
                return super().batch(rows, number)

        def recorded(epoch, first_batch):
            return Recorded(FEATURES, LABELS, BATCH_SIZE, seed=1, epoch=epoch, first_batch=first_batch)

        fit(small_network(), batches=recorded)
        for epoch in range(EPOCHS):
            # The first batches are asked for twice: once for their shape alone.
            served = dict(sorted((number, rows) for at, number, rows in seen if at == epoch))
            assert sorted(row for rows in served.values() for row in rows) == list(range(ROWS))
            in_order = [number for at, number, _ in seen if at == epoch]
            assert in_order[-STEPS:] == list(range(STEPS))

    @pytest.mark.parametrize("when", ["training", "validation"])
    def test_a_loss_that_is_no_number(self, tmp_path, when):
        labels = LABELS * np.float32(np.nan) if when == "training" else LABELS
        validate = (lambda: {"loss": math.nan}) if when == "validation" else None
        checkpoint = Checkpoint(tmp_path / CHECKPOINT_NAME, interval=0)
        with pytest.raises(InputError, match="became nan in epoch 1.*smaller learning rate"):
            fit(small_network(), checkpoint, lambda **place: batches_of(**place, labels=labels), validate)
        # What is kept would lead to the same end, and stand in the way of the next run.
        assert not checkpoint.path.exists()

    @pytest.mark.parametrize("stop", ["callback", "time"])
    def test_stops_when_asked(self, stop):
        class Stop(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.stop_training = True

        model, calls = small_network(), []
        stopper = Stop() if stop == "callback" else TimeLimit(end=-math.inf)
        history = fit(model, callbacks=[stopper], after_epoch=lambda: calls.append("after"))
        assert [len(values) for values in history.values()] == [1] * 4
        assert calls == ["after"]

    def test_a_time_limit_in_the_future_stops_nothing(self):
        history = fit(small_network(), callbacks=[TimeLimit(end=math.inf)])
        assert len(history["loss"]) == EPOCHS

    @pytest.mark.parametrize("batches_done", [0, 1])
    def test_an_interrupted_run_says_how_to_go_on(self, tmp_path, capsys, batches_done):
        checkpoint = Checkpoint(tmp_path / CHECKPOINT_NAME, interval=0)
        with pytest.raises(KeyboardInterrupt):
            fit(small_network(), checkpoint, callbacks=[KillAfter(batches_done, KeyboardInterrupt)])
        error = capsys.readouterr().err
        assert ("--resume" in error and str(tmp_path) in error) is bool(batches_done)

    def test_progress_goes_to_standard_error(self, capsys):
        fit(small_network(), callbacks=[ProgressBar(" rows", BATCH_SIZE)])
        output = capsys.readouterr()
        assert "epoch 1:" in output.err
        assert f"/{ROWS:.1f}" in output.err
        assert "epoch 1:" not in output.out


class TestRun:
    def start(self, folder, *argv, script=pretrain):
        argv = ["--run-folder", str(folder), *argv]
        plan, typed = parse_plan(script.build_parser(), script.PLAN, argv)
        with run_in_folder(dataclasses.asdict(plan), typed) as arguments:
            return argparse.Namespace(**arguments)

    def interrupted(self, folder, *argv, script=pretrain):
        args = self.start(folder, *argv, script=script)
        (folder / CHECKPOINT_NAME).touch()
        return args

    def test_records_arguments_and_versions(self, tmp_path):
        args = self.start(tmp_path / "run", "--epochs", "7", "--corpus", "a.txt", "b.txt")
        record = json.loads((tmp_path / "run" / RECORD_NAME).read_text(encoding="utf-8"))
        assert record["arguments"] == vars(args)
        assert record["arguments"]["epochs"] == 7
        assert record["arguments"]["corpus"] == ["a.txt", "b.txt"]
        assert record["python"] == platform.python_version()
        assert record["versions"]["keras"] == keras.__version__
        assert record["backend"] == keras.backend.backend()
        assert record.keys() - {"arguments"} == environment().keys()

    def test_a_dry_run_records_nothing(self, tmp_path):
        self.start(tmp_path / "run", "--dry-run")
        assert not (tmp_path / "run").exists()

    def test_replaces_a_finished_run_and_says_so(self, tmp_path, capsys):
        self.interrupted(tmp_path)
        finish_run(tmp_path)
        assert not (tmp_path / CHECKPOINT_NAME).exists()
        assert self.start(tmp_path, "--epochs", "9").epochs == 9
        assert "earlier run" in capsys.readouterr().err
        assert json.loads((tmp_path / RECORD_NAME).read_text(encoding="utf-8"))["arguments"]["epochs"] == 9

    @pytest.mark.parametrize("argv", [[], ["--epochs", "9"], ["--dry-run"]])
    def test_an_interrupted_run_is_not_lost(self, tmp_path, argv):
        self.interrupted(tmp_path, "--epochs", "7")
        before = (tmp_path / RECORD_NAME).read_bytes()
        with pytest.raises(InputError, match="--resume"):
            self.start(tmp_path, *argv)
        assert (tmp_path / RECORD_NAME).read_bytes() == before

    def test_resumes_with_the_arguments_of_the_interrupted_run(self, tmp_path):
        args = self.interrupted(tmp_path, "--epochs", "7", "--learning-rate", "0.004", "--corpus", "sample", "--no-xla")
        resumed = self.start(tmp_path, "--resume")
        assert vars(resumed) == vars(args) | {"resume": True}

    def test_repeated_arguments_are_accepted(self, tmp_path):
        given = ["--epochs", "7", "--learning-rate", "4e-3", "--corpus", "a", "b", "--whole-words"]
        self.interrupted(tmp_path, *given)
        assert self.start(tmp_path, "--resume", *given, "--batch-size", "128").epochs == 7

    @pytest.mark.parametrize(
        "changed",
        [
            ["--learning-rate", "0.001"],
            ["--learning-rate", str(pretrain.LEARNING_RATE)],
            ["--epochs", str(pretrain.EPOCHS)],
            ["--corpus", "sample"],
            ["--whole-words"],
            ["--max-seq-len", "128"],
        ],
    )
    def test_a_changed_argument_is_refused_by_its_name(self, tmp_path, changed):
        self.interrupted(tmp_path, "--epochs", "7", "--learning-rate", "0.004")
        with pytest.raises(InputError, match=changed[0] + " .*, not "):
            self.start(tmp_path, "--resume", *changed)

    def test_what_may_change(self, tmp_path):
        self.interrupted(tmp_path / "run", "--max-minutes", "5")
        (tmp_path / "run").rename(tmp_path / "moved")
        resumed = self.start(tmp_path / "moved", "--resume", "--max-minutes", "9", "--dry-run")
        assert (resumed.max_minutes, resumed.dry_run) == (9, True)
        assert resumed.run_folder == str(tmp_path / "moved")

    @pytest.mark.parametrize("content", [None, "", "{", "{}"])
    def test_nothing_to_resume(self, tmp_path, content):
        if content is not None:
            (tmp_path / RECORD_NAME).write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="no interrupted run"):
            self.start(tmp_path, "--resume")

    def test_the_run_of_another_script(self, tmp_path):
        self.interrupted(tmp_path, script=fine_tuning)
        with pytest.raises(InputError, match="another script"):
            self.start(tmp_path, "--resume")

    @pytest.mark.parametrize("seed", ["-1", str(2**32)])
    def test_a_seed_that_no_generator_takes(self, tmp_path, capsys, seed):
        with pytest.raises(SystemExit, match="2"):
            self.start(tmp_path, "--seed", seed)
        assert "--seed" in capsys.readouterr().err
        assert not (tmp_path / RECORD_NAME).exists()
        assert isinstance(self.start(tmp_path, "--seed", str(2**32 - 1)), argparse.Namespace)


class TestFillBlank:
    SENTENCE = f"房间很{BLANK}，下次还会来。"

    def masked_lm(self, tokenizer, max_seq_len=32):
        config = BertConfig(vocab_size=1500, max_seq_len=max_seq_len, d_model=16, dff=32)
        model = BertMaskedLM(config, tokenizer.to_str())
        randomize(model)
        return model

    def test_gives_the_likeliest_tokens_with_their_probabilities(self, tokenizer):
        model = self.masked_lm(tokenizer)
        guesses = fill_blank(model, tokenizer, self.SENTENCE, count=5)
        assert len(guesses) == 5
        probabilities = [probability for _, probability in guesses]
        assert probabilities == sorted(probabilities, reverse=True)
        assert not {token for token, _ in guesses} & set(SPECIAL_TOKENS)

        # The mask must stand where the blank is: what the model says of that place, without the special tokens.
        before, after = (tokenizer.encode(part, add_special_tokens=False).tokens for part in self.SENTENCE.split(BLANK))
        ids = [tokenizer.token_to_id(token) for token in ("[CLS]", *before, "[MASK]", *after, "[SEP]")]
        input_ids = np.array([ids + [0] * (32 - len(ids))], "int32")
        inputs = {"input_ids": input_ids, "token_type_ids": 0 * input_ids}
        logits = as_array(model(inputs | {"masked_positions": np.array([[ids.index(4)]], "int32")}))[0, 0]
        assert tokenizer.id_to_token(4) == "[MASK]"
        ordinary = np.delete(np.arange(1500), special_ids(tokenizer))
        expected = dict(zip(ordinary, np.exp(log_softmax(logits[ordinary])), strict=True))
        best = sorted(expected, key=expected.get, reverse=True)[:5]
        assert [token for token, _ in guesses] == [tokenizer.id_to_token(int(token)) for token in best]
        assert probabilities == pytest.approx([expected[token] for token in best], rel=1e-4)

    @pytest.mark.parametrize("max_seq_len", [3, 4, 6, 9])
    def test_a_sentence_longer_than_the_model_reads(self, tokenizer, max_seq_len):
        model = self.masked_lm(tokenizer, max_seq_len)
        for sentence in (self.SENTENCE, BLANK + "好" * 50, "好" * 50 + BLANK, BLANK):
            (_, probability), *_ = guesses = fill_blank(model, tokenizer, sentence)
            assert len(guesses) == 3
            assert 0 < probability <= 1

    def test_what_is_printed(self, tokenizer, capsys):
        model = self.masked_lm(tokenizer)
        print_filled_blanks(model, tokenizer)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == len(SENTENCES)
        for sentence, line in zip(SENTENCES, lines, strict=True):
            assert sentence in line
            for token, probability in fill_blank(model, tokenizer, sentence):
                assert f"{token} {probability:.0%}" in line


def part_of(rows, seed):
    """Texts in which the first token decides, with padding behind."""
    generator = np.random.default_rng(seed)
    input_ids = generator.integers(5, 30, (rows, 8), "int32")
    input_ids[:, 6:] = 0
    targets = SENTIMENT.targets(input_ids[:, 0] > 17)
    return Split([""] * rows, targets, Windows(input_ids, np.full(rows, 4), np.arange(rows), np.zeros(rows, bool)))


def probabilities_of(classifier, part):
    return SENTIMENT.probabilities(document_logits(logits_model(classifier), part))[:, 1]


def plan_of(**changes):
    """A plan with high learning rates, not compiled with XLA."""
    settings = {"batch_size": 16, "learning_rate": 1e-3, "head_learning_rate": 2e-2, "seed": 1, "no_xla": True}
    return dataclasses.replace(fine_tuning.PLAN, **settings | changes)


class TestClassification:
    REVIEWS = Splits(None, *(part_of(rows, seed) for seed, rows in enumerate((160, 64, 64))))
    CONFIG = BertConfig(vocab_size=30, max_seq_len=8, d_model=16, dff=32)

    def classifier(self, unfreeze=0, seed=0):
        keras.utils.set_random_seed(seed)
        classifier = BertClassifier(self.CONFIG, unfreeze=unfreeze)
        randomize(classifier)
        return classifier

    def train(self, classifier, checkpoint=None, resume=False, epochs=6, jit_compile=False):
        plan = plan_of(epochs=epochs, no_xla=not jit_compile)
        return train_classifier(classifier, self.REVIEWS, plan, validation_of(self.REVIEWS), checkpoint, resume=resume)

    def test_the_head_answers_as_it_did_on_standardised_features(self):
        classifier = self.classifier()
        backbone = [layer.get_weights() for layer in backbone_layers(classifier)]
        history = self.train(classifier)
        # The last epoch was measured on standardised features, this on the network as it is saved.
        probabilities = probabilities_of(classifier, self.REVIEWS.validation)
        labels = self.REVIEWS.validation.labels
        losses = -np.log(np.where(labels == 1, probabilities, 1 - probabilities))
        assert losses.mean() == pytest.approx(history["val_loss"][-1], rel=1e-4)
        assert ((probabilities > 0.5) == labels).mean() == pytest.approx(history["val_binary_accuracy"][-1])
        for layer, weights in zip(backbone_layers(classifier), backbone, strict=True):
            for value, expected in zip(layer.get_weights(), weights, strict=True):
                np.testing.assert_array_equal(value, expected)

    def test_the_head_learns_what_is_in_the_features(self):
        classifier = self.classifier()
        extractor = feature_extractor(classifier)

        def labelled(part):
            feature = extractor.predict(part.windows.inputs, verbose=0)[:, 0]
            return dataclasses.replace(part, targets=SENTIMENT.targets(feature > np.median(feature)))

        parts = (self.REVIEWS.train, self.REVIEWS.validation, self.REVIEWS.test)
        splits = Splits(None, *map(labelled, parts))
        plan = plan_of(epochs=12, head_learning_rate=5e-2, no_xla=False)
        train_classifier(classifier, splits, plan, validation_of(splits))
        answers = probabilities_of(classifier, splits.test) > 0.5
        assert (answers == splits.test.labels).mean() > 0.85

    def test_features_are_what_the_head_sees(self):
        classifier, inputs = self.classifier(), self.REVIEWS.test.windows.inputs
        features = feature_extractor(classifier).predict(inputs, verbose=0)
        assert features.shape == (64, 16)
        answers = as_array(classifier.get_layer("classification_output")(features))
        np.testing.assert_allclose(answers, classifier.predict(inputs, verbose=0), atol=1e-6)

    def test_a_feature_that_never_changes(self):
        classifier = self.classifier()
        # The scale of the last normalisation: a feature that is 0 for all texts has no deviation.
        pooled = classifier.get_layer("transformer_encoder_1")
        for variable in pooled.weights:
            values = as_array(variable.value).copy()
            if values.shape[-1] == 16:
                values[..., 3] = 0
                variable.assign(values)
        history = self.train(classifier)
        assert np.isfinite(probabilities_of(classifier, self.REVIEWS.test)).all()
        assert math.isfinite(history["val_loss"][-1])

    @pytest.mark.parametrize("unfreeze", [0, "all"])
    def test_a_teacher_is_followed(self, unfreeze):
        """Of ten times as many texts as there are labels, it calls each positive by 0.95."""
        distilled = dataclasses.replace(part_of(1600, seed=9), targets=np.full((1600, 1), 0.95, np.float32))
        plan = plan_of(epochs=4)
        classifier = self.classifier(unfreeze)
        history = train_classifier(classifier, self.REVIEWS, plan, validation_of(self.REVIEWS), distilled=distilled)
        expected = (1600 * 0.95 + self.REVIEWS.train.labels.sum()) / 1760
        assert probabilities_of(classifier, self.REVIEWS.test).mean() == pytest.approx(expected, abs=0.05)
        assert history["binary_accuracy"][-1] > 0.9

    def test_accuracy_in_training(self):
        targets, logits = np.array([[1], [0], [0.8], [0.1]]), np.array([[2.2], [1.4], [0.0], [0.4]])
        assert as_array(binary_accuracy(targets, logits)).tolist() == [1, 0, 1, 0]

    def test_accuracy_in_training_is_that_of_the_answers(self):
        """With a rate of next to nothing the network is the same before and after."""
        classifier = BertClassifier(dataclasses.replace(self.CONFIG, dropout_rate=0.0), unfreeze=1)
        randomize(classifier)
        plan = plan_of(epochs=1, learning_rate=1e-12, head_learning_rate=1e-12)
        history = train_classifier(classifier, self.REVIEWS, plan, validation_of(self.REVIEWS))
        train = self.REVIEWS.train
        right = (probabilities_of(classifier, train) >= 0.5) == train.labels
        assert history["binary_accuracy"][0] == pytest.approx(right.mean())

    def test_the_windows_of_a_review_weigh_as_much_as_one(self):
        """A review of 50 windows that contradicts two of a single one does not outvote them."""
        ids = np.tile(np.array([5, 6, 7, 8, 9, 10, 0, 0], np.int32), (52, 1))
        windows = Windows(ids, np.full(52, 4), np.array([0] * 50 + [1, 2]), np.zeros(3, bool))
        part = Split([""] * 3, SENTIMENT.targets([0, 1, 1]), windows)
        classifier = BertClassifier(dataclasses.replace(self.CONFIG, dropout_rate=0.0), unfreeze=1)
        plan = plan_of(epochs=50, batch_size=52, learning_rate=3e-3, head_learning_rate=0.15)
        splits = Splits(None, part, part, part)
        train_classifier(classifier, splits, plan, validation_of(splits))
        assert probabilities_of(classifier, part) == pytest.approx([2 / 3] * 3, abs=0.02)

    @pytest.mark.parametrize("unfreeze", [0, 1])
    def test_resumed_training(self, tmp_path, unfreeze):
        expected = self.classifier(unfreeze)
        expected_history = self.train(expected, epochs=3)
        checkpoint = Checkpoint(tmp_path / CHECKPOINT_NAME, interval=0)
        on_train_batch_end, batches = checkpoint.on_train_batch_end, []

        def kill(batch, logs=None):
            on_train_batch_end(batch, logs)
            batches.append(batch)
            if len(batches) == 14:
                raise Killed

        checkpoint.on_train_batch_end = kill
        with pytest.raises(Killed):
            self.train(self.classifier(unfreeze), checkpoint, epochs=3)
        classifier = self.classifier(unfreeze, seed=5)
        history = self.train(classifier, Checkpoint(tmp_path / CHECKPOINT_NAME), resume=True, epochs=3)
        assert history == expected_history
        for value, other in zip(classifier.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(value, other)

    @pytest.mark.parametrize("unfreeze", [1, "all"])
    def test_what_is_trained(self, unfreeze):
        classifier = self.classifier(unfreeze)
        before = {layer.name: layer.get_weights() for layer in classifier.layers}
        self.train(classifier, epochs=1)
        changed = {
            layer.name
            for layer in classifier.layers
            if any((new != old).any() for new, old in zip(layer.get_weights(), before[layer.name], strict=True))
        }
        backbone = ["transformer_encoder_1", "transformer_encoder", "bert_embedding"]
        trained = backbone if unfreeze == "all" else backbone[:unfreeze]
        assert changed == {"classification_output", *trained}
