"""Print predictions as text or JSON, report problems, and write the page of explanations."""

import html
import json
import re
import sys

import pytest

from serving.answers import Answers
from serving.explanation.occlusion import explain
from serving.predictor import Predictor
from system.errors import InputError

GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
LINE = re.compile(
    r"(正面|负面|不确定)  probability ([01]\.\d{4})  confidence ([01]\.\d{4})(  \(only the beginning .*\))?"
)


@pytest.fixture
def predictor(tiny_model):
    return Predictor(tiny_model, runtime="onnx", windows={"max_windows": 2})


@pytest.fixture
def answer(predictor, capsys):
    """Return the function that answers texts, and returns the status and the lines of the two outputs."""

    def answer(*texts, **options):
        status = Answers(predictor, **options).answer(texts)
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return answer


def test_a_line_for_each_text_in_order(answer, predictor):
    texts = [GOOD, BAD, GOOD * 9, GOOD]
    status, lines, error = answer(*texts)
    assert (status, error) == (0, [])
    for line, prediction in zip(lines, predictor.predict(texts), strict=True):
        label, probability, confidence, truncated = LINE.fullmatch(line).groups()
        assert (label, bool(truncated)) == (prediction.label, prediction.is_truncated)
        assert float(probability) == pytest.approx(prediction.probability, abs=1e-4)
        assert float(confidence) == pytest.approx(prediction.confidence, abs=1e-4)
    assert [line.endswith("was read)") for line in lines] == [False, False, True, False]


def test_an_undecided_text(answer, predictor):
    predictor.abstain = (0, 1)
    assert LINE.fullmatch(answer(GOOD)[1][0])[1] == "不确定"
    assert json.loads(answer(GOOD, as_json=True)[1][0])["label"] == "不确定"


@pytest.mark.parametrize("options", [{}, {"as_json": True}, {"explain": True}, {"explain": True, "as_json": True}])
@pytest.mark.parametrize("text", ["", "ꙮ", "好\udcff"])
def test_a_text_without_a_prediction(answer, text, options):
    status, lines, (error,) = answer(GOOD, text, BAD, **options)
    assert status == 1
    assert error.startswith("error: the ") and error.endswith(repr(text))
    assert len([line for line in lines if LINE.fullmatch(line) or line.startswith("{")]) == 2


def test_no_texts(answer):
    assert answer() == (0, [], [])


class TestJson:
    def test_without_words(self, answer, predictor):
        text = '他说"好"\n\\😀</p>'
        status, (line,), error = answer(text, as_json=True)
        assert (status, error) == (0, [])
        (prediction,) = predictor.predict([text])
        names = ("text", "label", "probability", "confidence", "is_truncated")
        assert json.loads(line) == {name: getattr(prediction, name) for name in names}
        assert list(json.loads(line)) == list(names)
        assert "他说" in line

    @pytest.mark.parametrize(("threshold", "label"), [(0, "正面"), (1, "负面")])
    def test_confidence_is_the_probability_of_the_label(self, answer, predictor, threshold, label):
        predictor.threshold = threshold
        fields = json.loads(answer(GOOD, as_json=True)[1][0])
        probability = {"正面": fields["probability"], "负面": 1 - fields["probability"]}[label]
        assert fields["label"] == label
        assert fields["confidence"] == pytest.approx(probability, rel=1e-12)

    def test_with_words(self, answer, predictor):
        _, (line,), _ = answer(GOOD, as_json=True, explain=True)
        words = json.loads(line)["words"]
        expected = explain(predictor, GOOD).words
        assert [word["text"] for word in words] == [word.text for word in expected]
        assert [word["effect"] for word in words] == pytest.approx([word.effect for word in expected], abs=1e-4)
        assert all(GOOD[word["start"] : word["end"]] == word["text"] for word in words)


class TestMarks:
    def test_below_the_prediction(self, answer):
        status, lines, _ = answer(GOOD, explain=True)
        assert status == 0
        assert LINE.fullmatch(lines[0])
        assert re.sub(r"\[[+-]([^]]*)]", r"\1", lines[1]) == GOOD
        assert lines[1] != GOOD
        assert lines[2].startswith("  towards ")

    @pytest.mark.parametrize(
        ("at_terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
    )
    def test_colours_at_a_terminal_only(self, answer, monkeypatch, at_terminal, no_color, coloured):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: at_terminal)
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm-256color")
        _, lines, _ = answer(GOOD, explain=True)
        assert ("\x1b[48;5;" in lines[1]) is coloured
        assert ("[+" in lines[1] or "[-" in lines[1]) is not coloured


class TestPage:
    def test_has_every_text_of_the_conversation(self, predictor, tmp_path, capsys):
        path = tmp_path / "new" / "page.html"
        answers = Answers(predictor, page=str(path))
        assert not path.exists()
        for text in (GOOD, "", "<b>好</b>"):
            answers.answer([text])
            assert html.escape(text)[:1] in path.read_text(encoding="utf-8")
        page = path.read_text(encoding="utf-8")
        assert page.count("<article>") == 3
        assert "the text is empty" in page
        assert "<b>" not in page and html.escape("<") in page
        assert re.sub("<[^>]*>", "", page).count(GOOD) == 1
        printed = capsys.readouterr()
        # The predictions are printed as without a page.
        assert all(LINE.fullmatch(line) for line in printed.out.splitlines())
        assert printed.err.count(f"explanations saved to {path}\n") == 1
        assert [file.name for file in path.parent.iterdir()] == ["page.html"]

    def test_one_that_cannot_be_written_is_refused_before_the_work(self, predictor, tmp_path):
        with pytest.raises(InputError, match="it is a folder"):
            Answers(predictor, page=str(tmp_path))
