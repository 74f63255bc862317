"""The application as a person uses it: one-shot answers, the prompt, and every way to use it wrongly."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from arrays import logits_of, two_columns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_checks import randomize

import application
from network.bert import BertClassifier, BertConfig, BertMaskedLM
from network.model_file import save_model
from serving.export.onnx_file import export_onnx
from serving.predictor import Predictor
from system.errors import InputError
from text.labels import SENTIMENT, LabelSet
from text.sources import iter_texts
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.vocabulary import train_unigram
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import encode_windows

ROOT = Path(__file__).resolve().parents[1]
CONFIG = BertConfig(vocab_size=1500, max_seq_len=16, d_model=16, dff=32)
METADATA = {"labels": ["负面", "正面"], "threshold": 0.7, "windows": {"max_windows": 1}}
GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
ANSWER = re.compile(r"(正面|负面)  probability ([01]\.\d{4})  confidence ([01]\.\d{4})(  \(only the beginning .*\))?")
# Characters that no tokenizer trained on Chinese reviews knows.
UNKNOWN_TEXT = "ꙮꙮꙮ"
# Without the log level that TensorFlow has set in this process, which would hide how the script sets its own.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
LIST_MODULES = """
import runpy, sys

sys.argv = ["application.py", "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(sorted(sys.modules), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def tokenizer_json():
    texts = list(iter_texts(["sample"]))
    return train_unigram(lambda: texts, CONFIG.vocab_size, min_count=2).to_str()


@pytest.fixture(scope="module")
def classifier(tokenizer_json):
    keras.utils.set_random_seed(0)
    classifier = BertClassifier(CONFIG, tokenizer_json, METADATA)
    randomize(classifier)
    return classifier


@pytest.fixture(scope="module")
def model_file(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "classifier.keras"
    save_model(classifier, path)
    export_onnx(path)
    return str(path)


@pytest.fixture(scope="module")
def predictor(model_file):
    return Predictor(model_file)


@pytest.fixture
def answers(model_file, capsys):
    """Asks the application, and returns its status and the lines of its two outputs."""

    def ask(*arguments, model=model_file):
        status = application.main(["--model", str(model), *arguments])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return ask


def command(model_file, *arguments):
    return [sys.executable, str(ROOT / "application.py"), "--model", model_file, *arguments]


def converse(model_file, lines, *arguments):
    """Gives the prompt the bytes `lines` through a pipe."""
    # Strict, as it is in most languages; in the C locale Python lets undecodable bytes through by itself.
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "utf-8:strict"}
    process = subprocess.run(command(model_file, *arguments), input=lines, env=environment, capture_output=True)
    return process.returncode, process.stdout.decode("utf-8").splitlines(), process.stderr.decode("utf-8")


class TestOneShot:
    def test_as_a_script(self, model_file, predictor, tmp_path):
        arguments = ["--text", GOOD, "--text", BAD, "--text", GOOD * 9]
        process = subprocess.run(
            command(model_file, *arguments), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, encoding="utf-8"
        )
        assert process.returncode == 0
        assert process.stderr == ""
        lines = process.stdout.splitlines()
        assert len(lines) == 3
        for line, prediction in zip(lines, predictor.predict([GOOD, BAD, GOOD * 9]), strict=True):
            label, probability, confidence, truncated = ANSWER.fullmatch(line).groups()
            assert label == prediction.label
            assert float(probability) == pytest.approx(prediction.probability, abs=1e-4)
            assert float(confidence) == pytest.approx(prediction.confidence, abs=1e-4)
            assert bool(truncated) == prediction.is_truncated
        assert [bool(ANSWER.fullmatch(line)[4]) for line in lines] == [False, False, True]
        assert list(tmp_path.iterdir()) == []

    def test_order_is_kept(self, answers):
        texts = [GOOD, BAD, "早餐一般", "还行", GOOD]
        status, lines, _ = answers("--json", *(word for text in texts for word in ("--text", text)))
        assert status == 0
        assert [json.loads(line)["text"] for line in lines] == texts
        probabilities = [json.loads(line)["probability"] for line in lines]
        assert len(set(np.round(probabilities[:4], 5))) == 4
        for text, probability in zip(texts, probabilities, strict=True):
            _, (alone,), _ = answers("--json", "--text", text)
            assert json.loads(alone)["probability"] == pytest.approx(probability, abs=1e-5)

    def test_json(self, answers):
        status, (line,), error = answers("--text", '他说"好"\n\\😀', "--json")
        assert (status, error) == (0, [])
        fields = json.loads(line)
        assert list(fields) == ["text", "label", "probability", "confidence", "is_truncated"]
        assert fields["text"] == '他说"好"\n\\😀'
        assert fields["label"] in ("正面", "负面") and fields["label"] in line
        assert fields["is_truncated"] is False
        positive = fields["label"] == "正面"
        assert fields["confidence"] == (fields["probability"] if positive else 1 - fields["probability"])

    @pytest.mark.parametrize("text", ["", " ", "\t\n", "\u3000", "\u3000 \u3000"])
    def test_a_blank_text(self, answers, text):
        status, lines, error = answers("--text", text)
        assert (status, lines) == (1, [])
        assert error == [f"error: the text is empty: {text!r}"]

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (UNKNOWN_TEXT, "knows no character"),
            ("\x00\x01", "knows no character"),
            ("\u200b", "knows no character"),
            ("好\udcff", "not valid Unicode"),
            ("\ud83d", "not valid Unicode"),
        ],
    )
    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_one_text_without_an_answer_does_not_keep_the_others_from_theirs(self, answers, text, problem, form):
        status, lines, error = answers("--text", GOOD, "--text", text, "--text", BAD, *form)
        assert status == 1
        assert len(lines) == 2
        assert len(error) == 1
        assert error[0].startswith("error: ") and problem in error[0]

    def test_bytes_that_are_no_text(self, model_file):
        arguments = [os.fsencode(part) for part in command(model_file, "--text")]
        process = subprocess.run([*arguments, b"\xff\xfe"], env=ENVIRONMENT, capture_output=True)
        assert (process.returncode, process.stdout) == (1, b"")
        assert process.stderr.decode().splitlines() == ["error: the text is not valid Unicode: '\\udcff\\udcfe'"]


def probabilities_of(classifier, windows):
    """Of each text to be positive, from what the network itself says of its windows."""
    logits = windows.document_logits(logits_of(np.asarray(classifier(windows.inputs), np.float64)[:, 0]))
    return SENTIMENT.probabilities(logits)[:, 1]


class TestVerdict:
    @pytest.fixture
    def judged(self, predictor, monkeypatch):
        """Predicts with a probability that is given instead of computed."""

        def judge(probability, threshold=0.7):
            monkeypatch.setattr(predictor, "threshold", threshold)
            monkeypatch.setattr(LabelSet, "probabilities", lambda *_: two_columns([probability]))
            (prediction,) = predictor.predict([GOOD])
            assert prediction.probability == probability
            return prediction.label, prediction.confidence

        return judge

    @pytest.mark.parametrize(
        ("probability", "label", "confidence"),
        [
            (0.7, "正面", 0.7),
            (np.nextafter(0.7, 0), "负面", 0.3),
            (0.69, "负面", 0.31),
            (0.5, "负面", 0.5),
            (0.0, "负面", 1.0),
            (1.0, "正面", 1.0),
        ],
    )
    def test_at_the_default_threshold(self, judged, probability, label, confidence):
        assert judged(probability) == (label, pytest.approx(confidence))

    @pytest.mark.parametrize(
        ("threshold", "probability", "label"),
        [
            (0.0, 0.0, "正面"),
            (1.0, np.nextafter(1, 0), "负面"),
            (1.0, 1.0, "正面"),
            (0.2, 0.2, "正面"),
            (0.2, 0.1, "负面"),
        ],
    )
    def test_at_another_threshold(self, judged, threshold, probability, label):
        expected = probability if label == "正面" else 1 - probability
        assert judged(probability, threshold) == (label, pytest.approx(expected))

    def test_the_threshold_of_the_command_line_decides(self, answers):
        for threshold, label in (("0", "正面"), ("1", "负面")):
            status, (line,), _ = answers("--text", GOOD, "--threshold", threshold)
            assert status == 0
            assert line.startswith(label)

    def test_defaults(self, model_file, tokenizer_json, tmp_path):
        args = application.build_parser().parse_args([])
        assert (args.threshold, args.model) == (0.7, "mini_bert_sentiment_classifier.keras")
        other = tmp_path / "other.keras"
        names = {"labels": ["bad", "good"], "threshold": 0.0}  # which "auto" takes
        save_model(BertClassifier(CONFIG, tokenizer_json, names), other)
        assert Predictor(model_file).threshold == 0.7
        assert Predictor(other).threshold == 0.7
        assert Predictor(other, "auto").threshold == 0
        assert Predictor(other, "auto").predict([GOOD])[0].label == "good"
        assert Predictor(other, threshold=1).predict([GOOD])[0].label == "bad"

    @pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8", True, None])
    def test_a_batch_size_that_is_none(self, model_file, batch_size):
        with pytest.raises(InputError, match="a whole number above 0"):
            Predictor(model_file, batch_size=batch_size)

    @pytest.mark.parametrize("arguments", [{"abstain": 0.5}, {"abstain": (0.5,)}, {"windows": {"size": 3}}])
    def test_arguments_of_another_form(self, model_file, arguments):
        with pytest.raises(InputError):
            Predictor(model_file, **arguments)

    @pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "high", None, True])
    def test_a_threshold_out_of_range(self, model_file, threshold):
        with pytest.raises(InputError, match="from 0 to 1"):
            Predictor(model_file, threshold)


class TestAbstain:
    def test_between_the_two(self, answers, predictor):
        probability = predictor.predict([GOOD])[0].probability
        above, below = str(probability + 1e-3), str(probability - 1e-3)
        status, (line,), _ = answers("--text", GOOD, "--abstain", below, above)
        assert status == 0 and line.startswith("不确定  ")
        confidence = float(ANSWER.fullmatch(line.replace("不确定", "正面"))[3])
        assert confidence == pytest.approx(max(probability, 1 - probability), abs=1e-4)
        _, (line,), _ = answers("--text", GOOD, "--abstain", above, "1")
        assert not line.startswith("不确定")

    @pytest.mark.parametrize("bounds", [("0.6", "0.4"), ("0.5", "0.5")])
    def test_nothing_lies_between(self, answers, bounds):
        status, lines, (error,) = answers("--text", GOOD, "--abstain", *bounds)
        assert (status, lines) == (1, []) and "a lower and a higher number" in error


class TestArguments:
    @pytest.mark.parametrize("threshold", ["1.01", "-0.1", "nan", "inf", "seventy", ""])
    def test_a_threshold_that_is_none(self, model_file, capsys, threshold):
        with pytest.raises(SystemExit, match="2"):
            application.main(["--model", model_file, "--text", GOOD, f"--threshold={threshold}"])
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "--threshold" in captured.err.splitlines()[-1]

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--text"],
            [GOOD],
            ["--text", GOOD, "--file", "x.csv"],
            ["--text", GOOD, "--output", "x.csv"],
            ["--strict"],
            ["--file", "x.csv", "--json"],
            ["--file", "x.csv", "--explain"],
            ["--abstain", "0.3"],
            ["--window", "0"],
            ["--aggregate", "median"],
            ["--runtime", "torch"],
        ],
    )
    def test_other_wrong_arguments(self, capsys, wrong):
        with pytest.raises(SystemExit, match="2"):
            application.main(wrong)
        assert capsys.readouterr().out == ""

    def test_help(self):
        process = subprocess.run([sys.executable, "-c", LIST_MODULES], cwd=ROOT, capture_output=True, encoding="utf-8")
        for shown in ("--text", "--file", "--json", "exit", "(default: 0.7)", f"(default: {application.MODEL_PATH})"):
            assert shown in " ".join(process.stdout.split())
        modules = process.stderr
        assert "'system.command_line'" in modules
        for package in ("keras", "tensorflow", "transformers", "datasets", "jax", "torch", "numpy"):
            assert f"'{package}'" not in modules


class TestModelFiles:
    @pytest.fixture
    def broken(self, tmp_path, model_file, tokenizer_json):
        """Makes a file that is no model to answer with."""

        def make(kind):
            path = tmp_path / f"{kind}.keras"
            content = Path(model_file).read_bytes()
            if kind == "foreign":
                keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)]).save(path)
            elif kind == "pretrained":
                save_model(BertMaskedLM(CONFIG, tokenizer_json), path)
            elif kind == "folder":
                path.mkdir()
            elif kind == "without a tokenizer":
                save_model(BertClassifier(CONFIG), path)
            elif kind == "truncated":
                path.write_bytes(content[: len(content) // 2])
            elif kind == "damaged":
                path.write_bytes(content[:3000] + bytes(500) + content[3500:])
            elif kind != "missing":
                path.write_bytes({"empty": b"", "text": b"not a model"}[kind])
            return path

        return make

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("missing", ("no such model file", "fine_tuning.py")),
            ("folder", ("this is a folder; name a file in it",)),
            ("empty", ("damaged",)),
            ("text", ("damaged",)),
            ("truncated", ("damaged",)),
            ("damaged", ("damaged",)),
            ("foreign", ("Sequential", "fine_tuning.py")),
            ("pretrained", ("BertMaskedLM", "BertClassifier", "fine_tuning.py")),
            ("without a tokenizer", ("not a tokenizer",)),
        ],
    )
    def test_one_sentence(self, answers, broken, kind, words):
        path = broken(kind)
        status, lines, error = answers("--text", GOOD, model=path)
        assert (status, lines) == (1, [])
        error = [line for line in error if not line.startswith("note: ")]
        assert len(error) == 1
        assert error[0].startswith(f"error: {path}: ")
        for word in words:
            assert word in error[0]


class TestPrompt:
    def test_several_lines_and_exit(self, model_file, predictor):
        texts = [GOOD, "", "\u3000", BAD, UNKNOWN_TEXT, "还行"]
        lines = b"\n".join(text.encode() for text in texts) + b"\n\xff\xfe\n" + "好\n Exit \n坏\n".encode()
        status, answered, error = converse(model_file, lines, "--json")
        assert status == 0
        judged = [GOOD, BAD, "还行", "好"]
        assert [json.loads(line)["text"] for line in answered] == judged
        for line, prediction in zip(answered, predictor.predict(judged), strict=True):
            assert json.loads(line)["probability"] == pytest.approx(prediction.probability, abs=1e-5)
        assert error.count("error: the text is empty") == 2
        assert error.count("error: the model knows no character of the text") == 1
        assert error.count("error: the text is not valid Unicode") == 1
        assert "exit ends" in error

    @pytest.mark.parametrize("end", [b"", b"\n"])
    def test_end_of_input(self, model_file, end):
        status, answered, error = converse(model_file, GOOD.encode() + end)
        assert status == 0
        assert len(answered) == 1
        assert ANSWER.fullmatch(answered[0])
        assert "Traceback" not in error

    @pytest.mark.skipif(sys.platform == "win32", reason="this system has no pseudo-terminals")
    def test_interrupt_at_a_terminal(self, model_file):
        terminal, name = os.openpty()
        # The shell, leader of a session without a terminal, gets the one that it opens first.
        shell = ["sh", "-c", 'exec "$@" <"$TERMINAL" 2>"$TERMINAL"', "sh"]
        process = subprocess.Popen(
            [*shell, *command(model_file)],
            env=ENVIRONMENT | {"TERMINAL": os.ttyname(name)},
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
            # Whoever started the tests in the background has made them, and all their children, deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            shown = self.read_until(terminal, process, "> ")
            os.write(terminal, GOOD.encode() + b"\n")
            shown += self.read_until(terminal, process, "> ")
            output = self.interrupt(terminal, process)
        finally:
            process.kill()
            process.wait()
        shown += os.read(terminal, 65536).decode(errors="replace")
        os.close(name)
        os.close(terminal)
        assert process.returncode == 0
        assert ANSWER.fullmatch(output.strip())
        assert "Traceback" not in shown

    def interrupt(self, terminal, process):
        """Types Ctrl-C, again if it came just before Python began to wait for keys: Python then keeps it to itself."""
        for _ in range(60):
            os.write(terminal, b"\x03")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=2)[0]
        raise AssertionError("it does not end")

    def read_until(self, terminal, process, end):
        """Returns what a program shows at a terminal up to `end`, which it must write before it ends itself."""
        shown = b""
        while not shown.endswith(end.encode()):
            assert process.poll() is None, shown.decode(errors="replace")
            shown += os.read(terminal, 1024)
        return shown.decode(errors="replace")


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
REVIEW_TEXT = st.text(st.sampled_from(GOOD + BAD + UNKNOWN_TEXT + " \u3000😀[CLS]\n"), max_size=40)


class TestPredictor:
    @settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(texts=st.lists(ANY_TEXT | REVIEW_TEXT, max_size=6))
    def test_any_texts(self, predictor, classifier, texts):
        predictions = predictor.predict(texts)
        assert [prediction.text for prediction in predictions] == texts
        tokenizer = tokenizer_from_json(classifier.tokenizer_json)
        for text, prediction in zip(texts, predictions, strict=True):
            if prediction.problem:
                unanswered = (prediction.label, prediction.probability, prediction.confidence, prediction.is_truncated)
                assert unanswered == (None, None, None, False)
                continue
            assert 0 <= prediction.probability <= 1
            positive = prediction.probability >= 0.7
            assert prediction.label == ("正面" if positive else "负面")
            confidence = prediction.probability if positive else 1 - prediction.probability
            assert prediction.confidence == pytest.approx(confidence, rel=1e-12)
            windows = encode_windows(tokenizer, [text], CONFIG.max_seq_len, predictor.window_settings)
            assert prediction.is_truncated is bool(windows.is_truncated[0])
            expected = probabilities_of(classifier, windows)
            assert prediction.probability == pytest.approx(expected[0], abs=1e-5)

    @pytest.mark.parametrize(
        ("value", "problem"), [(None, "empty"), (5, "not a string"), (float("nan"), "not a string")]
    )
    def test_what_is_no_text_is_a_problem(self, predictor, value, problem):
        prediction, other = predictor.predict([value, GOOD])
        assert problem in prediction.problem and prediction.text is value
        assert other.label
        assert np.isnan(predictor.predict_proba([value])).all()

    def test_one_string_is_no_list_of_texts(self, predictor):
        with pytest.raises(InputError, match="give a list"):
            predictor.predict(GOOD)

    def test_probabilities_have_a_column_a_label(self, predictor):
        texts = [GOOD, "", BAD, UNKNOWN_TEXT, "\ud800"]
        probabilities = predictor.predict_proba(texts)
        assert (probabilities.shape, probabilities.dtype) == ((5, 2), np.float64)
        expected = [np.nan if one.probability is None else one.probability for one in predictor.predict(texts)]
        np.testing.assert_array_equal(probabilities[:, 1], expected)
        np.testing.assert_allclose(probabilities.sum(axis=1), np.where(np.isnan(expected), np.nan, 1))
        assert predictor.predict_proba([]).shape == (0, 2)
        assert predictor.logits([]).shape == (0, 1)

    def test_more_texts_than_a_batch(self, predictor):
        texts = [GOOD, BAD, "", "还行"] * 150
        predictions = predictor.predict(texts)
        assert [prediction.text for prediction in predictions] == texts
        alone = [predictor.predict([text])[0].probability for text in texts[:4]]
        assert alone[2] is None
        for offset, probability in enumerate(alone):
            same = [prediction.probability for prediction in predictions[offset::4]]
            assert same == ([None] * 150 if probability is None else pytest.approx([probability] * 150, abs=1e-5))

    def test_only_a_text_that_does_not_fit_is_cut(self, predictor, classifier):
        tokenizer = tokenizer_from_json(classifier.tokenizer_json)
        texts = [(GOOD * 3)[:end] for end in range(1, 3 * len(GOOD))]
        windows = encode_windows(tokenizer, texts, CONFIG.max_seq_len, WindowSettings(max_windows=1))
        is_truncated = windows.is_truncated.tolist()
        assert {True, False} == set(is_truncated)
        assert [prediction.is_truncated for prediction in predictor.predict(texts)] == is_truncated

    def test_a_model_that_reads_to_the_end(self, tokenizer_json, classifier, tmp_path):
        whole = BertClassifier(CONFIG, tokenizer_json, METADATA | {"windows": {}})
        whole.set_weights(classifier.get_weights())
        save_model(whole, tmp_path / "whole.keras")
        texts = [GOOD, GOOD * 20, GOOD * 20 + BAD, ""]
        predictions = Predictor(tmp_path / "whole.keras").predict(texts)
        assert not any(prediction.is_truncated for prediction in predictions)
        windows = encode_windows(tokenizer_from_json(tokenizer_json), texts, CONFIG.max_seq_len)
        assert np.bincount(windows.text_index)[1] > 3
        expected = probabilities_of(classifier, windows)
        assert [prediction.probability for prediction in predictions[:3]] == pytest.approx(expected[:3], abs=1e-5)
        assert predictions[3].problem == "the text is empty"
        assert predictions[1].probability != predictions[2].probability

    def test_no_texts(self, predictor):
        assert predictor.predict([]) == []
