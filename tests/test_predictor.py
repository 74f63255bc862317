"""Predict the labels of texts: probabilities, thresholds, undecided texts, and texts without a prediction."""

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import application_process
import numpy as np
import pytest
from arrays import logits_of, two_columns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import ASPECT_THRESHOLDS, ASPECTS, EMOTIONS, save_with_metadata

from network.model_file import load_model
from serving.prediction import SPREAD_REMARK, TRUNCATED_REMARK, Prediction
from serving.predictor import Predictor
from system.errors import InputError
from text.labels import SENTIMENT, LabelSet
from text.tokens.tokenizer import tokenizer_from_json
from text.tokens.window_settings import WindowSettings
from text.tokens.windows import encode_windows

PROGRAMS = Path(__file__).parent / "programs"
MAX_SEQ_LEN = 16
GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
EMOTIONAL_TEXTS = [GOOD, BAD, "早餐难吃", "前台很热情", "位置不错", "下次再来", "还行", "隔音差"]
# Characters that no tokenizer trained on Chinese reviews knows.
UNKNOWN_TEXT = "ꙮꙮꙮ"
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
REVIEW_TEXT = st.text(st.sampled_from(GOOD + BAD + UNKNOWN_TEXT + " \u3000😀[CLS]\n\0"), max_size=60)
UNBOUND = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return load_model(tiny_model)


@pytest.fixture(scope="module")
def tokenizer(classifier):
    return tokenizer_from_json(classifier.tokenizer_json)


@pytest.fixture(scope="module")
def predictor(tiny_model):
    """A predictor that reads one window of each text."""
    return Predictor(tiny_model, windows={"max_windows": 1})


def probabilities_of(classifier, windows):
    """Return the probability that each text is positive, from the network's own outputs for its windows."""
    logits = windows.document_logits(logits_of(np.asarray(classifier(windows.inputs), np.float64)[:, 0]))
    return SENTIMENT.probabilities(logits)[:, 1]


many_texts = given(texts=st.lists(ANY_TEXT | REVIEW_TEXT, min_size=8, max_size=12))


class TestAnyTexts:
    @settings(UNBOUND, max_examples=40)
    @given(texts=st.lists(ANY_TEXT | REVIEW_TEXT, max_size=6))
    def test_the_probability_is_that_of_the_network(self, predictor, classifier, tokenizer, texts):
        predicted = [prediction for prediction in predictor.predict(texts) if prediction.label]
        if not predicted:
            return
        windows = encode_windows(
            tokenizer, [prediction.text for prediction in predicted], MAX_SEQ_LEN, predictor.window_settings
        )
        assert [prediction.is_truncated for prediction in predicted] == windows.is_truncated.tolist()
        probabilities = [prediction.probability for prediction in predicted]
        assert probabilities == pytest.approx(probabilities_of(classifier, windows), abs=1e-5)

    @settings(UNBOUND, max_examples=150)
    @many_texts
    def test_every_text_has_a_prediction_or_a_problem(self, predictor, texts):
        self.check_predictions(predictor, texts)

    @pytest.mark.slow
    @settings(UNBOUND, max_examples=250)
    @many_texts
    def test_thousands_of_texts_have_a_prediction_or_a_problem(self, predictor, texts):
        self.check_predictions(predictor, texts)

    def check_predictions(self, predictor, texts):
        predictions = predictor.predict(texts)
        assert [prediction.text for prediction in predictions] == texts
        for prediction in predictions:
            if prediction.problem:
                others = (prediction.label, prediction.probability, prediction.confidence, prediction.is_truncated)
                assert (*others, prediction.probabilities, prediction.labels) == (None, None, None, False, None, ())
                continue
            assert 0 <= prediction.probability <= 1
            is_positive = prediction.probability >= 0.7
            assert prediction.label == ("正面" if is_positive else "负面")
            assert prediction.labels == (prediction.label,)
            confidence = prediction.probability if is_positive else 1 - prediction.probability
            assert prediction.confidence == pytest.approx(confidence, rel=1e-12)
            assert prediction.probabilities == pytest.approx((1 - prediction.probability, prediction.probability))


class TestTexts:
    @pytest.mark.parametrize(
        ("value", "problem"), [(None, "empty"), (5, "not a string"), (float("nan"), "not a string")]
    )
    def test_a_value_that_is_not_a_string_is_a_problem(self, predictor, value, problem):
        prediction, other = predictor.predict([value, GOOD])
        assert problem in prediction.problem and prediction.text is value
        assert other.label
        assert np.isnan(predictor.predict_proba([value])).all()

    def test_one_string_is_not_a_list_of_texts(self, predictor):
        with pytest.raises(InputError, match="a list of strings, not one string"):
            predictor.predict(GOOD)
        with pytest.raises(InputError, match="a list of strings, not one string"):
            predictor.logits(GOOD)

    def test_a_missing_text_has_the_logits_of_an_empty_one(self, predictor):
        np.testing.assert_array_equal(*predictor.logits([None, ""]))
        assert predictor.read(None).problem == "the text is empty"

    def test_a_threshold_that_another_thread_sets_meanwhile_counts_for_the_next_call(self, tiny_aspects, monkeypatch):
        predictor = Predictor(tiny_aspects, abstain=0.5)
        expected = predictor.predict(EMOTIONAL_TEXTS)
        decide = LabelSet.decide

        def decide_while_another_thread_sets(labels, *arguments):
            predictor.threshold, predictor.abstain = 0.01, None
            return decide(labels, *arguments)

        monkeypatch.setattr(LabelSet, "decide", decide_while_another_thread_sets)
        assert predictor.predict(EMOTIONAL_TEXTS) == expected
        assert predictor.predict(EMOTIONAL_TEXTS) != expected

    def test_eight_threads_answer_as_one(self, predictor):
        expected = predictor.predict(EMOTIONAL_TEXTS)
        with ThreadPoolExecutor(8) as pool:
            assert all(each == expected for each in pool.map(predictor.predict, [EMOTIONAL_TEXTS] * 24))

    def test_no_texts(self, predictor):
        assert predictor.predict([]) == []
        assert predictor.predict_proba([]).shape == (0, 2)
        assert predictor.logits([]).shape == (0, 1)

    def test_probabilities_have_a_column_per_label(self, predictor):
        texts = [GOOD, "", BAD, UNKNOWN_TEXT, "\ud800"]
        probabilities = predictor.predict_proba(texts)
        assert (probabilities.shape, probabilities.dtype) == ((5, 2), np.float64)
        expected = [np.nan if one.probability is None else one.probability for one in predictor.predict(texts)]
        np.testing.assert_array_equal(probabilities[:, 1], expected)
        np.testing.assert_allclose(probabilities.sum(axis=1), np.where(np.isnan(expected), np.nan, 1))

    def test_more_texts_than_a_batch(self, predictor):
        texts = [GOOD, BAD, "", "还行"] * 150
        predictions = predictor.predict(texts)
        assert [prediction.text for prediction in predictions] == texts
        alone = [predictor.predict([text])[0].probability for text in texts[:4]]
        assert alone[2] is None
        for offset, probability in enumerate(alone):
            same = [prediction.probability for prediction in predictions[offset::4]]
            assert same == ([None] * 150 if probability is None else pytest.approx([probability] * 150, abs=1e-5))

    def test_a_text_that_does_not_fit_is_truncated(self, predictor, tokenizer):
        texts = [(GOOD * 3)[:end] for end in range(1, 3 * len(GOOD))]
        windows = encode_windows(tokenizer, texts, MAX_SEQ_LEN, WindowSettings(max_windows=1))
        is_truncated = windows.is_truncated.tolist()
        assert set(is_truncated) == {True, False}
        assert [prediction.is_truncated for prediction in predictor.predict(texts)] == is_truncated

    def test_parts_of_a_long_text_are_not_read(self, tiny_model, tokenizer):
        texts = [GOOD, GOOD * 20 + BAD]
        predictor = Predictor(tiny_model, windows={"spread_windows": 2})
        assert [prediction.is_truncated for prediction in predictor.predict(texts)] == [False, True]
        windows = encode_windows(tokenizer, texts, MAX_SEQ_LEN, WindowSettings(spread_windows=2))
        np.testing.assert_array_equal(predictor.encode(texts).input_ids, windows.input_ids)
        assert predictor.truncated_remark == SPREAD_REMARK
        predictor.windows = {"spread_windows": 1}
        assert predictor.truncated_remark == TRUNCATED_REMARK, "a single window is at the beginning"

    def test_a_model_that_reads_all_windows_truncates_nothing(self, tiny_model, classifier, tokenizer):
        texts = [GOOD, GOOD * 20, GOOD * 20 + BAD, ""]
        predictions = Predictor(tiny_model).predict(texts)
        assert not any(prediction.is_truncated for prediction in predictions)
        windows = encode_windows(tokenizer, texts, MAX_SEQ_LEN)
        assert np.bincount(windows.text_index)[1] > 3
        expected = probabilities_of(classifier, windows)
        assert [prediction.probability for prediction in predictions[:3]] == pytest.approx(expected[:3], abs=1e-5)
        assert predictions[3].problem == "the text is empty"
        assert predictions[1].probability != predictions[2].probability


class TestThreshold:
    @pytest.fixture
    def predict(self, predictor, monkeypatch):
        """Return the function that predicts with a given probability instead of a computed one."""

        def predict(probability, threshold=0.7):
            monkeypatch.setattr(predictor, "threshold", threshold)
            monkeypatch.setattr(LabelSet, "probabilities", lambda *_: two_columns([probability]))
            (prediction,) = predictor.predict([GOOD])
            assert prediction.probability == probability
            return prediction.label, prediction.confidence

        return predict

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
    def test_at_the_default(self, predict, probability, label, confidence):
        assert predict(probability) == (label, pytest.approx(confidence))

    @pytest.mark.parametrize(
        ("threshold", "probability", "label", "confidence"),
        [
            (0.0, 0.0, "正面", 0.0),
            (1.0, np.nextafter(1, 0), "负面", 1 - np.nextafter(1, 0)),
            (1.0, 1.0, "正面", 1.0),
            (0.2, 0.2, "正面", 0.2),
            (0.2, 0.1, "负面", 0.9),
        ],
    )
    def test_at_another_threshold(self, predict, threshold, probability, label, confidence):
        assert predict(probability, threshold) == (label, pytest.approx(confidence))

    def test_it_is_that_of_the_labels_or_that_of_the_model_file(self, tiny_model, tmp_path):
        other = save_with_metadata(tiny_model, tmp_path / "other.keras", {"labels": ["bad", "good"], "threshold": 0.0})
        assert Predictor(tiny_model).threshold == 0.7
        assert Predictor(tiny_model, "auto").threshold == 0.4
        assert Predictor(other).threshold == Predictor(other, None).threshold == 0.5
        assert Predictor(other, "auto").threshold == 0
        assert Predictor(other, "auto").predict([GOOD])[0].label == "good"
        assert Predictor(other, threshold=1).predict([GOOD])[0].label == "bad"


class TestArguments:
    @pytest.mark.parametrize("batch_size", [0, -1, 2.5, "8", True, None])
    def test_a_wrong_batch_size(self, tiny_model, batch_size):
        with pytest.raises(InputError, match="a whole number above 0"):
            Predictor(tiny_model, batch_size=batch_size)

    @pytest.mark.parametrize("abstain", [0.5, (0.5,), (0.6, 0.4), (0.5, 0.5), (0.1, 1.1), (float("nan"), 1)])
    def test_wrong_bounds_of_abstain(self, tiny_model, abstain):
        with pytest.raises(InputError, match="a lower and a higher number from 0 to 1, not .*: .* has two labels"):
            Predictor(tiny_model, abstain=abstain)

    def test_an_unknown_window_setting(self, tiny_model):
        with pytest.raises(InputError, match="unknown window setting 'size'; choose from window, stride"):
            Predictor(tiny_model, windows={"size": 3})

    @pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "high", True])
    def test_a_threshold_out_of_range(self, tiny_model, threshold):
        with pytest.raises(InputError, match="from 0 to 1, or 'auto'"):
            Predictor(tiny_model, threshold)


@pytest.fixture(scope="module")
def expected(tiny_emotions):
    """The probabilities of `EMOTIONAL_TEXTS`, a column per label, from the network's own outputs."""
    classifier = load_model(tiny_emotions)
    windows = encode_windows(tokenizer_from_json(classifier.tokenizer_json), EMOTIONAL_TEXTS, MAX_SEQ_LEN)
    # The temperature in the file is 0.5.
    logits = windows.document_logits(np.log(np.asarray(classifier(windows.inputs), np.float64))) / 0.5
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class TestMoreLabels:
    @pytest.fixture
    def predictor(self, tiny_emotions):
        return Predictor(tiny_emotions, runtime="onnx")

    def test_probabilities_have_a_column_per_label(self, predictor, expected):
        assert predictor.labels.names == EMOTIONS
        np.testing.assert_allclose(predictor.predict_proba(EMOTIONAL_TEXTS), expected, rtol=0, atol=1e-5)
        probabilities = predictor.predict_proba([GOOD, "", UNKNOWN_TEXT])
        assert np.isnan(probabilities[1:]).all()
        assert probabilities[0].sum() == pytest.approx(1)
        assert predictor.predict_proba([]).shape == predictor.logits([]).shape == (0, 6)

    def test_the_most_probable_label_is_predicted(self, predictor, expected):
        predictions = predictor.predict(EMOTIONAL_TEXTS)
        assert [prediction.label for prediction in predictions] == [EMOTIONS[best] for best in expected.argmax(axis=1)]
        assert len({prediction.label for prediction in predictions}) > 2
        for prediction, probabilities in zip(predictions, expected, strict=True):
            assert prediction.probability == prediction.confidence == max(prediction.probabilities)
            assert prediction.probabilities == pytest.approx(probabilities.tolist(), abs=1e-5)

    def test_a_text_with_a_problem_has_no_probabilities(self, predictor):
        assert predictor.predict([GOOD, ""])[1] == Prediction("", problem="the text is empty")

    def test_a_text_is_undecided_if_no_label_is_probable_enough(self, predictor):
        (prediction,) = predictor.predict([GOOD])
        predictor.abstain = prediction.confidence - 1e-3
        assert predictor.predict([GOOD])[0] == prediction
        predictor.abstain = prediction.confidence + 1e-3
        undecided = dataclasses.replace(prediction, label="不确定", labels=())
        assert predictor.predict([GOOD])[0] == undecided

    @pytest.mark.parametrize("threshold", [0.5, 0, "auto", "high"])
    def test_there_is_no_threshold(self, predictor, tiny_emotions, threshold):
        assert predictor.threshold is None
        with pytest.raises(InputError, match="^a threshold decides between two labels only; this model has 6$"):
            Predictor(tiny_emotions, threshold)
        with pytest.raises(InputError, match="two labels only"):
            predictor.threshold = threshold
        assert predictor.threshold is None

    @pytest.mark.parametrize("abstain", [(0.3, 0.7), [0.3], -0.1, 1.1, float("nan"), "0.5", True])
    def test_abstain_is_one_number(self, tiny_emotions, abstain):
        with pytest.raises(InputError, match="one number from 0 to 1, the lowest confidence, not .*: .* has 6 labels"):
            Predictor(tiny_emotions, abstain=abstain)

    def test_the_description_changes_with_what_predictions_depend_on(self, predictor, tiny_emotions):
        description = predictor.description()
        assert (description["threshold"], description["abstain"]) == (None, None)
        predictor.abstain = 0.5
        assert predictor.description() == description | {"abstain": 0.5}
        assert Predictor(tiny_emotions, runtime="onnx").description() == description


class TestSeveralLabels:
    @pytest.fixture
    def predictor(self, tiny_aspects):
        return Predictor(tiny_aspects, runtime="onnx")

    @pytest.fixture
    def expected(self, tiny_aspects):
        """The probabilities of `EMOTIONAL_TEXTS`, a column per label, from the network's own outputs."""
        classifier = load_model(tiny_aspects)
        windows = encode_windows(tokenizer_from_json(classifier.tokenizer_json), EMOTIONAL_TEXTS, MAX_SEQ_LEN)
        outputs = np.asarray(classifier(windows.inputs), np.float64)
        # The temperature in the file is 0.5.
        return 1 / (1 + np.exp(-windows.document_logits(np.log(outputs / (1 - outputs))) / 0.5))

    def test_probabilities_have_a_column_per_label(self, predictor, expected):
        assert (predictor.labels.names, predictor.labels.multi_label) == (ASPECTS, True)
        np.testing.assert_allclose(predictor.predict_proba(EMOTIONAL_TEXTS), expected, rtol=0, atol=1e-5)
        assert (abs(expected.sum(axis=1) - 1) > 0.1).any()  # as those of a softmax would not be
        assert np.isnan(predictor.predict_proba(["", UNKNOWN_TEXT])).all()
        assert predictor.predict_proba([]).shape == predictor.logits([]).shape == (0, 4)
        assert predictor.predict([]) == []

    @pytest.mark.parametrize("threshold", [None, "auto", 0.7, ASPECT_THRESHOLDS])
    def test_a_text_has_the_labels_that_reach_their_thresholds(self, predictor, expected, threshold):
        predictor.threshold = threshold
        thresholds = (0.7,) * 4 if threshold == 0.7 else ASPECT_THRESHOLDS
        assert predictor.threshold == thresholds
        predictions = predictor.predict(EMOTIONAL_TEXTS)
        for prediction, probabilities in zip(predictions, expected.tolist(), strict=True):
            pairs = list(zip(ASPECTS, probabilities, thresholds, strict=True))
            names = [name for name, probability, lowest in pairs if probability >= lowest]
            assert (prediction.labels, prediction.label) == (tuple(names), "|".join(names))
            assert prediction.probabilities == pytest.approx(probabilities, abs=1e-5)
            assert prediction.probability == max(prediction.probabilities)
            least_certain = min(value if name in names else 1 - value for name, value, _ in pairs)
            assert prediction.confidence == pytest.approx(least_certain, abs=1e-5)
        assert len({prediction.label for prediction in predictions}) > 2

    def test_a_text_may_have_no_label(self, predictor):
        predictor.threshold = 1
        (prediction,) = predictor.predict([GOOD])
        assert (prediction.label, prediction.labels, prediction.problem) == ("", (), None)
        assert prediction.confidence == pytest.approx(1 - prediction.probability)

    def test_an_undecided_text_keeps_the_confidence_that_was_too_low(self, predictor):
        predictor.threshold = 0.9  # so that a label that is likely, but not that likely, is left out
        (prediction,) = predictor.predict([GOOD])
        assert 0 < prediction.confidence < 0.5
        predictor.abstain = prediction.confidence - 1e-6
        assert predictor.predict([GOOD]) == [prediction]
        predictor.abstain = prediction.confidence + 1e-6
        assert predictor.predict([GOOD]) == [dataclasses.replace(prediction, label="不确定", labels=())]

    @pytest.mark.parametrize(
        "threshold", [-0.1, 1.1, float("nan"), "high", True, (0.5,) * 3, (0.5,) * 5, (0.5, 2, 0, 0)]
    )
    def test_a_wrong_threshold_is_refused(self, predictor, threshold):
        with pytest.raises(InputError, match="from 0 to 1, or 'auto'"):
            predictor.threshold = threshold
        assert predictor.threshold == ASPECT_THRESHOLDS

    @pytest.mark.parametrize("abstain", [(0.3, 0.7), -0.1, 1.1, "0.5", True])
    def test_abstain_is_one_number(self, tiny_aspects, abstain):
        with pytest.raises(InputError, match="one number from 0 to 1, the lowest confidence, not .*: .* has 4 labels"):
            Predictor(tiny_aspects, abstain=abstain)

    @pytest.mark.parametrize("threshold", [None, np.float32(0.5), np.full(4, 0.5), [0, 1, 0, 1]])
    def test_the_description_is_json(self, predictor, threshold):
        predictor.threshold, predictor.abstain = threshold, np.float32(0.5)
        description = predictor.description()
        assert json.loads(json.dumps(description)) == description
        assert description["threshold"] == list(predictor.threshold)


class TestWindows:
    def test_they_can_be_changed(self, tiny_model):
        predictor = Predictor(tiny_model, windows={"window": 8})
        predictor.windows = {"aggregate": "max"}
        assert (predictor.window_settings.window, predictor.window_settings.aggregate) == (None, "max")
        with pytest.raises(InputError, match="too long"):
            predictor.windows = {"window": 17}
        assert (predictor.windows, predictor.window_settings.aggregate) == ({"aggregate": "max"}, "max")


@pytest.fixture(scope="module")
def calibrated_model(tiny_model, tmp_path_factory):
    metadata = {"temperature": 2.0, "threshold": 0.25, "windows": {"window": 8, "aggregate": "max"}}
    return save_with_metadata(tiny_model, tmp_path_factory.mktemp("calibrated") / "calibrated.keras", metadata)


@pytest.mark.parametrize("runtime", ["onnx", "keras"])
def test_calibration_and_windows_come_from_the_model_file(calibrated_model, runtime):
    predictor = Predictor(calibrated_model, "auto", runtime=runtime)
    assert (predictor.threshold, predictor.temperature) == (0.25, 2.0)
    assert dataclasses.asdict(predictor.window_settings) == {
        "window": 8,
        "stride": None,
        "max_windows": None,
        "spread_windows": None,
        "aggregate": "max",
    }
    assert predictor.truncated_remark == TRUNCATED_REMARK
    text = "房间很干净，前台也热情，下次还会来。" * 3
    windows = predictor.encode([text])
    logit = predictor.window_logits(windows.input_ids).max() / 2
    assert predictor.predict([text])[0].probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
    assert Predictor(calibrated_model, runtime=runtime, windows={"aggregate": "mean"}).window_settings.window == 8


def test_another_limit_replaces_that_of_the_model_file(tiny_model, tmp_path):
    path = save_with_metadata(tiny_model, tmp_path / "spread.keras", {"windows": {"spread_windows": 4}})
    for windows, limits in (({}, (None, 4)), ({"max_windows": 1}, (1, None)), ({"max_windows": None}, (None, None))):
        window_settings = Predictor(path, windows=windows).window_settings
        assert (window_settings.max_windows, window_settings.spread_windows) == limits
    with pytest.raises(InputError, match="leave out one of the two"):
        Predictor(path, windows={"max_windows": 1, "spread_windows": 1})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("variables", [{}, {"TOKENIZERS_PARALLELISM": "true"}])
def test_the_child_of_a_fork_predicts_as_its_parent(tiny_model, environment, variables):
    """Neither waits for threads that only the parent has."""
    command = [application_process.PYTHON, str(PROGRAMS / "predict_in_child.py"), str(tiny_model)]
    process = application_process.run(command, environment | variables, timeout=120)
    assert (process.returncode, process.stderr) == (0, "")
    parent, child = process.stdout.splitlines()
    assert parent == child
