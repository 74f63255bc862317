"""The models: their sizes, what is trained, what they take over from a pre-trained model, and padding."""

import dataclasses

import keras
import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import ops
from layer_checks import as_array, randomize

from network.backbone import BertConfig, backbone_layers
from network.bert import (
    BertClassifier,
    BertMaskedLM,
    TokenizerAsset,
    classifier_from_pretrained,
    logits_model,
    pooler_of,
)
from network.heads import POOLING_LAYERS
from network.pretrained import with_next_sentence
from system.errors import InputError


@pytest.fixture(scope="module")
def full_size():
    return BertClassifier(BertConfig())


class TestSizes:
    def test_summary(self, full_size, monkeypatch, capsys):
        monkeypatch.setenv("COLUMNS", "200")
        full_size.summary(line_length=150)
        printed = capsys.readouterr().out
        cells = [[cell.strip() for cell in line.split("│")[1:4]] for line in printed.splitlines()]
        rows = [(row[0].split(" ")[0], row[1], row[2]) for row in cells if len(row) == 3 and row[0]]
        assert [row for row in rows if not row[0].startswith("not_equal")] == [
            ("input_ids", "(None, 64)", "0"),
            ("token_type_ids", "(None, 64)", "0"),
            ("bert_embedding", "(None, 64, 64)", "1,356,544"),
            ("transformer_encoder", "(None, 64, 64)", "49,984"),
            ("transformer_encoder_1", "(None, 64, 64)", "49,984"),
            ("pooled_output", "(None, 64)", "0"),
            ("classification_output", "(None, 1)", "65"),
        ]
        for line in ("Total params: 1,456,577 ", "Trainable params: 65 ", "Non-trainable params: 1,456,512 "):
            assert f" {line}" in printed

    @pytest.mark.parametrize("pooling", [pooling for pooling in POOLING_LAYERS if pooling != "pooler"])
    def test_poolings_have_the_same_sizes(self, full_size, pooling):
        classifier = classifier_from_pretrained(full_size, pooling=pooling)
        pooled = classifier.get_layer("pooled_output")
        assert type(pooled) is POOLING_LAYERS[pooling]
        assert pooled.output.shape == (None, 64) and pooled.count_params() == 0
        assert classifier.count_params() == 1_456_577
        assert [layer.name for layer in classifier.layers] == [layer.name for layer in full_size.layers]

    @pytest.mark.parametrize(("unfreeze", "count"), [(0, 65), (1, 50_049), (2, 100_033), ("all", 1_456_577)])
    def test_unfreeze_sets_the_number_of_trainable_parameters(self, full_size, unfreeze, count):
        classifier = classifier_from_pretrained(full_size, unfreeze)
        assert sum(int(np.prod(variable.shape)) for variable in classifier.trainable_weights) == count
        assert classifier.count_params() == 1_456_577

    def test_encoders_are_unfrozen_from_the_top(self, full_size):
        classifier = classifier_from_pretrained(full_size, unfreeze=1)
        assert classifier.get_layer("transformer_encoder_1").trainable
        assert not classifier.get_layer("transformer_encoder").trainable

    @pytest.mark.parametrize("unfreeze", [3, -1])
    def test_more_encoders_than_the_model_has_are_refused(self, full_size, unfreeze):
        with pytest.raises(InputError, match="the model has 2"):
            classifier_from_pretrained(full_size, unfreeze)


class TestPooler:
    def test_a_classifier_gets_the_pooler_of_the_head_for_next_sentences(self, two_tasks):
        classifier = classifier_from_pretrained(two_tasks, "all", pooling="pooler")
        for found, expected in zip(
            pooler_of(classifier).get_weights(), pooler_of(two_tasks).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
        again = classifier_from_pretrained(classifier, "all", pooling="pooler")
        np.testing.assert_array_equal(pooler_of(again).kernel, pooler_of(classifier).kernel)

    def test_it_is_trained_with_the_encoders_only(self, two_tasks):
        frozen, unfrozen = (classifier_from_pretrained(two_tasks, n, pooling="pooler") for n in (0, 1))
        assert not frozen.get_layer("pooled_output").trainable
        assert unfrozen.get_layer("pooled_output").trainable

    def test_other_models_have_none(self, pretrained):
        assert pooler_of(pretrained) is None
        assert pooler_of(classifier_from_pretrained(pretrained)) is None


@pytest.mark.parametrize("make", [tiny_models.masked_lm, tiny_models.classifier])
def test_a_classifier_copies_the_backbone_and_the_tokenizer_of_a_pretrained_model(make):
    pretrained = make()
    classifier = classifier_from_pretrained(pretrained, unfreeze=1, dropout_rate=0.3)
    assert classifier.tokenizer_json == pretrained.tokenizer_json != ""
    assert classifier.config == dataclasses.replace(pretrained.config, dropout_rate=0.3)
    assert classifier.unfreeze == 1 and classifier.metadata == {"labels": ["负面", "正面"]}
    for source, target in zip(backbone_layers(pretrained), backbone_layers(classifier), strict=True):
        for expected, weight in zip(source.get_weights(), target.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)
    before = pretrained.get_weights()
    randomize(classifier, seed=9)
    for expected, weight in zip(before, pretrained.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


@pytest.fixture(scope="module")
def pretrained():
    return tiny_models.masked_lm(max_seq_len=6)


@pytest.fixture(scope="module")
def two_tasks(pretrained):
    """The same model with a second head."""
    return with_next_sentence(pretrained)


class TestNextSentence:
    INPUTS = {
        "input_ids": np.array([[2, 7, 3, 8, 3, 0], [2, 9, 9, 3, 6, 3]], "int32"),
        "token_type_ids": np.array([[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]], "int32"),
        "masked_positions": np.array([[1], [4]], "int32"),
    }

    def test_a_new_head_changes_no_prediction_of_tokens(self, pretrained, two_tasks):
        outputs = two_tasks(self.INPUTS)
        np.testing.assert_array_equal(as_array(outputs["masked_lm"]), as_array(pretrained(self.INPUTS)))
        assert tuple(outputs["next_sentence"].shape) == (2, 1)
        assert two_tasks.count_params() == pretrained.count_params() + 16 * 16 + 16 + 16 + 1
        assert (two_tasks.tokenizer_json, two_tasks.config) == (pretrained.tokenizer_json, pretrained.config)
        assert (pretrained.next_sentence, two_tasks.next_sentence) == (False, True)

    def test_each_text_is_read_with_the_other_and_with_its_segment(self, two_tasks):
        def logits(**changes):
            return as_array(two_tasks(self.INPUTS | changes)["next_sentence"])[0, 0]

        changed = self.INPUTS["input_ids"].copy()
        changed[0, 3] = 11
        assert abs(logits(input_ids=changed) - logits()) > 1e-3
        assert abs(logits(token_type_ids=np.zeros((2, 6), "int32")) - logits()) > 1e-3

    def test_a_model_file_of_an_earlier_version_has_one_head(self, pretrained):
        config = {name: value for name, value in pretrained.get_config().items() if name != "next_sentence"}
        assert BertMaskedLM.from_config(config).count_params() == pretrained.count_params()

    def test_the_backbone_becomes_that_of_a_classifier(self, two_tasks):
        classifier = classifier_from_pretrained(two_tasks)
        for source, target in zip(backbone_layers(two_tasks), backbone_layers(classifier), strict=True):
            for expected, weight in zip(source.get_weights(), target.get_weights(), strict=True):
                np.testing.assert_array_equal(weight, expected)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_the_tokenizer_is_kept_byte_for_byte(tmp_path, text):
    asset = TokenizerAsset()
    asset.json = text
    asset.save_assets(tmp_path)
    again = TokenizerAsset()
    again.load_assets(tmp_path)
    assert again.json == text


@pytest.fixture(scope="module", params=[True, False], ids=["normalize_first", "normalize_last"])
def classifiers(request):
    """Two models with the same random weights, of 12 and of 24 positions."""
    sizes = {"vocab_size": 100, "d_model": 16, "num_heads": 4, "dff": 32, "normalize_first": request.param}
    wide = BertClassifier(BertConfig(**sizes, max_seq_len=24))
    randomize(wide)
    # The weights of the head are small, so that the sigmoid does not saturate.
    randomize(wide.get_layer("classification_output"), scale=0.1)
    narrow = BertClassifier(BertConfig(**sizes, max_seq_len=12))
    narrow.set_weights([value[:12] if value.shape == (24, 16) else value for value in wide.get_weights()])
    return narrow, wide


def outputs_without_padding(classifier, ids):
    """Return sequence, pooled output and probability, layer by layer, for ids without padding and without a mask."""
    embedding, *encoders = backbone_layers(classifier)
    sequence = embedding(ids)
    for block in encoders:
        sequence = block(sequence)
    pooled = ops.mean(sequence, axis=1)
    return [as_array(x) for x in (sequence, pooled, classifier.get_layer("classification_output")(pooled))]


def outputs_of(classifier, ids):
    """Return sequence, pooled output and probability of the model, for ids padded to its length."""
    names = ("transformer_encoder_1", "pooled_output", "classification_output")
    inside = keras.Model(classifier.input, [classifier.get_layer(name).output for name in names])
    padded = np.pad(ids, ((0, 0), (0, classifier.config.max_seq_len - ids.shape[1])))
    return [as_array(x) for x in inside({"input_ids": padded, "token_type_ids": np.zeros_like(padded)})]


class TestPadding:
    @settings(max_examples=8, deadline=None)
    @given(tokens=st.lists(st.integers(1, 99), min_size=1, max_size=12))
    def test_changes_no_output(self, classifiers, tokens):
        ids = np.array([tokens], "int32")
        sequence, pooled, probability = outputs_without_padding(classifiers[0], ids)
        for classifier in classifiers:
            padded_sequence, padded_pooled, padded_probability = outputs_of(classifier, ids)
            np.testing.assert_allclose(padded_sequence[:, : len(tokens)], sequence, rtol=0, atol=1e-5)
            np.testing.assert_allclose(padded_pooled, pooled, rtol=0, atol=1e-5)
            np.testing.assert_allclose(padded_probability, probability, rtol=0, atol=1e-5)

    def test_would_change_the_outputs_without_a_mask(self, classifiers):
        ids = np.random.default_rng(0).integers(1, 100, (8, 3), "int32")
        alone = outputs_without_padding(classifiers[1], ids)
        padded = outputs_without_padding(classifiers[1], np.pad(ids, ((0, 0), (0, 21))))
        assert np.abs(padded[0][:, :3] - alone[0]).max() > 0.1
        assert np.abs(padded[1] - alone[1]).max() > 0.1
        assert np.abs(padded[2] - alone[2]).max() > 0.01

    def test_a_text_of_padding_is_finite_and_does_not_change_the_others(self, classifiers):
        ids = np.array([[5, 6, 7], [0, 0, 0]], "int32")
        both = outputs_of(classifiers[1], ids)
        assert all(np.isfinite(output).all() for output in both)
        assert (both[1][1] == 0).all()
        for output, first_alone in zip(both, outputs_of(classifiers[1], ids[:1]), strict=True):
            np.testing.assert_allclose(output[:1], first_alone, rtol=0, atol=1e-5)


def test_logits_belong_to_the_probabilities(classifiers):
    ids = np.random.default_rng(0).integers(1, 100, (8, 24), "int32")
    inputs = {"input_ids": ids, "token_type_ids": np.zeros_like(ids)}
    logits = as_array(logits_model(classifiers[1])(inputs))
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), as_array(classifiers[1](inputs)), rtol=1e-4)


@pytest.mark.parametrize("head_dropout_rate", [0.0, 0.5])
def test_logits_do_not_depend_on_the_length_of_the_padding(head_dropout_rate):
    config = BertConfig(vocab_size=100, max_seq_len=12, d_model=16, dff=32)
    classifier = BertClassifier(config, pooling="max", head_dropout_rate=head_dropout_rate)
    randomize(classifier)
    model = logits_model(classifier, any_length=True)
    assert {id(weight) for weight in model.weights} == {id(weight) for weight in classifier.weights}
    expected = as_array(logits_model(classifier)(INPUTS))
    for length in (9, 12):
        inputs = {name: values[:, :length] for name, values in INPUTS.items()}
        np.testing.assert_allclose(as_array(model(inputs)), expected, atol=1e-5)


INPUTS = {
    "input_ids": np.random.default_rng(1).integers(1, 100, (8, 12), "int32") * (np.arange(12) < 9),
    "token_type_ids": np.zeros((8, 12), "int32"),
}


class TestPooling:
    def classifier(self, pooling):
        keras.utils.set_random_seed(0)
        config = BertConfig(vocab_size=100, max_seq_len=12, d_model=16, dff=32)
        classifier = BertClassifier(config, pooling=pooling)
        randomize(classifier)
        return classifier

    @pytest.mark.parametrize(
        ("pooling", "pooled_by_hand"),
        [
            ("mean", lambda hidden: hidden[:, :9].mean(1)),
            ("cls", lambda hidden: hidden[:, 0]),
            ("max", lambda hidden: hidden[:, :9].max(1)),
        ],
    )
    def test_is_over_the_real_tokens_of_the_last_encoder(self, pooling, pooled_by_hand):
        classifier = self.classifier(pooling)
        outputs = [classifier.get_layer(name).output for name in ("transformer_encoder_1", "pooled_output")]
        hidden, pooled = map(as_array, keras.Model(classifier.input, outputs)(INPUTS))
        np.testing.assert_allclose(pooled, pooled_by_hand(hidden), rtol=1e-5, atol=1e-6)
        head = classifier.get_layer("classification_output")
        np.testing.assert_allclose(as_array(head(pooled)), as_array(classifier(INPUTS)), rtol=1e-5)

    def test_an_unknown_one_is_refused(self):
        with pytest.raises(InputError, match="unknown pooling 'sum': use one of mean, cls, max"):
            self.classifier("sum")


@pytest.fixture(scope="module")
def without_dropout():
    model = BertClassifier(BertConfig(vocab_size=100, max_seq_len=12, d_model=16, dff=32, dropout_rate=0.0))
    randomize(model)
    return model


class TestHeadDropout:
    def models(self, without_dropout, head_dropout_rate):
        """Return a classifier without other dropout and with a random head, and the model of its logits."""
        classifier = classifier_from_pretrained(
            without_dropout, "all", dropout_rate=0.0, pooling="max", head_dropout_rate=head_dropout_rate
        )
        randomize(classifier.get_layer("classification_output"))
        return classifier, logits_model(classifier)

    def test_a_classifier_without_it_has_no_layer_for_it(self, without_dropout):
        assert "head_dropout" not in [layer.name for layer in self.models(without_dropout, 0.0)[0].layers]

    def test_acts_before_the_logits_in_training(self, without_dropout):
        """At rate 1 the whole vector is dropped, so the bias remains."""
        classifier, logits = self.models(without_dropout, 1.0)
        bias = as_array(classifier.get_layer("classification_output").bias)
        dropped = as_array(logits(INPUTS, training=True))
        np.testing.assert_allclose(dropped, np.tile(bias, (8, 1)), rtol=1e-6)
        probabilities = as_array(classifier(INPUTS, training=True))
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-dropped)), rtol=1e-5)

    def test_is_random_in_training(self, without_dropout):
        _, logits = self.models(without_dropout, 0.5)
        first, second = (as_array(logits(INPUTS, training=True)) for _ in range(2))
        assert (first != second).any()

    def test_is_off_at_inference(self, without_dropout):
        (classifier, logits), (_, without) = self.models(without_dropout, 0.5), self.models(without_dropout, 0.0)
        expected = as_array(without(INPUTS))
        np.testing.assert_array_equal(as_array(logits(INPUTS)), expected)
        np.testing.assert_allclose(logits.predict(INPUTS, verbose=0), expected, rtol=1e-5)
        np.testing.assert_allclose(as_array(classifier(INPUTS)), 1 / (1 + np.exp(-expected)), rtol=1e-5)

    def test_pooled_output_is_the_vector_before_the_dropout(self, without_dropout):
        classifier, _ = self.models(without_dropout, 0.5)
        features = keras.Model(classifier.input, classifier.get_layer("pooled_output").output)
        np.testing.assert_array_equal(as_array(features(INPUTS, training=True)), as_array(features(INPUTS)))
