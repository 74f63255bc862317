"""Print predictions as text or JSON, report problems, and write the page of explanations."""

import html
import json
import re
import sys

import pytest

from serving.answers import ALL_LABELS, Answers
from serving.explanation.occlusion import explain
from serving.explanation.window_influence import influential_windows
from serving.prediction import SPREAD_REMARK, TRUNCATED_REMARK
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


def test_a_long_text_has_a_remark_on_what_was_read(tiny_model, capsys):
    for windows, remark in (({"max_windows": 2}, TRUNCATED_REMARK), ({"spread_windows": 2}, SPREAD_REMARK)):
        Answers(Predictor(tiny_model, runtime="onnx", windows=windows)).answer([GOOD, GOOD * 9])
        short, long = capsys.readouterr().out.splitlines()
        assert long.endswith(f"  {remark}") and not short.endswith(remark)


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


class TestMoreLabels:
    @pytest.fixture
    def predictor(self, tiny_emotions):
        return Predictor(tiny_emotions, runtime="onnx")

    @pytest.fixture
    def best(self, predictor):
        """The labels of `GOOD` and their probabilities, the most probable first."""
        pairs = zip(predictor.labels.names, predictor.predict_proba([GOOD])[0].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: pair[1], reverse=True)

    def test_the_label_has_its_probability(self, answer, best):
        label, probability = best[0]
        assert answer(GOOD)[1] == [f"{label}  probability {probability:.4f}  confidence {probability:.4f}"]

    @pytest.mark.parametrize(("top_k", "num_shown"), [(1, 1), (3, 3), (6, 6), (7, 6), (ALL_LABELS, 6)])
    def test_the_most_probable_labels_are_on_the_same_line(self, answer, best, top_k, num_shown):
        (line,) = answer(GOOD, top_k=top_k)[1]
        first, *others = line.split(" | ")
        assert first == answer(GOOD)[1][0]
        assert others == [f"{label} {probability:.4f}" for label, probability in best[1:num_shown]]

    def test_an_undecided_text_is_followed_by_all_of_them(self, answer, predictor, best):
        predictor.abstain = 1.0
        (line,) = answer(GOOD, top_k=2)[1]
        label, *others = line.split(" | ")
        assert label.startswith(f"不确定  probability {best[0][1]:.4f}  ")
        assert others == [f"{label} {probability:.4f}" for label, probability in best[:2]]

    @pytest.mark.parametrize("top_k", [2, ALL_LABELS])
    def test_in_json_they_are_an_object_in_their_order(self, answer, best, top_k):
        fields = json.loads(answer(GOOD, top_k=top_k, as_json=True)[1][0])
        assert list(fields["probabilities"]) == [label for label, _ in best[:top_k]]
        assert list(fields["probabilities"].values()) == pytest.approx([value for _, value in best[:top_k]], abs=1e-5)

    def test_words_are_marked_for_the_predicted_label(self, answer, best):
        _, lines, _ = answer(GOOD, explain=True)
        assert re.fullmatch(rf"  (towards|away from) {best[0][0]}( .*)?", lines[2])
        fields = json.loads(answer(GOOD, explain=True, as_json=True)[1][0])
        assert fields["explained_label"] == best[0][0]

    def test_words_are_marked_for_another_label(self, answer, predictor, best):
        other = best[-1][0]
        _, lines, _ = answer(GOOD, explain=True, explain_label=other)
        assert lines[0].startswith(best[0][0]) and re.fullmatch(rf"  (towards|away from) {other}( .*)?", lines[2])
        fields = json.loads(answer(GOOD, explain=True, explain_label=other, as_json=True)[1][0])
        assert (fields["label"], fields["explained_label"]) == (best[0][0], other)
        expected = [word.effect for word in explain(predictor, GOOD, other).words]
        assert [word["effect"] for word in fields["words"]] == pytest.approx(expected, abs=1e-4)

    def test_a_page_names_the_label_that_is_explained(self, answer, best, tmp_path):
        answer(GOOD, page=str(tmp_path / "page.html"), explain_label=best[-1][0])
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert f"Green words push towards {best[-1][0]}, red words away from {best[-1][0]}." in page

    def test_an_unknown_label_is_refused_before_the_work(self, predictor):
        with pytest.raises(InputError, match="no label '好' to explain; choose from 愤怒, 悲伤, 喜悦"):
            Answers(predictor, explain_label="好")


class TestSeveralLabels:
    @pytest.fixture
    def predictor(self, tiny_aspects):
        return Predictor(tiny_aspects, runtime="onnx")

    @pytest.fixture
    def probabilities(self, predictor):
        return dict(zip(predictor.labels.names, predictor.predict_proba([GOOD])[0].tolist(), strict=True))

    def test_each_label_has_its_probability(self, answer, predictor, probabilities):
        (prediction,) = predictor.predict([GOOD])
        assert len(prediction.labels) > 1
        values = "|".join(f"{probabilities[name]:.4f}" for name in prediction.labels)
        expected = f"{prediction.label}  probability {values}  confidence {prediction.confidence:.4f}"
        assert answer(GOOD)[1] == [expected]

    def test_the_other_labels_follow(self, answer, predictor, probabilities):
        predictor.threshold = sorted(probabilities.values())[-2]
        best, second, third, last = sorted(probabilities, key=probabilities.get, reverse=True)
        named = "|".join(name for name in predictor.labels.names if name in (best, second))
        for top_k, shown in ((1, []), (2, []), (3, [third]), (ALL_LABELS, [third, last])):
            (line,) = answer(GOOD, top_k=top_k)[1]
            first, *others = line.split(" | ")
            assert first.startswith(f"{named}  probability ")
            assert others == [f"{name} {probabilities[name]:.4f}" for name in shown]

    @pytest.mark.parametrize(
        ("change", "label", "shown"),
        [({"threshold": 1}, "", "(no label)"), ({"abstain": 1}, "不确定", "不确定")],
    )
    def test_no_label_and_undecided_name_the_most_probable_one(
        self, answer, predictor, probabilities, change, label, shown
    ):
        for name, value in change.items():
            setattr(predictor, name, value)
        (prediction,) = predictor.predict([GOOD])
        best = max(probabilities, key=probabilities.get)
        (line,) = answer(GOOD)[1]
        confidence = f"confidence {prediction.confidence:.4f}"
        assert line == f"{shown}  most probable {best} {probabilities[best]:.4f}  {confidence}"
        (line,) = answer(GOOD, top_k=2)[1]
        second = sorted(probabilities, key=probabilities.get)[-2]
        assert line.endswith(f"  {confidence} | {second} {probabilities[second]:.4f}")
        fields = json.loads(answer(GOOD, as_json=True)[1][0])
        assert (fields["label"], fields["labels"]) == (label, [])

    def test_in_json_they_are_a_list(self, answer, predictor):
        fields = json.loads(answer(GOOD, as_json=True, top_k=2)[1][0])
        names = ["text", "label", "labels", "probability", "confidence", "is_truncated", "probabilities"]
        assert list(fields) == names
        (prediction,) = predictor.predict([GOOD])
        assert (fields["label"], fields["labels"]) == (prediction.label, list(prediction.labels))
        assert list(fields["probabilities"].values()) == sorted(prediction.probabilities, reverse=True)[:2]

    def test_words_are_marked_for_the_most_probable_label(self, answer, probabilities):
        best = max(probabilities, key=probabilities.get)
        assert json.loads(answer(GOOD, explain=True, as_json=True)[1][0])["explained_label"] == best
        assert re.match(rf"  (towards|away from) {best}\b", answer(GOOD, explain=True)[1][2])


class TestWindows:
    def test_a_table_below_the_prediction(self, answer, predictor):
        predictor.windows = {}
        _, (line, titles, *rows), _ = answer(GOOD * 9, explain_windows=True)
        assert answer(GOOD * 9)[1] == [line]
        label = line.split()[0]
        assert titles.split() == ["towards", label, "probability", "characters", "window"]
        assert 2 <= len(rows) <= 5
        assert all(re.fullmatch(r" +[+-]\d+%  +[01]\.\d{4}  +\d+-\d+  \S.*", row) for row in rows)

    def test_a_text_of_one_window_says_nothing_extra(self, answer):
        assert answer("好", explain_windows=True) == answer("好")
        assert json.loads(answer("好", explain_windows=True, as_json=True)[1][0])["windows"] == []

    def test_after_the_words(self, answer):
        _, lines, _ = answer(GOOD * 2, explain=True, explain_windows=True)
        assert lines[: len(lines) - 3] == answer(GOOD * 2, explain=True)[1]
        assert lines[-3].split()[-1] == "window"

    def test_in_json_they_are_objects(self, answer, predictor):
        (line,) = answer(GOOD * 2, explain_windows=True, as_json=True, explain_label="负面")[1]
        windows = json.loads(line)["windows"]
        assert [list(window) for window in windows] == [
            ["label", "start", "end", "excerpt", "probability", "share"]
        ] * len(windows)
        expected = influential_windows(predictor, predictor.predict([GOOD * 2])[0], "负面")
        assert [window["excerpt"] for window in windows] == [window.excerpt for window in expected]
        assert [window["share"] for window in windows] == pytest.approx([window.share for window in expected], abs=1e-4)
        assert {window["label"] for window in windows} == {"负面"}


class TestTopOfTwoLabels:
    def test_the_other_label_follows(self, answer, predictor):
        predictor.threshold = 0
        (negative, positive) = predictor.predict_proba([GOOD])[0]
        (line,) = answer(GOOD, top_k=2)[1]
        assert line == f"正面  probability {positive:.4f}  confidence {positive:.4f} | 负面 {negative:.4f}"

    def test_before_the_remark_about_a_long_text(self, answer):
        (line,) = answer(GOOD * 9, top_k=2)[1]
        assert re.fullmatch(r".*  confidence [01]\.\d{4} \| (正面|负面) [01]\.\d{4}  \(only the beginning .*\)", line)

    def test_words_marked_for_the_first_label(self, answer):
        _, (line, marked, table, *_), _ = answer(GOOD, explain=True)
        _, (same_line, other_marked, _, *_), _ = answer(GOOD, explain=True, explain_label="负面")
        assert same_line == line
        assert other_marked == marked.translate(str.maketrans("+-", "-+"))
        assert "explained_label" not in json.loads(answer(GOOD, explain=True, as_json=True)[1][0])


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
