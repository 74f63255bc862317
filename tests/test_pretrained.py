"""The model of `--pretrained`: a file, a folder, the hub, fewer tokens."""

import numpy as np
import pytest
import tiny_models
from bert_checkpoints import random_bert, save_checkpoint

from network.bert import BertClassifier, BertMaskedLM, BertModel
from network.model_file import save_model
from network.pretrained import checkpoint_folder, pretrained_sha256, read_pretrained
from system.errors import InputError


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

    def test_the_hash_changes_with_any_file(self, tmp_path):
        path = str(save_checkpoint(tmp_path))
        before = pretrained_sha256(path)
        assert pretrained_sha256(path) == before
        (tmp_path / "config.json").write_text("{}")
        assert pretrained_sha256(path) != before


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


@pytest.mark.parametrize("name", ["model.keras", "owner/model.keras", "folder/owner/name", "no such file"])
def test_what_looks_like_a_file_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_folder(name) is None
    with pytest.raises(InputError, match="no such model file"):
        read_pretrained(name, BertModel)
