"""Models as folders: `transformers` loads them, and answers as ours; they come back bit for bit."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import tiny_models
import torch
import transformers
from bert_checkpoints import random_bert, save_checkpoint
from exported_models import (
    METADATA,
    OTHER_SIZES,
    TWO,
    bert_classifier,
    bert_masked_lm,
    contents,
    probabilities_here,
    probabilities_there,
    saved,
    short_texts,
)
from safetensors.numpy import load_file

from network.checkpoints.conversion import bert_tensors, import_bert
from network.metadata import Metadata
from network.model_file import load_model
from network.pretrained import read_pretrained
from recipes.pretraining import BLANK, fill_blank
from serving.export.huggingface.export_folder import export_huggingface
from serving.predictor import Predictor
from system.errors import InputError, OutputError
from text.tokens.tokenizer import tokenizer_from_json

TOLERANCE = 1e-5
SENTENCE = f"房间很{BLANK}，下次还会来。"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with model.keras, a classifier of two labels, and an export of it, `out`."""
    folder = tmp_path_factory.mktemp("exported")
    export_huggingface(saved(bert_classifier(TWO), folder), folder / "out")
    return folder


class TestClassifiers:
    @pytest.mark.parametrize("kind", METADATA)
    def test_transformers_answers_with_our_labels_and_probabilities(self, tmp_path, kind):
        classifier = bert_classifier(METADATA[kind], **OTHER_SIZES)
        lines = export_huggingface(saved(classifier, tmp_path), tmp_path / "out")
        assert lines == [f"Model saved to {tmp_path / 'out'}; transformers loads it as BertForSequenceClassification"]
        texts, names = short_texts(classifier), classifier.label_set.names
        expected = probabilities_here(classifier, texts)
        assert len(texts) == 30 and expected.std() > 0.01
        found = probabilities_there(tmp_path / "out", texts, names)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)

    def test_no_weight_is_missing_or_left_over(self, exported):
        load = transformers.BertForSequenceClassification.from_pretrained
        _, report = load(exported / "out", output_loading_info=True)
        assert not any(report.values())

    def test_the_weights_are_ours_bit_for_bit(self, exported):
        classifier = load_model(exported / "model.keras")
        tensors = load_file(exported / "out" / "model.safetensors")
        kernel, bias = classifier.get_layer("classification_output").get_weights()
        np.testing.assert_array_equal(tensors["classifier.weight"], [0 * kernel[:, 0], kernel[:, 0]])
        np.testing.assert_array_equal(tensors["classifier.bias"], [0, bias[0]])
        for name, values in bert_tensors(classifier).items():
            np.testing.assert_array_equal(tensors[name], values)

    def test_the_dropout_of_the_head_is_that_of_the_model(self, exported):
        config = transformers.AutoConfig.from_pretrained(exported / "out")
        assert (config.classifier_dropout, config.hidden_dropout_prob) == (0.0, 0.1)

    def test_a_long_text_is_truncated_to_the_window_that_the_card_names(self, tmp_path):
        classifier = bert_classifier(TWO | {"windows": {"window": 20}})
        export_huggingface(saved(classifier, tmp_path), tmp_path / "out")
        assert "at most 20 tokens" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out").model_max_length == 20
        text = "房间很干净。" * 20
        found = probabilities_there(tmp_path / "out", [text], classifier.label_set.names, truncation=True)
        expected = probabilities_here(classifier, [text], window=20)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


class TestRoundTrip:
    @pytest.mark.parametrize("kind", METADATA)
    def test_a_classifier_comes_back_bit_for_bit(self, tmp_path, kind):
        classifier = bert_classifier(METADATA[kind], **OTHER_SIZES)
        export_huggingface(saved(classifier, tmp_path), tmp_path / "first" / "name")
        model, _ = read_pretrained(str(tmp_path / "first" / "name"), type(classifier))
        for ours, original in zip(model.get_weights(), classifier.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, original)
        assert Metadata.from_json(model.metadata, "") == Metadata.from_json(METADATA[kind], "")
        export_huggingface(saved(model, tmp_path), tmp_path / "second" / "name")
        assert contents(tmp_path / "first" / "name") == contents(tmp_path / "second" / "name")

    @pytest.mark.parametrize("next_sentence", [False, True])
    def test_a_pre_training_model_comes_back_bit_for_bit(self, tmp_path, next_sentence):
        original = bert_masked_lm(next_sentence)
        export_huggingface(saved(original, tmp_path), tmp_path / "first" / "name")
        model, _ = read_pretrained(str(tmp_path / "first" / "name"), type(original))
        assert model.metadata == original.metadata
        export_huggingface(tmp_path / "first" / "name", tmp_path / "second" / "name")
        assert contents(tmp_path / "first" / "name") == contents(tmp_path / "second" / "name")

    @pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForSequenceClassification"])
    def test_a_folder_of_another_program_keeps_its_tensors(self, tmp_path, kind):
        folder = save_checkpoint(tmp_path / "theirs", random_bert(kind, num_labels=3))
        export_huggingface(folder, tmp_path / "ours")
        expected, found = (load_file(each / "model.safetensors") for each in (folder, tmp_path / "ours"))
        assert set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        before, after = (transformers.AutoTokenizer.from_pretrained(each) for each in (folder, tmp_path / "ours"))
        text = "房间很干净，wifis不好 ABC"
        assert after(text)["input_ids"] == before(text)["input_ids"]

    def test_other_labels_since_end_the_calibration(self, tmp_path, exported):
        """Whoever trains an export for other labels in `transformers` keeps the key of this project in config.json."""
        path = shutil.copytree(exported / "out", tmp_path / "out") / "config.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(values | {"id2label": {"0": "假", "1": "真"}}), encoding="utf-8")
        assert import_bert(tmp_path / "out").model.metadata == {"labels": ["假", "真"]}


class TestMaskedLM:
    @pytest.mark.parametrize(
        ("next_sentence", "architecture"), [(False, "BertForMaskedLM"), (True, "BertForPreTraining")]
    )
    def test_the_pipeline_fills_a_blank_as_we_do(self, tmp_path, next_sentence, architecture):
        model = bert_masked_lm(next_sentence)
        (line,) = export_huggingface(saved(model, tmp_path), tmp_path / "out")
        assert line.endswith(f"transformers loads it as {architecture}")
        load = getattr(transformers, architecture).from_pretrained
        assert not any(load(tmp_path / "out", output_loading_info=True)[1].values())
        fill = transformers.pipeline("fill-mask", str(tmp_path / "out"), top_k=20)
        assert type(fill.model).__name__ == "BertForMaskedLM"
        found = {each["token_str"]: each["score"] for each in fill(SENTENCE.replace(BLANK, "[MASK]"))}
        expected = fill_blank(model, tokenizer_from_json(model.tokenizer_json), SENTENCE)
        assert set(dict(expected)) <= set(found)
        ratios = [found[token] / probability for token, probability in expected]  # ours are without special tokens
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-3)

    def test_the_logit_of_next_sentences(self, tmp_path):
        model = bert_masked_lm(next_sentence=True)
        export_huggingface(saved(model, tmp_path), tmp_path / "out")
        ids, segments = np.array([[2, 30, 31, 3, 40, 3]]), np.array([[0, 0, 0, 0, 1, 1]])
        padded = {"input_ids": ids, "token_type_ids": segments}
        padded = {name: np.pad(values, ((0, 0), (0, 58))).astype("int32") for name, values in padded.items()}
        expected = model(padded | {"masked_positions": np.zeros((1, 1), "int32")})["next_sentence"]
        loaded = transformers.BertForPreTraining.from_pretrained(tmp_path / "out")
        with torch.no_grad():
            inputs = {"input_ids": torch.tensor(ids), "token_type_ids": torch.tensor(segments)}
            logits = loaded(**inputs).seq_relationship_logits.numpy()
        np.testing.assert_allclose(logits[:, 0] - logits[:, 1], np.asarray(expected)[:, 0], atol=1e-4)


class TestOtherNetworks:
    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            (lambda: tiny_models.classifier(TWO, "pooler"), "pre-trained with `pretrain.py --post-norm` is a BERT"),
            (lambda: bert_classifier(TWO, "mean"), "fine-tuned with `--pooling pooler` is a BERT"),
        ],
        ids=["pre-norm", "mean"],
    )
    def test_they_become_a_folder_for_onnx_runtime_that_says_why(self, tmp_path, model, reason):
        classifier = model()
        note, line = export_huggingface(saved(classifier, tmp_path), tmp_path / "out")
        assert note.startswith("note: ") and reason in note
        assert line == f"Model saved to {tmp_path / 'out'}; example.py there shows how to use model.onnx"
        assert set(contents(tmp_path / "out")) == {"README.md", "example.py", "model.onnx", "tokenizer.json"}
        assert reason in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
        assert [each.name for each in session.get_inputs()] == ["input_ids"]
        texts = short_texts(classifier)
        found = Predictor(tmp_path / "out" / "model.onnx").predict_proba(texts)
        np.testing.assert_allclose(found, probabilities_here(classifier, texts, TWO["temperature"]), atol=TOLERANCE)

    def test_a_pre_norm_masked_lm_is_refused(self, tmp_path):
        path = saved(tiny_models.masked_lm(), tmp_path)
        with pytest.raises(InputError, match="--post-norm` is a BERT. Only classifiers can be exported without"):
            export_huggingface(path, tmp_path / "out")
        assert list(tmp_path.iterdir()) == [path]


class TestTheFolder:
    @pytest.fixture
    def folder(self, tmp_path, exported):
        """A folder with model.keras and an export of it, `out`."""
        return shutil.copytree(exported, tmp_path / "copy")

    def test_an_earlier_export_is_kept(self, folder):
        before = contents(folder / "out")
        export_huggingface(folder / "model.keras", folder / "out")
        assert contents(folder / "out.previous") == contents(folder / "out") == before

    def test_an_export_of_another_kind_replaces_it(self, folder):
        export_huggingface(saved(tiny_models.classifier(TWO), folder), folder / "out")
        assert "model.onnx" in contents(folder / "out") and "config.json" not in contents(folder / "out")

    @pytest.mark.parametrize("change", ["more", "another card", "no card"])
    def test_another_folder_is_refused(self, folder, change):
        card = folder / "out" / "README.md"
        if change == "more":
            (folder / "out" / "training_args.bin").write_bytes(b"mine")
        elif change == "another card":
            card.write_text("# My model\n\n- mini-bert\n", encoding="utf-8")
        else:
            card.unlink()
        before = contents(folder / "out")
        with pytest.raises(OutputError, match="out: the folder exists, and not everything in it is from this command"):
            export_huggingface(folder / "model.keras", folder / "out")
        assert contents(folder / "out") == before

    def test_an_edited_card_is_still_an_export(self, folder):
        card = folder / "out" / "README.md"
        card.write_text(card.read_text(encoding="utf-8") + "\nMy own words.\n", encoding="utf-8")
        export_huggingface(folder / "model.keras", folder / "out")
        assert "My own words." in (folder / "out.previous" / "README.md").read_text(encoding="utf-8")
