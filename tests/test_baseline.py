"""The baseline: on a few reviews written here, and on the published split where its data is available."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_splits import SmallSplit

from evaluation.baseline import (
    TEACHER_CHARACTERS,
    baseline_logits,
    baseline_test_logits,
    fit_tfidf_baseline,
    out_of_fold_baseline_logits,
)
from evaluation.metrics import classification_metrics
from evaluation.multi_label import best_thresholds
from text.dataset.splits import Splits
from text.labels import SENTIMENT, LabelSet

HOTEL_REVIEWS = Path(__file__).resolve().parents[2] / "shared" / "data" / "hotel" / "ChnSentiCorp_htl_all.csv"
POSITIVE_REVIEWS = ["房间很干净，服务很好", "早餐丰富，很满意", "服务热情，下次还会来", "很安静，值得推荐"]
NEGATIVE_REVIEWS = ["房间很脏，服务太差", "隔音不好，太吵", "空调坏了，态度恶劣", "又贵又旧，不会再来"]
REVIEWS, LABELS = POSITIVE_REVIEWS + NEGATIVE_REVIEWS, [1] * 4 + [0] * 4
TOPICS = LabelSet(("体育", "教育", "科技", "财经"))
TOPIC_WORDS = ("球队比赛冠军", "学校老师考试", "手机芯片软件", "股票银行利率")


def baseline_metrics(train_texts, train_labels, test_texts, test_labels, max_characters=None):
    logits = baseline_logits(SENTIMENT, train_texts, train_labels, test_texts, max_characters)
    return classification_metrics(SENTIMENT, test_labels, SENTIMENT.probabilities(logits))


def test_it_learns_from_a_few_reviews():
    pipeline = fit_tfidf_baseline(REVIEWS, LABELS)
    assert pipeline.predict(["服务热情，很干净，很满意", "又脏又吵，态度太差"]).tolist() == [1, 0]


def test_logits_are_those_of_the_test_texts():
    texts = ["很满意，推荐", "太吵了", "太差"]
    logits = baseline_logits(SENTIMENT, REVIEWS, LABELS, texts)
    assert logits.shape == (3, 1)
    probabilities = SENTIMENT.probabilities(logits)
    np.testing.assert_allclose(probabilities, fit_tfidf_baseline(REVIEWS, LABELS).predict_proba(texts), rtol=1e-9)
    assert (probabilities[:, 1] > 0.4).tolist() == [True, False, False]


def test_training_and_test_texts_are_truncated_alike():
    # The beginnings say the opposite of the ends, so the prediction shows which of the two was read.
    train_texts = ["好" * 5 + "差" * 20, "差" * 5 + "好" * 20]
    test_texts = ["好" * 5 + "差" * 40, "差" * 5 + "好" * 40]
    assert baseline_metrics(train_texts, [1, 0], test_texts, [1, 0], max_characters=5)["accuracy"] == 1
    whole_like_ends = baseline_metrics(["差" * 20, "好" * 20], [1, 0], test_texts, [1, 0])
    truncated_like_ends = baseline_metrics(["差" * 20, "好" * 20], [1, 0], test_texts, [1, 0], max_characters=5)
    assert (whole_like_ends["accuracy"], truncated_like_ends["accuracy"]) == (1, 0)


@pytest.mark.parametrize("texts", [["好", "差"], ["很满意", "太吵了"]])
def test_texts_without_a_common_character_are_enough_for_a_teacher(texts):
    logits = baseline_logits(SENTIMENT, texts, [1, 0], texts, features=TEACHER_CHARACTERS)
    assert logits[0] > 0 > logits[1]


@pytest.mark.parametrize("max_characters", [0, -5])
def test_no_characters_at_all_are_refused(max_characters):
    with pytest.raises(ValueError, match="max_characters must be at least 1"):
        baseline_metrics(REVIEWS, LABELS, REVIEWS, LABELS, max_characters=max_characters)


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="class"):
        fit_tfidf_baseline(POSITIVE_REVIEWS, [1] * 4)


def topic_split(counts, seed):
    """Return a split of so many texts of each topic, four characters each: three of the topic and one of any."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    texts = [
        "".join([*generator.choice(list(TOPIC_WORDS[label]), 2), *generator.choice(list("".join(TOPIC_WORDS)), 3)])
        for label in labels
    ]
    return SmallSplit(texts, labels, TOPICS)


class TestMoreLabels:
    def test_logits_are_those_of_the_logistic_regression(self):
        train, test = topic_split((9, 8, 7, 6), 0), topic_split((3, 3, 3, 3), 1)
        logits = baseline_logits(TOPICS, train.texts, train.labels, test.texts)
        assert logits.shape == (12, TOPICS.num_outputs)
        expected = fit_tfidf_baseline(train.texts, train.labels).predict_proba(test.texts)
        np.testing.assert_allclose(TOPICS.probabilities(logits), expected, rtol=1e-9)

    @pytest.mark.parametrize("counts", [(9, 0, 7, 6), (0, 9, 8, 7), (9, 0, 0, 6)])
    def test_a_label_without_a_training_text_is_practically_impossible(self, counts):
        train, test = topic_split(counts, 0), topic_split((3, 3, 3, 3), 1)
        probabilities = TOPICS.probabilities(baseline_logits(TOPICS, train.texts, train.labels, test.texts))
        assert probabilities.shape == (12, 4)
        is_absent = np.array(counts) == 0
        assert (probabilities[:, is_absent] < 1e-12).all()
        expected = fit_tfidf_baseline(train.texts, train.labels).predict_proba(test.texts)
        np.testing.assert_allclose(probabilities[:, ~is_absent], expected, rtol=1e-9)

    def test_balanced_weights_give_rare_labels_more_texts(self):
        train, test = topic_split((60, 3, 3, 3), 0), topic_split((9, 9, 9, 9), 1)
        even, balanced = (
            baseline_logits(TOPICS, train.texts, train.labels, test.texts, class_weight=weight).argmax(axis=1)
            for weight in (None, "balanced")
        )
        assert (balanced > 0).sum() > (even > 0).sum()


class TestBaselineOfATest:
    def test_it_is_that_of_training_and_validation_texts(self):
        train, validation, test = (
            SmallSplit(REVIEWS[start::3], np.array(LABELS[start::3]), SENTIMENT) for start in range(3)
        )
        logits, class_weight, threshold = baseline_test_logits(Splits(None, train, validation, test))
        known = np.concatenate([train.labels, validation.labels])
        expected = baseline_logits(SENTIMENT, train.texts + validation.texts, known, test.texts)
        np.testing.assert_array_equal(logits, expected)
        assert class_weight is threshold is None

    def test_texts_have_the_weights_of_their_sets(self):
        train, validation, test = (
            SmallSplit(REVIEWS[start::3], np.array(LABELS[start::3]), SENTIMENT) for start in range(3)
        )
        weighted = dataclasses.replace(validation, text_weights=np.full(len(validation.texts), 2, np.float32))
        logits = baseline_test_logits(Splits(None, train, weighted, test)).logits
        known = np.concatenate([train.labels, validation.labels])
        weights = np.repeat([1, 2], [len(train.texts), len(validation.texts)])
        texts = train.texts + validation.texts
        expected = baseline_logits(SENTIMENT, texts, known, test.texts, text_weights=weights)
        np.testing.assert_array_equal(logits, expected)
        unweighted = baseline_test_logits(Splits(None, train, validation, test)).logits
        assert np.abs(logits - unweighted).max() > 0.01

    def test_it_reads_the_texts_as_the_model_cleans_them(self):
        plain = [SmallSplit(REVIEWS[start::3], np.array(LABELS[start::3]), SENTIMENT) for start in range(3)]
        decorated = [
            dataclasses.replace(
                split, texts=[f"#{split.labels.sum()}#{text}" for text in split.texts], cleaned=split.texts
            )
            for split in plain
        ]
        of_plain, of_decorated = (baseline_test_logits(Splits(None, *splits))[0] for splits in (plain, decorated))
        np.testing.assert_array_equal(of_plain, of_decorated)

    @pytest.mark.parametrize(("counts", "expected"), [((60, 4, 4, 4), "balanced"), ((20, 20, 20, 20), None)])
    def test_more_labels_get_the_better_class_weight_on_the_validation_split(self, counts, expected):
        train, validation, test = topic_split(counts, 0), topic_split((9, 9, 9, 9), 1), topic_split((5, 5, 5, 5), 2)
        logits, class_weight, threshold = baseline_test_logits(Splits(None, train, validation, test))
        assert class_weight == expected and threshold is None
        macro_f1 = {}
        for weight in (None, "balanced"):
            of_weight = baseline_logits(TOPICS, train.texts, train.labels, validation.texts, class_weight=weight)
            metrics = classification_metrics(TOPICS, validation.labels, TOPICS.probabilities(of_weight))
            macro_f1[weight] = metrics["macro_f1"]
        assert (macro_f1["balanced"] > macro_f1[None]) == (class_weight == "balanced")
        known = np.concatenate([train.labels, validation.labels])
        texts = train.texts + validation.texts
        of_all = baseline_logits(TOPICS, texts, known, test.texts, class_weight=class_weight)
        np.testing.assert_array_equal(logits, of_all)


ASPECTS = LabelSet(TOPICS.names, multi_label=True)


def aspect_split(count, seed, frequencies=(0.6, 0.3, 0.2, 0.1)):
    """Return a split of texts of several topics, or none, with two characters of each topic and three of any."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((count, 4)) < frequencies).astype(np.int64)
    texts = []
    for of_text in labels:
        words = [generator.choice(list(TOPIC_WORDS[topic]), 2) for topic in np.flatnonzero(of_text)]
        texts.append("".join(["".join(word) for word in words] + list(generator.choice(list("".join(TOPIC_WORDS)), 3))))
    return SmallSplit(texts, labels, ASPECTS)


class TestSeveralLabels:
    def test_each_label_is_that_of_its_own_logistic_regression(self):
        train, test = aspect_split(60, 0), aspect_split(20, 1)
        logits = baseline_logits(ASPECTS, train.texts, train.labels, test.texts)
        assert logits.shape == (20, 4)
        for topic in range(4):
            pipeline = fit_tfidf_baseline(train.texts, train.labels[:, topic])
            expected = pipeline.predict_proba(test.texts)
            np.testing.assert_allclose(
                ASPECTS.probabilities(logits)[:, topic], expected[:, 1], atol=1e-2
            )  # of two solvers

    def test_a_label_of_no_training_text_or_of_all_is_certain(self):
        train, test = aspect_split(60, 0), aspect_split(20, 1)
        train.labels[:, 1], train.labels[:, 2] = 0, 1
        probabilities = ASPECTS.probabilities(baseline_logits(ASPECTS, train.texts, train.labels, test.texts))
        assert (probabilities[:, 1] < 1e-12).all() and (probabilities[:, 2] > 1 - 1e-12).all()
        assert ((probabilities[:, 0] > 0.01) & (probabilities[:, 0] < 0.99)).any()

    def test_class_weight_and_thresholds_are_those_of_the_best_macro_f1_on_the_validation_split(self):
        train, validation, test = aspect_split(80, 0), aspect_split(60, 1), aspect_split(40, 2)
        baseline = baseline_test_logits(Splits(None, train, validation, test))
        macro_f1 = {}
        for weight in (None, "balanced"):
            logits = baseline_logits(ASPECTS, train.texts, train.labels, validation.texts, class_weight=weight)
            probabilities = ASPECTS.probabilities(logits)
            for threshold in (None, best_thresholds(validation.labels, probabilities)):
                metrics = classification_metrics(ASPECTS, validation.labels, probabilities, threshold)
                macro_f1[weight, threshold] = metrics["macro_f1"]
        assert baseline.threshold is not None
        assert macro_f1[baseline.class_weight, baseline.threshold] == max(macro_f1.values())
        known = np.concatenate([train.labels, validation.labels])
        texts = train.texts + validation.texts
        of_all = baseline_logits(ASPECTS, texts, known, test.texts, class_weight=baseline.class_weight)
        np.testing.assert_array_equal(baseline.logits, of_all)

    def test_thresholds_that_do_not_help_are_left_out(self):
        """Each text has the words of its labels alone, so that 0.5 is as good as it gets."""
        texts = ["球队比赛", "学校老师", "手机芯片", "股票银行", "球队比赛学校老师"] * 8
        labels = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]] * 8)
        split = SmallSplit(texts, labels, ASPECTS)
        baseline = baseline_test_logits(Splits(None, split, split, split))
        assert baseline.class_weight is baseline.threshold is None
        assert ((baseline.logits > 0) == labels).all()


@pytest.fixture(scope="module")
def hotel_split():
    if not HOTEL_REVIEWS.exists():
        pytest.skip("the hotel reviews are not part of the project: shared/data is not beside this checkout")
    datasets = pytest.importorskip("datasets")
    with HOTEL_REVIEWS.open(encoding="utf-8-sig", newline="") as file:
        rows = [{"text": row["review"], "label": int(row["label"])} for row in csv.DictReader(file)]
    split = datasets.Dataset.from_list(rows).train_test_split(test_size=1 / 6, shuffle=True, seed=42)
    splits = []
    for name in ("train", "test"):
        kept = [row for row in split[name] if row["text"]]
        splits += [[row["text"] for row in kept], [row["label"] for row in kept]]
    return splits


@pytest.mark.slow
def test_published_split_with_whole_texts(hotel_split):
    metrics = baseline_metrics(*hotel_split)
    assert metrics["count"] == 1295
    assert metrics["positive_fraction"] == pytest.approx(894 / 1295)
    assert metrics["accuracy"] == pytest.approx(0.900, abs=0.003)
    assert metrics["macro_f1"] == pytest.approx(0.883, abs=0.003)
    assert metrics["roc_auc"] == pytest.approx(0.9615, abs=0.003)


@pytest.mark.slow
def test_published_split_with_what_64_tokens_see(hotel_split):
    assert baseline_metrics(*hotel_split, max_characters=62)["accuracy"] == pytest.approx(0.865, abs=0.003)


class TestOutOfFold:
    def test_each_text_is_predicted_from_the_other_folds(self):
        """With one text a label, that of the other fold decides, whatever the text's own label."""
        texts = ["很好", "很差", "很好！", "很差！"]
        labels, folds = np.array([1, 0, 0, 1]), np.array([0, 0, 1, 1])
        logits = out_of_fold_baseline_logits(SENTIMENT, texts, labels, folds)
        assert (logits[:, 0] > 0).tolist() == [False, True, True, False]

    @pytest.mark.parametrize("label_set", [SENTIMENT, TOPICS, LabelSet(TOPICS.names, multi_label=True)])
    def test_a_fold_may_have_the_only_texts_of_a_label(self, label_set):
        labels, folds = np.array([0, 0, 0, 1]), np.array([0, 1, 0, 1])
        if label_set.multi_label:
            labels = np.eye(4, dtype=int)[labels]
        logits = out_of_fold_baseline_logits(label_set, REVIEWS[:4], labels, folds)
        assert logits.shape == (4, label_set.num_outputs)
        probabilities = label_set.probabilities(logits)
        assert np.isfinite(probabilities).all()
        assert probabilities[3, 1] < 1e-6
