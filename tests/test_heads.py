"""The layers above the encoders: pooling, classification logits, the heads of pre-training."""

import keras
import numpy as np
import pytest
from layer_checks import (
    HIDDEN,
    IDS,
    MASK,
    POLICIES,
    SEGMENTS,
    as_array,
    check_layer,
    normalize,
    randomize,
    weights_by_name,
)

from layers import BertEmbedding
from network.backbone import BertConfig
from network.bert import BertMaskedLM
from network.heads import (
    POOLING_LAYERS,
    ClassificationLogits,
    ClsPooling,
    MaskedLMHead,
    MaskedMaxPooling,
    MaskedMeanPooling,
    NextSentenceHead,
    Pooler,
)
from training.plans.network_options import POOLINGS


def test_the_option_offers_every_pooling():
    assert tuple(POOLING_LAYERS) == POOLINGS


@pytest.mark.parametrize("pooling", POOLING_LAYERS)
class TestEveryPooling:
    def test_passes_the_checks_of_every_layer(self, pooling):
        check_layer(
            POOLING_LAYERS[pooling], {}, (HIDDEN, MASK), (2, 16), expected_weights_count=2 * (pooling == "pooler")
        )

    def test_does_not_read_padding(self, pooling):
        layer = POOLING_LAYERS[pooling]()
        layer.build(HIDDEN.shape)
        changed = np.where(MASK[..., None], HIDDEN, 50)
        np.testing.assert_array_equal(as_array(layer(changed, MASK)), as_array(layer(HIDDEN, MASK)))


def test_the_pooler_equals_numpy():
    pooler = Pooler()
    pooler.build(HIDDEN.shape)
    randomize(pooler)
    kernel, bias = pooler.get_weights()
    np.testing.assert_allclose(as_array(pooler(HIDDEN, MASK)), np.tanh(HIDDEN[:, 0] @ kernel + bias), atol=1e-6)


class TestMaskedMeanPooling:
    def test_is_the_mean_of_the_real_positions(self):
        expected = [HIDDEN[0, :3].mean(0), HIDDEN[1].mean(0)]
        np.testing.assert_allclose(as_array(MaskedMeanPooling()(HIDDEN, MASK)), expected, atol=1e-6)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_row_of_padding_gives_zeros(self, policy):
        nothing = np.zeros((1, 5), bool)
        assert (as_array(MaskedMeanPooling(dtype=policy)(HIDDEN[:1], nothing)) == 0).all()


class TestMaskedMaxPooling:
    # Far below zero, the value of padding in a careless maximum.
    LOW = HIDDEN - 1000

    def test_is_the_maximum_of_the_real_positions(self):
        expected = [self.LOW[0, :3].max(0), self.LOW[1].max(0)]
        np.testing.assert_array_equal(as_array(MaskedMaxPooling()(self.LOW, MASK)), expected)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_row_of_padding_gives_zeros(self, policy):
        mask = np.stack([np.zeros(5, bool), MASK[1]])
        pooled = as_array(MaskedMaxPooling(dtype=policy)(self.LOW, mask))
        assert (pooled[0] == 0).all()
        np.testing.assert_allclose(pooled[1], self.LOW[1].max(0), rtol=0.01)


def test_cls_pooling_is_the_first_vector():
    np.testing.assert_array_equal(as_array(ClsPooling()(HIDDEN, MASK)), HIDDEN[:, 0])


def test_classification_logits_are_the_output_before_the_activation():
    dense = keras.layers.Dense(3, "sigmoid")
    dense.build((None, 16))
    randomize(dense)
    logits = as_array(ClassificationLogits(dense)(HIDDEN[0]))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), as_array(dense(HIDDEN[0])), rtol=1e-5)


def tied_head():
    """Return a head and the embedding that it is tied to."""
    embedding = BertEmbedding(100, 8, 16)
    embedding.build((None, None))
    randomize(embedding)
    head = MaskedLMHead(100, 16, name="head")
    head.tie(embedding)
    head.build((None, None, 16))
    randomize(head, seed=2)
    return head, embedding


class TestMaskedLMHead:
    POSITIONS = np.array([[0, 2, 0], [4, 1, 1]], "int32")

    def test_passes_the_checks_of_every_layer(self):
        embedding = tied_head()[1]
        check_layer(
            MaskedLMHead,
            {"vocab_size": 100, "d_model": 16, "activation": "gelu", "epsilon": 1e-5},
            (HIDDEN, np.array([[0, 2], [4, 1]], "int32")),
            (2, 2, 100),
            expected_weights_count=5,
            expected_output_dtype="float32",
            prepare=lambda head: head.tie(embedding),
        )

    def test_a_head_that_is_not_tied_is_refused(self):
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
        """In 16 bits, the sum of a score of 0.1 and a bias of 1000 would be 1000."""
        embedding = tied_head()[1]
        head = MaskedLMHead(100, 16, dtype="mixed_bfloat16")
        head.tie(embedding)
        scores = as_array(head(HIDDEN, self.POSITIONS))
        head.bias.assign(np.full(100, 1000.0))
        np.testing.assert_allclose(as_array(head(HIDDEN, self.POSITIONS)) - 1000, scores, atol=1e-3)

    # Of 100 tokens, the first 12 and one in 8 of the other 88 are scored; or all of them; or the first 4 and one in 3.
    @pytest.mark.parametrize(("always", "stride", "scored"), [(10, 8, 12 + 11), (2048, 8, 100), (4, 3, 4 + 32)])
    def test_a_sample_of_the_vocabulary_estimates_the_denominator(self, monkeypatch, always, stride, scored):
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
        # Each offset occurred once, so the mean is the denominator of the whole vocabulary, except that a target which
        # is not always scored has its full weight.
        assert np.mean(denominators, 0) == pytest.approx(np.exp(full).sum(-1), rel=0.15)

    def test_a_sampled_target_is_scored_once(self):
        head, _ = tied_head()
        targets = np.array([[0, 5, 99], [50, 51, 7]], "int32")
        sampled = as_array(head(HIDDEN, self.POSITIONS, targets)).astype("float64")
        full = as_array(head(HIDDEN, self.POSITIONS)).astype("float64")
        # So small a vocabulary is scored as a whole, so the losses are exact.
        losses = np.log(np.exp(sampled).sum(-1)) - sampled[..., 0]
        expected = np.log(np.exp(full).sum(-1)) - np.take_along_axis(full, targets[..., None], -1)[..., 0]
        np.testing.assert_allclose(losses, expected, rtol=1e-5)

    def test_the_gradient_reaches_the_token_embeddings(self):
        """Also those of tokens that are in no input, which only the head reads."""
        model = BertMaskedLM(BertConfig(vocab_size=100, max_seq_len=5, d_model=16, dff=32))
        randomize(model)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
        token_embedding = model.get_layer("bert_embedding").token_embedding
        before = token_embedding.get_weights()[0]
        inputs = {"input_ids": IDS, "token_type_ids": SEGMENTS, "masked_positions": self.POSITIONS}
        model.train_on_batch(inputs, np.array([[50, 51, 52], [53, 54, 55]]))
        moved = np.abs(token_embedding.get_weights()[0] - before).max(axis=1)
        assert (moved > 0).all()


class TestNextSentenceHead:
    def test_passes_the_checks_of_every_layer(self):
        arguments = {"d_model": 16}
        check_layer(NextSentenceHead, arguments, (HIDDEN,), (2, 1), 4, expected_output_dtype="float32")

    def test_equals_numpy(self):
        head = NextSentenceHead(16, name="head")
        head.build((None, None, 16))
        randomize(head)
        weights = weights_by_name(head)
        pooled = np.tanh(HIDDEN[:, 0] @ weights["pooler/kernel"] + weights["pooler/bias"])
        expected = pooled @ weights["logit/kernel"] + weights["logit/bias"]
        np.testing.assert_allclose(as_array(head(HIDDEN)), expected, rtol=1e-4, atol=1e-5)
