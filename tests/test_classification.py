"""The training of a classifier: its head on whitened features, or more of the network."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from layer_checks import as_array, randomize
from small_runs import Killed

import fine_tuning
from evaluation.assessment import validation_of
from network.bert import BertClassifier, BertConfig, backbone_layers, logits_model
from text.dataset.splits import Split, Splits
from text.labels import SENTIMENT, LabelSet
from text.tokens.windows import Windows
from training.classification import document_logits, feature_extractor, train_classifier
from training.engine.checkpoint import Checkpoint
from training.plans.fine_tuning import FineTuningPlan

CONFIG = BertConfig(vocab_size=30, max_seq_len=8, d_model=16, dff=32)


def split_of(rows: int, seed: int) -> Split:
    """Return texts whose label depends on their first token, with padding at the end."""
    generator = np.random.default_rng(seed)
    input_ids = generator.integers(5, 30, (rows, 8), "int32")
    input_ids[:, 6:] = 0
    targets = SENTIMENT.targets(input_ids[:, 0] > 17)
    return Split([""] * rows, targets, Windows(input_ids, np.full(rows, 4), np.arange(rows), np.zeros(rows, bool)))


SPLITS = Splits(None, split_of(48, seed=0), split_of(32, seed=1), split_of(32, seed=2))


def plan_of(**changes) -> FineTuningPlan:
    """Return a plan with high learning rates, not compiled with XLA."""
    settings = {"batch_size": 16, "learning_rate": 1e-3, "head_learning_rate": 2e-2, "seed": 1, "no_xla": True}
    return dataclasses.replace(fine_tuning.PLAN, **settings | changes)


def classifier_of(unfreeze=0, seed=0, **sizes) -> BertClassifier:
    keras.utils.set_random_seed(seed)
    classifier = BertClassifier(dataclasses.replace(CONFIG, **sizes), unfreeze=unfreeze)
    randomize(classifier)
    return classifier


def train(classifier, splits=SPLITS, checkpoint=None, resume=False, distilled=None, **settings):
    """Train with `plan_of(**settings)`; return the history."""
    plan = plan_of(**settings)
    return train_classifier(
        classifier, splits, plan, validation_of(splits), checkpoint, distilled=distilled, resume=resume
    )


def probabilities_of(classifier, split):
    return SENTIMENT.probabilities(document_logits(logits_model(classifier), split))[:, 1]


def assert_same_weights(weights, expected):
    for value, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(value, other)


class TestThreeLabels:
    """As two labels, with an output for each."""

    LABELS = LabelSet(("低", "中", "高"))

    @pytest.fixture(scope="class")
    def splits(self):
        def with_three_labels(split):
            labels = np.digitize(split.windows.input_ids[:, 0], [13, 22])
            return dataclasses.replace(split, targets=self.LABELS.targets(labels), label_set=self.LABELS)

        return Splits(None, *map(with_three_labels, (SPLITS.train, SPLITS.validation, SPLITS.test)))

    def classifier(self, unfreeze):
        keras.utils.set_random_seed(0)
        classifier = BertClassifier(CONFIG, metadata={"labels": list(self.LABELS.names)}, unfreeze=unfreeze)
        randomize(classifier)
        return classifier

    def test_the_head_predicts_as_it_did_on_whitened_features(self, splits):
        classifier = self.classifier(unfreeze=0)
        history = train(classifier, splits, epochs=2)
        assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy", "val_macro_f1"]
        logits = document_logits(logits_model(classifier), splits.validation)
        assert logits.shape == (32, 3)
        probabilities, labels = self.LABELS.probabilities(logits), splits.validation.labels
        losses = -np.log(probabilities[np.arange(32), labels])
        assert losses.mean() == pytest.approx(history["val_loss"][-1], rel=1e-4)
        assert (probabilities.argmax(axis=1) == labels).mean() == pytest.approx(history["val_accuracy"][-1])

    @pytest.mark.slow
    def test_the_network_learns_them(self, splits):
        classifier = self.classifier(unfreeze="all")
        history = train(classifier, splits, epochs=12, learning_rate=5e-3)
        assert history["loss"][-1] < 0.5 * history["loss"][0]
        predictions = classifier.predict(splits.train.windows.inputs, verbose=0)
        np.testing.assert_allclose(predictions.sum(axis=1), 1, atol=1e-5)
        assert (predictions.argmax(axis=1) == splits.train.labels).mean() > 0.6


class TestHead:
    def test_predicts_as_it_did_on_whitened_features(self):
        classifier = classifier_of()
        backbone = [layer.get_weights() for layer in backbone_layers(classifier)]
        history = train(classifier, epochs=6)
        # The last epoch was evaluated on whitened features, this is the network as it is saved.
        probabilities = probabilities_of(classifier, SPLITS.validation)
        labels = SPLITS.validation.labels
        losses = -np.log(np.where(labels == 1, probabilities, 1 - probabilities))
        assert losses.mean() == pytest.approx(history["val_loss"][-1], rel=1e-4)
        assert ((probabilities > 0.5) == labels).mean() == pytest.approx(history["val_binary_accuracy"][-1])
        for layer, weights in zip(backbone_layers(classifier), backbone, strict=True):
            assert_same_weights(layer.get_weights(), weights)

    @pytest.mark.slow
    def test_learns_a_label_that_depends_on_the_features(self):
        classifier = classifier_of()
        extractor = feature_extractor(classifier)

        def with_labels_of_a_feature(split):
            feature = extractor.predict(split.windows.inputs, verbose=0)[:, 0]
            return dataclasses.replace(split, targets=SENTIMENT.targets(feature > np.median(feature)))

        texts = [split_of(rows, seed) for seed, rows in enumerate((160, 64, 64))]
        splits = Splits(None, *map(with_labels_of_a_feature, texts))
        train(classifier, splits, epochs=12, head_learning_rate=5e-2, no_xla=False)
        predictions = probabilities_of(classifier, splits.test) > 0.5
        assert (predictions == splits.test.labels).mean() > 0.85

    def test_is_applied_to_the_features(self):
        classifier, inputs = classifier_of(), SPLITS.test.windows.inputs
        features = feature_extractor(classifier).predict(inputs, verbose=0)
        assert features.shape == (32, 16)
        probabilities = as_array(classifier.get_layer("classification_output")(features))
        np.testing.assert_allclose(probabilities, classifier.predict(inputs, verbose=0), atol=1e-6)

    @pytest.mark.slow
    def test_a_feature_that_never_changes(self):
        classifier = classifier_of()
        # With these weights one feature is 0 for all texts, and its standard deviation too.
        for variable in classifier.get_layer("transformer_encoder_1").weights:
            values = as_array(variable.value).copy()
            if values.shape[-1] == 16:
                values[..., 3] = 0
                variable.assign(values)
        history = train(classifier, epochs=6)
        assert np.isfinite(probabilities_of(classifier, SPLITS.test)).all()
        assert math.isfinite(history["val_loss"][-1])


@pytest.mark.slow
@pytest.mark.parametrize(("unfreeze", "rows"), [(0, 160), ("all", 48)])
def test_the_model_follows_a_teacher(unfreeze, rows):
    """The teacher predicts 0.95 for each of ten times as many texts as there are labels."""
    splits = Splits(None, split_of(rows, seed=0), split_of(64, seed=1), split_of(64, seed=2))
    targets = np.full((10 * rows, 1), 0.95, np.float32)
    distilled = dataclasses.replace(split_of(10 * rows, seed=9), targets=targets)
    classifier = classifier_of(unfreeze)
    history = train(classifier, splits, distilled=distilled, epochs=6)
    expected = (10 * rows * 0.95 + splits.train.labels.sum()) / (11 * rows)
    assert probabilities_of(classifier, splits.test).mean() == pytest.approx(expected, abs=0.05)
    assert history["binary_accuracy"][-1] > 0.9


@pytest.mark.slow
def test_the_accuracy_in_training_is_that_of_the_predictions():
    """With a learning rate of almost zero the network is the same before and after."""
    classifier = classifier_of(unfreeze=1, dropout_rate=0.0)
    history = train(classifier, epochs=1, learning_rate=1e-12, head_learning_rate=1e-12)
    correct = (probabilities_of(classifier, SPLITS.train) >= 0.5) == SPLITS.train.labels
    assert history["binary_accuracy"][0] == pytest.approx(correct.mean())


@pytest.mark.slow
def test_the_windows_of_a_text_weigh_as_much_as_one():
    """A text of 50 windows does not outvote two contradicting texts of one window."""
    ids = np.tile(np.array([5, 6, 7, 8, 9, 10, 0, 0], np.int32), (52, 1))
    windows = Windows(ids, np.full(52, 4), np.array([0] * 50 + [1, 2]), np.zeros(3, bool))
    split = Split([""] * 3, SENTIMENT.targets([0, 1, 1]), windows)
    keras.utils.set_random_seed(0)
    classifier = BertClassifier(dataclasses.replace(CONFIG, dropout_rate=0.0), unfreeze=1)
    splits = Splits(None, split, split, split)
    train(classifier, splits, epochs=50, batch_size=52, learning_rate=3e-3, head_learning_rate=0.15)
    assert probabilities_of(classifier, split) == pytest.approx([2 / 3] * 3, abs=0.02)


@pytest.fixture(scope="module")
def long_texts():
    """Texts of one to nine windows, whose label depends on the first token of a single window."""

    def long_split(texts, seed):
        generator = np.random.default_rng(seed)
        num_windows = generator.integers(1, 10, texts)
        input_ids = generator.integers(5, 18, (num_windows.sum(), 8), "int32")
        input_ids[:, 6:] = 0
        labels = generator.integers(0, 2, texts)
        decisive = np.cumsum(num_windows) - 1 - generator.integers(0, num_windows)
        input_ids[decisive[labels == 1], 0] = 25
        text_index = np.repeat(np.arange(texts), num_windows)
        windows = Windows(input_ids, np.full(len(input_ids), 4), text_index, np.zeros(texts, bool), "max")
        return Split([""] * texts, SENTIMENT.targets(labels), windows)

    return Splits(None, *(long_split(texts, seed) for seed, texts in enumerate((64, 32, 32))))


@pytest.mark.slow
class TestDocumentLoss:
    def test_learns_a_label_that_one_window_decides(self, long_texts, capsys):
        """With the maximum, the windows without the word need not have the label of their text."""
        classifier = classifier_of("all", dropout_rate=0.0)
        settings = {"batch_size": 8, "learning_rate": 5e-3, "epochs": 12}
        history = train(classifier, long_texts, document_loss=True, **settings)
        assert history["loss"][-1] < 0.3 * history["loss"][0]
        assert ((probabilities_of(classifier, long_texts.test) > 0.5) == long_texts.test.labels).mean() > 0.9
        progress = capsys.readouterr().err
        assert "/64.0" in progress and " texts/s" in progress

    def test_the_loss_is_that_of_the_predictions(self, long_texts):
        """With a learning rate of almost zero the network is the same before and after."""
        classifier = classifier_of(unfreeze=1, dropout_rate=0.0)
        settings = {"batch_size": 8, "learning_rate": 1e-12, "head_learning_rate": 1e-12, "epochs": 1}
        history = train(classifier, long_texts, document_loss=True, **settings)
        probabilities, labels = probabilities_of(classifier, long_texts.train), long_texts.train.labels
        assert history["loss"][0] == pytest.approx(-np.log(np.abs(1 - labels - probabilities)).mean(), rel=1e-4)
        assert history["binary_accuracy"][0] == pytest.approx(((probabilities >= 0.5) == labels).mean())

    def test_a_killed_training_continues_bit_for_bit(self, long_texts, tmp_path):
        settings = {"document_loss": True, "batch_size": 8, "epochs": 2}
        expected = classifier_of(1)
        expected_history = train(expected, long_texts, **settings)
        path = tmp_path / "checkpoint.npz"
        with pytest.raises(Killed):
            train(classifier_of(1), long_texts, KillingCheckpoint(path, batches=11), **settings)
        classifier = classifier_of(1, seed=5)
        assert train(classifier, long_texts, Checkpoint(path), resume=True, **settings) == expected_history
        assert_same_weights(classifier.get_weights(), expected.get_weights())


class KillingCheckpoint(Checkpoint):
    """A checkpoint that is written after every batch, and ends the run after so many batches."""

    def __init__(self, path, batches):
        super().__init__(path, interval=0)
        self.batches_left = batches

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self.batches_left -= 1
        if not self.batches_left:
            raise Killed


@pytest.mark.slow
@pytest.mark.parametrize("unfreeze", [0, 1])
def test_a_killed_training_continues_bit_for_bit(tmp_path, unfreeze):
    path = tmp_path / "checkpoint.npz"
    expected = classifier_of(unfreeze)
    expected_history = train(expected, epochs=3)
    with pytest.raises(Killed):
        train(classifier_of(unfreeze), checkpoint=KillingCheckpoint(path, batches=5), epochs=3)
    classifier = classifier_of(unfreeze, seed=5)
    assert train(classifier, checkpoint=Checkpoint(path), resume=True, epochs=3) == expected_history
    assert_same_weights(classifier.get_weights(), expected.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unfreeze", "trained"),
    [
        (1, {"transformer_encoder_1"}),
        ("all", {"transformer_encoder_1", "transformer_encoder", "bert_embedding"}),
    ],
)
def test_only_unfrozen_layers_and_the_head_are_trained(unfreeze, trained):
    classifier = classifier_of(unfreeze)
    before = {layer.name: layer.get_weights() for layer in classifier.layers}
    train(classifier, epochs=1)
    changed = {
        layer.name
        for layer in classifier.layers
        if any((new != old).any() for new, old in zip(layer.get_weights(), before[layer.name], strict=True))
    }
    assert changed == {"classification_output", *trained}
