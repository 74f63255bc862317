"""Attention weights, those of Keras and those computed here, and the rollout to the pooled vector."""

import json
import re
import shutil
import sys

import application_process
import keras
import numpy as np
import pytest
import tiny_models
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from layer_checks import randomize
from scripts import ENVIRONMENT
from tiny import sample_tokenizer

import application
from network.backbone import AS_IN_BERT, backbone_layers
from network.heads import POOLING_LAYERS
from network.model_file import load_model, save_model
from serving.explanation.attention import POOLING_DESCRIPTIONS, attention_of, layer_attention, pooling_shares, rollout
from serving.explanation.window_influence import influential_windows
from serving.export.onnx_file import onnx_path
from serving.predictor import Predictor
from system.errors import InputError

GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
IDS = np.array(sample_tokenizer().encode(GOOD).ids, np.int32)
TRAINING_BACKENDS = ("tensorflow", "jax", "torch")


@pytest.fixture(scope="module", params=[{}, AS_IN_BERT], ids=["ours", "as in BERT"])
def classifier(request):
    return tiny_models.classifier(max_seq_len=16, **request.param)


def padded(classifier):
    """Return the ids as the network gets them, (1, max_seq_len), and their mask."""
    ids = np.zeros((1, classifier.config.max_seq_len), np.int32)
    ids[0, : len(IDS)] = IDS
    return ids, ids != 0


class TestWeights:
    def test_are_the_softmax_of_queries_and_keys(self, classifier):
        weights, _ = layer_attention(classifier, IDS)
        embedding, *encoders = backbone_layers(classifier)
        assert weights.shape == (len(encoders), classifier.config.num_heads, len(IDS), len(IDS))
        sequence = embedding(IDS[None])
        for encoder, found in zip(encoders, weights, strict=True):
            x = encoder.attention_normalization(sequence) if encoder.normalize_first else sequence
            queries, keys = (
                np.einsum("id,dhk->hik", x[0], dense.kernel) + ops.convert_to_numpy(dense.bias)[:, None]
                for dense in (encoder.attention.query_dense, encoder.attention.key_dense)
            )
            scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(encoder.attention.key_dim)
            expected = np.exp(scores - scores.max(axis=-1, keepdims=True))
            expected /= expected.sum(axis=-1, keepdims=True)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
            sequence = encoder(sequence)
        assert weights.std() > 0.01, "equal weights would agree in any case"

    def test_are_those_of_keras_in_a_padded_row(self, classifier):
        weights, _ = layer_attention(classifier, IDS)
        ids, mask = padded(classifier)
        embedding, *encoders = backbone_layers(classifier)
        sequence = embedding(ids)
        for encoder, found in zip(encoders, weights, strict=True):
            x = encoder.attention_normalization(sequence) if encoder.normalize_first else sequence
            _, scores = encoder.attention(x, x, attention_mask=mask[:, None], return_attention_scores=True)
            expected = ops.convert_to_numpy(scores)[0, :, : len(IDS)]
            np.testing.assert_allclose(found, expected[:, :, : len(IDS)], rtol=0, atol=1e-6)
            assert expected[:, :, len(IDS) :].max() == 0
            sequence = encoder(sequence, mask)

    def test_end_in_the_vectors_that_are_pooled(self, classifier):
        _, sequence = layer_attention(classifier, IDS)
        ids, _ = padded(classifier)
        below_pooling = keras.Model(classifier.input, classifier.get_layer("pooled_output").input[0])
        expected = ops.convert_to_numpy(below_pooling({"input_ids": ids, "token_type_ids": np.zeros_like(ids)}))
        np.testing.assert_allclose(sequence, expected[0, : len(IDS)], rtol=0, atol=1e-5)


class TestPoolingShares:
    SEQUENCE = np.random.default_rng(0).normal(size=(5, 8))

    @pytest.mark.parametrize("pooling", ["mean", "cls"])
    def test_make_the_pooled_vector(self, pooling):
        shares = pooling_shares(pooling, self.SEQUENCE)
        pooled = POOLING_LAYERS[pooling]()(self.SEQUENCE[None], padding_mask=np.ones((1, 5), bool))
        np.testing.assert_allclose(shares @ self.SEQUENCE, ops.convert_to_numpy(pooled)[0], rtol=0, atol=1e-6)

    def test_of_the_maximum_are_fractions_of_the_features(self):
        sequence = np.array([[1, 9, 0, 3], [2, 1, 0, 4], [0, 0, 7, 5], [-1, -1, -1, -1]])
        np.testing.assert_array_equal(pooling_shares("max", sequence), [0.25, 0.25, 0.5, 0])

    def test_of_the_pooler_are_those_of_the_first_token(self):
        np.testing.assert_array_equal(pooling_shares("pooler", self.SEQUENCE), [1, 0, 0, 0, 0])

    def test_every_pooling_has_them(self):
        for pooling in POOLING_LAYERS.keys() | POOLING_DESCRIPTIONS.keys():
            assert pooling in POOLING_DESCRIPTIONS
            assert pooling_shares(pooling, self.SEQUENCE).sum() == pytest.approx(1)

    def test_an_unknown_pooling_has_none(self):
        with pytest.raises(InputError, match="pooling 'median' cannot be followed"):
            pooling_shares("median", self.SEQUENCE)


class TestRollout:
    # One head each: the lower layer reads the other token, the upper one reads the second token alone.
    SWAP, SECOND = np.array([[0, 1], [1, 0]]), np.array([[0, 1], [0, 1]])

    def test_of_two_layers_by_hand(self):
        weights = np.array([[self.SWAP], [self.SECOND]])
        np.testing.assert_allclose(rollout(weights, np.array([1.0, 0.0])), [0.5, 0.5])
        np.testing.assert_allclose(rollout(weights, np.array([0.0, 1.0])), [0.5, 0.5])
        # The layers in the other order are another network.
        np.testing.assert_allclose(rollout(weights[::-1], np.array([1.0, 0.0])), [0.25, 0.75])

    def test_of_heads_is_that_of_their_mean(self):
        weights = np.array([[self.SWAP, self.SECOND]])
        np.testing.assert_allclose(rollout(weights, np.array([1.0, 0.0])), [0.5, 0.5])
        np.testing.assert_allclose(rollout(weights, np.array([0.0, 1.0])), [0.25, 0.75])

    @given(seed=st.integers(0, 999), layers=st.integers(1, 4), heads=st.integers(1, 3), length=st.integers(1, 6))
    def test_is_the_product_of_the_layers(self, seed, layers, heads, length):
        generator = np.random.default_rng(seed)
        weights = generator.dirichlet(np.ones(length), size=(layers, heads, length))
        shares = generator.dirichlet(np.ones(length))
        product = np.eye(length)
        for layer in weights:
            product = (0.5 * layer.mean(axis=0) + 0.5 * np.eye(length)) @ product
        found = rollout(weights, shares)
        np.testing.assert_allclose(found, shares @ product, rtol=0, atol=1e-12)
        assert found.sum() == pytest.approx(1)


class TestAttentionOf:
    @pytest.mark.parametrize("model", ["tiny_model", "tiny_emotions", "tiny_aspects"])
    def test_a_text(self, request, model):
        predictor = Predictor(request.getfixturevalue(model))
        attention = attention_of(predictor, GOOD)
        assert attention.tokens == sample_tokenizer().encode(GOOD).tokens
        assert attention.tokens[0] == "[CLS]" and attention.tokens[-1] == "[SEP]"
        assert attention.weights.shape == (2, 4, len(IDS), len(IDS)) and attention.weights.dtype == np.float32
        np.testing.assert_allclose(attention.weights.sum(axis=-1), 1, rtol=0, atol=1e-5)
        assert attention.rollout.shape == (len(IDS),) and attention.rollout.sum() == pytest.approx(1)
        assert attention.prediction == predictor.predict([GOOD])[0]
        assert attention.window == "" and attention.pooling == "mean"
        most_probable = max(attention.prediction.probabilities)
        shown = attention.prediction.probabilities[1] if predictor.labels.is_binary else most_probable
        assert f" {shown:.4f}, confidence {attention.prediction.confidence:.4f}" in attention.decision

    @pytest.mark.parametrize("pooling", ["max", "cls", "pooler"])
    def test_another_pooling(self, tmp_path, pooling):
        model = tiny_models.classifier(pooling=pooling, max_seq_len=16)
        save_model(model, tmp_path / "model.keras")
        attention = attention_of(Predictor(tmp_path / "model.keras", runtime="keras"), GOOD)
        weights, sequence = layer_attention(model, IDS)
        expected = rollout(weights, pooling_shares(pooling, sequence))
        np.testing.assert_allclose(attention.rollout, expected, rtol=0, atol=1e-6)
        assert attention.pooling == pooling

    @pytest.mark.parametrize("aggregate", ["harmonic", "max"])
    def test_a_long_text_is_shown_by_the_window_that_decided(self, tiny_model, aggregate):
        predictor = Predictor(tiny_model, windows={"aggregate": aggregate})
        text = BAD * 2 + GOOD * 2
        attention = attention_of(predictor, text)
        window = influential_windows(predictor, attention.prediction)[0]
        assert f"characters {window.start}-{window.end} of {len(text)}:" in attention.window
        (number,) = re.findall(r"Window (\d) of ", attention.window)
        row = predictor.read(text).windows.input_ids[int(number) - 1]
        assert attention.tokens == [sample_tokenizer().id_to_token(token) for token in row[row != 0].tolist()]

    def test_a_text_without_a_prediction(self, tiny_model):
        with pytest.raises(InputError, match="the text is empty"):
            attention_of(Predictor(tiny_model), " ")

    def test_a_model_without_its_keras_file(self, tiny_model, tmp_path):
        alone = shutil.copy(onnx_path(tiny_model), tmp_path / "alone.onnx")
        with pytest.raises(InputError, match="there is no .*alone.keras, which could compute attention"):
            attention_of(Predictor(alone), GOOD)

    def test_a_keras_file_with_other_weights(self, tiny_model, tmp_path):
        onnx = shutil.copy(onnx_path(tiny_model), tmp_path / "model.onnx")
        other = load_model(tiny_model)
        randomize(other, seed=1)
        save_model(other, tmp_path / "model.keras")
        with pytest.raises(InputError, match="have different weights"):
            attention_of(Predictor(onnx), GOOD)

    def test_an_onnx_file_beside_its_keras_file(self, tiny_model):
        of_onnx, of_keras = (attention_of(Predictor(path), GOOD) for path in (onnx_path(tiny_model), tiny_model))
        np.testing.assert_array_equal(of_onnx.weights, of_keras.weights)

    def test_without_keras(self, tiny_model, monkeypatch):
        predictor = Predictor(tiny_model)
        monkeypatch.setitem(sys.modules, "network.bert", None)
        with pytest.raises(InputError, match="attention is computed by Keras, but network.bert is not installed"):
            attention_of(predictor, GOOD)


class TestOption:
    @pytest.mark.parametrize("name", ["why.png", "WHY.HTML"])
    def test_writes_a_picture(self, tiny_model, tmp_path, capsys, name):
        path = tmp_path / "new folder" / name
        assert application.main(["--model", str(tiny_model), "--text", GOOD, "--attention", str(path)]) == 0
        captured = capsys.readouterr()
        assert len(captured.out.splitlines()) == 1
        assert captured.err.splitlines()[-1] == f"attention saved to {path}"
        assert path.read_bytes().startswith(b"<!doctype html>" if name == "WHY.HTML" else b"\x89PNG")

    def test_a_text_without_a_prediction_has_no_picture(self, tiny_model, tmp_path):
        path = tmp_path / "why.html"
        assert application.main(["--model", str(tiny_model), "--text", " ", "--attention", str(path)]) == 1
        assert not path.exists()

    def test_a_folder_is_no_file(self, tmp_path, capsys):
        (tmp_path / "a.png").mkdir()
        assert application.main(["--text", GOOD, "--attention", str(tmp_path / "a.png")]) == 1
        assert "it is a folder" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "--attention needs --text, with one text"),
            (("--file", "x.csv"), "--attention needs --text, with one text"),
            (("--text", GOOD, "--text", BAD), "--attention needs --text, with one text"),
        ],
    )
    def test_needs_one_text(self, capsys, arguments, words):
        with pytest.raises(SystemExit, match="2"):
            application.main([*arguments, "--attention", "why.png"])
        assert words in capsys.readouterr().err

    @pytest.mark.parametrize("name", ["why.jpg", "why", "why.htm", "png"])
    def test_needs_a_known_suffix(self, capsys, name):
        with pytest.raises(SystemExit, match="2"):
            application.main(["--text", GOOD, "--attention", name])
        assert f"argument --attention: {name!r} ends in neither .png nor .html" in capsys.readouterr().err

    @pytest.mark.slow  # each backend takes seconds to start
    @pytest.mark.parametrize("backend", TRAINING_BACKENDS)
    def test_every_backend_gives_the_same_numbers(self, tiny_model, tmp_path, backend):
        pytest.importorskip(backend)
        path = tmp_path / "why.html"
        command = application_process.application(tiny_model, "--text", GOOD, "--attention", path)
        done = application_process.run(command, ENVIRONMENT | {"KERAS_BACKEND": backend})
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"attention saved to {path}\n"
        page = path.read_text(encoding="utf-8")
        found = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])
        expected = attention_of(Predictor(tiny_model), GOOD).weights
        np.testing.assert_allclose(np.array(found["weights"]) / 1000, expected, rtol=0, atol=6e-4)
