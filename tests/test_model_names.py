"""Find an included model by its name."""

import os
from pathlib import Path

import pytest

from serving.predictor import Predictor
from serving.runtimes.model_names import find_model, model_names
from serving.runtimes.onnx_runtime import OnnxRuntime
from system.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A folder with three models, one of them in two files, and with files that have no name of a model."""
    folder = tmp_path / "models"
    folder.mkdir()
    files = ("three_classes.onnx", "emotions.onnx", "both.keras", "both.onnx")
    others = ("both.previous.keras", ".emotions.0a1b.onnx", "._emotions.onnx", ".onnx", "README.md", "weights")
    for name in (*files, *others):
        (folder / name).touch()
    return folder


@pytest.fixture(autouse=True)
def current_folder(tmp_path, monkeypatch):
    path = tmp_path / "elsewhere"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


class TestNames:
    def test_are_sorted_and_those_of_finished_model_files(self, folder):
        assert model_names(folder) == ["both", "emotions", "three_classes"]

    def test_there_may_be_no_folder(self, tmp_path):
        assert model_names(tmp_path / "missing") == []

    def test_each_is_found(self, folder):
        assert all(os.path.isfile(find_model(name, folder)) for name in model_names(folder))


class TestFind:
    @pytest.mark.parametrize(
        ("name", "file"),
        [("emotions", "emotions.onnx"), ("three_classes", "three_classes.onnx"), ("both", "both.keras")],
    )
    def test_a_name(self, folder, name, file):
        assert find_model(name, folder) == str(folder / file)

    def test_a_file_that_exists_wins(self, folder, current_folder):
        (current_folder / "emotions").touch()
        assert find_model("emotions", folder) == "emotions"

    def test_a_folder_of_this_name_does_not(self, folder, current_folder):
        (current_folder / "emotions").mkdir()
        assert find_model("emotions", folder) == str(folder / "emotions.onnx")

    def test_an_unknown_name_is_an_error_that_lists_the_names(self, folder):
        with pytest.raises(InputError) as caught:
            find_model("emotion", folder)
        assert str(caught.value) == (
            "emotion: no such file, and no included model has this name; choose from both, emotions, three_classes"
        )

    @pytest.mark.parametrize(
        "path", ["emotions.onnx", "emotions.keras", "./emotions", "models/emotions", "emotions/", "", ".emotions"]
    )
    def test_what_looks_like_a_path_is_one(self, folder, path):
        assert find_model(path, folder) == path

    @pytest.mark.parametrize("name", ["missing", "."])
    def test_without_models_there_are_only_paths(self, tmp_path, name):
        assert find_model("emotions", tmp_path / name) == "emotions"


class TestIncludedModels:
    FOLDER = Path(__file__).resolve().parents[1] / "models"
    ANSWERS = {
        "three_classes": {
            "菜难吃，再也不来了。": "负面",
            "菜一般，价格倒是实惠。": "中性",
            "音质很好，非常喜欢！": "正面",
        },
        "emotions": {
            "气死我了，等了两个小时都没人管！": "愤怒",
            "外婆走了，心里空落落的，一直在哭。": "悲伤",
            "终于拿到录取通知书了，好开心！": "高兴",
        },
    }

    @pytest.mark.parametrize("name", ANSWERS)
    def test_they_answer_plain_texts(self, name):
        predictor, answers = Predictor(find_model(name, self.FOLDER)), self.ANSWERS[name]
        assert [prediction.label for prediction in predictor.predict(list(answers))] == list(answers.values())

    def test_they_are_small_and_say_what_they_learnt(self):
        assert model_names(self.FOLDER) == sorted(self.ANSWERS)
        for name in self.ANSWERS:
            path = Path(find_model(name, self.FOLDER))
            assert path.stat().st_size <= 8_000_000
            metadata = OnnxRuntime(path).metadata
            assert metadata.data["rows"] > 20_000 and metadata.test
