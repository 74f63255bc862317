"""A study: several seeds of one fine-tuning, each as if it were alone, killed and resumed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import fine_tuning
import recipes.study
import training.engine.loop
from network.model_file import load_model
from recipes.run_folder import CHECKPOINT_NAME, PROGRESS_NAME, RECORD_NAME
from recipes.study import CHARACTERS, STUDY_NAME

FOLDER = Path("runs/fine_tuning")
CLASSIFIER = Path("mini_bert_sentiment_classifier.keras")
MEASURED = ("calibration", "test", "baseline", "history")


@pytest.fixture
def arguments(tmp_path, monkeypatch, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    return ["--dataset", "sample", "--pretrained", str(tiny_pretrained), "--epochs", "2"]


def metrics_of(folder):
    metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    return {name: metrics[name] for name in MEASURED}


def assert_as_alone(arguments, seed):
    """Checks that a seed of the study gave what a run with that seed alone gives."""
    assert fine_tuning.main([*arguments, "--seed", str(seed), "--run-folder", "alone", "--report-folder", "alone"]) == 0
    folder = FOLDER / f"seed-{seed}"
    assert metrics_of(folder) == metrics_of("alone")
    weights = [load_model(path).get_weights() for path in (folder / "classifier.keras", CLASSIFIER)]
    for value, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.slow
class TestStudy:
    @pytest.fixture
    def table(self, arguments, capsys):
        """The lines of the table of a study with two seeds, and the arguments of its runs."""
        arguments = [*arguments, "--unfreeze", "1", "--no-xla", "--learning-rate", "1e-3"]
        assert fine_tuning.main([*arguments, "--seed", "7", "--seeds", "2", "--save-splits", "splits"]) == 0
        printed = capsys.readouterr().out.splitlines()
        start = next(number for number, line in enumerate(printed) if line.startswith("84 test reviews; mean ± dev"))
        return arguments, printed, printed[start + 2 : -2]

    def test_each_seed_gives_what_it_gives_alone(self, table):
        arguments, printed, lines = table
        assert not CLASSIFIER.exists()
        assert "seed-*" in printed[-1] and STUDY_NAME in printed[-1]
        kept = {path.name for path in (FOLDER / "seed-7").iterdir()}
        pictures = {"training_curves.png", "confusion_matrix.png"}
        assert kept == {"classifier.keras", "classifier.onnx", "metrics.json", RECORD_NAME, *pictures}
        assert {path.name for path in FOLDER.iterdir()} == {"seed-7", "seed-8", STUDY_NAME, RECORD_NAME}
        assert json.loads((FOLDER / RECORD_NAME).read_text(encoding="utf-8"))["arguments"]["seeds"] == 2
        assert {path.name for path in Path("splits").iterdir()} == {"train.csv", "test.csv"}

        names = [line[:30].strip() for line in lines[::2]]
        rows = ["TF-IDF + logistic regression", "Mini-BERT", "Mini-BERT at the threshold", "reading one window only"]
        assert names == [*rows, *CHARACTERS.values()]
        results = json.loads((FOLDER / STUDY_NAME).read_text(encoding="utf-8"))["seeds"]
        assert list(results) == ["7", "8"]
        for name, line, seeds in zip(names, lines[::2], lines[1::2], strict=True):
            accuracies = [float(value) for value in seeds.split(",")]
            assert accuracies == pytest.approx([result[name]["accuracy"] for result in results.values()], abs=1e-4)
            expected = np.mean(accuracies), np.std(accuracies, ddof=1)
            shown = re.search(r"accuracy ([0-9.]+) ± ([0-9.]+)  macro-F1 .*  ROC-AUC ", line).groups()
            # All of them are rounded: three digits after the point here, four in the line of the seeds.
            assert [float(value) for value in shown] == pytest.approx(expected, abs=6e-4)
        for seed, result in results.items():
            metrics = metrics_of(FOLDER / f"seed-{seed}")
            assert result["Mini-BERT"] == metrics["test"]["at_half"]
            assert result["Mini-BERT at the threshold"] == metrics["test"]["at_threshold"]
            assert result["TF-IDF + logistic regression"] == metrics["baseline"]
        assert_as_alone(arguments, 8)

    def test_a_killed_study_goes_on(self, arguments, monkeypatch, capsys):
        options = [*arguments, "--seeds", "3"]
        print_epoch, shown = training.engine.loop.print_epoch, []

        def interrupt(epoch, *rest):
            print_epoch(epoch, *rest)
            shown.append(epoch)
            if len(shown) == 4:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(training.engine.loop, "print_epoch", interrupt)
            assert fine_tuning.main(options) == 130
        assert f"The study is kept in {FOLDER}: --resume" in capsys.readouterr().err
        assert (FOLDER / PROGRESS_NAME).is_file() and (FOLDER / "seed-43" / CHECKPOINT_NAME).is_file()
        first = (FOLDER / "seed-42" / "classifier.keras").read_bytes()

        for other in (options, arguments):  # a new study would lose it, and so would a single run
            assert fine_tuning.main(other) == 1
            assert "--resume" in capsys.readouterr().err
        assert fine_tuning.main(["--resume", "--epochs", "5"]) == 1
        assert "--epochs 2, not 5" in capsys.readouterr().err

        with monkeypatch.context() as patch:
            patch.setattr(recipes.study, "data_sha256", lambda *data: "another")
            assert fine_tuning.main(["--resume"]) == 1
        assert "has changed since the study began" in capsys.readouterr().err

        assert fine_tuning.main(["--resume"]) == 0
        printed = capsys.readouterr().out
        assert re.findall(r"^(?:Epoch [^ ]+|Seed .*)", printed, re.M) == [
            "Seed 43, 2 of 3",
            "Epoch 2/2",
            "Seed 44, 3 of 3",
            "Epoch 1/2",
            "Epoch 2/2",
        ]
        assert "84 test reviews; mean ± deviation of 3 seeds" in printed
        assert (FOLDER / "seed-42" / "classifier.keras").read_bytes() == first
        assert not (FOLDER / PROGRESS_NAME).exists()
        assert_as_alone(arguments, 43)
        assert fine_tuning.main(["--resume"]) == 1
        assert "no interrupted run" in capsys.readouterr().err

    def test_a_seed_that_was_trained_is_only_tested(self, arguments, monkeypatch, capsys):
        def fail(*arguments):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(recipes.study, "_test", fail)
            assert fine_tuning.main([*arguments, "--seeds", "1"]) == 130
        capsys.readouterr()
        assert fine_tuning.main(["--resume"]) == 0
        printed = capsys.readouterr().out
        assert "Epoch" not in printed and "mean ± deviation of 1 seeds" in printed


def test_dry_run(arguments, capsys):
    assert fine_tuning.main([*arguments, "--seeds", "2", "--dry-run"]) == 0
    assert "504 rows" in capsys.readouterr().out
    assert [path for path in Path().rglob("*") if path.is_file()] == []


def test_a_study_that_cannot_begin_leaves_nothing_to_resume(arguments, capsys):
    for wrong in (["--pretrained", "none.keras"], ["--dataset", "none.csv"]):
        assert fine_tuning.main([*arguments, *wrong, "--seeds", "2"]) == 1
        assert wrong[1] in capsys.readouterr().err
    assert fine_tuning.main([*arguments, "--seeds", "2", "--dry-run"]) == 0


@pytest.mark.parametrize("option", [["--output", "a.keras"], ["--report-folder", "a"], ["--seed", "4294967295"]])
def test_options_that_a_study_refuses(arguments, capsys, option):
    with pytest.raises(SystemExit, match="2"):
        fine_tuning.main([*arguments, "--seeds", "2", *option])
    assert option[0] in capsys.readouterr().err.splitlines()[-1]


def test_a_backbone_of_many_seeds_is_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        fine_tuning.main([*arguments, "--seeds", "2", "--unfreeze", "all", "--backbone-output", "b.keras"])
    assert "leave out --backbone-output" in capsys.readouterr().err
