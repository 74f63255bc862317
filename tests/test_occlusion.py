"""Measure how much each word influenced a prediction: the effect of a word is what leaving it out changes."""

import csv
import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from arrays import logits_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.explanation.occlusion import Explanation, Word, explain
from serving.prediction import SPREAD_REMARK, TRUNCATED_REMARK, Prediction
from serving.predictor import Predictor
from serving.runtimes.selection import open_runtime
from system.errors import InputError
from text.tokens.tokenizer import tokenizer_from_json

ROOT = Path(__file__).resolve().parents[1]
GOOD, BAD = "房间很干净，前台也热情。", "隔音太差，一晚上没睡着。"
LONG = (GOOD + BAD) * 3
WINDOWS = [
    {"max_windows": max_windows, "stride": stride, "aggregate": aggregate}
    for max_windows, stride, aggregate in itertools.product((None, 2), (None, 3), ("harmonic", "max", "logsumexp"))
]
KNOWN_TEXT = st.text(st.sampled_from(GOOD + BAD + "㎡㍿ﬁ \u3000😀\n[CLS]"), min_size=1, max_size=60)
SAMPLES = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def predictors(tiny_model):
    return [Predictor(tiny_model, runtime="onnx", windows=windows) for windows in WINDOWS]


@pytest.fixture(scope="module")
def predictor(predictors):
    return predictors[0]


@pytest.fixture(scope="module")
def emotions(tiny_emotions):
    return Predictor(tiny_emotions, runtime="onnx")


class CountingPredictor(Predictor):
    """A predictor that keeps the sizes of its batches and the texts that it reads, and tokenizes in no other way."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.sizes, self.texts = [], []

    def window_logits(self, input_ids):
        self.sizes.append(len(input_ids))
        return super().window_logits(input_ids)

    def read(self, text):
        self.texts.append(text)
        return super().read(text)

    def encode(self, texts):
        raise AssertionError("the text is tokenized a second time")


def aggregated(logits, spans, aggregate):
    weights = np.array([max(end - start, 1) for start, end in spans])
    if aggregate == "harmonic":
        weights = weights / np.arange(1, len(weights) + 1)
    if aggregate == "max":
        return np.max(logits)
    if aggregate == "logsumexp":
        return np.log(np.average(np.exp(logits), weights=weights))
    return np.average(logits, weights=weights)


def load_tokenizer(predictor):
    return tokenizer_from_json(open_runtime(predictor.model_path).tokenizer_file)


def log_odds(logits, label, one_of_all):
    """Return the log-odds of a label by its index, from the logits of all labels, or from that of the second of two."""
    if len(logits) == 1:
        return logits[0] if label == 1 else -logits[0]
    if not one_of_all:
        return logits[label]
    exponentials = np.exp(logits)
    return np.log(exponentials[label] / (exponentials.sum() - exponentials[label]))


def effects_of_tokens(predictor, text, label=1, one_of_all=True):
    """Return the position and the effect of each token that the model reads, computed one by one from ids made here."""
    _, offsets, spans, _ = predictor.read(text)
    tokenizer = load_tokenizer(predictor)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    first, last = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))

    def logit_of_text(without=None):
        rows = np.zeros((len(spans), 16), np.int32)
        for row, (start, end) in zip(rows, spans, strict=True):
            kept = [first, *(ids[index] for index in range(start, end) if index != without), last]
            row[: len(kept)] = kept
        by_output = np.concatenate([predictor.window_logits(row[None]) for row in rows]).astype(np.float64).T
        aggregate = predictor.window_settings.aggregate
        logits = np.array([aggregated(logits, spans, aggregate) for logits in by_output])
        return log_odds(logits / predictor.temperature, label, one_of_all)

    whole = logit_of_text()
    read = sorted({index for start, end in spans for index in range(start, end)})
    return [(offsets[index], whole - logit_of_text(index)) for index in read]


def check_words(words, effects):
    """Check that the effect of each word is the sum of the effects of its tokens."""
    found = dict.fromkeys(words, 0.0)
    for (start, end), effect in effects:
        (word,) = (word for word in words if word.start <= start and end <= word.end)
        found[word] += effect
    assert [word.effect for word in words] == pytest.approx(list(found.values()), abs=2e-4)


class TestExplain:
    @SAMPLES
    @given(text=st.text() | KNOWN_TEXT, index=st.integers(0, len(WINDOWS) - 1))
    def test_words_are_slices_in_order(self, predictors, text, index):
        explanation = explain(predictors[index], text)
        assert explanation.prediction == predictors[index].predict([text])[0]
        if explanation.prediction.problem:
            assert explanation.words == []
            return
        assert explanation.words
        done = 0
        for word in explanation.words:
            assert done <= word.start < word.end <= len(text)
            assert word.text == text[word.start : word.end]
            assert np.isfinite(word.effect)
            done = word.end

    @SAMPLES
    @given(text=KNOWN_TEXT, index=st.integers(0, len(WINDOWS) - 1))
    def test_an_effect_is_what_the_windows_lose_without_the_token(self, predictors, text, index):
        self.check_effects(predictors[index], text)

    @pytest.mark.parametrize("index", range(len(WINDOWS)))
    def test_of_a_long_text(self, predictors, index):
        words = self.check_effects(predictors[index], LONG)
        assert (words[-1].end < len(LONG)) == (WINDOWS[index]["max_windows"] is not None)
        explanation = explain(predictors[index], LONG)
        assert explanation.prediction.is_truncated == (words[-1].end < len(LONG))
        assert explanation.remark == (TRUNCATED_REMARK if explanation.prediction.is_truncated else "")

    @pytest.mark.parametrize("stride", [None, 3])
    def test_of_windows_spread_over_a_long_text(self, tiny_model, stride):
        text = LONG * 3
        predictor = Predictor(tiny_model, runtime="onnx", windows={"spread_windows": 3, "stride": stride})
        words = self.check_effects(predictor, text)
        assert words[0].start == 0 and words[-1].end == len(text)
        assert sum(word.end - word.start for word in words) < 0.8 * len(text), "the parts between windows have no words"
        assert explain(predictor, text).remark == SPREAD_REMARK

    def test_a_limit_counts_the_tokens_that_are_read(self, tiny_model):
        text = LONG * 3
        predictor = Predictor(tiny_model, runtime="onnx", windows={"spread_windows": 3})
        all_words = explain(predictor, text).words
        (_, _), (middle, _), (last, end) = predictor.read(text).spans
        words = explain(predictor, text, most_tokens=2 * (end - last) + 1).words
        assert middle > 2 * (end - last), "the limit would not reach the second window if it counted all tokens"
        assert 0 < len(words) < len(all_words)
        assert [word.start for word in words] == [word.start for word in all_words[: len(words)]]
        assert words[-1].start == predictor.read(text).offsets[last][0]

    def test_of_a_calibrated_model(self, predictors, monkeypatch):
        cold = [word.effect for word in explain(predictors[1], LONG).words]
        monkeypatch.setattr(predictors[1], "temperature", 2.5)
        warm = [word.effect for word in self.check_effects(predictors[1], LONG)]
        assert warm == pytest.approx([effect / 2.5 for effect in cold], rel=1e-3, abs=1e-4)

    def check_effects(self, predictor, text):
        words = explain(predictor, text).words
        check_words(words, effects_of_tokens(predictor, text) if words else [])
        return words

    def test_no_word_is_idle(self, predictor):
        """The tests above would pass if nothing had an effect."""
        effects = [word.effect for word in explain(predictor, GOOD + BAD).words]
        assert len(effects) > 4
        assert min(map(abs, effects)) > 1e-4
        assert min(effects) < 0 < max(effects)

    def test_tokens_of_one_character_are_one_word(self, predictor):
        offsets = predictor.read("好㍿好").offsets
        assert offsets.count((1, 2)) > 1
        assert [word.text for word in explain(predictor, "好㍿好").words] == ["好", "㍿", "好"]

    def test_one_batch_of_windows_from_one_reading(self, tiny_model):
        predictor = CountingPredictor(tiny_model, runtime="onnx")
        explain(predictor, LONG)
        spans = predictor.read(LONG).spans
        # A token of two windows is left out of each.
        assert predictor.sizes == [len(spans) + sum(end - start for start, end in spans)]
        assert predictor.texts == [LONG, LONG]  # the second time here

    @pytest.mark.parametrize("text", ["", " \n", "ꙮ", "\x00", "\ud800"])
    def test_a_text_without_a_prediction_has_no_words(self, predictor, text):
        explanation = explain(predictor, text)
        assert explanation.prediction.problem
        assert explanation.words == explanation.strongest(3) == explanation.pushing(1) == []


class TestLabelThatIsExplained:
    def test_of_two_labels_it_is_the_second(self, predictor):
        for text in (GOOD, BAD, LONG):
            explanation = explain(predictor, text)
            assert explanation == explain(predictor, text, "正面")
            assert explanation.directions == ("towards 正面", "towards 负面")

    def test_the_first_of_two_labels_has_opposite_effects(self, predictor):
        second, first = explain(predictor, LONG), explain(predictor, LONG, "负面")
        assert [word.effect for word in first.words] == [-word.effect for word in second.words]
        assert (first.logit, first.prediction) == (-second.logit, second.prediction)
        assert first.directions == ("towards 负面", "towards 正面")

    @pytest.mark.parametrize("text", [GOOD, BAD, LONG])
    def test_of_more_labels_it_is_the_predicted_one(self, emotions, text):
        explanation = explain(emotions, text)
        (prediction,) = emotions.predict([text])
        assert explanation.prediction.label == explanation.label == prediction.label
        assert explanation.directions == (f"towards {prediction.label}", f"away from {prediction.label}")
        odds = prediction.probability / (1 - prediction.probability)
        assert explanation.logit == pytest.approx(np.log(odds), abs=1e-3)
        index = emotions.labels.names.index(prediction.label)
        check_words(explanation.words, effects_of_tokens(emotions, text, index))

    @pytest.mark.parametrize("index", [0, 3, 5])
    def test_it_can_be_chosen(self, emotions, index):
        name = emotions.labels.names[index]
        explanation = explain(emotions, LONG, name)
        assert explanation.label == name
        check_words(explanation.words, effects_of_tokens(emotions, LONG, index))
        assert max(abs(word.effect) for word in explanation.words) > 0.01

    @pytest.mark.parametrize("label", [None, 0, 3])
    def test_of_several_labels_it_is_the_most_probable_one_or_any(self, tiny_aspects, label):
        aspects = Predictor(tiny_aspects, runtime="onnx")
        probabilities = aspects.predict_proba([LONG])[0]
        index = int(probabilities.argmax()) if label is None else label
        name = aspects.labels.names[index]
        explanation = explain(aspects, LONG, None if label is None else name)
        assert explanation.label == name
        assert explanation.directions == (f"towards {name}", f"away from {name}")
        odds = probabilities[index] / (1 - probabilities[index])
        assert explanation.logit == pytest.approx(np.log(odds), abs=1e-3)
        check_words(explanation.words, effects_of_tokens(aspects, LONG, index, one_of_all=False))

    def test_of_an_undecided_text_it_is_the_most_probable_one(self, emotions, monkeypatch):
        label = explain(emotions, GOOD).label
        monkeypatch.setattr(emotions, "abstain", 1.0)
        explanation = explain(emotions, GOOD)
        assert (explanation.prediction.label, explanation.label) == ("不确定", label)

    def test_an_unknown_label_is_refused(self, predictor):
        with pytest.raises(InputError, match="no label '愤怒' to explain; choose from 负面, 正面"):
            explain(predictor, GOOD, "愤怒")


def explanation_of(probability, *effects):
    words = [Word("字", index, index + 1, effect) for index, effect in enumerate(effects)]
    logit = np.inf if probability == 1 else -np.inf if probability == 0 else float(logits_of([probability])[0, 0])
    return Explanation(Prediction("字" * len(words), "正面", probability, probability), words, logit)


class TestStrongest:
    @pytest.mark.parametrize(
        ("probability", "effects", "expected"),
        [
            (0.9, [0.5, -3, 2, 1, 0, 0.1], [2, 1, 0.5]),
            (0.1, [0.5, -3, 2, -1, 0, -0.1], [-3, -1, -0.1]),
            (0.9, [-3, 2], [2]),
            # The words for the prediction are much weaker than the one against it.
            (0.51, [0.1, -5], [-5]),
            (0.9, [-3, 0.5], [-3]),
            (0.9, [-3, -2], [-3, -2]),
            (0.9, [0, 0], []),
            (1.0, [40, 30], [40, 30]),
            (0.0, [-30, 1], [-30]),
        ],
    )
    def test_of_given_words(self, probability, effects, expected):
        explanation = explanation_of(probability, *effects)
        assert [word.effect for word in explanation.strongest(3)] == expected
        assert [word.effect for word in explanation.strongest(1)] == expected[:1]
        assert explanation.strongest(0) == []

    @given(probability=st.floats(0, 1), effects=st.lists(st.floats(-40, 40), max_size=50), count=st.integers(0, 60))
    def test_all_push_the_same_way(self, probability, effects, count):
        explanation = explanation_of(probability, *effects)
        strongest = [word.effect for word in explanation.strongest(count)]
        assert len({effect > 0 for effect in strongest}) <= 1
        if strongest:
            same_way = [effect for effect in effects if effect and (effect > 0) == (strongest[0] > 0)]
            same_way.sort(key=lambda effect: -abs(effect))
            assert strongest == same_way[:count]
        else:
            assert count == 0 or not any(effects)


def without(text, words):
    for word in sorted(words, key=lambda word: -word.start):
        text = text[: word.start] + text[word.end :]
    return text


@pytest.mark.slow
def test_the_strongest_words_move_the_prediction_more_than_random_words():
    """At least nine in ten reviews; a review that has no prediction without the words does not count as moved."""
    predictor = Predictor(ROOT / "mini_bert_sentiment_classifier.keras")
    with open(ROOT / "data" / "sample_reviews.csv", encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert len(texts) == 504
    generator = random.Random(0)
    shortened, whole = [], []
    for text in texts:
        explanation = explain(predictor, text)
        words = explanation.words
        whole += [explanation.prediction.probability] * 2
        for chosen in (explanation.strongest(3), generator.sample(words, min(3, len(words)))):
            shortened.append(without(text, chosen))
    moves = [
        np.nan if prediction.problem else abs(prediction.probability - before)
        for prediction, before in zip(predictor.predict(shortened), whole, strict=True)
    ]
    by_strongest, by_random = np.array(moves).reshape(-1, 2).T
    fraction = np.mean(by_strongest > by_random)
    print(f"the three strongest words moved {fraction:.1%} of the reviews more than three random words")
    assert fraction >= 0.9
