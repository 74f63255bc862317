"""The training of a classifier: its head on whitened features, or more of the network."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from layer_checks import as_array, randomize
from small_runs import Killed, KillingCheckpoint

import fine_tuning
from evaluation.assessment import validation_of
from network.backbone import BertConfig, backbone_layers
from network.bert import BertClassifier, logits_model
from system.errors import InputError
from text.dataset.splits import Split, Splits
from text.labels import SENTIMENT, LabelSet
from text.tokens.window_settings import NUM_SPECIAL_TOKENS
from text.tokens.windows import Windows
from training.classification import document_logits, train_classifier
from training.engine.batches import epoch_batches
from training.engine.checkpoint import Checkpoint
from training.frozen_head import feature_extractor
from training.plans.fine_tuning import FineTuningPlan

CONFIG = BertConfig(vocab_size=30, max_seq_len=8, d_model=16, dff=32)


def split_of(rows: int, seed: int, shortest: int = 4) -> Split:
    """Return texts of `shortest` to 4 tokens whose label depends on their first token, with padding at the end."""
    generator = np.random.default_rng(seed)
    input_ids = generator.integers(5, 30, (rows, 8), "int32")
    num_tokens = generator.integers(shortest, 5, rows)
    input_ids[np.arange(8) >= num_tokens[:, None] + NUM_SPECIAL_TOKENS] = 0
    targets = SENTIMENT.targets(input_ids[:, 0] > 17)
    return Split([""] * rows, targets, Windows(input_ids, num_tokens, np.arange(rows), np.zeros(rows, bool)))


SPLITS = Splits(None, split_of(48, seed=0), split_of(32, seed=1), split_of(32, seed=2))


def plan_of(**changes) -> FineTuningPlan:
    """Return a plan with high learning rates, not compiled with XLA."""
    settings = {"batch_size": 16, "learning_rate": 1e-3, "head_learning_rate": 2e-2, "seed": 1, "no_xla": True}
    settings |= {"head_fit": "epochs"}
    return dataclasses.replace(fine_tuning.PLAN, **settings | changes)


def classifier_of(unfreeze=0, seed=0, head_dropout_rate=0.0, pooling="mean", **sizes) -> BertClassifier:
    keras.utils.set_random_seed(seed)
    config = dataclasses.replace(CONFIG, **sizes)
    classifier = BertClassifier(config, unfreeze=unfreeze, pooling=pooling, head_dropout_rate=head_dropout_rate)
    randomize(classifier)
    return classifier


def train(classifier, splits=SPLITS, checkpoint=None, resume=False, distilled=(), **settings):
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
    @classmethod
    def splits(cls):
        def with_three_labels(split):
            labels = np.digitize(split.windows.input_ids[:, 0], [13, 22])
            return dataclasses.replace(split, targets=cls.LABELS.targets(labels), label_set=cls.LABELS)

        return Splits(None, *map(with_three_labels, (SPLITS.train, SPLITS.validation, SPLITS.test)))

    def classifier(self, unfreeze):
        keras.utils.set_random_seed(0)
        classifier = BertClassifier(CONFIG, metadata={"labels": list(self.LABELS.names)}, unfreeze=unfreeze)
        randomize(classifier)
        return classifier

    def test_a_learning_rate_that_breaks_the_training(self, splits):
        with pytest.raises(InputError, match="loss became .* in epoch 1; reduce the learning rate"):
            train(self.classifier(unfreeze=0), splits, epochs=1, head_learning_rate=1e38)

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


class TestRareLabel:
    """Texts whose label does not depend on them: the model can only learn how frequent the labels are."""

    @pytest.fixture(scope="class")
    @classmethod
    def splits(cls):
        split = split_of(160, seed=0)
        positive = np.random.default_rng(1).permutation(160) < 32
        split = dataclasses.replace(split, targets=SENTIMENT.targets(positive))
        return Splits(None, split, split, split)

    @pytest.mark.parametrize(
        ("unfreeze", "settings", "expected"),
        [
            (0, {}, 0.2),
            (0, {"class_weights": "balanced"}, 0.5),
            (0, {"balanced_sampling": True}, 0.5),
            pytest.param("all", {"class_weights": "balanced"}, 0.5, marks=pytest.mark.slow),
        ],
    )
    def test_counts_as_the_options_say(self, splits, unfreeze, settings, expected):
        classifier = classifier_of(unfreeze, dropout_rate=0.0)
        rate = {"head_learning_rate": 5e-2, "learning_rate": 1e-9, "weight_decay": 1.0}
        train(classifier, splits, epochs=15, **rate, **settings)
        assert probabilities_of(classifier, splits.test).mean() == pytest.approx(expected, abs=0.06)

    @pytest.mark.parametrize(
        ("unfreeze", "settings"),
        [
            (0, {}),
            pytest.param("all", {}, marks=pytest.mark.slow),
            pytest.param("all", {"document_loss": True}, marks=pytest.mark.slow),
        ],
    )
    def test_counts_by_the_weight_of_its_texts(self, splits, unfreeze, settings):
        weights = np.where(splits.train.labels == 1, 12, 3).astype(np.float32)
        weighted = dataclasses.replace(splits, train=dataclasses.replace(splits.train, text_weights=weights))
        classifier = classifier_of(unfreeze, dropout_rate=0.0)
        rate = {"head_learning_rate": 5e-2, "learning_rate": 1e-9, "weight_decay": 1.0}
        train(classifier, weighted, epochs=15, **rate, **settings)
        assert probabilities_of(classifier, splits.test).mean() == pytest.approx(0.5, abs=0.06)

    def test_the_weight_of_a_teachers_text_follows_its_probabilities(self, splits):
        targets = np.full((160, 1), 0.2, np.float32)
        distilled = dataclasses.replace(split_of(160, seed=9), targets=targets)
        classifier = classifier_of()
        train(classifier, splits, distilled=[distilled], epochs=15, head_learning_rate=5e-2, class_weights="balanced")
        # Labelled texts weigh 1/0.2 and 1/0.8, a teacher's the mean of these, and ask for 0.2.
        of_teacher = 0.2 / 0.2 + 0.8 / 0.8
        expected = (0.2 / 0.2 + 0.2 * of_teacher) / (2 + of_teacher)
        assert probabilities_of(classifier, splits.test).mean() == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("unfreeze", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_monitored_averages_are_what_the_classifier_gets(capsys, unfreeze):
    classifier, logits = classifier_of(unfreeze), []
    validate = validation_of(SPLITS, "macro_f1")

    def recording_validate(values):
        logits.append(values)
        return validate(values)

    plan = plan_of(epochs=4, ema=0.5, monitor="macro_f1", head_learning_rate=0.2, loss="focal")
    history = train_classifier(classifier, SPLITS, plan, recording_validate)
    assert list(history) == ["loss", "binary_accuracy", "val_loss", "val_binary_accuracy", "val_macro_f1"]
    best = int(np.argmax(history["val_macro_f1"]))
    kept = document_logits(logits_model(classifier), SPLITS.validation)
    np.testing.assert_allclose(kept, logits[best], atol=1e-4)
    assert f"kept epoch {best + 1} of 4: val_macro_f1 {max(history['val_macro_f1']):.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(("new_layers", "rate"), [([], 1e-3), (["pooled_output"], 2e-2)], ids=["loaded", "new"])
def test_a_new_pooler_moves_as_fast_as_the_head(quickly, new_layers, rate):
    classifier = classifier_of(1, pooling="pooler")
    layers = [
        classifier.get_layer(name) for name in ("transformer_encoder_1", "pooled_output", "classification_output")
    ]
    before = [layer.get_weights() for layer in layers]
    plan = plan_of(epochs=1, batch_size=48)
    train_classifier(classifier, SPLITS, plan, validation_of(SPLITS), new_layers=new_layers)
    # The first step of Adam moves each weight by the learning rate, whatever its gradient.
    moves = [
        max(np.abs(new - old).max() for new, old in zip(layer.get_weights(), weights, strict=True))
        for layer, weights in zip(layers, before, strict=True)
    ]
    assert moves == pytest.approx([1e-3, rate, 2e-2], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_network_trained_in_16_bits_is_one_of_32_bits(precision):
    classifier = classifier_of("all")
    before = classifier.get_weights()
    history = train(classifier, epochs=2, precision=precision, ema=0.5)
    assert np.isfinite(history["loss"]).all()
    assert any((new != old).any() for new, old in zip(classifier.get_weights(), before, strict=True))
    assert {layer.dtype_policy.name for layer in classifier.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    logits = document_logits(logits_model(classifier), SPLITS.validation)
    loss = validation_of(SPLITS)(logits)["loss"]
    assert loss == pytest.approx(history["val_loss"][-1], rel=0.02)


def test_more_batches_to_accumulate_than_there_are():
    with pytest.raises(InputError, match="--accumulate 7 is more than the 6 batches"):
        train(classifier_of(), epochs=2, accumulate=7)


@pytest.mark.slow
@pytest.mark.parametrize(("unfreeze", "rows"), [(0, 160), ("all", 48)])
def test_the_model_follows_a_teacher(unfreeze, rows):
    """The teacher predicts 0.95 for each of ten times as many texts as there are labels."""
    splits = Splits(None, split_of(rows, seed=0), split_of(64, seed=1), split_of(64, seed=2))
    targets = np.full((10 * rows, 1), 0.95, np.float32)
    distilled = dataclasses.replace(split_of(10 * rows, seed=9), targets=targets)
    classifier = classifier_of(unfreeze)
    history = train(classifier, splits, distilled=[distilled], epochs=6)
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


@pytest.mark.parametrize("aggregate", ["harmonic", "max"])
def test_the_head_is_validated_as_it_predicts(long_texts, aggregate):
    """The head is trained on the mean of a text's windows, whatever combines them in use."""

    def aggregated(split):
        return dataclasses.replace(split, windows=split.windows._replace(aggregate=aggregate))

    splits = Splits(None, *map(aggregated, (long_texts.train, long_texts.validation, long_texts.test)))
    classifier = classifier_of()
    history = train(classifier, splits, epochs=2)
    expected = validation_of(splits)(document_logits(logits_model(classifier), splits.validation))
    assert history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-3)


@pytest.mark.slow
class TestDocumentLoss:
    @pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
    def test_works_with_the_other_choices(self, long_texts, precision):
        classifier = classifier_of("all", head_dropout_rate=0.2)
        choices = {"class_weights": "balanced", "r_drop": 1.0, "ema": 0.5, "monitor": "loss", "accumulate": 2}
        choices |= {} if precision == "mixed_float16" else {"fgm": 1.0}
        history = train(classifier, long_texts, document_loss=True, epochs=2, precision=precision, **choices)
        logits = document_logits(logits_model(classifier), long_texts.validation)
        assert validation_of(long_texts)(logits)["loss"] == pytest.approx(min(history["val_loss"]), rel=0.02)

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


@pytest.fixture
def several_lengths(monkeypatch):
    """Texts that are grouped by their length."""
    monkeypatch.setattr(epoch_batches, "LENGTH_STEP", 2)
    monkeypatch.setattr(epoch_batches, "MIN_POSITIONS_SAVED", 1)
    return Splits(None, split_of(48, seed=0, shortest=1), split_of(32, seed=1), split_of(32, seed=2))


# All of them have a state of their own; the average of the first epoch is the best.
STATEFUL = {"ema": 0.8, "monitor": "loss", "patience": 2, "accumulate": 2, "balanced_sampling": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unfreeze", "head_dropout_rate", "settings"),
    [
        (0, 0.0, {}),
        (0, 0.0, STATEFUL),
        (1, 0.3, STATEFUL | {"r_drop": 1.0, "precision": "mixed_bfloat16"}),
    ],
    ids=["head", "head, all choices", "network, all choices"],
)
def test_a_killed_training_continues_bit_for_bit(tmp_path, several_lengths, unfreeze, head_dropout_rate, settings):
    path = tmp_path / "checkpoint.npz"
    options = {"unfreeze": unfreeze, "head_dropout_rate": head_dropout_rate}
    settings = settings | {"splits": several_lengths, "epochs": 3}
    expected = classifier_of(**options)
    expected_history = train(expected, **settings)
    with pytest.raises(Killed):
        train(classifier_of(**options), checkpoint=KillingCheckpoint(path, batches=5), **settings)
    classifier = classifier_of(**options, seed=5)
    assert train(classifier, checkpoint=Checkpoint(path), resume=True, **settings) == expected_history
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
