"""Loading other libraries: no telemetry, nothing in the home folder, nothing on standard error."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from system.libraries import (
    EXTRAS_OF_KERAS,
    TELEMETRY_SWITCHES,
    disable_telemetry,
    keep_freed_memory,
    quiet_imports,
    without_extras_of_keras,
)

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "tests" / "programs"
SAMPLE = str(ROOT / "data" / "sample_reviews.csv")


@pytest.fixture
def new_user(tmp_path):
    """The environment of a user who has set no variable and whose home folder is empty."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONIOENCODING": "utf-8"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["application.py", "--text", "房间很干净"],
        ["application.py", "--file", SAMPLE],
        [PROGRAMS / "predict_text.py", "mini_bert_sentiment_classifier.keras", "房间很干净"],
    ],
    ids=["text", "file", "program"],
)
def test_a_prediction_leaves_nothing_in_the_home_folder(new_user, arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=new_user, capture_output=True, encoding="utf-8", check=True
    )
    assert "正面" in done.stdout
    assert list(Path(new_user["HOME"]).rglob("*")) == []


@pytest.mark.parametrize("library", ["huggingface_hub", "datasets", "openvino", "ray"])
def test_a_library_sees_that_telemetry_is_off(new_user, library):
    if not importlib.util.find_spec(library):
        pytest.skip(f"{library} is not installed")
    command = [sys.executable, PROGRAMS / "is_telemetry_off.py", library]
    done = subprocess.run(command, env=new_user, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "True\n"
    assert not (Path(new_user["HOME"]) / "intel").exists()


def test_a_variable_that_the_user_has_set_stays(monkeypatch):
    for name in TELEMETRY_SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    disable_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_compiled_code_is_silent_while_libraries_are_loaded(capfd):
    os.write(2, b"before\n")
    with quiet_imports():
        os.write(2, b"chatter\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"


def test_libraries_are_loaded_without_standard_error_too(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with quiet_imports():
        pass


class TestKeepFreedMemory:
    @pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
    def test_memory_is_kept_for_the_next_allocation(self, new_user):
        command = [sys.executable, str(PROGRAMS / "count_page_faults.py")]
        environment = new_user | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True)
        assert int(done.stdout) < 1000

    def test_the_variables_of_the_user_stay_in_force(self, monkeypatch):
        monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
        assert not keep_freed_memory()


class TestExtrasOfKeras:
    def test_are_not_found_in_the_block_alone(self, monkeypatch):
        for name in EXTRAS_OF_KERAS:
            monkeypatch.delitem(sys.modules, name, raising=False)
        with without_extras_of_keras():
            for name in EXTRAS_OF_KERAS:
                with pytest.raises(ImportError):
                    importlib.import_module(name)
        assert set(EXTRAS_OF_KERAS).isdisjoint(sys.modules)

    def test_stay_where_they_are_imported_before(self, monkeypatch):
        for name in EXTRAS_OF_KERAS:
            monkeypatch.setitem(sys.modules, name, sys)
        with without_extras_of_keras():
            assert all(importlib.import_module(name) is sys for name in EXTRAS_OF_KERAS)
        assert all(sys.modules[name] is sys for name in EXTRAS_OF_KERAS)

    def test_are_not_loaded_to_predict_with_keras(self, tiny_model):
        program = str(PROGRAMS / "modules_of_script.py")
        arguments = ["application.py", "--model", str(tiny_model), "--runtime", "keras", "--text", "房间很干净"]
        # NumPy as the backend: it starts at once.
        environment = os.environ | {"KERAS_BACKEND": "numpy"}
        done = subprocess.run(
            [sys.executable, program, *arguments], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8"
        )
        modules = json.loads(done.stdout.splitlines()[-1])["modules"]
        assert "keras" in modules and set(EXTRAS_OF_KERAS).isdisjoint(modules)
