"""Loading other libraries: what they must not do to a user's home folder, and to standard error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from system.libraries import TELEMETRY_SWITCHES, disable_telemetry, quiet_imports

ROOT = Path(__file__).resolve().parents[1]
IN_A_PROGRAM = """
from serving.predictor import Predictor
print(Predictor("mini_bert_sentiment_classifier.keras").predict(["房间很干净"])[0].label)
"""
SAMPLE = str(ROOT / "data" / "sample_reviews.csv")


@pytest.fixture
def new_user(tmp_path):
    """The environment of somebody who has set nothing, and whose home folder is empty."""
    home = tmp_path / "home"
    home.mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONIOENCODING": "utf-8"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["application.py", "--text", "房间很干净"],
        ["application.py", "--file", SAMPLE],
        ["-c", IN_A_PROGRAM],
    ],
    ids=["text", "file", "program"],
)
def test_an_answer_leaves_nothing_in_the_home_folder(new_user, arguments):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=new_user, capture_output=True, encoding="utf-8", check=True
    )
    assert "正面" in done.stdout
    assert list(Path(new_user["HOME"]).rglob("*")) == []


@pytest.mark.parametrize(
    ("library", "program"),
    [
        ("huggingface_hub", "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"),
        ("datasets", "import datasets; print(not datasets.config.HF_UPDATE_DOWNLOAD_COUNTS)"),
        ("openvino", "import openvino.tools.ovc, sys; print('openvino_telemetry.main' not in sys.modules)"),
    ],
)
def test_libraries_see_that_telemetry_is_off(new_user, library, program):
    pytest.importorskip(library)
    program = f"from system.libraries import disable_telemetry; disable_telemetry(); {program}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=new_user, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout == "True\n"
    assert not (Path(new_user["HOME"]) / "intel").exists()


def test_what_the_user_has_set_stays(monkeypatch):
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


def test_loading_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with quiet_imports():
        pass
