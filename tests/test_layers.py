"""The layers: their parameters, their arithmetic against NumPy, and that padding changes nothing."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from layer_checks import POLICIES, as_array, check_layer, randomize

from layers import BertEmbedding, TransformerEncoder
from network.bert import BertClassifier, BertConfig, BertMaskedLM, backbone_layers
from network.heads import MaskedLMHead, MaskedMeanPooling

SMALL = {"vocab_size": 100, "d_model": 16, "num_heads": 4, "dff": 32}
IDS = np.array([[5, 6, 7, 0, 0], [8, 9, 10, 11, 12]], "int32")
SEGMENTS = np.array([[0, 0, 1, 0, 0], [0, 1, 1, 1, 1]], "int32")
MASK = IDS != 0
HIDDEN = np.random.default_rng(1).normal(size=(2, 5, 16)).astype("float32")


def encoder(**changes):
    layer = TransformerEncoder(**{"d_model": 16, "num_heads": 4, "dff": 32, "name": "encoder"} | changes)
    layer.build((None, None, layer.d_model))
    randomize(layer)
    return layer


def tied_head(embedding=None):
    if embedding is None:
        embedding = BertEmbedding(100, 8, 16)
        embedding.build((None, None))
        randomize(embedding)
    head = MaskedLMHead(100, 16, name="head")
    head.tie(embedding)
    head.build((None, None, 16))
    randomize(head, seed=2)
    return head, embedding


def weights_by_name(layer):
    return {
        variable.path.split(f"{layer.name}/", 1)[-1]: np.asarray(value, "float64")
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True)
    }


class TestEveryLayer:
    def test_embedding(self):
        arguments = {"vocab_size": 30, "max_seq_len": 9, "d_model": 16, "type_vocab_size": 3, "dropout_rate": 0.2}
        check_layer(BertEmbedding, arguments, (IDS, SEGMENTS), (2, 5, 16), expected_weights_count=5)

    @pytest.mark.parametrize("normalize_first", [True, False])
    def test_encoder(self, normalize_first):
        arguments = {
            "d_model": 16,
            "num_heads": 2,
            "dff": 24,
            "dropout_rate": 0.2,
            "normalize_first": normalize_first,
        }
        # The softmax does not change when all keys move by the same vector.
        check_layer(TransformerEncoder, arguments, (HIDDEN, MASK), (2, 5, 16), 16, without_gradient=["key/bias"])

    def test_pooling(self):
        check_layer(MaskedMeanPooling, {}, (HIDDEN, MASK), (2, 16), expected_weights_count=0)

    def test_head(self):
        embedding = tied_head()[1]
        positions = np.array([[0, 2], [4, 1]], "int32")
        check_layer(
            MaskedLMHead,
            {"vocab_size": 100, "d_model": 16},
            (HIDDEN, positions),
            (2, 2, 100),
            expected_weights_count=5,
            expected_output_dtype="float32",
            prepare=lambda head: head.tie(embedding),
        )


def test_parameter_counts():
    embedding = BertEmbedding(21_128, 64, 64)
    embedding.build((None, 64))
    block = TransformerEncoder(64, 4, 256)
    block.build((None, 64, 64))
    pooling = MaskedMeanPooling()
    pooling(HIDDEN, MASK)
    assert [layer.count_params() for layer in (embedding, block, pooling)] == [1_356_544, 49_984, 0]


@pytest.fixture(scope="module", params=[True, False], ids=["normalize_first", "normalize_last"])
def classifiers(request):
    """The same random weights in a model of 12 positions and in one of 24, each with a probe into it."""
    wide = BertClassifier(BertConfig(**SMALL, max_seq_len=24, normalize_first=request.param))
    randomize(wide)
    # The head's weights stay so small that the sigmoid tells its inputs apart.
    randomize(wide.get_layer("classification_output"), scale=0.1)
    narrow = BertClassifier(BertConfig(**SMALL, max_seq_len=12, normalize_first=request.param))
    narrow.set_weights([value[:12] if value.shape == (24, 16) else value for value in wide.get_weights()])
    for classifier in (narrow, wide):
        inside = ("transformer_encoder_1", "pooled_output", "classification_output")
        classifier.probe = keras.Model(classifier.input, [classifier.get_layer(name).output for name in inside])
    return narrow, wide


class TestPadding:
    """A text alone, and the same text in models that are wider than it: random weights, which tell it apart."""

    @staticmethod
    def alone(classifier, ids):
        """The layers one by one, on the text without padding and without a mask."""
        embedding, *encoders = backbone_layers(classifier)
        sequence = embedding(ids)
        for block in encoders:
            sequence = block(sequence)
        pooled = ops.mean(sequence, axis=1)
        return [as_array(x) for x in (sequence, pooled, classifier.get_layer("classification_output")(pooled))]

    @staticmethod
    def in_model(classifier, ids):
        padded = np.pad(ids, ((0, 0), (0, classifier.config.max_seq_len - ids.shape[1])))
        return [as_array(x) for x in classifier.probe({"input_ids": padded, "token_type_ids": np.zeros_like(padded)})]

    @settings(max_examples=30, deadline=None)
    @given(tokens=st.lists(st.integers(1, 99), min_size=1, max_size=12))
    def test_changes_no_output(self, classifiers, tokens):
        ids = np.array([tokens], "int32")
        sequence, pooled, probability = self.alone(classifiers[0], ids)
        for classifier in classifiers:
            in_model = self.in_model(classifier, ids)
            np.testing.assert_allclose(in_model[0][:, : len(tokens)], sequence, rtol=0, atol=1e-5)
            np.testing.assert_allclose(in_model[1], pooled, rtol=0, atol=1e-5)
            np.testing.assert_allclose(in_model[2], probability, rtol=0, atol=1e-5)

    def test_would_change_outputs_were_it_not_masked(self, classifiers):
        ids = np.random.default_rng(0).integers(1, 100, (8, 3), "int32")
        alone = self.alone(classifiers[1], ids)
        padded = self.alone(classifiers[1], np.pad(ids, ((0, 0), (0, 21))))
        assert np.abs(padded[0][:, :3] - alone[0]).max() > 0.1
        assert np.abs(padded[1] - alone[1]).max() > 0.1
        assert np.abs(padded[2] - alone[2]).max() > 0.01

    def test_a_row_of_nothing_else_is_finite_and_leaves_the_others_alone(self, classifiers):
        ids = np.array([[5, 6, 7], [0, 0, 0]], "int32")
        both = self.in_model(classifiers[1], ids)
        assert all(np.isfinite(output).all() for output in both)
        assert (both[1][1] == 0).all()
        for output, first_alone in zip(both, self.in_model(classifiers[1], ids[:1]), strict=True):
            np.testing.assert_allclose(output[:1], first_alone, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_row_of_nothing_else_is_finite_in_every_precision(self, policy):
        nothing = np.zeros((1, 5), bool)
        output = encoder(dtype=policy)(HIDDEN[:1], nothing)
        assert np.isfinite(as_array(output)).all()
        assert (as_array(MaskedMeanPooling(dtype=policy)(output, nothing)) == 0).all()

    def test_pooling_is_the_mean_of_the_real_positions(self):
        expected = [HIDDEN[0, :3].mean(0), HIDDEN[1].mean(0)]
        np.testing.assert_allclose(as_array(MaskedMeanPooling()(HIDDEN, MASK)), expected, atol=1e-6)


def normalize(x, gamma, beta):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * gamma + beta


def encoder_in_numpy(layer, inputs, padding_mask):
    """The block once more from its papers, in float64."""
    weights = weights_by_name(layer)

    def normalized(x, name):
        return normalize(x, weights[f"{name}/gamma"], weights[f"{name}/beta"])

    def attend(x):
        query, key, value = (
            np.einsum("bld,dhk->bhlk", x, weights[f"attention/{name}/kernel"])
            + weights[f"attention/{name}/bias"][:, None]
            for name in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(-1, -2) / np.sqrt(layer.d_model // layer.num_heads)
        scores = np.where(padding_mask[:, None, None, :], scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        context = shares / shares.sum(-1, keepdims=True) @ value
        projected = np.einsum("bhlk,hkd->bld", context, weights["attention/attention_output/kernel"])
        return projected + weights["attention/attention_output/bias"]

    def feed_forward(x):
        hidden = np.maximum(x @ weights["feed_forward_hidden/kernel"] + weights["feed_forward_hidden/bias"], 0)
        return hidden @ weights["feed_forward_output/kernel"] + weights["feed_forward_output/bias"]

    if layer.normalize_first:
        x = inputs + attend(normalized(inputs, "attention_normalization"))
        return x + feed_forward(normalized(x, "feed_forward_normalization"))
    x = normalized(inputs + attend(inputs), "attention_normalization")
    return normalized(x + feed_forward(x), "feed_forward_normalization")


class TestEncoder:
    @pytest.mark.parametrize("normalize_first", [True, False])
    def test_equals_numpy(self, normalize_first):
        """Queries, keys and values all come from the normalised input, where the block normalises first."""
        layer = encoder(normalize_first=normalize_first)
        expected = encoder_in_numpy(layer, 3 * HIDDEN + 1, MASK)
        output = as_array(layer(3 * HIDDEN + 1, MASK))
        np.testing.assert_allclose(output[MASK], expected[MASK], rtol=1e-5, atol=2e-5)

    def test_refuses_heads_that_do_not_divide_the_width(self):
        with pytest.raises(ValueError, match="3 does not divide 16"):
            TransformerEncoder(16, 3, 32)

    def test_dropout_is_off_at_inference(self):
        with_dropout, without = (as_array(encoder(dropout_rate=rate)(HIDDEN, MASK)) for rate in (0.5, 0.0))
        np.testing.assert_allclose(with_dropout, without, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("place", ["attention", "attention_dropout", "feed_forward_dropout"])
    def test_dropout_is_on_in_training(self, place):
        layer = encoder(dropout_rate=0.5)
        for other in {"attention_dropout", "feed_forward_dropout"} - {place}:
            getattr(layer, other).rate = 0.0
        if place != "attention":
            layer.attention._dropout_layer.rate = 0.0
        first, second = (as_array(layer(HIDDEN, MASK, training=True)) for _ in range(2))
        assert np.abs(first - second).max() > 0.1


class TestEmbedding:
    @pytest.fixture
    def embedding(self):
        return tied_head()[1]

    def test_equals_numpy(self, embedding):
        weights = weights_by_name(embedding)
        tokens, positions, segments = (
            weights[f"{name}_embedding/embeddings"] for name in ("token", "position", "segment")
        )
        total = tokens[IDS] + positions[: IDS.shape[1]] + segments[SEGMENTS]
        expected = normalize(total, weights["normalization/gamma"], weights["normalization/beta"])
        np.testing.assert_allclose(as_array(embedding(IDS, SEGMENTS)), expected, rtol=1e-5, atol=1e-5)

    def test_tables_start_from_different_numbers(self):
        embedding = BertEmbedding(100, 8, 16)
        embedding.build((None, None))
        tokens, positions, segments = embedding.get_weights()[:3]
        for other in (tokens[:8], np.tile(segments, (4, 1))):
            assert not np.isin(positions, other).any()
        assert not np.isin(segments, tokens).any()

    def test_without_segments_all_is_the_first(self, embedding):
        np.testing.assert_array_equal(as_array(embedding(IDS)), as_array(embedding(IDS, np.zeros_like(IDS))))

    def test_refuses_too_long_an_input(self, embedding):
        assert embedding(np.ones((1, 8), "int32")).shape == (1, 8, 16)
        with pytest.raises(ValueError, match="9 tokens.* 8 positions"):
            embedding(np.ones((1, 9), "int32"))

    def test_dropout_is_on_in_training_alone(self):
        embedding = BertEmbedding(100, 64, 64, dropout_rate=0.25)
        ids = np.ones((8, 64), "int32")
        np.testing.assert_array_equal(as_array(embedding(ids)), as_array(embedding(ids)))
        dropped = as_array(embedding(ids, training=True)) == 0
        assert 0.23 < dropped.mean() < 0.27


class TestHead:
    POSITIONS = np.array([[0, 2, 0], [4, 1, 1]], "int32")

    def test_untied_refuses(self):
        with pytest.raises(ValueError, match="call tie"):
            MaskedLMHead(100, 16)(HIDDEN, self.POSITIONS)

    def test_equals_numpy(self):
        head, embedding = tied_head()
        weights = weights_by_name(head)
        picked = np.stack([HIDDEN[row][self.POSITIONS[row]] for row in range(2)]).astype("float64")
        x = picked @ weights["transform/kernel"] + weights["transform/bias"]
        x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        x = normalize(x, weights["normalization/gamma"], weights["normalization/beta"])
        table = weights_by_name(embedding)["token_embedding/embeddings"]
        expected = x @ table.T + weights["bias"]
        np.testing.assert_allclose(as_array(head(HIDDEN, self.POSITIONS)), expected, rtol=1e-5, atol=1e-5)

    def test_logits_keep_their_precision_beside_a_large_bias(self):
        """In 16 bits, a score of 0.1 and a bias of 1000 would add up to 1000."""
        embedding = tied_head()[1]
        head = MaskedLMHead(100, 16, dtype="mixed_bfloat16")
        head.tie(embedding)
        scores = as_array(head(HIDDEN, self.POSITIONS))
        head.bias.assign(np.full(100, 1000.0))
        np.testing.assert_allclose(as_array(head(HIDDEN, self.POSITIONS)) - 1000, scores, atol=1e-3)

    # A vocabulary of 100: the first 12 and one out of each 8 of the other 88 are scored; or all, or all but 4 first.
    @pytest.mark.parametrize(("always", "stride", "scored"), [(10, 8, 12 + 11), (2048, 8, 100), (4, 3, 4 + 32)])
    def test_sampled_vocabulary(self, monkeypatch, always, stride, scored):
        monkeypatch.setattr(MaskedLMHead, "ALWAYS_SCORED", always)
        monkeypatch.setattr(MaskedLMHead, "STRIDE", stride)
        head, _ = tied_head()
        full = as_array(head(HIDDEN, self.POSITIONS)).astype("float64")
        denominators = []
        for first in range(stride):
            targets = np.array([[first, 0, 0], [0, 0, 0]], "int32") + [[0, 5, 99], [50, 50, 7]]
            sampled = as_array(head(HIDDEN, self.POSITIONS, targets.astype("int32"))).astype("float64")
            assert sampled.shape == (2, 3, 1 + scored)
            np.testing.assert_allclose(sampled[..., 0], np.take_along_axis(full, targets[..., None], -1)[..., 0], 1e-4)
            denominators.append(np.exp(sampled).sum(-1))
        # Each offset came once, so their mean is the denominator of the whole vocabulary, but for the targets: one
        # that is not among the always scored counts fully instead of by its share.
        assert np.mean(denominators, 0) == pytest.approx(np.exp(full).sum(-1), rel=0.15)

    def test_a_sampled_target_is_scored_once(self):
        head, _ = tied_head()
        targets = np.array([[0, 5, 99], [50, 51, 7]], "int32")
        sampled = as_array(head(HIDDEN, self.POSITIONS, targets)).astype("float64")
        full = as_array(head(HIDDEN, self.POSITIONS)).astype("float64")
        # All of so small a vocabulary is scored: the losses are those of the whole.
        losses = np.log(np.exp(sampled).sum(-1)) - sampled[..., 0]
        expected = np.log(np.exp(full).sum(-1)) - np.take_along_axis(full, targets[..., None], -1)[..., 0]
        np.testing.assert_allclose(losses, expected, rtol=1e-5)

    def test_the_gradient_reaches_the_token_embeddings(self):
        """Of tokens that occur in no input too: to these only the head leads."""
        model = BertMaskedLM(BertConfig(**SMALL, max_seq_len=5))
        randomize(model)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        token_embedding = model.get_layer("bert_embedding").token_embedding
        before = token_embedding.get_weights()[0]
        inputs = {"input_ids": IDS, "token_type_ids": SEGMENTS, "masked_positions": self.POSITIONS}
        model.train_on_batch(inputs, np.array([[50, 51, 52], [53, 54, 55]]))
        moved = np.abs(token_embedding.get_weights()[0] - before).max(axis=1)
        assert (moved > 0).all()
