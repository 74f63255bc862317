"""BERT checkpoints as our models and back: every tensor, against `transformers` on PyTorch."""

import json
import re

import numpy as np
import pytest
import torch
from bert_checkpoints import VOCABULARY, outputs_of, random_bert, random_inputs, save_checkpoint, save_vocabulary
from keras import ops
from safetensors.numpy import load_file, save_file

from network.backbone import AS_IN_BERT, BertConfig, backbone_layers
from network.bert import BertClassifier, BertMaskedLM, logits_model, pooler_of
from network.checkpoints.conversion import bert_name, bert_tensors, import_bert
from system.errors import InputError
from text.tokens.tokenizer import PAD, tokenizer_from_json, wordpiece_tokenizer

TOLERANCE = 1e-4


def outputs_here(model, inputs):
    """Return the hidden states, the pooled vectors and the masked-LM logits of every position."""
    embedding, *encoders = backbone_layers(model)
    padding_mask = ops.not_equal(inputs["input_ids"], 0)
    states = [embedding(inputs["input_ids"], inputs["token_type_ids"])]
    for encoder in encoders:
        states.append(encoder(states[-1], padding_mask))
    positions = np.tile(np.arange(inputs["input_ids"].shape[1], dtype="int32"), (len(inputs["input_ids"]), 1))
    logits = model.get_layer("masked_lm_head")(states[-1], positions)
    return [*map(ops.convert_to_numpy, states)], *map(
        ops.convert_to_numpy, (pooler_of(model)(states[-1][:, 0]), logits)
    )


class TestParity:
    @pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
    @pytest.mark.parametrize("length", [8, 64])
    def test_hidden_states_pooled_vectors_and_masked_lm_logits(self, tmp_path, activation, length):
        theirs = random_bert(num_hidden_layers=12, hidden_act=activation)
        ours = import_bert(save_checkpoint(tmp_path, theirs)).model
        inputs = random_inputs(length)
        real = inputs["input_ids"] != 0
        expected = outputs_of(theirs, inputs)
        pooled = outputs_of(theirs.bert, inputs)["pooler_output"]
        states, our_pooled, logits = outputs_here(ours, inputs)
        assert len(states) == 13
        for state, expected_state in zip(states, expected["hidden_states"], strict=True):
            np.testing.assert_allclose(state[real], expected_state[real], atol=TOLERANCE)
        np.testing.assert_allclose(our_pooled, pooled, atol=TOLERANCE)
        np.testing.assert_allclose(logits[real], expected["prediction_logits"][real], atol=TOLERANCE)

    def test_next_sentences(self, tmp_path):
        theirs = random_bert()
        ours = import_bert(save_checkpoint(tmp_path, theirs)).model
        inputs = random_inputs(64)
        positions = np.zeros((3, 1), "int32")
        logit = ops.convert_to_numpy(ours({**inputs, "masked_positions": positions})["next_sentence"])
        expected = outputs_of(theirs, inputs)["seq_relationship_logits"]
        np.testing.assert_allclose(logit[:, 0], expected[:, 0] - expected[:, 1], atol=TOLERANCE)

    @pytest.mark.parametrize(
        ("num_labels", "problem"),
        [(2, None), (3, None), (3, "multi_label_classification"), (2, "multi_label_classification")],
    )
    def test_a_classifier(self, tmp_path, num_labels, problem):
        theirs = random_bert("BertForSequenceClassification", num_labels=num_labels, problem_type=problem)
        imported = import_bert(save_checkpoint(tmp_path, theirs))
        assert isinstance(imported.model, BertClassifier)
        labels = imported.model.label_set
        assert (labels.names, labels.multi_label) == (tuple(f"LABEL_{i}" for i in range(num_labels)), bool(problem))
        inputs = random_inputs(16)
        ours = labels.probabilities(ops.convert_to_numpy(logits_model(imported.model, any_length=True)(inputs)))
        logits = torch.tensor(outputs_of(theirs, inputs)["logits"])
        expected = logits.sigmoid() if problem else logits.softmax(-1)
        np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


class TestNames:
    @pytest.mark.parametrize("prefix", ["bert.", "", "module.bert."])
    @pytest.mark.parametrize("old", [False, True])
    def test_old_names_and_missing_prefixes(self, tmp_path, prefix, old):
        reference = save_checkpoint(tmp_path / "a")
        tensors = {}
        for name, values in load_file(reference / "model.safetensors").items():
            name = prefix + name.removeprefix("bert.") if name.startswith("bert.") else name
            name = f"module.{name}" if prefix.startswith("module.") and name.startswith("cls.") else name
            if old:
                name = re.sub("LayerNorm.weight$", "LayerNorm.gamma", name).replace("LayerNorm.bias", "LayerNorm.beta")
            tensors[name] = values
        other = tmp_path / "b"
        save_checkpoint(other)
        save_file(tensors, other / "model.safetensors")
        expected, found = import_bert(reference), import_bert(other)
        assert found.left_out == expected.left_out == found.new == expected.new == []
        for ours, theirs in zip(found.model.get_weights(), expected.model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_what_has_no_place_is_named_as_in_the_file(self, tmp_path):
        folder = save_checkpoint(tmp_path)
        path = folder / "model.safetensors"
        more = {
            "bert.embeddings.position_ids": np.arange(64)[None],
            "cls.predictions.decoder.bias": load_file(path)["cls.predictions.bias"],
            "cls.predictions.decoder.weight": load_file(path)["bert.embeddings.word_embeddings.weight"],
            "something.else": np.zeros(3, "float32"),
        }
        save_file(load_file(path) | more, path)
        assert import_bert(folder).left_out == ["bert.embeddings.position_ids", "something.else"]

    def test_a_projection_that_is_not_tied_is_left_out(self, tmp_path):
        folder = save_checkpoint(tmp_path)
        path = folder / "model.safetensors"
        table = load_file(path)["bert.embeddings.word_embeddings.weight"]
        save_file(load_file(path) | {"cls.predictions.decoder.weight": table + 1}, path)
        assert import_bert(folder).left_out == ["cls.predictions.decoder.weight"]

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("BertModel", {"masked_lm_head", "next_sentence_head/logit"}),
            ("BertForMaskedLM", set()),
            ("BertForPreTraining", set()),
        ],
    )
    def test_heads_that_the_file_lacks_are_new(self, tmp_path, kind, expected):
        imported = import_bert(save_checkpoint(tmp_path, random_bert(kind)))
        assert isinstance(imported.model, BertMaskedLM)
        new = set(imported.new)
        assert {path for path in new if path.startswith(tuple(expected))} == new
        assert all(any(path.startswith(part) for path in new) for part in expected)
        assert imported.model.next_sentence == (kind != "BertForMaskedLM")

    def test_every_weight_has_a_name_of_its_own(self):
        sizes = {"vocab_size": 9, "d_model": 8, "dff": 8, "num_layers": 12}
        paths = [weight.path for weight in BertMaskedLM(BertConfig(**sizes, **AS_IN_BERT), next_sentence=True).weights]
        assert len({bert_name(path) for path in paths}) == len(paths)


class TestTokens:
    def test_padding_becomes_token_0_with_its_vector(self, tmp_path):
        vocabulary = [*VOCABULARY[1:], PAD]
        theirs = random_bert(pad_token_id=0)  # wrong, and not read
        expected = theirs.bert.embeddings.word_embeddings.weight.detach().numpy()
        bias = theirs.cls.predictions.bias.detach().numpy()
        save_checkpoint(tmp_path, theirs)
        save_vocabulary(tmp_path, vocabulary)
        model = import_bert(tmp_path).model
        tokenizer = tokenizer_from_json(model.tokenizer_json)
        assert tokenizer.token_to_id(PAD) == 0
        order = [vocabulary.index(tokenizer.id_to_token(index)) for index in range(len(vocabulary))]
        embedding, *_ = backbone_layers(model)
        np.testing.assert_array_equal(embedding.token_embedding.embeddings, expected[order])
        np.testing.assert_array_equal(model.get_layer("masked_lm_head").bias, bias[order])

    def test_a_copy_is_none_that_is_left_out_where_padding_moves(self, tmp_path):
        path = save_checkpoint(tmp_path) / "model.safetensors"
        table = load_file(path)["bert.embeddings.word_embeddings.weight"]
        save_file(load_file(path) | {"cls.predictions.decoder.weight": table}, path)
        save_vocabulary(tmp_path, [*VOCABULARY[1:], PAD])
        assert import_bert(tmp_path).left_out == []

    @pytest.mark.parametrize("name", ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"])
    def test_a_table_too_short_for_the_padding_is_refused(self, tmp_path, name):
        path = save_checkpoint(tmp_path) / "model.safetensors"
        tensors = load_file(path)
        save_file(tensors | {name: tensors[name][:-1]}, path)
        save_vocabulary(tmp_path, [*VOCABULARY[1:], PAD])
        with pytest.raises(InputError, match=r"has the shape \(57,.* but the config says \(58,"):
            import_bert(tmp_path)

    def test_ids_beyond_the_vectors_are_refused(self, tmp_path):
        save_checkpoint(tmp_path)
        described = json.loads(wordpiece_tokenizer(VOCABULARY).to_str())
        described["model"]["vocab"]["wifi"] = 99
        (tmp_path / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
        with pytest.raises(InputError, match="the tokenizer has 100 tokens, but config.json says 58"):
            import_bert(tmp_path)

    def test_a_tokenizer_with_more_tokens_than_vectors_is_refused(self, tmp_path):
        save_checkpoint(tmp_path)
        save_vocabulary(tmp_path, [*VOCABULARY, "新"])
        with pytest.raises(InputError, match="the tokenizer has 59 tokens, but config.json says 58"):
            import_bert(tmp_path)


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "values", "problem"),
        [
            (
                "bert.encoder.layer.1.output.dense.weight",
                None,
                "the tensor encoder.layer.1.output.dense.weight is missing",
            ),
            (
                "cls.predictions.transform.dense.bias",
                None,
                "the tensor cls.predictions.transform.dense.bias is missing",
            ),
            (
                "bert.encoder.layer.0.intermediate.dense.weight",
                np.zeros((63, 32), "float32"),
                r"layer.0.intermediate.dense.weight has the shape \(63, 32\), but the config says \(64, 32\)",
            ),
            (
                "bert.embeddings.LayerNorm.weight",
                np.zeros(31, "float32"),
                r"has the shape \(31,\), but the config says \(32,\)",
            ),
            (
                "bert.encoder.layer.0.attention.self.query.bias",
                np.array([np.nan] * 32, "float32"),
                "layer.0.attention.self.query.bias contains infinite numbers or NaN",
            ),
            (
                "bert.pooler.dense.bias",
                np.zeros(32, "int64"),
                "pooler.dense.bias has the type int64, which is not a floating-point type",
            ),
            (
                "bert.encoder.layer.0.intermediate.dense.weight",
                None,
                "the tensor encoder.layer.0.intermediate.dense.weight is missing",
            ),
            ("embeddings.LayerNorm.gamma", np.zeros(32, "float32"), "are the same tensor of BERT"),
        ],
    )
    def test_a_tensor_that_is_missing_or_does_not_fit(self, tmp_path, name, values, problem):
        path = save_checkpoint(tmp_path) / "model.safetensors"
        tensors = {key: value for key, value in load_file(path).items() if key != name}
        save_file(tensors | ({} if values is None else {name: values}), path)
        with pytest.raises(InputError, match=problem) as caught:
            import_bert(tmp_path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        "sizes",
        [
            {"vocab_size": 10**12},
            {"max_position_embeddings": 10**12},
            {"num_hidden_layers": 10**9},
            {"type_vocab_size": 10**12},
            {"intermediate_size": 10**12},
            {"hidden_size": 10**9, "num_attention_heads": 1},
        ],
    )
    def test_sizes_that_the_file_does_not_have_build_no_network(self, tmp_path, sizes):
        path = save_checkpoint(tmp_path) / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | sizes))
        with pytest.raises(InputError, match="but the config says|is missing"):
            import_bert(tmp_path)

    def test_a_classifier_of_tokens_is_refused(self, tmp_path):
        save_checkpoint(tmp_path, random_bert("BertForTokenClassification"))
        with pytest.raises(InputError, match="BertForTokenClassification"):
            import_bert(tmp_path)

    @pytest.mark.parametrize("name", ["classifier.weight", "classifier.bias"])
    def test_a_single_number_is_no_classifier(self, tmp_path, name):
        path = save_checkpoint(tmp_path, random_bert("BertForSequenceClassification")) / "model.safetensors"
        save_file(load_file(path) | {name: np.array(1, "float32")}, path)
        with pytest.raises(InputError, match=rf"the tensor {name} has the shape \(\)"):
            import_bert(tmp_path)


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("kind", "values"),
        [
            ("BertForMaskedLM", {}),
            ("BertForSequenceClassification", {"num_labels": 3}),
            ("BertForSequenceClassification", {"num_labels": 3, "problem_type": "multi_label_classification"}),
        ],
    )
    def test_every_tensor_comes_back_bit_for_bit(self, tmp_path, kind, values):
        folder = save_checkpoint(tmp_path, random_bert(kind, **values))
        expected = load_file(folder / "model.safetensors")
        found = bert_tensors(import_bert(folder).model)
        assert set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)

    def test_the_metadata_of_a_pre_training_come_back(self, tmp_path):
        path = save_checkpoint(tmp_path, random_bert("BertForMaskedLM")) / "config.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        for own, expected in (({"epochs": 3}, {"epochs": 3}), ("damaged", {})):
            path.write_text(json.dumps(values | {"mini_bert": own}), encoding="utf-8")
            assert import_bert(tmp_path).model.metadata == expected

    def test_two_labels_become_one_logit_and_two_rows_again(self, tmp_path):
        folder = save_checkpoint(tmp_path, random_bert("BertForSequenceClassification"))
        expected = load_file(folder / "model.safetensors")
        tensors = bert_tensors(import_bert(folder).model)
        for name in ("classifier.weight", "classifier.bias"):
            np.testing.assert_array_equal(tensors[name], [0 * expected[name][0], expected[name][1] - expected[name][0]])
