"""Look at an `.onnx` file: all that we write is accepted, and what is damaged is refused or harmless."""

import base64
import contextlib
import zipfile
import zlib
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from network.checks.archive import CONFIG
from network.checks.config import described_model
from network.checks.limits import MOST
from serving.export.onnx_file import onnx_path
from serving.export.quantization import QUANTIZATIONS, quantized
from serving.predictor import Predictor
from serving.runtimes.onnx_check import ABOUT, TOKENIZER, WEIGHTS_SHA256, inflated, read_onnx_file

ROOT = Path(__file__).resolve().parents[1]
INCLUDED = [ROOT / "mini_bert_sentiment_classifier.onnx", *sorted((ROOT / "models").glob("*.onnx"))]


@pytest.mark.parametrize("path", INCLUDED, ids=lambda path: path.name)
class TestIncludedFile:
    def test_is_accepted(self, path):
        file = read_onnx_file(path)
        assert set(file.entries) == {ABOUT, TOKENIZER, WEIGHTS_SHA256}
        assert file.vocab_size == 21_128
        file.check_cost(16, 64)
        assert Predictor(path).predict(["房间很干净。"])[0].problem is None

    @pytest.mark.parametrize("quantization", QUANTIZATIONS)
    def test_is_accepted_quantized(self, path, quantization, tmp_path):
        onnx.save(quantized(onnx.load(path), quantization), tmp_path / "a.onnx")
        assert Predictor(tmp_path / "a.onnx").predict(["房间很干净。"])[0].problem is None


def test_a_window_is_limited_as_in_a_keras_file(tiny_model, monkeypatch):
    file = read_onnx_file(onnx_path(tiny_model))
    with zipfile.ZipFile(tiny_model) as archive:
        config = archive.read(CONFIG)
    for most, is_accepted in ((16, True), (15, False)):
        monkeypatch.setitem(MOST, "max_seq_len", most)
        for check in (lambda: file.check_windows(16, 64), lambda: described_model(config, "a.keras")):
            refused = contextlib.nullcontext() if is_accepted else pytest.raises(ValueError, match="from 1 to 15")
            with refused:
                check()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(location=st.floats(0, 1, exclude_max=True), damage=st.binary(min_size=1, max_size=16))
def test_damage_is_refused_or_changes_nothing_that_is_checked(tiny_model, tmp_path, location, damage):
    content = onnx_path(tiny_model).read_bytes()
    start = int(location * len(content))
    (tmp_path / "a.onnx").write_bytes(content[:start] + damage + content[start + len(damage) :])
    try:
        read_onnx_file(tmp_path / "a.onnx").check_cost(2, 16)
    except ValueError as error:
        assert str(error)


def test_an_entry_is_inflated_up_to_a_limit():
    text = base64.b64encode(zlib.compress(b"x" * 1000)).decode()
    assert inflated(text, 1000) == b"x" * 1000
    for wrong, most in ((text, 999), (text[: len(text) // 8 * 4], 1000), ("!", 1000), ("eJw=", 1000)):
        with pytest.raises(ValueError):
            inflated(wrong, most)
