"""The model of `--pretrained`: a file, a folder, the hub, fewer tokens at once, a smaller vocabulary."""

import json

import numpy as np
import pytest
import tiny_models
from bert_checkpoints import CHARACTERS, random_bert, save_checkpoint
from layer_checks import as_array

from network.bert import BertClassifier, BertMaskedLM, BertModel, logits_model
from network.heads import MASKED_LM_HEAD
from network.model_file import save_model
from network.pretrained import checkpoint_folder, pretrained_sha256, pruned, read_pretrained
from system.errors import InputError
from text.corpus import iter_texts
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.vocabulary import needed_tokens
from text.tokens.windows import encode_windows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("bert"))


class TestFolder:
    def test_the_remarks_name_what_is_not_used(self, tmp_path):
        path = save_checkpoint(tmp_path, random_bert("BertModel"))
        model, remarks = read_pretrained(str(path), BertModel)
        assert isinstance(model, BertMaskedLM)
        assert remarks[0] == f"{path / 'model.safetensors'}: {model.count_params():,} parameters"
        assert remarks[1].startswith("  not in the file, so random: masked_lm_head/")

    def test_a_classifier_is_no_language_model(self, tmp_path):
        path = save_checkpoint(tmp_path, random_bert("BertForSequenceClassification"))
        assert isinstance(read_pretrained(str(path), BertModel).model, BertClassifier)
        with pytest.raises(InputError, match="contains a classifier, but a model with a masked-LM head is needed"):
            read_pretrained(str(path), BertMaskedLM)

    @pytest.mark.parametrize("name", ["config.json", "vocab.txt", "tokenizer_config.json", "model.safetensors"])
    def test_the_hash_changes_with_any_file_that_is_read(self, tmp_path, name):
        path = str(save_checkpoint(tmp_path))
        before = pretrained_sha256(path)
        assert pretrained_sha256(path) == before
        (tmp_path / name).write_text("{}")
        assert pretrained_sha256(path) != before

    def test_other_files_do_not_change_the_hash(self, tmp_path):
        path = str(save_checkpoint(tmp_path))
        before = pretrained_sha256(path)
        for name in ("README.md", "model.onnx", "pytorch_model.bin", "bert_config.json"):
            (tmp_path / name).write_text("{}")
        assert pretrained_sha256(path) == before


class TestFewerTokens:
    @pytest.mark.parametrize("kind", ["folder", "file"])
    def test_only_positions_that_no_text_reaches_are_cut(self, tmp_path, folder, kind):
        source = folder
        if kind == "file":
            source = tmp_path / "model.keras"
            save_model(tiny_models.classifier(max_seq_len=16), source)
        whole, shorter = read_pretrained(str(source), BertModel).model, read_pretrained(str(source), BertModel, 8).model
        assert shorter.config.max_seq_len == 8 and shorter.tokenizer_json == whole.tokenizer_json
        assert type(shorter) is type(whole) and shorter.metadata == whole.metadata
        for variable, found, expected in zip(whole.weights, shorter.get_weights(), whole.get_weights(), strict=True):
            rows = 8 if "position_embedding" in variable.path else len(expected)
            np.testing.assert_array_equal(found, expected[:rows])

    def test_more_tokens_than_the_model_reads_are_refused(self, folder):
        with pytest.raises(InputError, match=r"--max-seq-len 65: .* reads at most 64 tokens at once"):
            read_pretrained(str(folder), BertModel, 65)


def pruned_to(model, texts):
    """Return the model without the tokens that the texts do not need, and the ids of the others."""
    token_ids = needed_tokens(tokenizer_from_json(model.tokenizer_json), texts).ids
    return pruned(model, token_ids, "model.keras"), token_ids


def windows_of(model, texts):
    return encode_windows(tokenizer_from_json(model.tokenizer_json), texts, model.config.max_seq_len).inputs


class TestSmallerVocabulary:
    @pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
    def test_the_logits_of_the_texts_are_the_same_bit_for_bit(self, tmp_path, kind):
        if kind == "wordpiece":
            path = save_checkpoint(tmp_path, random_bert("BertForSequenceClassification"))
            model, texts = read_pretrained(str(path), BertClassifier).model, [CHARACTERS[:20], "wifis很好，靐", "靐"]
        else:
            model, texts = tiny_models.classifier(max_seq_len=16), list(iter_texts(["sample"]))[:20]
        smaller, token_ids = pruned_to(model, texts)
        assert smaller.config.vocab_size == len(token_ids) < model.config.vocab_size
        assert smaller.count_params() < model.count_params() and smaller.metadata == model.metadata
        found, expected = (as_array(logits_model(each)(windows_of(each, texts))) for each in (smaller, model))
        np.testing.assert_array_equal(found, expected)

    def test_a_language_model_keeps_the_output_bias_of_its_tokens(self, folder):
        model = read_pretrained(str(folder), BertMaskedLM).model
        smaller, token_ids = pruned_to(model, ["服务很好", "wifi"])
        assert smaller.next_sentence
        bias, expected = (each.get_layer(MASKED_LM_HEAD).bias for each in (smaller, model))
        np.testing.assert_array_equal(as_array(bias), as_array(expected)[token_ids])
        inputs = [
            windows_of(each, ["服务很好"]) | {"masked_positions": np.array([[1, 3]], np.int32)}
            for each in (smaller, model)
        ]
        found, expected = (as_array(each(x)["masked_lm"]) for each, x in zip((smaller, model), inputs, strict=True))
        np.testing.assert_allclose(found, expected[..., token_ids], atol=1e-5)

    def test_a_pruned_model_can_be_saved(self, tmp_path):
        smaller, _ = pruned_to(tiny_models.masked_lm(max_seq_len=16), ["服务很好"])
        save_model(smaller, tmp_path / "smaller.keras")
        loaded = read_pretrained(str(tmp_path / "smaller.keras"), BertMaskedLM).model
        assert loaded.tokenizer_json == smaller.tokenizer_json and loaded.config == smaller.config
        for value, expected in zip(loaded.get_weights(), smaller.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)

    def test_a_tokenizer_of_another_kind_is_refused(self):
        model = tiny_models.masked_lm(max_seq_len=16)
        described = json.loads(model.tokenizer_json)
        vocabulary = {piece: token for token, (piece, _) in enumerate(described["model"]["vocab"])}
        described["model"] = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
        model.tokenizer_asset.json = json.dumps(described)
        with pytest.raises(InputError, match=r"^model.keras: the ids of a WordLevel tokenizer cannot be changed"):
            pruned_to(model, ["服务很好"])


@pytest.mark.parametrize("name", ["model.keras", "owner/model.keras", "folder/owner/name", "no such file"])
def test_what_looks_like_a_file_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_folder(name) is None
    with pytest.raises(InputError, match="no such model file"):
        read_pretrained(name, BertModel)
