"""A learning curve: its parts, its table beside the baseline, its forecast, killed and resumed."""

import json
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from interrupted_runs import run_until_killed
from opinions import write_opinions
from scripts import call

import fine_tuning
from evaluation.analysis.power_law import curve_of
from evaluation.baseline import baseline_logits
from evaluation.metrics import classification_metrics
from evaluation.report.learning_curve.plot import plot_learning_curve
from recipes.runs.run_folder import PROGRESS_NAME, RECORD_NAME
from recipes.studies.learning_curve import PAGE_NAME, PLOT_NAME, LearningCurveStudy
from recipes.studies.results import BASELINE, MODEL
from recipes.studies.study import MARKDOWN_NAME, STUDY_NAME
from text.dataset.draws.rows_of_splits import rows_of_splits
from text.dataset.splits import read_rows

FOLDER = Path("runs/fine_tuning")
CURVE = ["--learning-curve", "1"]
SIZES = {"1/8": 17, "1/4": 34, "1/2": 68, "all": 135}


def options_of(pretrained, data):
    return ["--dataset", str(data), "--pretrained", str(pretrained), "--batch-size", "8", "--epochs", "1"]


@pytest.fixture
def arguments(tmp_path, monkeypatch, tiny_pretrained):
    monkeypatch.chdir(tmp_path)
    return options_of(tiny_pretrained, write_opinions(tmp_path / "opinions.csv", count=60))


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folder and the printed text of a study of four sizes; a sixteenth would be too few rows."""
    folder = tmp_path_factory.mktemp("finished")
    options = options_of(tiny_pretrained, write_opinions(folder / "opinions.csv", count=60))
    study = call(fine_tuning.main, [*options, *CURVE], folder)
    assert study.returncode == 0, study.stderr
    return folder, study.stdout


@pytest.mark.slow
class TestFinishedCurve:
    def test_what_is_written(self, finished):
        folder, _ = finished
        parts = {f"part-{name}-draw-1" for name in ("1_8", "1_4", "1_2", "all")}
        names = {path.name for path in (folder / FOLDER).iterdir()}
        assert names == {*parts, STUDY_NAME, MARKDOWN_NAME, PLOT_NAME, PAGE_NAME, RECORD_NAME}
        written = {path.name for part in parts for path in (folder / FOLDER / part).iterdir()}
        assert written == {RECORD_NAME, "metrics.json"}

    def test_the_baseline_has_the_rows_of_the_model(self, finished):
        folder, _ = finished
        results = read_json(folder / FOLDER / STUDY_NAME)["learning_curve"]
        assert {key: result["train_texts"] for key, result in results.items()} == {
            f"{part}, 1": size for part, size in SIZES.items()
        }
        record = read_json(folder / FOLDER / "part-1_4-draw-1" / RECORD_NAME)["arguments"]
        assert (record["train_fraction"], record["train_draw"], record["seed"]) == (0.25, 0, 42)
        plan = fine_tuning.FineTuningPlan(**record | {"dataset": str(folder / "opinions.csv")})
        labelled = read_rows(plan)
        rows = rows_of_splits(labelled, plan)
        train, validation = ([labelled.texts[row] for row in each] for each in (rows.train, rows.validation))
        logits = baseline_logits(labelled.label_set, train, labelled.labels[rows.train], validation)
        probabilities = labelled.label_set.probabilities(logits)
        expected = classification_metrics(labelled.label_set, labelled.labels[rows.validation], probabilities)
        assert results["1/4, 1"]["baseline"] == expected

    def test_nothing_is_tested(self, finished):
        folder, printed = finished
        for path in (folder / FOLDER).rglob("metrics.json"):
            assert not {"test", "calibration"} & read_json(path).keys()
        assert "Nothing was tested, and no model was saved." in printed and "Test set" not in printed

    def test_the_table_and_the_forecast_are_printed_and_written(self, finished):
        folder, printed = finished
        markdown = (folder / FOLDER / MARKDOWN_NAME).read_text(encoding="utf-8")
        tables = [line for line in markdown.splitlines() if line.startswith("|")]
        assert [line for line in printed.splitlines() if line.startswith("|")] == tables
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]
        assert rows[0] == ["part", "texts", "accuracy", "baseline", "macro-F1", "baseline"]
        assert [row[:2] for row in rows[2:]] == [[part, str(size)] for part, size in SIZES.items()]
        study = read_json(folder / FOLDER / STUDY_NAME)
        for line, part in zip(rows[2:], SIZES, strict=True):
            metrics = study["learning_curve"][f"{part}, 1"]
            accuracies = [metrics[section]["accuracy"] for section in ("validation", "baseline")]
            assert line[2:4] == [f"{accuracy:.3f} ± 0.000" for accuracy in accuracies]
        for name in (MODEL, BASELINE):
            assert study["forecasts"][name]["target"] == 270
            (sentence,) = (line for line in printed.splitlines() if line.startswith(f"{name}: "))
            assert "twice" in sentence and "270" in sentence and sentence in markdown

    def test_the_plot_is_a_png(self, finished):
        assert matplotlib.image.imread(finished[0] / FOLDER / PLOT_NAME).shape[:2] == (675, 1050)


@pytest.mark.slow
def test_a_killed_curve_is_resumed(arguments, finished, tmp_path, capsys):
    # The smaller parts have fewer batches, so this is in the first run of a half.
    run_until_killed("fine_tuning", 0, 6, [*arguments, *CURVE, "--checkpoint-steps", "1"], tmp_path)
    assert list(read_json(FOLDER / PROGRESS_NAME)["results"]) == ["1/8, 1", "1/4, 1"]
    assert (FOLDER / "part-1_2-draw-1" / "checkpoint.npz").is_file()
    assert fine_tuning.main(["--resume"]) == 0
    printed = capsys.readouterr().out
    assert "Training texts: 1/2, draw 1 of 1, 3 of 4" in printed and "1/4, draw" not in printed
    whole, resumed = (read_json(path / FOLDER / STUDY_NAME) for path in (finished[0], Path()))
    assert {name: resumed[name] for name in ("learning_curve", "forecasts")} == {
        name: whole[name] for name in ("learning_curve", "forecasts")
    }
    markdown = (finished[0] / FOLDER / MARKDOWN_NAME).read_text(encoding="utf-8")
    assert (FOLDER / MARKDOWN_NAME).read_text(encoding="utf-8") == markdown
    assert not (FOLDER / PROGRESS_NAME).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_a_part_gives_what_it_gives_alone(finished, arguments):
    shutil.copytree(finished[0] / FOLDER / "part-1_8-draw-1", "part")
    assert fine_tuning.main([*arguments, "--train-fraction", "0.125", "--report-folder", "alone"]) == 0
    history, expected = (read_json(Path(folder, "metrics.json"))["history"] for folder in ("alone", "part"))
    assert history.keys() == expected.keys()
    for name, values in history.items():
        assert values == pytest.approx(expected[name], abs=1e-5)


class TestReport:
    """The report of results that no run has to be trained for."""

    def report(self, data, draws, accuracies, **options):
        """Return a study, and results with the accuracies of the model, the same for all draws of a size."""
        options = fine_tuning.PLAN.__dict__ | {"dataset": str(data), "learning_curve": draws} | options
        plan = fine_tuning.FineTuningPlan(**options)
        study = LearningCurveStudy(plan, read_rows(plan))
        results = {}
        for run in study.runs:
            part, draw = run.key.split(", ")
            metrics = {"accuracy": accuracies[part] + 0.001 * int(draw), "macro_f1": 0.5, "count": 100}
            results[run.key] = {"train_texts": SIZES[part], "validation": metrics, "baseline": metrics}
        return study, results

    @pytest.fixture
    def data(self, tmp_path):
        return write_opinions(tmp_path / "opinions.csv", count=60)

    def test_each_draw_has_its_own_texts_and_seed(self, data):
        study, _ = self.report(data, 2, dict.fromkeys(SIZES, 0.8))
        plans = {run.key: run.plan for run in study.runs}
        assert list(plans) == [f"{part}, {draw}" for part in SIZES for draw in (1, 2)]
        assert [(plan.train_draw, plan.seed) for plan in plans.values()] == [(0, 42), (1, 43)] * 4
        assert plans["1/2, 2"].train_fraction == 0.5 and plans["all, 2"].train_fraction is None

    def test_the_forecast_has_an_interval(self, data):
        study, results = self.report(data, 3, {"1/8": 0.7, "1/4": 0.75, "1/2": 0.79, "all": 0.82})
        printed = study.report(results).printed
        assert f"{MODEL}: with twice the training texts (270), the expected accuracy is about 0.84" in printed
        assert "(95% interval 0.8" in printed and " points more (" in printed and "±7.5 points" in printed

    @pytest.mark.parametrize(
        ("language", "expected"), [("en", "with twice the training texts (270)"), ("zh", "训练文本加倍（270 条）后")]
    )
    def test_the_page_has_the_chart_the_table_and_the_forecast(self, data, tmp_path, language, expected):
        study, results = self.report(data, 3, {"1/8": 0.7, "1/4": 0.75, "1/2": 0.79, "all": 0.82}, language=language)
        study.report(results).files[PAGE_NAME](tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert f'<html lang="{language}">' in page and "<script" not in page
        assert page.count("<svg") == 1 and expected in page
        for part, texts in SIZES.items():
            assert f'<th scope="row">{part}</th><td>{texts}</td>' in page

    def test_all_sizes_fit_the_head_in_the_same_way(self, data):
        study, _ = self.report(data, 1, dict.fromkeys(SIZES, 0.8))
        assert {run.plan.head_fit for run in study.runs} == {"convergence"}
        study, _ = self.report(data, 1, dict.fromkeys(SIZES, 0.8), loss="focal")
        assert {run.plan.head_fit for run in study.runs} == {"epochs"}

    def test_further_sets_count(self, data, tmp_path):
        header, *rows = data.read_text(encoding="utf-8").splitlines()
        further = tmp_path / "further.csv"
        further.write_text("\n".join([header, *(row.replace("，", "，还有，", 1) for row in rows)]), encoding="utf-8")
        few = write_opinions(tmp_path / "few.csv", count=20)
        alone, _ = self.report(few, 1, dict.fromkeys(SIZES, 0.8))
        study, _ = self.report(few, 1, dict.fromkeys(SIZES, 0.8), also=[str(further)])
        assert len(alone.runs) < len(study.runs)

    def test_a_single_draw_has_none(self, data):
        study, results = self.report(data, 1, {"1/8": 0.7, "1/4": 0.75, "1/2": 0.79, "all": 0.82})
        printed = study.report(results).printed
        assert "interval 0" not in printed
        assert "A single draw gives no interval; --learning-curve 3 gives one." in printed

    def test_a_flat_curve_promises_nothing(self, data):
        study, results = self.report(data, 2, dict.fromkeys(SIZES, 0.8))
        assert "does not rise measurably with the number of training texts" in study.report(results).printed

    def test_too_few_sizes_are_no_forecast(self, data):
        study, results = self.report(data, 2, dict.fromkeys(SIZES, 0.8))
        for draw in (1, 2):
            results[f"1/8, {draw}"] = {"failed": "no memory"}
        report = study.report(results)
        assert "No forecast: 3 sizes were trained, and a power law needs 4" in report.printed
        assert "Not trained: 1/8, 2: no memory" in report.markdown
        assert report.content["forecasts"] == {MODEL: None, BASELINE: None}


def test_each_curve_is_drawn_with_its_forecast(tmp_path):
    sizes = np.repeat([10, 20, 40, 80], 2)
    curves = {"model": curve_of(sizes, 1 / sizes**0.5), "few": curve_of(sizes[:4], 1 / sizes[:4])}
    (axes,) = plot_learning_curve(curves, tmp_path / "curve.png", "Error").axes
    by_label = {line.get_label(): line for line in axes.get_lines()}
    assert by_label["model"].get_xdata().tolist() == sizes.tolist()
    assert by_label["few"].get_ydata().tolist() == [0.1, 0.1, 0.05, 0.05]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["model", "few"]
    assert axes.get_xticks().tolist() == [10, 20, 40, 80, 160] and axes.get_ylabel() == "Error"


def test_too_few_texts_are_refused_before_the_first_run(tmp_path, monkeypatch, tiny_pretrained, capsys):
    monkeypatch.chdir(tmp_path)
    options = options_of(tiny_pretrained, write_opinions(tmp_path / "opinions.csv", count=8))
    assert fine_tuning.main([*options, *CURVE]) == 1
    assert "training texts are too few for --learning-curve, whose smallest part needs 16" in capsys.readouterr().err
    assert not (FOLDER / PROGRESS_NAME).exists()


def test_dry_run(arguments, capsys):
    assert fine_tuning.main([*arguments, *CURVE, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "training: 17 texts" in printed
    assert printed.splitlines()[-1].startswith("The study would train 4 models, on 1/8, 1/4, 1/2, all of the training")


@pytest.mark.parametrize(
    "option",
    [
        ["--train-fraction", "0.5"],
        ["--seeds", "2"],
        ["--seed", "4294967295", "--learning-curve", "2"],
        ["--threshold", "0.6"],
        ["--teachers", "teacher.keras"],
    ],
)
def test_options_that_a_curve_refuses(arguments, capsys, option):
    with pytest.raises(SystemExit, match="2"):
        fine_tuning.main([*arguments, *CURVE, *option])
    assert option[0] in capsys.readouterr().err.splitlines()[-1]
