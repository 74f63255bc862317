"""A grid of settings: what it compares, what it leaves untested, killed and resumed."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
from interrupted_runs import InterruptedFineTuning, epochs_printed, run_until_killed
from opinions import OPINIONS, write_opinions
from scripts import call

import fine_tuning
import recipes.studies.study
from recipes.runs.run_folder import PROGRESS_NAME, RECORD_NAME
from recipes.studies.grid import GridStudy
from recipes.studies.results import BASELINE
from recipes.studies.study import MARKDOWN_NAME, STUDY_NAME
from text.dataset.splits import read_rows

FOLDER = Path("runs/fine_tuning")
GRID = ["--grid", "unfreeze=0,9", "epochs=1,2"]  # the small network has fewer than nine encoders
SOFT_COLUMNS = ",".join(["text", *(f"probability_{label}" for label in OPINIONS)])


def options_of(pretrained, data):
    return ["--dataset", str(data), "--pretrained", str(pretrained), "--batch-size", "8"]


@pytest.fixture
def arguments(tmp_path, monkeypatch, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    return options_of(tiny_pretrained, write_opinions(tmp_path / "opinions.csv"))


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def keys_in(value):
    """Return the keys of all dicts in JSON values."""
    if isinstance(value, dict):
        return value.keys() | {key for each in value.values() for key in keys_in(each)}
    return {key for each in value for key in keys_in(each)} if isinstance(value, list) else set()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folder and the process of a study of four combinations, two of which cannot be trained."""
    folder = tmp_path_factory.mktemp("finished")
    options = options_of(tiny_pretrained, write_opinions(folder / "opinions.csv"))
    study = call(fine_tuning.main, [*options, *GRID], folder)
    assert study.returncode == 0, study.stderr
    return folder, study


@pytest.mark.slow
class TestFinishedGrid:
    def test_what_is_written(self, finished):
        folder, _ = finished
        written = {str(path.relative_to(folder / FOLDER)) for path in (folder / FOLDER).rglob("*") if path.is_file()}
        trained = [f"grid-00{epochs}-unfreeze=0,epochs={epochs}" for epochs in (1, 2)]
        failed = [f"grid-00{epochs + 2}-unfreeze=9,epochs={epochs}" for epochs in (1, 2)]
        assert written == {
            *(STUDY_NAME, MARKDOWN_NAME, RECORD_NAME),
            *(f"{name}/{RECORD_NAME}" for name in (*trained, *failed)),
            *(f"{name}/metrics.json" for name in trained),
        }
        assert sorted(path.name for path in folder.iterdir()) == ["opinions.csv", "runs"]

    def test_nothing_is_tested(self, finished):
        folder, study = finished
        for path in (folder / FOLDER).rglob("*.json"):
            if path.name != RECORD_NAME:
                assert keys_in(read_json(path)).isdisjoint({"test", "baseline", "thresholds", "calibration"})
        for text in (study.stdout, (folder / FOLDER / MARKDOWN_NAME).read_text(encoding="utf-8")):
            assert "Test" not in text and BASELINE not in text

    def test_the_metrics_are_those_of_the_last_epoch(self, finished):
        folder, _ = finished
        for entry in read_json(folder / FOLDER / STUDY_NAME)["grid"][:2]:
            epochs = int(entry["options"]["epochs"])
            metrics = read_json(folder / FOLDER / f"grid-00{epochs}-unfreeze=0,epochs={epochs}" / "metrics.json")
            assert len(metrics["history"]["val_loss"]) == epochs
            assert entry["validation"] == metrics["validation"]
            assert entry["validation"]["log_loss"] == pytest.approx(metrics["history"]["val_loss"][-1], abs=1e-5)
            assert entry["validation"]["macro_f1"] == pytest.approx(metrics["history"]["val_macro_f1"][-1])

    def test_the_best_comes_first(self, finished):
        folder, study = finished
        content = read_json(folder / FOLDER / STUDY_NAME)
        losses = [entry["validation"]["log_loss"] for entry in content["grid"] if "validation" in entry]
        assert losses == sorted(losses) and len(losses) == 2
        assert (content["monitor"], content["best"]) == ("loss", content["grid"][0]["run"])
        table = [line for line in study.stdout.splitlines() if line.startswith("|")]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
        assert rows[0] == ["", "run", "unfreeze", "epochs", "loss", "accuracy", "macro-F1"]
        assert [row[0] for row in rows[2:]] == ["best", "", "", ""]
        assert rows[2][4] == f"{losses[0]:.4f}"
        assert [row[1:] for row in rows[4:]] == [[run, "9", epochs, *["failed"] * 3] for run, epochs in ("31", "42")]

    def test_failures_are_explained(self, finished):
        folder, study = finished
        message = "cannot unfreeze 9 encoders: the model has 2"
        assert [entry.get("failed") for entry in read_json(folder / FOLDER / STUDY_NAME)["grid"]][2:] == [message] * 2
        assert f"Run 3 failed: {message}" in study.stdout and message in study.stderr

    def test_the_command_of_the_best_trains_it(self, finished, arguments):
        folder, study = finished
        best = read_json(folder / FOLDER / STUDY_NAME)["grid"][0]
        assert f"    {best['command']}\n" in study.stdout
        words = shlex.split(best["command"])
        assert words[:2] == ["python", "fine_tuning.py"] and fine_tuning.main(words[2:]) == 0
        epochs = best["options"]["epochs"]
        of_run = read_json(folder / FOLDER / f"grid-00{epochs}-unfreeze=0,epochs={epochs}" / "metrics.json")
        assert read_json("metrics.json")["history"] == of_run["history"]
        assert Path("mini_bert_sentiment_classifier.keras").is_file()

    def test_progress_is_printed(self, finished):
        titles = [f"unfreeze={layers} epochs={epochs}" for layers in (0, 9) for epochs in (1, 2)]
        shown = [line for line in finished[1].stdout.splitlines() if line.startswith("unfreeze=")]
        assert shown == [f"{title}, {number} of 4" for number, title in enumerate(titles, start=1)]


@pytest.mark.slow
def test_a_killed_grid_is_resumed(arguments, finished, tmp_path, capsys):
    # The first combination has one epoch, so this is in the second.
    run_until_killed("fine_tuning", 1, 1, [*arguments, *GRID], tmp_path)
    assert (FOLDER / PROGRESS_NAME).is_file() and list(FOLDER.glob("grid-002*/checkpoint.npz"))
    assert fine_tuning.main([*arguments, "--grid", "epochs=1,2", "--resume"]) == 1
    assert "--grid ['unfreeze=0,9', 'epochs=1,2'], not" in capsys.readouterr().err
    assert fine_tuning.main(["--resume"]) == 0
    assert epochs_printed(capsys.readouterr().out) == ["Epoch 2/2"]
    content, uninterrupted = (read_json(path / FOLDER / STUDY_NAME) for path in (Path(), finished[0]))
    assert [(entry["options"], entry.get("validation")) for entry in content["grid"]] == [
        (entry["options"], entry.get("validation")) for entry in uninterrupted["grid"]
    ]
    assert not (FOLDER / PROGRESS_NAME).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
class TestChangedRows:
    def interrupted(self, options, monkeypatch, runs):
        """Start a study that is interrupted after so many runs, before their results are recorded."""
        with monkeypatch.context() as patch:
            patch.setattr(recipes.studies.study, "fine_tune", InterruptedFineTuning(runs))
            assert fine_tuning.main(options) == 130

    def test_they_are_refused_on_resumption(self, arguments, monkeypatch, capsys):
        self.interrupted([*arguments, "--grid", "epochs=1,2"], monkeypatch, runs=1)
        write_opinions(Path("opinions.csv"), count=9)
        assert fine_tuning.main(["--resume"]) == 1
        assert "the data or a model that it starts from has changed since the study began" in capsys.readouterr().err

    def test_so_are_changed_groups(self, arguments, monkeypatch, capsys):
        rows = [f"{text},{label},{number % 2}" for number in range(8) for label, text in OPINIONS.items()]
        content = "\n".join(["text,label,group", *rows])
        Path("groups.csv").write_text(content, encoding="utf-8")
        options = [*arguments, "--dataset", "groups.csv", "--group-column", "group", "--grid", "epochs=1,2"]
        self.interrupted(options, monkeypatch, runs=1)
        Path("groups.csv").write_text(content.replace(",1\n", ",3\n"), encoding="utf-8")
        assert fine_tuning.main(["--resume"]) == 1
        assert "the data or a model that it starts from has changed since the study began" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("options", "content", "changed"),
        [
            (["--unlabelled", "more.txt"], "很好\n", "很差\n"),
            (["--soft-labels", "more.csv"], f"{SOFT_COLUMNS}\n很好,0.5,0,0.5\n", f"{SOFT_COLUMNS}\n很好,0,0,1\n"),
            (["--corpus", "more.txt", "--unfreeze", "1"], "很好\n", "很差\n"),
        ],
        ids=["unlabelled", "soft labels", "corpus"],
    )
    def test_so_are_changed_texts_of_other_files(self, arguments, monkeypatch, capsys, options, content, changed):
        Path(options[1]).write_text(content, encoding="utf-8")
        self.interrupted([*arguments, *options, "--grid", "epochs=1,2"], monkeypatch, runs=1)
        Path(options[1]).write_text(changed, encoding="utf-8")
        assert fine_tuning.main(["--resume"]) == 1
        assert "the data or a model that it starts from has changed since the study began" in capsys.readouterr().err

    def test_runs_of_a_study_of_the_old_rows_do_not_count(self, arguments, monkeypatch, capsys):
        options = [*arguments, "--grid", "epochs=1,2"]
        assert fine_tuning.main(options) == 0
        write_opinions(Path("opinions.csv"), count=20)
        self.interrupted(options, monkeypatch, runs=1)
        capsys.readouterr()
        assert fine_tuning.main(["--resume"]) == 0
        assert epochs_printed(capsys.readouterr().out) == ["Epoch 1/2", "Epoch 2/2"]
        entries = read_json(FOLDER / STUDY_NAME)["grid"]
        assert [entry["validation"]["count"] for entry in entries] == [6, 6]


def test_a_grid_without_a_combination_that_can_be_trained_is_an_error(arguments, capsys):
    assert fine_tuning.main([*arguments, "--grid", "unfreeze=8,9"]) == 1
    printed, error = capsys.readouterr()
    assert "| failed" in printed and "To train" not in printed
    assert (
        error.splitlines()[-1]
        == f"error: {FOLDER}: no run could be trained: cannot unfreeze 8 encoders: the model has 2"
    )
    assert not (FOLDER / PROGRESS_NAME).exists()


def test_data_that_cannot_be_used_leave_nothing_to_resume(arguments, capsys):
    for wrong in (["--pretrained", "none.keras"], ["--dataset", "none.csv"]):
        assert fine_tuning.main([*arguments, *wrong, *GRID]) == 1
        assert wrong[1] in capsys.readouterr().err
    assert fine_tuning.main([*arguments, "--grid", f"pretrained={arguments[3]},none.keras"]) == 1
    assert "none.keras" in capsys.readouterr().err
    assert fine_tuning.main([*arguments, *GRID, "--dry-run"]) == 0


def test_dry_run(arguments, capsys):
    assert fine_tuning.main([*arguments, "--grid", "epochs=1,2", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "stop before the test." in printed and "The model would be saved" not in printed
    assert printed.splitlines()[-1] == (
        "The study would compare 2 combinations on the validation split: epochs=1; epochs=2"
    )
    assert [path.name for path in Path().rglob("*") if path.is_file()] == ["opinions.csv"]


@pytest.mark.parametrize("name", ["learning_rate", "dropout_rate"])
def test_values_that_change_nothing_are_mentioned(arguments, capsys, name):
    said = f"--{name.replace('_', '-')} changes nothing without --unfreeze: its values will give equal results"
    for more, is_said in (([], True), (["unfreeze=0,1"], True), (["unfreeze=1,2"], False)):
        assert fine_tuning.main([*arguments, "--grid", f"{name}=0.1,0.2", *more, "--dry-run"]) == 0
        assert (said in capsys.readouterr().out) == is_said


class TestReport:
    """The order of made-up results: run 1 has the lowest loss, run 2 the best accuracy, run 3 the best macro-F1."""

    RESULTS = {
        "1": {"validation": {"log_loss": 0.1, "accuracy": 0.5, "macro_f1": 0.5}},
        "2": {"validation": {"log_loss": 0.2, "accuracy": 0.9, "macro_f1": 0.6}},
        "3": {"validation": {"log_loss": 0.3, "accuracy": 0.6, "macro_f1": 0.8}},
        "4": {"failed": "the loss became nan in epoch 1; reduce the learning rate"},
    }

    @pytest.mark.parametrize(
        ("monitor", "order"),
        [(None, "1234"), ("loss", "1234"), ("accuracy", "2314"), ("macro_f1", "3214")],
    )
    def test_it_is_ordered_by_the_monitored_metric(self, tmp_path, monitor, order):
        plan = dataclasses.replace(
            fine_tuning.PLAN,
            dataset=str(write_opinions(tmp_path / "opinions.csv")),
            grid=["epochs=1,2,3,4"],
            monitor=monitor,
        )
        report = GridStudy(plan, read_rows(plan), fine_tuning.PLAN).report(self.RESULTS)
        assert [entry["run"] for entry in report.content["grid"]] == list(order)
        assert report.content["best"] == order[0]
        rows = [line.split("|")[1:3] for line in report.markdown.splitlines() if line.startswith("|")][2:]
        assert [[cell.strip() for cell in row] for row in rows] == [
            ["best", order[0]],
            *(["", run] for run in order[1:]),
        ]
        assert report.markdown.count("python fine_tuning.py") == 3
        assert ("--monitor" in report.printed) == (monitor is not None)


def test_a_folder_has_a_safe_name(tmp_path):
    plan = dataclasses.replace(
        fine_tuning.PLAN,
        dataset=str(write_opinions(tmp_path / "opinions.csv")),
        grid=[f"pretrained=../a b/模型.keras,{'x' * 300}.keras", "learning_rate=1e-4"],
    )
    names = [run.folder.name for run in GridStudy(plan, read_rows(plan), fine_tuning.PLAN).runs]
    assert names[0] == "grid-001-pretrained=.._a_b_.keras,learning_rate=1e-4"
    assert names[1].startswith("grid-002-pretrained=xxx") and len(names[1]) == 100
