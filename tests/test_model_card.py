"""The card of an exported model: its numbers, and the code in it, which runs."""

import re

import pytest
import tiny_models
from exported_models import ASPECTS, THREE, TWO, bert_classifier, bert_masked_lm, saved

from network.backbone import AS_IN_BERT
from network.bert import BertClassifier
from serving.export.huggingface.export_folder import export_huggingface
from serving.export.huggingface.model_card import bert_card, onnx_card
from text.tokens.tokenizer import SPECIAL_TOKENS, wordpiece_tokenizer

HEAD = """\
---
language: zh
library_name: transformers
pipeline_tag: {task}
tags:
- mini-bert
---

# model
"""


def card_of(metadata):
    return bert_card(bert_classifier(metadata), "model", "BertForSequenceClassification")


class TestClassifiers:
    def test_of_two_labels(self):
        card = card_of(TWO)
        assert card.startswith(HEAD.format(task="text-classification"))
        assert "`BertForSequenceClassification`" in card
        assert "正面 if the calibrated probability of that is at least 0.4" in card
        assert "temperature of the model, 1.25" in card and ".softmax(-1)" in card
        assert "at most 64 tokens" in card and "(settings: stride 20, aggregate mean)" in card
        assert "| threshold | accuracy | macro-F1 |" in card
        assert "| 0.5       |   0.8125 |     0.75 |" in card
        assert "84 texts of the test split" in card
        assert re.search(r"\| reviews.csv +\|  504 \| +\| +\| +ab12 \|", card)
        assert re.search(r"\| more.csv +\| +\| +\| +0.5 \|", card)

    def test_of_three_labels(self):
        card = card_of(THREE)
        assert "A text has the most probable label." in card
        assert "| 一般\\|还行 |      1 |" in card
        assert "1,295 texts of the test split" in card
        assert re.search(r"\| 差 +\| 0.25 \|", card) and re.search(r"\| 好 +\| +– \|", card)

    def test_of_several_labels_per_text(self):
        card = card_of(ASPECTS)
        assert "| 早餐  |      1 |     0.625 |" in card
        assert "several, or none" in card and ".sigmoid()" in card

    def test_what_is_not_known_is_left_out(self):
        card = card_of({"labels": ["差", "好"]})
        assert not re.search("## Metrics|## Training data|temperature of the model", card)

    @pytest.mark.parametrize(
        "damaged", [{"test": {"thresholds": {"0.5": 3}}}, {"test": {"accuracy": "high"}}, {"data": {"also": [5]}}]
    )
    def test_metrics_of_another_kind_are_left_out(self, damaged):
        assert not re.search("## Metrics|## Training data", card_of({"labels": ["差", "好"], **damaged}))

    def test_the_language_is_chinese_only_if_the_tokens_are(self):
        tokenizer = wordpiece_tokenizer([*SPECIAL_TOKENS, "the", "room", "##s", "hotel", "很", "好"])
        config = tiny_models.config(vocab_size=tokenizer.get_vocab_size(), **AS_IN_BERT)
        english = BertClassifier(config, tokenizer.to_str(), TWO, pooling="pooler")
        assert bert_card(english, "model", "BertForSequenceClassification").startswith("---\nlibrary_name")
        assert onnx_card(english, "model", "it is other").startswith("---\nlibrary_name")

    def test_for_onnx_runtime(self):
        card = onnx_card(tiny_models.classifier(TWO), "model", "it is other")
        assert "It is no BERT as other programs know it: it is other." in card
        assert card.startswith("---\nlanguage: zh\nlibrary_name: onnx\n")
        assert "python example.py" in card and "transformers import" not in card


def test_of_a_pre_training_model():
    card = bert_card(bert_masked_lm(), "model", "BertForMaskedLM")
    assert card.startswith(HEAD.format(task="fill-mask"))
    assert re.search(r"\| perplexity +\| 190.5 \|", card) and re.search(r"\| documents +\| +615 \|", card)


@pytest.mark.parametrize("make", [lambda: bert_classifier(TWO), lambda: bert_classifier(ASPECTS), bert_masked_lm])
def test_the_code_runs(tmp_path, monkeypatch, capsys, make):
    export_huggingface(saved(make(), tmp_path), tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall("```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text("utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # a program of this project
        assert re.search(r"score|tensor", capsys.readouterr().out)
