"""Answers on a page and as JSON at a terminal."""

import io
import json
import sys

import pytest

from serving.answers import Answers
from serving.predictor import Predictor

HOSTILE = "房间很干净\x1b[2J\x9b\u202e\u2028"


@pytest.fixture(scope="module")
def predictor(tiny_model):
    return Predictor(tiny_model, runtime="onnx")


def test_the_page_is_written_on_demand_and_once(predictor, tmp_path, capsys):
    page = tmp_path / "a.html"
    answers = Answers(predictor, page=str(page))
    answers.write_page()
    assert not page.exists()
    for text in ("房间很干净", "隔音太差"):
        assert answers.answer([text]) == 0
    assert not page.exists()
    answers.write_page()
    assert page.read_text(encoding="utf-8").count("<article>") == 2
    page.unlink()
    answers.write_page()  # it has all texts
    assert not page.exists()
    answers.answer(["还行"])
    answers.write_page()
    assert page.read_text(encoding="utf-8").count("<article>") == 3
    assert capsys.readouterr().err == f"explanations saved to {page}\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_json_at_a_terminal_is_the_same_json(predictor, monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream())
    Answers(predictor, as_json=True).answer([HOSTILE])
    printed = sys.stdout.getvalue()
    assert json.loads(printed)["text"] == HOSTILE
    assert bool(set("\x9b\u202e\u2028") & set(printed)) is (stream is io.StringIO)


def test_a_text_without_a_prediction_cannot_control_the_terminal(predictor, capsys):
    assert Answers(predictor).answer(["\x1b\u202e\x9b"]) == 1
    assert not set("\x1b\u202e\x9b") & set(capsys.readouterr().err)
