"""The further terms of the loss: R-Drop and adversarial training, compared with arithmetic in NumPy."""

import keras
import numpy as np
import pytest
from layer_checks import as_array, randomize

from layers import BertEmbedding
from text.labels import SENTIMENT, LabelSet
from training.objectives.losses import accuracy, classification_loss
from training.objectives.regularization import RegularizedModel, gradient_of, symmetric_divergence

TOPICS = LabelSet(("体育", "财经", "教育"))
ASPECTS = LabelSet(("位置", "服务", "早餐"), multi_label=True)
IDS = np.array([[1, 2, 3], [4, 5, 1], [2, 2, 6], [3, 4, 5]], "int32")
INPUTS = {"input_ids": IDS, "token_type_ids": np.zeros_like(IDS)}
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5], "float32")


def model_of(labels, dropout_rate=0.0, **options):
    """Return a compiled classifier without encoders: the mean of the embeddings and a linear head."""
    keras.utils.set_random_seed(3)
    inputs = {name: keras.Input((3,), dtype="int32", name=name) for name in INPUTS}
    embedding = BertEmbedding(7, 3, 4, dropout_rate=dropout_rate, name="bert_embedding")
    x = keras.layers.GlobalAveragePooling1D()(embedding(inputs["input_ids"], inputs["token_type_ids"]))
    logits = keras.layers.Dense(labels.num_outputs, name="classification_output")(x)
    model = RegularizedModel(inputs, logits, labels.activation, **options)
    randomize(model)
    model.compile(keras.optimizers.SGD(0.1), classification_loss(labels), run_eagerly=True)
    return model


def targets_of(labels):
    """Return hard targets for the rows, one of them a teacher's."""
    targets = np.eye(3, dtype="float32")[[0, 1, 2, 0]] if labels.num_outputs == 3 else np.float32([[1], [0], [0], [1]])
    targets[3] = 0.25
    return targets


def probabilities(logits, labels):
    if labels.activation == "sigmoid":
        return 1 / (1 + np.exp(-logits))
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def kullback_leibler(p, q, labels):
    """Return the divergence of q from p by its definition, (batch,)."""
    if labels.activation == "softmax":
        return (p * np.log(p / q)).sum(axis=1)
    return (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean(axis=1)


@pytest.mark.parametrize("labels", [SENTIMENT, TOPICS, ASPECTS], ids=["sigmoid", "softmax", "multi-label"])
def test_the_divergence_is_that_of_kullback_and_leibler(labels):
    one, other = np.random.default_rng(0).normal(0, 2, size=(2, 5, labels.num_outputs))
    p, q = probabilities(one, labels), probabilities(other, labels)
    expected = (kullback_leibler(p, q, labels) + kullback_leibler(q, p, labels)) / 2
    divergence = as_array(symmetric_divergence(*np.float32([one, other]), labels.activation))
    np.testing.assert_allclose(divergence, expected, rtol=1e-4)
    assert as_array(symmetric_divergence(np.float32(one), np.float32(one), labels.activation)).max() == 0


@pytest.mark.parametrize("labels", [SENTIMENT, TOPICS, ASPECTS], ids=["sigmoid", "softmax", "multi-label"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["alike", "weighted"])
def test_r_drop_compares_two_passes(labels, sample_weight):
    model, targets = model_of(labels, dropout_rate=0.4, r_drop=3.0), targets_of(labels)
    (state,) = (variable for variable in model.variables if "seed" in variable.path)
    first = model(INPUTS, training=True)
    before = np.array(keras.ops.convert_to_numpy(state))
    loss = float(model.compute_loss(INPUTS, targets, first, sample_weight, training=True))
    state.assign(before)
    second = model(INPUTS, training=True)
    one, other = as_array(first), as_array(second)
    assert np.abs(one - other).max() > 0.01, "the two passes have the same mask"
    of_both = [float(classification_loss(labels)(targets, logits, sample_weight)) for logits in (one, other)]
    p, q = probabilities(one, labels), probabilities(other, labels)
    divergence = (kullback_leibler(p, q, labels) + kullback_leibler(q, p, labels)) / 2
    weights = np.ones(4) if sample_weight is None else sample_weight
    assert loss == pytest.approx(np.mean(of_both) + 3.0 / 2 * (weights * divergence).mean(), rel=1e-4)


@pytest.mark.parametrize("labels", [SENTIMENT, TOPICS], ids=["sigmoid", "softmax"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["alike", "weighted"])
def test_adversarial_training_changes_the_embeddings_along_the_gradient(labels, sample_weight):
    model, targets = model_of(labels, fgm=0.3), targets_of(labels)
    table = model.get_layer("bert_embedding").token_embedding.embeddings
    embeddings = as_array(table).copy()

    def loss_with(values):
        table.assign(values)
        loss = classification_loss(labels)(targets, model(INPUTS), sample_weight)
        table.assign(embeddings)
        return float(loss)

    gradient = np.zeros_like(embeddings)
    for index in np.ndindex(*embeddings.shape):
        step = np.zeros_like(embeddings)
        step[index] = 1e-2
        gradient[index] = (loss_with(embeddings + step) - loss_with(embeddings - step)) / 2e-2
    expected = loss_with(embeddings + 0.3 * gradient / np.linalg.norm(gradient))
    clean = loss_with(embeddings)
    assert expected > 1.02 * clean
    loss = float(model.compute_loss(INPUTS, targets, model(INPUTS), sample_weight, training=True))
    assert loss == pytest.approx((clean + expected) / 2, rel=1e-3)
    np.testing.assert_array_equal(as_array(table), embeddings)


def test_a_gradient_of_zero_changes_nothing():
    model, targets = model_of(TOPICS, fgm=0.3), targets_of(TOPICS)
    loss = model.compute_loss(INPUTS, targets, model(INPUTS), np.zeros(4, "float32"), training=True)
    assert float(loss) == 0


@pytest.mark.parametrize("options", [{"r_drop": 2.0}, {"fgm": 0.3}, {"r_drop": 1.0, "fgm": 0.3}], ids=str)
def test_validation_has_the_loss_alone(options):
    model, targets = model_of(TOPICS, dropout_rate=0.4, **options), targets_of(TOPICS)
    loss = model.test_on_batch(INPUTS, targets, WEIGHTS)
    expected = classification_loss(TOPICS)(targets, model(INPUTS), WEIGHTS)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("options", [{"r_drop": 2.0}, {"fgm": 0.3}, {"r_drop": 1.0, "fgm": 0.3}], ids=str)
def test_the_accuracy_is_that_of_the_first_pass(options):
    model, targets = model_of(TOPICS, **options), targets_of(TOPICS)
    model.compile(keras.optimizers.SGD(0.0), classification_loss(TOPICS), weighted_metrics=[accuracy], run_eagerly=True)
    right = as_array(accuracy(targets, model(INPUTS)))
    history = model.fit(INPUTS, targets, sample_weight=WEIGHTS, batch_size=4, verbose=0).history
    assert history["accuracy"][0] == pytest.approx((WEIGHTS * right).sum() / WEIGHTS.sum())


def test_the_embeddings_are_trained_at_their_own_place():
    """The gradient of the adversarial pass reaches the weights, and the change itself is not kept."""
    model, targets = model_of(TOPICS, fgm=0.3), targets_of(TOPICS)
    plain = model_of(TOPICS)
    for each in (model, plain):
        before = each.get_weights()
        each.fit(INPUTS, targets, batch_size=4, verbose=0)
        moved = [np.abs(new - old).max() for new, old in zip(each.get_weights(), before, strict=True)]
        assert 0 < max(moved) < 0.2
    assert any((one != other).any() for one, other in zip(model.get_weights(), plain.get_weights(), strict=True))


def test_the_gradient_of_a_function():
    value = np.array([1.0, -2.0, 0.5], "float32")
    gradient = gradient_of(lambda x: keras.ops.sum(x * x * x), keras.ops.convert_to_tensor(value))
    np.testing.assert_allclose(as_array(gradient), 3 * value**2, rtol=1e-6)
