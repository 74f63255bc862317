"""The models: their sizes, what is trained, and the file that they live in."""

import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_checks import as_array, randomize

import fine_tuning
import model as model_module
from network.bert import (
    BertClassifier,
    BertConfig,
    BertMaskedLM,
    BertModel,
    backbone_layers,
    classifier_from_pretrained,
)
from network.model_file import load_model, save_model
from system.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SMALL = BertConfig(vocab_size=100, max_seq_len=12, d_model=16, dff=32)
# What careless reading and writing of text changes: line ends, the space at its ends, the ideographic space.
TOKENIZER_JSON = '\u3000{"model": "\'“\\"😀\u2028", "lines": "\\r\\n"}\r\n\r \u3000\n'
METADATA = {"labels": ["负面", "正面"], "threshold": 0.7, "test": {"accuracy": 0.875, "rows": 8}, "none": None}
INPUTS = {
    "input_ids": np.random.default_rng(0).integers(1, 100, (8, 12), "int32") * (np.arange(12) < 9),
    "token_type_ids": np.zeros((8, 12), "int32"),
}
MASKED_INPUTS = INPUTS | {"masked_positions": np.tile(np.array([0, 3], "int32"), (8, 1))}


@pytest.fixture(scope="module")
def full_size():
    return BertClassifier(BertConfig())


def small_classifier(**options):
    classifier = BertClassifier(SMALL, TOKENIZER_JSON, METADATA, **options)
    randomize(classifier)
    randomize(classifier.get_layer("classification_output"), scale=0.1)
    return classifier


def small_masked_lm():
    masked_lm = BertMaskedLM(SMALL, TOKENIZER_JSON, {"perplexity": 12.5})
    randomize(masked_lm)
    return masked_lm


def probabilities(classifier):
    return as_array(classifier(INPUTS))


def trainable_count(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)


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

    @pytest.mark.parametrize(("unfreeze", "count"), [(0, 65), (1, 50_049), (2, 100_033), ("all", 1_456_577)])
    def test_unfreeze(self, full_size, unfreeze, count):
        classifier = classifier_from_pretrained(full_size, unfreeze)
        assert trainable_count(classifier) == count
        assert classifier.count_params() == 1_456_577
        if unfreeze == 1:
            assert classifier.get_layer("transformer_encoder_1").trainable
            assert not classifier.get_layer("transformer_encoder").trainable

    @pytest.mark.parametrize("unfreeze", [3, -1])
    def test_more_encoders_than_there_are(self, full_size, unfreeze):
        with pytest.raises(InputError, match="the model has 2"):
            classifier_from_pretrained(full_size, unfreeze)

    def test_constants(self):
        same = {"MAX_SEQ_LEN": 64, "BATCH_SIZE": 32, "TEST_SIZE": 1 / 6, "DATASET": "XiangPan/ChnSentiCorp_htl_8k"}
        for module, its_own in (
            (model_module, {"EPOCHS": 15, "LEARNING_RATE": 2e-5}),
            (fine_tuning, {"EPOCHS": 5, "LEARNING_RATE": 5e-5, "SEED": 42, "PLOT_SAVE_PATH": "training_curves.png"}),
        ):
            expected = same | its_own
            assert {name: getattr(module, name) for name in expected} == expected
        assert not hasattr(model_module, "SEED") and not hasattr(model_module, "PLOT_SAVE_PATH")
        assert model_module.PRETRAINED_PATH == "mini_bert_zh_hk.keras"
        assert model_module.CLASSIFIER_PATH == "mini_bert_sentiment_classifier.keras"


class TestFromPretrained:
    @pytest.mark.parametrize("make", [small_masked_lm, small_classifier])
    def test_copies_the_backbone_and_the_tokenizer(self, make):
        pretrained = make()
        classifier = classifier_from_pretrained(pretrained, unfreeze=1, dropout_rate=0.3)
        assert classifier.tokenizer_json == TOKENIZER_JSON
        assert classifier.config == dataclasses.replace(SMALL, dropout_rate=0.3)
        assert classifier.unfreeze == 1 and classifier.metadata == {}
        for source, target in zip(backbone_layers(pretrained), backbone_layers(classifier), strict=True):
            for expected, weight in zip(source.get_weights(), target.get_weights(), strict=True):
                np.testing.assert_array_equal(weight, expected)
        before = pretrained.get_weights()
        randomize(classifier, seed=9)
        for expected, weight in zip(before, pretrained.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


LOAD = """
import json, sys
import keras, numpy
import model
inputs = dict(numpy.load("inputs.npz"))
result = {}
for name in ("classifier", "masked_lm"):
    loaded = keras.saving.load_model(f"{name}.keras", safe_mode=True)
    wanted = {key: value for key, value in inputs.items() if key in loaded.input}
    result[name] = {
        "output": loaded.predict(wanted, verbose=0).tolist(),
        "tokenizer_json": loaded.tokenizer_json,
        "config": loaded.get_config(),
        "class": f"{type(loaded).__module__}.{type(loaded).__name__}",
    }
embeddings = loaded.get_layer("bert_embedding").token_embedding.embeddings
embeddings.assign(keras.ops.flip(embeddings, axis=0))
result["flipped"] = loaded.predict(wanted, verbose=0).tolist()
result["compiled"] = loaded.compiled
print(json.dumps(result))
"""


class TestFile:
    def test_a_fresh_process_reads_the_same_models(self, tmp_path):
        classifier, masked_lm = small_classifier(unfreeze=1), small_masked_lm()
        save_model(classifier, tmp_path / "classifier.keras")
        save_model(masked_lm, tmp_path / "masked_lm.keras")
        np.savez(tmp_path / "inputs.npz", **MASKED_INPUTS)
        run = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{LOAD}"],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
        )
        assert run.returncode == 0, run.stderr
        loaded = json.loads(run.stdout.splitlines()[-1])
        np.testing.assert_allclose(loaded["classifier"]["output"], probabilities(classifier), atol=1e-6)
        logits = as_array(masked_lm(MASKED_INPUTS))
        np.testing.assert_allclose(loaded["masked_lm"]["output"], logits, rtol=1e-5, atol=1e-5)
        for name, model in (("classifier", classifier), ("masked_lm", masked_lm)):
            assert loaded[name]["tokenizer_json"] == TOKENIZER_JSON
            assert loaded[name]["config"] == model.get_config()
            assert loaded[name]["class"] == f"network.bert.{type(model).__name__}"
        assert loaded["classifier"]["config"]["metadata"] == METADATA
        assert loaded["classifier"]["config"]["config"] == dataclasses.asdict(SMALL)
        assert not loaded["compiled"]
        # Turned upside down, the embeddings give other logits: the head of the loaded model is tied to them.
        table = masked_lm.get_layer("bert_embedding").token_embedding.embeddings
        table.assign(keras.ops.flip(table, axis=0))
        flipped = as_array(masked_lm(MASKED_INPUTS))
        np.testing.assert_allclose(loaded["flipped"], flipped, rtol=1e-5, atol=1e-5)
        assert np.abs(flipped - logits).max() > 1

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(st.characters(exclude_categories=["Cs"])))
    def test_the_tokenizer_comes_back_byte_for_byte(self, tmp_path, text):
        asset = model_module.TokenizerAsset()
        asset.json = text
        asset.save_assets(tmp_path)
        again = model_module.TokenizerAsset()
        again.load_assets(tmp_path)
        assert again.json == text

    def test_load_model_returns_what_was_saved(self, tmp_path):
        classifier = small_classifier(unfreeze="all")
        save_model(classifier, tmp_path / "a.keras")
        loaded = load_model(tmp_path / "a.keras", BertClassifier)
        np.testing.assert_array_equal(probabilities(loaded), probabilities(classifier))
        assert loaded.tokenizer_json == TOKENIZER_JSON
        assert loaded.get_config() == classifier.get_config()
        assert trainable_count(loaded) == trainable_count(classifier)
        assert classifier.count_params() == loaded.count_params() > 0

    def test_holds_no_state_of_an_optimizer(self, full_size, tmp_path):
        classifier = classifier_from_pretrained(full_size, unfreeze="all")
        classifier.compile("adam", "binary_crossentropy", run_eagerly=True)
        inputs = {"input_ids": np.ones((2, 64), "int32"), "token_type_ids": np.zeros((2, 64), "int32")}
        classifier.fit(inputs, np.array([0, 1]), verbose=0)
        save_model(classifier, tmp_path / "a.keras")
        assert 4 * 1_456_577 < (tmp_path / "a.keras").stat().st_size < 8_000_000
        with zipfile.ZipFile(tmp_path / "a.keras") as file:
            assert not json.loads(file.read("config.json")).get("compile_config")
        loaded = keras.saving.load_model(tmp_path / "a.keras")
        assert not loaded.compiled
        np.testing.assert_array_equal(loaded.get_weights()[0], classifier.get_weights()[0])
        # Saving left the model itself as it was.
        assert classifier.optimizer is not None and classifier.built

    def test_an_interrupted_save_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "a.keras"
        save_model(small_classifier(), path)
        old = path.read_bytes()

        def save_half(self, temporary):
            Path(temporary).write_bytes(old[: len(old) // 2])
            raise KeyboardInterrupt

        monkeypatch.setattr(BertClassifier, "save", save_half)
        with pytest.raises(KeyboardInterrupt):
            save_model(small_classifier(), path)
        assert path.read_bytes() == old
        assert list(tmp_path.iterdir()) == [path]


class TestUnusableFile:
    @pytest.fixture(scope="class")
    @staticmethod
    def content(tmp_path_factory):
        path = tmp_path_factory.mktemp("model") / "a.keras"
        save_model(small_classifier(), path)
        return path.read_bytes()

    @staticmethod
    def check_refused(path, expected=BertModel):
        """One sentence that begins with the file and ends with the command that makes a good one."""
        with pytest.raises(InputError) as caught:
            load_model(path, expected)
        message = str(caught.value)
        script = "fine_tuning.py" if expected is BertClassifier else "pretrain.py"
        assert message.startswith(f"{path}: ")
        assert message.endswith(f"`python {script}` makes one")
        assert "\n" not in message and "Traceback" not in message and len(message) < 400
        return message

    def test_missing(self, tmp_path):
        assert "no such model file" in self.check_refused(tmp_path / "none.keras")
        assert "no such model file" in self.check_refused(tmp_path)

    @pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.5, 0.9, 0.999])
    def test_truncated(self, tmp_path, content, share):
        (tmp_path / "a.keras").write_bytes(content[: int(len(content) * share)])
        self.check_refused(tmp_path / "a.keras")

    @pytest.mark.parametrize("junk", [b"junk", b"PK\x03\x04junk", "正面\n".encode() * 1000])
    def test_not_an_archive(self, tmp_path, junk):
        (tmp_path / "a.keras").write_bytes(junk)
        self.check_refused(tmp_path / "a.keras")

    @pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
    def test_a_part_is_missing(self, tmp_path, content, missing):
        (tmp_path / "whole.keras").write_bytes(content)
        with (
            zipfile.ZipFile(tmp_path / "whole.keras") as whole,
            zipfile.ZipFile(tmp_path / "a.keras", "w") as part,
        ):
            for name in whole.namelist():
                if name != missing:
                    part.writestr(name, whole.read(name))
        self.check_refused(tmp_path / "a.keras")

    @pytest.mark.parametrize("config", ["null", "[]", "{}", "{", '{"class_name": "BertClassifier", "config": {}}'])
    def test_another_configuration(self, tmp_path, config):
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as file:
            file.writestr("config.json", config)
        self.check_refused(tmp_path / "a.keras")

    @pytest.mark.parametrize(("field", "value"), [(6, 99), (8, 1), (10, 99)], ids=["version", "encrypted", "method"])
    def test_an_archive_of_another_kind(self, tmp_path, content, field, value):
        directory = content.index(b"PK\x01\x02")
        changed = bytearray(content)
        changed[directory + field] = value
        (tmp_path / "a.keras").write_bytes(changed)
        self.check_refused(tmp_path / "a.keras")

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.floats(0, 1, exclude_max=True), damage=st.binary(min_size=1, max_size=64))
    def test_damaged_anywhere(self, tmp_path, content, place, damage):
        """A damaged file is refused, or was damaged where it does not matter: nothing else comes out."""
        start = int(place * len(content))
        path = tmp_path / "a.keras"
        path.write_bytes(content[:start] + damage + content[start + len(damage) :])
        try:
            load_model(path)
        except InputError as error:
            assert "\n" not in str(error)

    def test_foreign_model(self, tmp_path):
        foreign = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        foreign.save(tmp_path / "a.keras")
        assert "holds a Sequential" in self.check_refused(tmp_path / "a.keras")

    def test_foreign_code_is_not_run(self, tmp_path):
        foreign = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x + 1)])
        foreign.save(tmp_path / "a.keras")
        self.check_refused(tmp_path / "a.keras")

    def test_wrong_kind(self, tmp_path, content):
        (tmp_path / "a.keras").write_bytes(content)
        message = self.check_refused(tmp_path / "a.keras", BertMaskedLM)
        assert "holds a BertClassifier, not a BertMaskedLM" in message
        save_model(small_masked_lm(), tmp_path / "b.keras")
        message = self.check_refused(tmp_path / "b.keras", BertClassifier)
        assert "holds a BertMaskedLM, not a BertClassifier" in message


def test_the_classes_exist_once_whoever_imports_them():
    command = [sys.executable, str(ROOT / "tests" / "programs" / "model_as_script.py")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert run.stdout.startswith("usage: model.py"), run.stderr
    assert run.stdout.splitlines()[-1] == "0 network.bert network.bert True"
