"""The training data of a distillation: unlabelled texts, mixtures of clauses, and the probabilities of the teachers."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from interrupted_runs import call_until_killed
from scripts import assert_one_error

import fine_tuning
import recipes.fine_tuning
from evaluation.baseline import LOGISTIC_REGRESSION, TEACHER_CHARACTERS, baseline_logits
from network.model_file import load_model
from recipes.runs.distillation.classifiers import Teacher
from recipes.runs.distillation.mixtures import mixed_texts
from recipes.runs.distillation.teachers import distillation_split, soft_label_splits, taught_splits
from recipes.runs.resumption import checkpoint_of
from serving.predictor import Predictor
from system.errors import InputError
from text.dataset.duplicates import letters
from text.dataset.options import DataOptions
from text.dataset.splits import load_splits
from text.labels import SENTIMENT
from text.sources import read_labelled
from text.tokens.cleaning import with_cleaning
from text.tokens.tokenizer import tokenizer_from_json


def tfidf_logits(splits, distilled):
    """Return the logits of TF-IDF for the texts of a distillation, (texts, outputs)."""
    train = splits.train
    weights = train.text_weights
    return baseline_logits(
        splits.label_set,
        train.texts,
        train.labels,
        distilled.texts,
        text_weights=weights,
        features=TEACHER_CHARACTERS,
    )


def distill(plan, splits, student):
    """Return the texts of a distillation, with what all teachers of the plan say."""
    teachers = [Teacher(source, splits.label_set) for source in plan.teachers]
    return distillation_split(plan, splits, student, teachers)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """The cache of the answers lies in the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def student(tiny_model):
    return load_model(tiny_model)


@pytest.fixture
def splits(student):
    return load_splits(DataOptions(dataset="sample", test_size=1 / 6), tokenizer_from_json(student.tokenizer_json), 16)


@pytest.fixture
def plan(tmp_path):
    sample = "\n".join(read_labelled("sample").texts)
    (tmp_path / "more.txt").write_text(f"{sample}\n没看过的评论\n", encoding="utf-8")
    return dataclasses.replace(fine_tuning.PLAN, unlabelled=[str(tmp_path / "more.txt")], max_windows=1)


class TestDistillationSplit:
    def test_texts_of_the_validation_and_the_test_are_left_out(self, plan, splits, student, capsys):
        distilled = distill(plan, splits, student)
        assert sorted(distilled.texts) == sorted([*splits.train.texts, "没看过的评论"])
        count = len(distilled.texts)
        assert capsys.readouterr().out == f"the teachers label {count} texts\n"
        assert len(distilled.windows.input_ids) == count  # of one window each

    def test_excluded_texts_and_those_of_all_tests_are_left_out(self, plan, student, tmp_path):
        rows = [f"{text}！,{label}" for text, label in zip(read_labelled("sample").texts, [0, 1] * 252, strict=True)]
        (tmp_path / "others.csv").write_text("\n".join(["text,label", *rows[:300]]), encoding="utf-8")
        (tmp_path / "unwanted.txt").write_text("没看过的评论！", encoding="utf-8")
        options = DataOptions(dataset="sample", also=[str(tmp_path / "others.csv=0.5")], test_size=1 / 6)
        splits = load_splits(options, tokenizer_from_json(student.tokenizer_json), 16)
        plan = dataclasses.replace(plan, exclude=[str(tmp_path / "unwanted.txt")], mixtures=20)
        distilled = distill(plan, splits, student)
        unlabelled, mixed = distilled.texts[:-20], distilled.texts[-20:]
        known = {letters(text) for split in (splits.validation, *splits.tests) for text in split.texts}
        assert unlabelled and known.isdisjoint(map(letters, unlabelled)) and "没看过的评论" not in unlabelled
        assert mixed == mixed_texts(splits.train.texts + unlabelled, 20, plan.seed)
        logits = tfidf_logits(splits, distilled)
        np.testing.assert_allclose(distilled.targets[:, 0], SENTIMENT.probabilities(logits)[:, 1], rtol=1e-5)

    def test_tfidf_alone_gives_its_probabilities(self, plan, splits, student):
        distilled = distill(plan, splits, student)
        logits = tfidf_logits(splits, distilled)
        np.testing.assert_allclose(distilled.targets[:, 0], SENTIMENT.probabilities(logits)[:, 1], rtol=1e-5)

    def test_the_classifiers_together_count_as_much_as_tfidf(self, plan, splits, student, tiny_model):
        distilled = distill(dataclasses.replace(plan, teachers=[str(tiny_model)] * 2), splits, student)
        baseline = tfidf_logits(splits, distilled)
        expected = SENTIMENT.probabilities((baseline + Predictor(tiny_model).logits(distilled.texts)) / 2)
        np.testing.assert_allclose(distilled.targets[:, 0], expected[:, 1], rtol=1e-5)

    def test_mixtures_are_made_of_the_training_texts_and_the_unlabelled_ones(self, plan, splits, student):
        distilled = distill(dataclasses.replace(plan, mixtures=30), splits, student)
        unlabelled, mixed = distilled.texts[:-30], distilled.texts[-30:]
        assert mixed == mixed_texts(splits.train.texts + unlabelled, 30, plan.seed)

    def test_a_teacher_with_other_labels_is_refused(self, plan, splits, student, tiny_emotions):
        with pytest.raises(InputError, match="has the labels .*, but the data set has 负面, 正面"):
            distill(dataclasses.replace(plan, teachers=[str(tiny_emotions)]), splits, student)

    def test_a_teacher_of_three_labels_is_followed(self, tmp_path, tiny_emotions):
        names = Predictor(tiny_emotions).labels.names
        rows = [f"{name}，{number},{name}" for number in range(10) for name in names]
        (tmp_path / "emotions.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
        student = load_model(tiny_emotions)
        tokenizer = tokenizer_from_json(student.tokenizer_json)
        splits = load_splits(
            DataOptions(dataset=str(tmp_path / "emotions.csv"), test_size=0.2, labels=list(names)), tokenizer, 16
        )
        plan = dataclasses.replace(fine_tuning.PLAN, mixtures=20, teachers=[str(tiny_emotions)], max_windows=1)
        distilled = distill(plan, splits, student)
        baseline = tfidf_logits(splits, distilled)
        logits = (baseline + Predictor(tiny_emotions).logits(distilled.texts)) / 2
        assert distilled.targets.shape == (20, len(names))
        np.testing.assert_allclose(distilled.targets, splits.label_set.probabilities(logits), rtol=1e-4, atol=1e-6)

    def test_a_teacher_of_one_label_a_text_is_refused_where_there_are_several(self, tmp_path, tiny_emotions):
        names = Predictor(tiny_emotions).labels.names
        rows = [f"{name}，{number},{name}|{names[number % 6]}" for number in range(12) for name in names]
        (tmp_path / "emotions.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
        student = load_model(tiny_emotions)
        options = DataOptions(
            dataset=str(tmp_path / "emotions.csv"), test_size=0.2, labels=list(names), multi_label=True
        )
        splits = load_splits(options, tokenizer_from_json(student.tokenizer_json), 16)
        plan = dataclasses.replace(fine_tuning.PLAN, mixtures=20, max_windows=1)
        distilled = distill(plan, splits, student)
        logits = tfidf_logits(splits, distilled)
        np.testing.assert_allclose(distilled.targets, 1 / (1 + np.exp(-logits)), rtol=1e-4, atol=1e-6)
        with pytest.raises(
            InputError, match=r"has the labels .*, 平静, but the data set has .*, 平静 \(several per text\)"
        ):
            distill(dataclasses.replace(plan, teachers=[str(tiny_emotions)]), splits, student)

    def test_tfidf_reads_texts_as_the_student_cleans_them(self, plan, splits, student):
        plain = distill(plan, splits, student)
        Path(plan.unlabelled[0]).write_text(
            "\n".join(f"http://t.cn/a {text}" for text in plain.texts), encoding="utf-8"
        )
        student.tokenizer_asset.json = with_cleaning(tokenizer_from_json(student.tokenizer_json), ["urls"]).to_str()
        cleaned = distill(plan, splits, student)
        assert len(cleaned.texts) == len(plain.texts)
        np.testing.assert_allclose(cleaned.targets, plain.targets, rtol=1e-4)
        np.testing.assert_array_equal(cleaned.windows.input_ids, plain.windows.input_ids)

    def test_mixtures_alone(self, splits, student):
        distilled = distill(dataclasses.replace(fine_tuning.PLAN, mixtures=30), splits, student)
        assert distilled.texts == mixed_texts(splits.train.texts, 30, fine_tuning.PLAN.seed)


class TestTemperature:
    def test_the_probabilities_of_the_teachers_are_softened(self, plan, splits, student, tiny_model):
        plan = dataclasses.replace(plan, teachers=[str(tiny_model)], teacher_temperature=2.0)
        distilled = distill(plan, splits, student)
        logits = (tfidf_logits(splits, distilled) + Predictor(tiny_model).logits(distilled.texts)) / 2
        softened = SENTIMENT.probabilities(logits / 2)
        np.testing.assert_allclose(distilled.soft_targets[:, 0], softened[:, 1], rtol=1e-5)
        np.testing.assert_allclose(distilled.targets[:, 0], SENTIMENT.probabilities(logits)[:, 1], rtol=1e-5)
        assert distilled.label_weight == 0

    def test_so_are_those_in_files(self, tmp_path, plan, splits, student):
        saved = dataclasses.replace(plan, teacher_temperature=2.0, save_soft_labels=str(tmp_path / "soft.csv"))
        expected = distill(saved, splits, student)
        plan = dataclasses.replace(plan, teacher_temperature=2.0, soft_labels=[f"{tmp_path / 'soft.csv'}=0.5"])
        (read,) = soft_label_splits(plan, splits, student)
        targets = dict(zip(expected.texts, expected.soft_targets[:, 0], strict=True))
        np.testing.assert_allclose(read.soft_targets[:, 0], [targets[text] for text in read.texts], atol=1e-5)
        assert read.label_weight == 0 and set(read.text_weights) == {0.5}

    def test_1_changes_nothing(self, plan, splits, student):
        distilled = distill(plan, splits, student)
        assert distilled.soft_targets is None and distilled.label_weight == 1


class TestTrainingTexts:
    def test_the_classifiers_alone_label_them(self, plan, splits, student, tiny_model):
        changes = {"unlabelled": [], "teachers": [str(tiny_model)], "teacher_temperature": 2.0}
        plan = dataclasses.replace(plan, hard_label_weight=0.3, **changes)
        taught, further = taught_splits(plan, splits, student)
        assert further == [] and taught.train.label_weight == 0.3
        assert taught.train.targets is splits.train.targets and taught.validation is splits.validation
        logits = Predictor(tiny_model).logits(splits.train.texts)
        expected = SENTIMENT.probabilities(logits / 2)[:, 1]
        np.testing.assert_allclose(taught.train.soft_targets[:, 0], expected, rtol=1e-5)

    def test_beside_further_texts(self, plan, splits, student, tiny_model):
        plan = dataclasses.replace(plan, hard_label_weight=0.0, teachers=[str(tiny_model)], mixtures=20)
        taught, (further,) = taught_splits(plan, splits, student)
        assert taught.train.label_weight == 0 and taught.train.soft_targets is not None
        assert further.label_weight == 1 and further.soft_targets is None


class TestCache:
    def test_a_second_run_asks_no_teacher(self, plan, splits, student, tiny_model, monkeypatch):
        plan = dataclasses.replace(plan, mixtures=20, teachers=[str(tiny_model)], hard_label_weight=0.5)
        taught, (further,) = taught_splits(plan, splits, student)
        monkeypatch.setattr("recipes.runs.distillation.classifiers.Predictor", None)
        monkeypatch.setattr("recipes.runs.distillation.teachers.baseline_logits", None)
        again, (further_again,) = taught_splits(plan, splits, student)
        np.testing.assert_array_equal(again.train.soft_targets, taught.train.soft_targets)
        np.testing.assert_array_equal(further_again.targets, further.targets)

    def test_another_seed_asks_about_its_mixtures_alone(self, plan, splits, student, tiny_model, monkeypatch):
        asked, logits = [], Predictor.logits
        monkeypatch.setattr(Predictor, "logits", lambda own, texts: asked.append(len(texts)) or logits(own, texts))
        for seed in (1, 2):
            changes = {"mixtures": 20, "teachers": [str(tiny_model)], "seed": seed}
            count = len(distill(dataclasses.replace(plan, **changes), splits, student).texts)
        assert asked == [count - 20, 20, 20]

    def test_tfidf_with_other_settings_is_another_teacher(self, plan, splits, student, monkeypatch):
        first = distill(plan, splits, student)
        monkeypatch.setitem(LOGISTIC_REGRESSION, "C", 0.1)
        assert np.abs(distill(plan, splits, student).targets - first.targets).max() > 0.1

    def test_tfidf_that_has_learnt_other_labels_is_another_teacher(self, plan, splits, student):
        first = distill(plan, splits, student)
        train = dataclasses.replace(splits.train, targets=1 - splits.train.targets)
        other = distill(plan, dataclasses.replace(splits, train=train), student)
        np.testing.assert_allclose(other.targets, 1 - first.targets, atol=1e-3)


def test_a_run_on_other_answers_does_not_resume(splits):
    taught = dataclasses.replace(splits.train, soft_targets=splits.train.targets)
    plan = dataclasses.replace(fine_tuning.PLAN, pretrained=__file__)
    hashes = {
        checkpoint_of(plan, dataclasses.replace(splits, train=train)).data_sha256
        for train in (splits.train, taught, dataclasses.replace(taught, soft_targets=1 - splits.train.targets))
    }
    assert len(hashes) == 3


class TestScript:
    @pytest.fixture
    def arguments(self, tmp_path, monkeypatch, tiny_pretrained):
        monkeypatch.chdir(tmp_path)
        return ["--dataset", "sample", "--pretrained", str(tiny_pretrained)]

    def test_the_distillation_split_reaches_the_training(self, arguments, monkeypatch, tiny_model):
        trained_on = []

        def record(*positional, distilled, **options):
            trained_on.extend(distilled)
            raise InputError("seen")

        monkeypatch.setattr(recipes.fine_tuning, "train_classifier", record)
        Path("more.txt").write_text("没看过的评论\n", encoding="utf-8")
        options = ["--unlabelled", "more.txt", "--mixtures", "30", "--teachers", str(tiny_model)]
        assert fine_tuning.main([*arguments, *options]) == 1
        (distilled,) = trained_on
        assert distilled.texts[0] == "没看过的评论" and len(distilled.texts) == 31

    def test_probabilities_are_saved_and_read_back(self, arguments, monkeypatch, capsys):
        trained_on = []

        def record(*positional, distilled, **options):
            trained_on.append(distilled)
            raise InputError("seen")

        monkeypatch.setattr(recipes.fine_tuning, "train_classifier", record)
        options = ["--mixtures", "30"]
        assert fine_tuning.main([*arguments, *options, "--save-soft-labels", "soft.csv", "--dry-run"]) == 0
        assert "30 texts with probabilities saved to soft.csv" in capsys.readouterr().out
        assert fine_tuning.main([*arguments, *options]) == 1
        assert fine_tuning.main([*arguments, "--soft-labels", "soft.csv=0.5", "soft.csv"]) == 1
        (labelled_now,), (half, whole) = trained_on
        expected = dict(zip(labelled_now.texts, labelled_now.targets[:, 0], strict=True))
        for split in (half, whole):
            assert set(split.texts) == set(expected)
            np.testing.assert_allclose(split.targets[:, 0], [expected[text] for text in split.texts], atol=1e-6)
            assert len(split.windows.num_tokens) >= len(split.texts)
        assert set(half.text_weights) == {0.5} and whole.text_weights is None

    @pytest.mark.slow
    @pytest.mark.parametrize("options", [[], ["--unfreeze", "1", "--batch-size", "16", "--epochs", "2"]])
    def test_a_student_of_softened_labels_is_trained(self, arguments, tiny_model, options, capsys):
        options = ["--teachers", str(tiny_model), "--teacher-temperature", "3", "--hard-label-weight", "0.5", *options]
        assert fine_tuning.main([*arguments, *options, "--mixtures", "30", "--output", "student.keras"]) == 0
        assert "the teachers label 378 texts of the training split" in capsys.readouterr().out.splitlines()
        assert load_model("student.keras").metadata["test"]

    @pytest.mark.slow
    def test_a_killed_run_resumes(self, arguments, tiny_model, monkeypatch):
        options = ["--teachers", str(tiny_model), "--teacher-temperature", "3", "--hard-label-weight", "0.5"]
        options += ["--mixtures", "30", "--epochs", "2", "--output", "student.keras", "--no-xla", "--unfreeze", "1"]
        call_until_killed(fine_tuning.main, 1, 1, [*arguments, *options], monkeypatch)
        assert fine_tuning.main(["--resume"]) == 0
        resumed = load_model("student.keras").get_weights()
        assert fine_tuning.main([*arguments, *options]) == 0
        for weights, expected in zip(resumed, load_model("student.keras").get_weights(), strict=True):
            np.testing.assert_array_equal(weights, expected)

    @pytest.mark.slow
    def test_a_student_is_trained_and_tested(self, arguments, tiny_model, capsys):
        options = ["--mixtures", "30", "--teachers", str(tiny_model), "--epochs", "1", "--output", "student.keras"]
        assert fine_tuning.main([*arguments, *options]) == 0
        assert "the teachers label 30 texts" in capsys.readouterr().out.splitlines()
        assert load_model("student.keras").metadata["test"]

    def test_a_dry_run_reads_soft_labels(self, arguments, capsys):
        Path("excluded.txt").write_text("没看过的评论！", encoding="utf-8")
        Path("soft.csv").write_text(
            "text,probability_负面,probability_正面\n没看过的评论,0,1\n很好,0,1\n", encoding="utf-8"
        )
        options = ["--soft-labels", "soft.csv", "--exclude", "excluded.txt", "--dry-run"]
        assert fine_tuning.main([*arguments, *options]) == 0
        printed = capsys.readouterr().out
        assert "soft.csv: 1 text with probabilities\n" in printed
        assert "on 378 texts and those of --soft-labels, validate" in printed
        Path("soft.csv").write_text("text\n很好\n", encoding="utf-8")
        assert fine_tuning.main([*arguments, *options, "--corpus", "sample", "--unfreeze", "1"]) == 1
        printed, error = capsys.readouterr()
        assert_one_error(error, "soft.csv", "--soft-labels needs")
        assert "masked language modelling" not in printed

    def test_a_dry_run_names_the_sources(self, arguments, capsys):
        options = ["--unlabelled", "more.txt", "--mixtures", "30", "--dry-run"]
        assert fine_tuning.main([*arguments, *options]) == 0
        assert "on 378 texts and those of --unlabelled and --mixtures, validate" in capsys.readouterr().out

    def test_blank_texts_alone_are_refused(self, arguments, capsys):
        Path("blank.txt").write_text("\n \n", encoding="utf-8")
        assert fine_tuning.main([*arguments, "--unlabelled", "blank.txt"]) == 1
        assert_one_error(capsys.readouterr().err, "--unlabelled: no text remains")

    def test_the_text_column_is_that_of_the_labelled_texts(self, arguments, capsys):
        labelled = read_labelled("sample")
        rows = zip(labelled.texts, labelled.labels, strict=True)
        lines = "".join(f"{text},{label}\n" for text, label in rows if "," not in text and '"' not in text)
        Path("labelled.csv").write_text("words,label\n" + lines, encoding="utf-8")
        Path("more.csv").write_text("text,words\n不是这一列,\n", encoding="utf-8")
        options = ["--dataset", "labelled.csv", "--text-column", "words", "--unlabelled", "more.csv"]
        assert fine_tuning.main([*arguments, *options]) == 1
        assert_one_error(capsys.readouterr().err, "--unlabelled: no text remains")

    def test_unlabelled_texts_that_are_not_there(self, arguments, capsys):
        assert fine_tuning.main([*arguments, "--unlabelled", "none.txt"]) == 1
        assert_one_error(capsys.readouterr().err, "none.txt")
