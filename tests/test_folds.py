"""A cross-validation: each fold as if it ran alone, one table, interrupted between two runs and resumed."""

import json
from pathlib import Path

import numpy as np
import pytest
from interrupted_runs import InterruptedFineTuning, epochs_printed
from opinions import write_opinions
from scripts import assert_same_weights, call

import fine_tuning
import recipes.studies.study
from recipes.runs.run_folder import PROGRESS_NAME, RECORD_NAME
from recipes.studies.results import BASELINE, MODEL, ONE_WINDOW
from recipes.studies.study import MARKDOWN_NAME, STUDY_NAME

FOLDER = Path("runs/fine_tuning")


def options_of(pretrained, data):
    return ["--dataset", str(data), "--pretrained", str(pretrained), "--epochs", "1"]


@pytest.fixture
def arguments(tmp_path, monkeypatch, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    return options_of(tiny_pretrained, write_opinions(tmp_path / "opinions.csv"))


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folder and the printed text of a study of three folds."""
    folder = tmp_path_factory.mktemp("finished")
    options = options_of(tiny_pretrained, write_opinions(folder / "opinions.csv"))
    study = call(fine_tuning.main, [*options, "--folds", "3"], folder)
    assert study.returncode == 0, study.stderr
    return folder, study.stdout


@pytest.mark.slow
class TestFinishedFolds:
    def test_what_is_written(self, finished):
        folder, _ = finished
        names = {path.name for path in (folder / FOLDER).iterdir()}
        assert names == {"fold-0", "fold-1", "fold-2", STUDY_NAME, MARKDOWN_NAME, RECORD_NAME}
        assert {"classifier.keras", "classifier.onnx", "metrics.json"} <= {
            path.name for path in (folder / FOLDER / "fold-2").iterdir()
        }
        assert sorted(path.name for path in folder.iterdir()) == ["opinions.csv", "runs"]

    def test_the_metrics_of_each_fold_are_those_of_its_run(self, finished):
        folder, _ = finished
        results = read_json(folder / FOLDER / STUDY_NAME)["folds"]
        assert list(results) == ["0", "1", "2"]
        for fold, result in results.items():
            metrics = read_json(folder / FOLDER / f"fold-{fold}" / "metrics.json")
            assert result[MODEL] == metrics["test"] and result[BASELINE] == metrics["baseline"]
            assert result[MODEL]["count"] == result[ONE_WINDOW]["count"] == 8

    def test_the_pooled_metrics_count_each_text_once(self, finished):
        folder, _ = finished
        study = read_json(folder / FOLDER / STUDY_NAME)
        for row in (BASELINE, MODEL, ONE_WINDOW):
            matrix = np.sum([fold[row]["confusion_matrix"] for fold in study["folds"].values()], axis=0)
            assert matrix.sum(axis=1).tolist() == [8, 8, 8]
            assert study["pooled"][row]["accuracy"] == pytest.approx(matrix.trace() / 24)

    def test_the_table_is_printed_and_written(self, finished):
        folder, printed = finished
        markdown = (folder / FOLDER / MARKDOWN_NAME).read_text(encoding="utf-8")
        assert "24 texts, each tested in one of 3 folds" in printed and "24 texts, each" in markdown
        tables = [line for line in markdown.splitlines() if line.startswith("|")]
        assert [line for line in printed.splitlines() if line.startswith("|")] == tables
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]
        assert [row[0] for row in rows] == ["", "-" * 28, BASELINE, MODEL, ONE_WINDOW, "fold", "----", "0", "1", "2"]
        study = read_json(folder / FOLDER / STUDY_NAME)
        accuracies = [fold[MODEL]["accuracy"] for fold in study["folds"].values()]
        pooled = study["pooled"][MODEL]
        assert rows[3][1] == f"{np.mean(accuracies):.3f} ± {np.std(accuracies, ddof=1):.3f}"
        assert rows[3][3:] == [f"{pooled['accuracy']:.3f}", f"{pooled['macro_f1']:.3f}"]
        assert [row[2] for row in rows[-3:]] == [f"{accuracy:.3f}" for accuracy in accuracies]

    def test_progress_is_printed(self, finished):
        lines = finished[1].splitlines()
        assert [line for line in lines if line.startswith("Fold ")] == [f"Fold {n}, {n + 1} of 3" for n in range(3)]

    def test_a_fold_gives_what_it_gives_alone(self, finished, arguments):
        folder, _ = finished
        assert fine_tuning.main([*arguments, "--folds", "3", "--fold", "1", "--report-folder", "alone"]) == 0
        alone, in_study = (read_json(path / "metrics.json") for path in (Path("alone"), folder / FOLDER / "fold-1"))
        assert alone["test"] == in_study["test"] and alone["history"] == in_study["history"]
        assert_same_weights("mini_bert_sentiment_classifier.keras", folder / FOLDER / "fold-1" / "classifier.keras")


@pytest.mark.slow
def test_a_run_that_finished_just_before_the_end_is_not_repeated(arguments, finished, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(recipes.studies.study, "fine_tune", InterruptedFineTuning(runs=2))
        assert fine_tuning.main([*arguments, "--folds", "3"]) == 130
    assert f"The study is saved in {FOLDER}; continue it with --resume." in capsys.readouterr().err
    assert list(read_json(FOLDER / PROGRESS_NAME)["results"]) == ["0"]
    second_model = (FOLDER / "fold-1" / "classifier.keras").read_bytes()
    assert fine_tuning.main(["--resume"]) == 0
    printed = capsys.readouterr().out
    assert epochs_printed(printed) == ["Epoch 1/1"]  # those of the third fold
    assert (FOLDER / "fold-1" / "classifier.keras").read_bytes() == second_model
    uninterrupted = read_json(finished[0] / FOLDER / STUDY_NAME)
    assert read_json(FOLDER / STUDY_NAME)["pooled"] == uninterrupted["pooled"]


def test_folds_that_cannot_all_be_tested_are_refused_before_the_first(arguments, capsys):
    assert fine_tuning.main([*arguments, "--folds", "9"]) == 1
    error = capsys.readouterr().err
    assert "opinions.csv: fold " in error and "the test split (2 rows) lacks " in error
    assert not (FOLDER / PROGRESS_NAME).exists()
    assert fine_tuning.main([*arguments, "--folds", "2", "--dry-run"]) == 0


def test_dry_run(arguments, capsys):
    assert fine_tuning.main([*arguments, "--folds", "4", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"The model would be saved to {FOLDER / 'fold-0' / 'classifier.keras'}" in printed
    assert "test: 6 texts" in printed
    assert printed.splitlines()[-1].startswith("The study would train one model for each of 4 folds")
    assert [path.name for path in Path().rglob("*") if path.is_file()] == ["opinions.csv"]
