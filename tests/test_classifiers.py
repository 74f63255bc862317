"""Classifiers as teachers: their labels, BERT of Hugging Face, and the cache of their answers."""

import functools

import numpy as np
import pytest
from bert_checkpoints import outputs_of, random_bert, save_checkpoint, save_vocabulary
from hub_servers import model_server, refusing_server, silent_server, use_hub
from tiny_models import save_with_metadata

from network.checkpoints.conversion import import_bert
from recipes.runs.distillation.classifiers import Teacher, teacher_sha256
from serving.predictor import Predictor
from system.errors import InputError
from system.files import sha256_of_file
from text.labels import SENTIMENT, LabelSet
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.windows import encode_windows

TEXTS = ["房间很干净，早餐也好。", "太慢了", "wifi差，不推荐" * 20, ""]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save_classifier(folder, *labels, **values):
    """Save a random BERT classifier as `transformers` does; return it."""
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: index for index, name in enumerate(labels)}}
    model = random_bert("BertForSequenceClassification", **names, **values)
    save_checkpoint(folder, model)
    return model


def transformers_logits(model, folder, texts):
    """Return the logits of texts in our windows, by `transformers`, (texts, labels)."""
    tokenizer = tokenizer_from_json(import_bert(folder).model.tokenizer_json)
    windows = encode_windows(tokenizer, texts, 64)
    return windows.document_logits(outputs_of(model, windows.inputs)["logits"])


class TestBertOfHuggingFace:
    @pytest.mark.parametrize("order", [("差", "中", "好"), ("好", "差", "中")], ids=["same", "other order"])
    def test_it_answers_as_transformers_do(self, tmp_path, order):
        model = save_classifier(tmp_path / "bert", *order)
        expected = transformers_logits(model, tmp_path / "bert", TEXTS)
        labels = LabelSet(("差", "中", "好"))
        logits = Teacher(str(tmp_path / "bert"), labels).logits(TEXTS)
        np.testing.assert_allclose(logits, expected[:, [order.index(name) for name in labels.names]], atol=1e-4)

    @pytest.mark.parametrize("order", [SENTIMENT.names, SENTIMENT.names[::-1]], ids=["same", "other order"])
    def test_of_two_labels_too(self, tmp_path, order):
        model = save_classifier(tmp_path / "bert", *order)
        expected = transformers_logits(model, tmp_path / "bert", TEXTS)
        positive, negative = order.index("正面"), order.index("负面")
        logits = Teacher(str(tmp_path / "bert"), SENTIMENT).logits(TEXTS)
        np.testing.assert_allclose(logits[:, 0], expected[:, positive] - expected[:, negative], atol=1e-4)

    def test_other_labels_are_refused(self, tmp_path):
        save_classifier(tmp_path / "bert", "LABEL_0", "LABEL_1")
        teacher = Teacher(str(tmp_path / "bert"), SENTIMENT)
        message = "bert has the labels LABEL_0, LABEL_1, but the data set has 负面, 正面; rename them under id2label"
        with pytest.raises(InputError, match=message):
            teacher.logits(TEXTS)

    def test_several_labels_a_text_are_others(self, tmp_path):
        save_classifier(tmp_path / "bert", "差", "中", "好", problem_type="multi_label_classification")
        with pytest.raises(InputError, match=r"差, 中, 好 \(several per text\), but the data set has 差, 中, 好;"):
            Teacher(str(tmp_path / "bert"), LabelSet(("差", "中", "好"))).logits(TEXTS)

    def test_one_without_a_classifier_is_refused(self, tmp_path):
        save_checkpoint(tmp_path / "bert")
        with pytest.raises(InputError, match="bert: a BERT without a classifier knows no labels; .* --pretrained"):
            Teacher(str(tmp_path / "bert"), SENTIMENT).logits(TEXTS)

    def test_a_folder_with_something_else_is_refused(self, tmp_path):
        (tmp_path / "bert").mkdir()
        save_vocabulary(tmp_path / "bert")
        with pytest.raises(InputError, match="bert: not a BERT checkpoint"):
            Teacher(str(tmp_path / "bert"), SENTIMENT).logits(TEXTS)


class TestHub:
    NAME = "owner/reviews-bert"

    @pytest.fixture
    def at(self, tmp_path, monkeypatch):
        """A function that sets the address of the hub."""
        return functools.partial(use_hub, monkeypatch, tmp_path / "cache")

    def test_it_answers_as_from_its_folder(self, tmp_path, at):
        save_classifier(tmp_path / "bert", *SENTIMENT.names)
        with model_server(self.NAME, tmp_path / "bert") as (address, _):
            at(address)
            logits = Teacher(self.NAME, SENTIMENT).logits(TEXTS)
            assert teacher_sha256(self.NAME) == teacher_sha256(str(tmp_path / "bert"))
        np.testing.assert_array_equal(logits, Teacher(str(tmp_path / "bert"), SENTIMENT).logits(TEXTS))

    def test_one_without_a_classifier_is_refused(self, tmp_path, at):
        save_checkpoint(tmp_path / "bert")
        with model_server(self.NAME, tmp_path / "bert") as (address, _):
            at(address)
            with pytest.raises(InputError, match=f"^{self.NAME}: a BERT without .* --pretrained {self.NAME}`$"):
                Teacher(self.NAME, SENTIMENT).logits(TEXTS)

    def test_other_labels_are_renamed_in_a_copy(self, tmp_path, at):
        save_classifier(tmp_path / "bert", "LABEL_0", "LABEL_1")
        with model_server(self.NAME, tmp_path / "bert") as (address, _):
            at(address)
            message = f"^{self.NAME} has the labels .*; rename them under id2label in a copy of .*{tmp_path.name}/cache"
            with pytest.raises(InputError, match=message):
                Teacher(self.NAME, SENTIMENT).logits(TEXTS)

    def test_a_hub_out_of_reach_is_refused(self, at):
        with silent_server(resets=True) as (address, _):
            at(address)
            message = f"hub could not be reached at {address}; set --teachers to a .keras file or to a folder .* mirror"
            with pytest.raises(InputError, match=f"^{self.NAME}: no such file or folder, .*{message}"):
                Teacher(self.NAME, SENTIMENT)

    def test_a_model_that_the_hub_does_not_have_is_refused(self, at):
        with refusing_server(404, "RepoNotFound") as (address, _):
            at(address)
            with pytest.raises(InputError, match="hub does not provide this model .*; set --teachers to"):
                Teacher(self.NAME, SENTIMENT)


def test_the_hash_of_a_file_or_of_the_files_of_a_folder(tmp_path):
    save_checkpoint(tmp_path / "bert")
    names = ("config.json", "vocab.txt", "model.safetensors")
    assert teacher_sha256(str(tmp_path / "bert")) == [sha256_of_file(tmp_path / "bert" / name) for name in names]
    assert teacher_sha256(__file__) == [sha256_of_file(__file__)]


class TestOwnFiles:
    @pytest.mark.parametrize("name", ["nowhere.keras", "nowhere.onnx"])
    def test_a_file_that_is_not_there_is_refused_at_once(self, name):
        with pytest.raises(InputError, match=f"cannot read {name}"):
            Teacher(name, SENTIMENT)

    def test_labels_in_another_order(self, tmp_path, tiny_emotions):
        names = Predictor(tiny_emotions).labels.names
        labels = LabelSet(names[::-1])
        logits = Teacher(str(tiny_emotions), labels).logits(TEXTS)
        np.testing.assert_allclose(logits, Predictor(tiny_emotions).logits(TEXTS)[:, ::-1], atol=1e-6)


class TestCache:
    @pytest.fixture
    def questions(self, monkeypatch):
        """How many texts each call of a predictor gets."""
        counted, logits = [], Predictor.logits
        monkeypatch.setattr(Predictor, "logits", lambda own, texts: counted.append(len(texts)) or logits(own, texts))
        return counted

    def test_the_same_file_is_asked_once(self, tiny_model, questions):
        first, again = (Teacher(str(tiny_model), SENTIMENT).logits(TEXTS) for _ in range(2))
        assert questions == [len(TEXTS)]
        np.testing.assert_array_equal(first, again)

    def test_another_model_is_asked(self, tmp_path, tiny_model, questions):
        Teacher(str(tiny_model), SENTIMENT).logits(TEXTS)
        other = save_with_metadata(tiny_model, tmp_path / "other.keras", {"windows": {"max_windows": 1}})
        Teacher(str(other), SENTIMENT).logits(TEXTS)
        assert questions == [len(TEXTS)] * 2

    def test_a_folder_is_asked_once_and_again_when_a_file_of_it_changes(self, tmp_path, questions):
        for seed in (0, 0, 1):
            save_classifier(tmp_path / "bert", *SENTIMENT.names, seed=seed)
            Teacher(str(tmp_path / "bert"), SENTIMENT).logits(TEXTS)
        assert questions == [len(TEXTS)] * 2

    def test_many_texts_are_asked_part_by_part(self, tiny_model, questions):
        texts = [f"{number}，{TEXTS[0]}" for number in range(1500)]
        logits = Teacher(str(tiny_model), SENTIMENT).logits(texts)
        assert questions == [1024, 476]
        np.testing.assert_allclose(logits[-1:], Predictor(tiny_model).logits(texts[-1:]), atol=1e-6)
