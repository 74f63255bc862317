"""The model file: it contains everything, is written completely or not at all, and a damaged one is refused."""

import dataclasses
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_checks import as_array, randomize

from network.backbone import BertConfig
from network.bert import BertClassifier, BertMaskedLM, BertModel, classifier_from_pretrained
from network.model_file import load_model, save_model
from system.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "tests" / "programs" / "load_models.py"
SMALL = BertConfig(vocab_size=100, max_seq_len=12, d_model=16, dff=32)
# Careless reading or writing of text would change line ends, whitespace at both ends and the ideographic space.
TOKENIZER_JSON = '\u3000{"model": "\'“\\"😀\u2028", "lines": "\\r\\n"}\r\n\r \u3000\n'
METADATA = {"labels": ["负面", "正面"], "threshold": 0.7, "test": {"accuracy": 0.875, "rows": 8}, "none": None}
INPUTS = {
    "input_ids": np.random.default_rng(0).integers(1, 100, (8, 12), "int32") * (np.arange(12) < 9),
    "token_type_ids": np.zeros((8, 12), "int32"),
}
MASKED_INPUTS = INPUTS | {"masked_positions": np.tile(np.array([0, 3], "int32"), (8, 1))}


def small_classifier(**options):
    classifier = BertClassifier(SMALL, TOKENIZER_JSON, METADATA, **options)
    randomize(classifier)
    randomize(classifier.get_layer("classification_output"), scale=0.1)
    return classifier


def small_masked_lm():
    masked_lm = BertMaskedLM(SMALL, TOKENIZER_JSON, {"perplexity": 12.5})
    randomize(masked_lm)
    return masked_lm


def copy_with_config(source, target, change):
    """Copy a model file with the options of its model, a dict, as `change` leaves them."""
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w") as changed:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"])
                content = json.dumps(config)
            changed.writestr(name, content)


def trainable_count(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a model file."""
    path = tmp_path_factory.mktemp("model") / "a.keras"
    save_model(small_classifier(), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def models():
    return {"classifier": small_classifier(unfreeze=1), "masked_lm": small_masked_lm()}


@pytest.fixture(scope="module")
def loaded(models, tmp_path_factory):
    """What a process of its own prints about the files of both models, see tests/programs/load_models.py."""
    folder = tmp_path_factory.mktemp("models")
    for name, model in models.items():
        save_model(model, folder / f"{name}.keras")
    np.savez(folder / "inputs.npz", **MASKED_INPUTS)
    run = subprocess.run([sys.executable, str(PROGRAM), str(folder)], capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
class TestFreshProcess:
    def test_computes_the_same(self, models, loaded):
        probabilities = as_array(models["classifier"](INPUTS))
        np.testing.assert_allclose(loaded["classifier"]["output"], probabilities, atol=1e-6)
        logits = as_array(models["masked_lm"](MASKED_INPUTS))
        np.testing.assert_allclose(loaded["masked_lm"]["output"], logits, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize("name", ["classifier", "masked_lm"])
    def test_reads_tokenizer_and_configuration(self, models, loaded, name):
        assert loaded[name]["tokenizer_json"] == TOKENIZER_JSON
        assert loaded[name]["config"] == models[name].get_config()
        assert loaded[name]["class"] == f"network.bert.{type(models[name]).__name__}"
        assert loaded[name]["config"]["config"] == dataclasses.asdict(SMALL)
        assert not loaded[name]["compiled"]

    def test_reads_the_metadata(self, loaded):
        assert loaded["classifier"]["config"]["metadata"] == METADATA

    def test_ties_the_head_to_the_embeddings_again(self, models, loaded):
        """The logits change with the embeddings."""
        masked_lm = models["masked_lm"]
        logits = as_array(masked_lm(MASKED_INPUTS))
        embeddings = masked_lm.get_layer("bert_embedding").token_embedding.embeddings
        original = keras.ops.copy(embeddings)
        embeddings.assign(keras.ops.flip(embeddings, axis=0))
        flipped = as_array(masked_lm(MASKED_INPUTS))
        embeddings.assign(original)
        np.testing.assert_allclose(loaded["output_with_flipped_embeddings"], flipped, rtol=1e-5, atol=1e-5)
        assert np.abs(flipped - logits).max() > 1


class TestSaveModel:
    def test_load_model_returns_what_was_saved(self, tmp_path):
        classifier = small_classifier(unfreeze="all", pooling="cls", head_dropout_rate=0.25)
        save_model(classifier, tmp_path / "a.keras")
        loaded = load_model(tmp_path / "a.keras", BertClassifier)
        np.testing.assert_array_equal(as_array(loaded(INPUTS)), as_array(classifier(INPUTS)))
        assert loaded.tokenizer_json == TOKENIZER_JSON
        assert loaded.get_config() == classifier.get_config()
        assert (loaded.pooling, loaded.head_dropout_rate) == ("cls", 0.25)
        assert loaded.get_layer("head_dropout").rate == 0.25
        assert trainable_count(loaded) == trainable_count(classifier)
        assert classifier.count_params() == loaded.count_params() > 0

    def test_a_model_of_two_tasks_keeps_both_heads(self, tmp_path):
        model = BertMaskedLM(SMALL, TOKENIZER_JSON, next_sentence=True)
        randomize(model)
        save_model(model, tmp_path / "a.keras")
        loaded = load_model(tmp_path / "a.keras", BertMaskedLM)
        for name, output in model(MASKED_INPUTS).items():
            np.testing.assert_array_equal(as_array(loaded(MASKED_INPUTS)[name]), as_array(output))
        assert loaded.get_config() == model.get_config()

    @pytest.mark.slow
    def test_a_file_contains_no_state_of_an_optimizer(self, tmp_path):
        classifier = classifier_from_pretrained(BertClassifier(BertConfig()), unfreeze="all")
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
        # The model itself is unchanged.
        assert classifier.optimizer is not None and classifier.built

    def test_an_interrupted_save_leaves_the_old_file(self, tmp_path, content, monkeypatch):
        path = tmp_path / "a.keras"
        path.write_bytes(content)

        def save_half(self, temporary):
            Path(temporary).write_bytes(content[: len(content) // 2])
            raise KeyboardInterrupt

        monkeypatch.setattr(BertClassifier, "save", save_half)
        with pytest.raises(KeyboardInterrupt):
            save_model(small_classifier(), path)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


class TestEarlierFile:
    def test_without_pooling_and_head_dropout_is_the_same_model(self, tmp_path):
        classifier = small_classifier(unfreeze=1)
        save_model(classifier, tmp_path / "new.keras")

        def without_them(config):
            assert config.pop("pooling") == "mean" and config.pop("head_dropout_rate") == 0

        copy_with_config(tmp_path / "new.keras", tmp_path / "a.keras", without_them)
        loaded = load_model(tmp_path / "a.keras", BertClassifier)
        assert loaded.get_config() == classifier.get_config()
        np.testing.assert_array_equal(as_array(loaded(INPUTS)), as_array(classifier(INPUTS)))

    def test_the_included_classifier_loads_with_the_layers_that_it_was_trained_with(self):
        loaded = load_model(ROOT / "mini_bert_sentiment_classifier.keras", BertClassifier)
        assert (loaded.pooling, loaded.head_dropout_rate) == ("mean", 0)
        names = [layer.name for layer in loaded.layers]
        assert names[-3:] == ["transformer_encoder_1", "pooled_output", "classification_output"]
        assert loaded.count_params() == 1_456_577

    def test_the_included_pretrained_model_loads(self):
        assert load_model(ROOT / "mini_bert_zh_hk.keras", BertMaskedLM).config == BertConfig(dropout_rate=0.0)


def assert_refused(path, expected=BertModel):
    """Check that the error is one sentence, from the file to the command that makes a good one; return it."""
    with pytest.raises(InputError) as caught:
        load_model(path, expected)
    message = str(caught.value)
    script = "fine_tuning.py" if expected is BertClassifier else "pretrain.py"
    assert message.startswith(f"{path}: ")
    assert message.endswith(f"`python {script}` makes one")
    assert "\n" not in message and "Traceback" not in message and len(message) < 400
    return message


def assert_refused_or_unharmed(path, content, location, damage):
    """Damage a file; check that it is refused in one line, or loads because the damage does not matter."""
    start = int(location * len(content))
    path.write_bytes(content[:start] + damage + content[start + len(damage) :])
    try:
        load_model(path)
    except InputError as error:
        assert "\n" not in str(error)


DAMAGE = {"location": st.floats(0, 1, exclude_max=True), "damage": st.binary(min_size=1, max_size=64)}
FILE_FOR_EACH_TEST = [HealthCheck.function_scoped_fixture]


class TestUnusableFile:
    def test_missing(self, tmp_path):
        assert "no such model file" in assert_refused(tmp_path / "none.keras")

    def test_a_folder(self, tmp_path):
        with pytest.raises(InputError, match="this is a folder; name a file in it"):
            load_model(tmp_path)

    @pytest.mark.parametrize("fraction", [0, 0.001, 0.3, 0.5, 0.9, 0.999])
    def test_truncated(self, tmp_path, content, fraction):
        (tmp_path / "a.keras").write_bytes(content[: int(len(content) * fraction)])
        message = assert_refused(tmp_path / "a.keras")
        assert "not a model file of this project, or a damaged one" in message

    @pytest.mark.parametrize("junk", [b"junk", b"PK\x03\x04junk", "正面\n".encode() * 1000])
    def test_not_an_archive(self, tmp_path, junk):
        (tmp_path / "a.keras").write_bytes(junk)
        assert_refused(tmp_path / "a.keras")

    @pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
    def test_an_entry_is_missing(self, tmp_path, content, missing):
        (tmp_path / "whole.keras").write_bytes(content)
        with (
            zipfile.ZipFile(tmp_path / "whole.keras") as whole,
            zipfile.ZipFile(tmp_path / "a.keras", "w") as incomplete,
        ):
            for name in whole.namelist():
                if name != missing:
                    incomplete.writestr(name, whole.read(name))
        assert_refused(tmp_path / "a.keras")

    @pytest.mark.parametrize("config", ["null", "[]", "{}", "{", '{"class_name": "BertClassifier", "config": {}}'])
    def test_another_configuration(self, tmp_path, config):
        with zipfile.ZipFile(tmp_path / "a.keras", "w") as file:
            file.writestr("config.json", config)
        assert_refused(tmp_path / "a.keras")

    @pytest.mark.parametrize("names", [["好"], ["好", "好"], ["好", 1], ["好", "不确定"]])
    def test_names_that_are_no_label_set(self, tmp_path, names):
        save_model(tiny_models.classifier(max_seq_len=8), tmp_path / "whole.keras")
        change = {"metadata": {"labels": names}}
        copy_with_config(tmp_path / "whole.keras", tmp_path / "a.keras", lambda config: config.update(change))
        with pytest.raises(InputError, match="a.keras: the metadata of the model cannot be used: .* label"):
            load_model(tmp_path / "a.keras")

    @pytest.mark.parametrize(
        "change", [{"pooling": "sum"}, {"pooling": ["mean"]}, {"head_dropout_rate": 2}, {"head_dropout_rate": "x"}]
    )
    def test_options_that_are_no_classifier(self, tmp_path, content, change):
        (tmp_path / "whole.keras").write_bytes(content)
        copy_with_config(tmp_path / "whole.keras", tmp_path / "a.keras", lambda config: config.update(change))
        with pytest.raises(InputError, match="a.keras: ") as caught:
            load_model(tmp_path / "a.keras")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("field", "value"), [(6, 99), (8, 1), (10, 99)], ids=["version", "encrypted", "method"])
    def test_an_archive_of_another_kind(self, tmp_path, content, field, value):
        directory = content.index(b"PK\x01\x02")
        changed = bytearray(content)
        changed[directory + field] = value
        (tmp_path / "a.keras").write_bytes(changed)
        assert_refused(tmp_path / "a.keras")

    @settings(max_examples=6, deadline=None, suppress_health_check=FILE_FOR_EACH_TEST)
    @given(**DAMAGE)
    def test_damaged_somewhere(self, tmp_path, content, location, damage):
        assert_refused_or_unharmed(tmp_path / "a.keras", content, location, damage)

    @pytest.mark.slow
    @settings(max_examples=30, deadline=None, suppress_health_check=FILE_FOR_EACH_TEST)
    @given(**DAMAGE)
    def test_damaged_anywhere(self, tmp_path, content, location, damage):
        assert_refused_or_unharmed(tmp_path / "a.keras", content, location, damage)

    def test_a_model_of_another_project(self, tmp_path):
        foreign = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        foreign.save(tmp_path / "a.keras")
        assert "contains a Sequential" in assert_refused(tmp_path / "a.keras")

    def test_code_in_a_file_is_not_run(self, tmp_path):
        foreign = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x + 1)])
        foreign.save(tmp_path / "a.keras")
        assert_refused(tmp_path / "a.keras")

    def test_a_classifier_instead_of_a_pre_trained_model(self, tmp_path, content):
        (tmp_path / "a.keras").write_bytes(content)
        message = assert_refused(tmp_path / "a.keras", BertMaskedLM)
        assert "contains a BertClassifier, not a BertMaskedLM" in message

    def test_a_pre_trained_model_instead_of_a_classifier(self, tmp_path):
        save_model(small_masked_lm(), tmp_path / "a.keras")
        message = assert_refused(tmp_path / "a.keras", BertClassifier)
        assert "contains a BertMaskedLM, not a BertClassifier" in message
