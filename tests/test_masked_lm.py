"""The losses and the metrics of pre-training, with weights for the real targets, for one task and for both."""

import keras
import numpy as np
import pytest
import tiny_models
from layer_checks import as_array

from network.pretrained import with_next_sentence
from pretrain import PLAN
from recipes.runs.run_data import masker_of
from system.errors import InputError
from text.packing.packing import pack_corpus
from training.engine.checkpoint import Checkpoint
from training.masked_lm import (
    masked_accuracy,
    masked_lm_loss,
    next_sentence_accuracy,
    next_sentence_loss,
    objectives,
    pretrain,
    sampled_masked_lm,
    whole_vocabulary_model,
)

GENERATOR = np.random.default_rng(2)
LOGITS = GENERATOR.normal(size=(4, 3, 7)).astype("float32")
TARGETS = GENERATOR.integers(0, 7, (4, 3))
WEIGHTS = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], "float32")


def loss(targets=TARGETS, logits=LOGITS, weights=WEIGHTS):
    return float(masked_lm_loss()(targets, logits, sample_weight=weights))


def test_the_loss_is_the_mean_over_the_real_targets():
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log_probabilities, TARGETS[..., None], -1)[..., 0]
    assert loss() == pytest.approx((losses * WEIGHTS).sum() / 6, rel=1e-5)


def test_targets_without_weight_change_nothing():
    without_weight = WEIGHTS == 0
    targets, logits = TARGETS.copy(), LOGITS.copy()
    targets[without_weight] = (targets[without_weight] + 3) % 7
    logits[without_weight] *= -5
    assert loss(targets, logits) == loss()
    more_rows = [np.concatenate([array, array[2:3]]) for array in (TARGETS, LOGITS, WEIGHTS)]
    assert loss(*more_rows) == pytest.approx(loss(), rel=1e-6)


def test_the_loss_without_any_target_is_zero():
    assert loss(weights=np.zeros((4, 3), "float32")) == 0


def test_the_accuracy_is_that_of_the_best_token():
    expected = (LOGITS.argmax(-1) == TARGETS).astype("float32")
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(as_array(masked_accuracy(TARGETS, LOGITS)), expected)
    np.testing.assert_array_equal(as_array(masked_accuracy(LOGITS.argmax(-1), LOGITS)), 1)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint.npz")
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile(keras.optimizers.Adam(), "mse")
    checkpoint.save(network)
    corpus = pack_corpus(["sample"], tiny_models.sample_tokenizer(), 16, tmp_path)
    model = tiny_models.masked_lm(max_seq_len=16)
    with pytest.raises(InputError, match=r"checkpoint.npz: the checkpoint is of another kind of training; delete it"):
        pretrain(model, corpus, masker_of(model, 0.15), PLAN, Checkpoint(checkpoint.path), resume=True)


class TestNextSentence:
    LABELS = np.array([[1], [0], [0], [1]], "float32")
    PAIR_WEIGHTS = np.array([1, 1, 0, 1], "float32")
    INPUTS = {
        "input_ids": np.random.default_rng(3).integers(5, 40, (4, 6)).astype("int32"),
        "token_type_ids": np.tile(np.array([0, 0, 0, 1, 1, 1], "int32"), (4, 1)),
        "masked_positions": np.array([[1, 4, 2], [1, 2, 3], [5, 4, 3], [2, 3, 4]], "int32"),
    }

    @pytest.fixture(scope="class")
    @staticmethod
    def model():
        return with_next_sentence(tiny_models.masked_lm(max_seq_len=6, num_layers=1))

    def test_the_loss_is_the_mean_over_the_pairs(self):
        logits = np.array([[2.0], [-1], [5], [-3]], "float32")
        losses = np.log1p(np.exp(np.array([-2, -1, 3])))
        found = float(next_sentence_loss()(self.LABELS, logits, sample_weight=self.PAIR_WEIGHTS))
        assert found == pytest.approx(losses.mean(), rel=1e-5)
        assert float(next_sentence_loss()(self.LABELS, logits, sample_weight=0 * self.PAIR_WEIGHTS)) == 0
        assert as_array(next_sentence_accuracy(self.LABELS, logits)).tolist() == [[1], [1], [0], [0]]

    def test_metrics_of_masked_tokens_are_those_of_a_model_without_the_task(self, model):
        one, both = whole_vocabulary_model(model), whole_vocabulary_model(model, next_sentence=True)
        for each in (one, both):
            each.compile(**objectives(each), run_eagerly=True)
        targets = {"masked_lm": TARGETS, "next_sentence": self.LABELS}
        weights = {"masked_lm": WEIGHTS, "next_sentence": self.PAIR_WEIGHTS}
        options = {"batch_size": 4, "verbose": 0, "return_dict": True}
        alone = one.evaluate(self.INPUTS, TARGETS, sample_weight=WEIGHTS, **options)
        found = both.evaluate(self.INPUTS, targets, sample_weight=weights, **options)
        logits = as_array(model(self.INPUTS)["next_sentence"])
        is_correct = ((logits > 0) == self.LABELS)[:, 0]
        expected = alone | {
            "next_sentence_loss": float(next_sentence_loss()(self.LABELS, logits, sample_weight=self.PAIR_WEIGHTS)),
            "next_sentence_accuracy": np.average(is_correct, weights=self.PAIR_WEIGHTS),
        }
        assert found == pytest.approx(expected, rel=1e-5)

    def test_both_losses_train_the_encoder_and_their_own_heads(self, model):
        changed = {}
        nothing = {"masked_lm": 0 * WEIGHTS, "next_sentence": 0 * self.PAIR_WEIGHTS}
        for task, weights in (("masked_lm", WEIGHTS), ("next_sentence", self.PAIR_WEIGHTS)):
            before = {layer.name: layer.get_weights() for layer in model.layers}
            trained = sampled_masked_lm(model, next_sentence=True)
            trained.compile("sgd", **objectives(trained), run_eagerly=True)
            trained.train_on_batch(
                self.INPUTS | {"targets": TARGETS.astype("int32")},
                {"masked_lm": 0 * TARGETS, "next_sentence": self.LABELS},
                sample_weight=nothing | {task: weights},
            )
            changed[task] = [
                layer.name
                for layer in model.layers
                if any((old != new).any() for old, new in zip(before[layer.name], layer.get_weights(), strict=True))
            ]
        backbone = {"bert_embedding", "transformer_encoder"}
        assert set(changed["masked_lm"]) == backbone | {"masked_lm_head"}
        assert set(changed["next_sentence"]) == backbone | {"next_sentence_head"}

    def test_without_pairs_the_second_head_is_not_trained(self, model):
        paths = {variable.path for variable in sampled_masked_lm(model).trainable_variables}
        left_out = {variable.path for variable in model.trainable_variables} - paths
        assert left_out == {variable.path for variable in model.get_layer("next_sentence_head").weights}
        assert isinstance(whole_vocabulary_model(model).output, keras.KerasTensor)
