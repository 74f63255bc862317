"""Find the windows of a long text that decided: parts of the decision, computed here from one window at a time."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.explanation.window_influence import MOST_SHOWN, influential_windows
from serving.predictor import Predictor
from text.tokens.window_options import AGGREGATES

GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
LONG = (GOOD + BAD) * 3 + "早餐难吃"
MODELS = ["tiny_model", "tiny_emotions", "tiny_aspects"]
KNOWN_TEXT = st.text(st.sampled_from(GOOD + BAD + "㎡㍿ \u3000😀\n"), min_size=30, max_size=90)
SAMPLES = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


@pytest.fixture(params=MODELS)
def open_model(request):
    """Return the function that opens one of the three kinds of models."""
    path = request.getfixturevalue(request.param)
    return lambda **windows: Predictor(path, runtime="onnx", windows=windows)


def explained(predictor, text, label=None):
    """Return the prediction for a text, and its windows."""
    (prediction,) = predictor.predict([text])
    return prediction, influential_windows(predictor, prediction, label)


def window_probabilities(predictor, text):
    """Return the probabilities of each window's labels as if it were a text of its own, (windows, labels)."""
    windows = predictor.read(text).windows
    alone = [predictor.window_logits(window[None])[0] for window in windows.input_ids]
    return predictor.labels.probabilities(np.array(alone, np.float64) / predictor.temperature)


def log_odds(probability):
    return np.log(probability) - np.log1p(-probability)


def expected_distances(predictor, text, label):
    """Return how far each window lies above the threshold of a label, from probabilities alone, (windows,)."""
    index = predictor.labels.names.index(label)
    probabilities = window_probabilities(predictor, text)
    if predictor.labels.multi_label:
        return log_odds(probabilities[:, index]) - log_odds(predictor.threshold[index])
    if predictor.labels.is_binary:
        distance = log_odds(probabilities[:, 1]) - log_odds(predictor.threshold)
        return distance if index == 1 else -distance
    (of_text,) = predictor.predict_proba([text])
    of_text[index] = 0
    return np.log(probabilities[:, index]) - np.log(probabilities[:, of_text.argmax()])


def check_windows(predictor, text, prediction, windows):
    """Check all that holds for every text, label and aggregate."""
    reading = predictor.read(text)
    places = [(reading.offsets[start][0], reading.offsets[end - 1][1]) for start, end in reading.spans]
    assert len(windows) <= min(MOST_SHOWN, len(places))
    assert len({window.label for window in windows}) == 1
    shares = [abs(window.share) for window in windows]
    assert shares == sorted(shares, reverse=True) and shares[-1] > 0
    assert sum(shares) <= 1 + 1e-9
    index = predictor.labels.names.index(windows[0].label)
    probabilities = window_probabilities(predictor, text)[:, index]
    for window in windows:
        assert 0 <= window.start < window.end <= len(text)
        assert window.probability == pytest.approx(probabilities[places.index((window.start, window.end))], abs=1e-5)
    assert len({(window.start, window.end) for window in windows}) == len(windows)


class TestShares:
    @pytest.mark.parametrize("aggregate", ["mean", "harmonic"])
    @SAMPLES
    @given(text=KNOWN_TEXT)
    def test_they_are_the_weighted_distances_from_the_threshold(self, open_model, aggregate, text):
        self.check_shares(open_model(aggregate=aggregate), text, aggregate)

    @pytest.mark.parametrize("aggregate", ["mean", "harmonic"])
    @pytest.mark.parametrize("more", [{}, {"stride": 3}, {"max_windows": 3}])
    def test_of_overlapping_and_of_left_out_windows(self, open_model, aggregate, more):
        self.check_shares(open_model(aggregate=aggregate, **more), LONG, aggregate)

    def check_shares(self, predictor, text, aggregate):
        prediction, windows = explained(predictor, text)
        reading = predictor.read(text)
        if len(reading.spans) == 1:
            assert windows == []
            return
        check_windows(predictor, text, prediction, windows)
        lengths = np.array([end - start for start, end in reading.spans], float)
        weights = lengths / np.arange(1, len(lengths) + 1) if aggregate == "harmonic" else lengths
        parts = weights / weights.sum() * expected_distances(predictor, text, windows[0].label)
        shares = dict(zip(reading.spans, parts / np.abs(parts).sum(), strict=True))
        expected = sorted(shares.values(), key=lambda share: -abs(share))[:MOST_SHOWN]
        assert [window.share for window in windows] == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize("aggregate", ["mean", "harmonic"])
    def test_the_parts_of_all_windows_have_the_sign_of_the_decision(self, open_model, aggregate):
        """A text with the label is above its threshold, so the shares for it outweigh those against it."""
        predictor = open_model(aggregate=aggregate, max_windows=MOST_SHOWN)
        signs = set()
        for label in predictor.labels.names:
            prediction, windows = explained(predictor, LONG, label)
            has_label = label in prediction.labels
            assert (sum(window.share for window in windows) > 0) == has_label
            signs.add(has_label)
        assert signs == {True, False}

    def test_the_highest_window_alone_decides_for_max(self, open_model):
        predictor = open_model(aggregate="max")
        for label in predictor.labels.names:
            prediction, windows = explained(predictor, LONG, label)
            check_windows(predictor, LONG, prediction, windows)
            (window,) = windows
            assert window.share == (1 if label in prediction.labels else -1)
            if predictor.labels.multi_label:
                index = predictor.labels.names.index(label)
                assert window.probability == pytest.approx(prediction.probabilities[index], abs=1e-5)

    def test_for_logsumexp_high_windows_weigh_more_than_in_the_mean(self, tiny_model):
        by_aggregate = {}
        for aggregate in ("mean", "logsumexp"):
            predictor = Predictor(tiny_model, 0.0, runtime="onnx", windows={"aggregate": aggregate, "max_windows": 5})
            prediction, windows = explained(predictor, LONG)
            check_windows(predictor, LONG, prediction, windows)
            # With a threshold of 0 all windows lie far above it, so that their shares are almost their weights.
            by_aggregate[aggregate] = {window.start: window.share for window in windows}
            best = max(windows, key=lambda window: window.probability).start
        assert all(share > 0 for shares in by_aggregate.values() for share in shares.values())
        assert by_aggregate["logsumexp"][best] > by_aggregate["mean"][best] + 0.05

    @pytest.mark.parametrize("aggregate", AGGREGATES)
    @pytest.mark.parametrize("threshold", [0, 1])
    def test_an_extreme_threshold_is_no_division_by_zero(self, tiny_aspects, aggregate, threshold):
        predictor = Predictor(tiny_aspects, threshold, runtime="onnx", windows={"aggregate": aggregate})
        _, windows = explained(predictor, LONG)
        assert windows and all(np.isfinite(window.share) for window in windows)
        assert {window.share > 0 for window in windows} == {threshold == 0}


class TestLabel:
    def test_it_is_the_predicted_one(self, open_model):
        prediction, windows = explained(open_model(), LONG)
        assert windows[0].label in prediction.labels

    def test_of_two_labels_it_may_be_the_first(self, tiny_model):
        predictor = Predictor(tiny_model, 1.0, runtime="onnx")
        _, windows = explained(predictor, LONG)
        assert windows[0].label == "负面"
        assert explained(predictor, LONG, "正面")[1][0].share == pytest.approx(-windows[0].share)

    def test_of_several_labels_it_is_the_most_probable_one(self, tiny_aspects):
        predictor = Predictor(tiny_aspects, runtime="onnx")
        prediction, windows = explained(predictor, LONG)
        assert len(prediction.labels) > 1
        assert prediction.probabilities[predictor.labels.names.index(windows[0].label)] == prediction.probability

    @pytest.mark.parametrize("change", [{"threshold": 1.0}, {"abstain": 1.0}])
    def test_without_a_label_it_is_the_most_probable_one_too(self, tiny_aspects, change):
        predictor = Predictor(tiny_aspects, runtime="onnx", **change)
        prediction, windows = explained(predictor, LONG)
        assert prediction.labels == ()
        assert prediction.probabilities[predictor.labels.names.index(windows[0].label)] == prediction.probability


class TestTexts:
    @pytest.mark.parametrize("text", ["", "ꙮ", "\ud800", GOOD[:8], None])
    def test_one_window_or_no_prediction_has_none(self, open_model, text):
        assert explained(open_model(), text)[1] == []
        assert explained(open_model(max_windows=1), LONG)[1] == []

    def test_excerpts_are_short_and_on_one_line(self, tiny_model):
        text = "\n房 间\t\t很\x1b干净 \n" * 9
        _, windows = explained(Predictor(tiny_model, runtime="onnx"), text)
        assert windows
        for window in windows:
            assert window.excerpt.isprintable() and "  " not in window.excerpt
            assert window.excerpt.replace(" ", "") in text.replace("\x1b", "").translate(dict.fromkeys(b" \n\t"))

    def test_an_excerpt_of_a_long_window_is_cut(self, tiny_model):
        text = ("好" + " " * 99 + "ꙮ" * 500) * 16
        _, windows = explained(Predictor(tiny_model, runtime="onnx"), text)
        assert windows
        for window in windows:
            assert len(window.excerpt) <= 60 < window.end - window.start
            assert window.excerpt.endswith("…")
