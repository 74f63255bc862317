"""The script fine_tuning.py and its recipe, as a person runs them."""

import csv
import dataclasses
import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from interrupted_runs import InterruptAfter, epochs_printed, progress_of, run_until_killed
from PIL import Image
from scripts import (
    FINE_TUNING_METRICS,
    assert_fine_tuning_is_printed,
    assert_one_error,
    assert_same_weights,
    call,
    run,
)
from tiny_models import config, masked_lm

import fine_tuning
import recipes.fine_tuning
import training.engine.loop
from network.backbone import backbone_layers
from network.bert import BertClassifier, BertMaskedLM
from network.model_file import load_model, save_model
from recipes.runs.run_folder import CHECKPOINT_NAME, RECORD_NAME
from system.command_line import parse_plan
from system.errors import InputError
from text.dataset.draws.drawing import split_rows
from text.dataset.options import DataOptions
from text.dataset.saving import write_rows
from text.dataset.splits import load_splits
from text.sources import SAMPLE_REVIEWS, read_labelled
from text.tokens.tokenizer import SPECIAL_TOKENS, wordpiece_tokenizer
from text.tokens.window_settings import WindowSettings

CLASSIFIER = "mini_bert_sentiment_classifier.keras"
ONNX_CLASSIFIER = "mini_bert_sentiment_classifier.onnx"
PREVIOUS_CLASSIFIER = "mini_bert_sentiment_classifier.previous.keras"
CHECKPOINT = Path("runs/fine_tuning", CHECKPOINT_NAME)


@pytest.fixture
def arguments(tiny_pretrained):
    return ["--dataset", "sample", "--pretrained", str(tiny_pretrained)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def assert_same_layers(layers, others):
    for layer, other in zip(layers, others, strict=True):
        for value, expected in zip(layer.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)


def changed_layers(classifier, pretrained):
    """Return the names of the backbone layers in which two models differ."""
    return [
        layer.name
        for layer, source in zip(backbone_layers(classifier), backbone_layers(pretrained), strict=True)
        if any((new != old).any() for new, old in zip(layer.get_weights(), source.get_weights(), strict=True))
    ]


def write_reviews(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


def sample_rows():
    labelled = read_labelled("sample")
    return list(zip(labelled.texts, labelled.labels.tolist(), strict=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folder and the process of a run of five epochs, with defaults except for its data and its report."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["--dataset", "sample", "--pretrained", str(tiny_pretrained), "--report-folder", "report"]
    return folder, run("fine_tuning.py", [*options, "--head-fit", "epochs"], folder)


@pytest.mark.slow
class TestWholeRun:
    def test_what_is_printed(self, finished):
        folder, process = finished
        assert process.returncode == 0, process.stderr
        lines = process.stdout.splitlines()
        assert lines[0] == f"{SAMPLE_REVIEWS.name}: 504 rows, 0 unusable"
        counts = [
            int(re.fullmatch(rf"{split}: (\d+) texts, .*", line)[1])
            for split, line in zip(("training", "validation", "test"), lines[1:4], strict=True)
        ]
        assert sum(counts) == 504
        assert counts[2] == 84
        assert_fine_tuning_is_printed(lines, fine_tuning.EPOCHS)
        files = "training_curves.png, confusion_matrix.png and metrics.json"
        assert lines[-1] == f"Model saved to {CLASSIFIER} and {ONNX_CLASSIFIER}; {files} in {folder / 'report'}"

    def test_nothing_but_progress_on_standard_error(self, finished):
        _, process = finished
        pieces = re.split(r"[\r\n]+", process.stderr)
        assert [piece for piece in pieces if not re.fullmatch(r"epoch \d+: .*texts.*|\s*", piece)] == []

    def test_what_is_written(self, finished):
        folder, _ = finished
        names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        plots = ("training_curves.png", "confusion_matrix.png")
        assert names == {
            CLASSIFIER,
            ONNX_CLASSIFIER,
            "report/metrics.json",
            f"runs/fine_tuning/{RECORD_NAME}",
            *(f"report/{name}" for name in plots),
        }
        for name in plots:
            with Image.open(folder / "report" / name) as plot:
                plot.verify()
                assert plot.format == "PNG" and min(plot.size) >= 600

    def test_metrics_and_metadata_agree(self, finished):
        folder, process = finished
        metrics = read_json(folder / "report/metrics.json")
        assert list(metrics["history"]) == FINE_TUNING_METRICS
        assert [len(values) for values in metrics["history"].values()] == [fine_tuning.EPOCHS] * 4
        thresholds = metrics["test"]["thresholds"]
        assert metrics["application_threshold"] == 0.7
        assert thresholds.keys() == {"0.5", "0.7", f"{metrics['calibration']['threshold']:g}"}
        assert all(f"{at['threshold']:g}" == key for key, at in thresholds.items())
        assert thresholds["0.5"]["count"] == metrics["baseline"]["count"] == 84
        assert f"Test set accuracy: {thresholds['0.5']['accuracy']:.4f}" in process.stdout
        assert f"Test set loss: {thresholds['0.5']['log_loss']:.4f}" in process.stdout

        metadata = load_model(folder / CLASSIFIER, BertClassifier).metadata
        assert metadata["labels"] == ["负面", "正面"]
        assert {name: metadata[name] for name in metrics["calibration"]} == metrics["calibration"]
        assert 0.1 < metadata["threshold"] < 0.9 and 0.2 <= metadata["temperature"] <= 5
        assert WindowSettings(**metadata["windows"]) == WindowSettings()
        assert metadata["data"] == {"name": "sample_reviews.csv", "rows": 504, "sha256": read_labelled("sample").sha256}
        assert metadata["test"] == metrics["test"]

    def test_the_backbone_is_that_of_the_pretrained_model(self, finished, tiny_pretrained):
        classifier = load_model(finished[0] / CLASSIFIER, BertClassifier)
        pretrained = load_model(tiny_pretrained, BertMaskedLM)
        assert classifier.config == config(max_seq_len=32)
        assert classifier.tokenizer_json == pretrained.tokenizer_json
        assert_same_layers(backbone_layers(classifier), backbone_layers(pretrained))

    def test_a_function_with_the_same_seed_gives_the_same_weights(self, finished, here, tiny_pretrained, capsys):
        Path(CLASSIFIER).write_text("earlier", encoding="utf-8")
        plan = dataclasses.replace(
            fine_tuning.PLAN, dataset="sample", pretrained=str(tiny_pretrained), head_fit="epochs"
        )
        result = recipes.fine_tuning.fine_tune(plan, plot_name="curves.png")
        lines = capsys.readouterr().out.splitlines()
        assert_fine_tuning_is_printed(lines, epochs=fine_tuning.EPOCHS)
        assert lines[-1].endswith(f"; the previous model is kept as {PREVIOUS_CLASSIFIER}")
        assert Path(PREVIOUS_CLASSIFIER).read_text(encoding="utf-8") == "earlier"
        assert_same_weights(CLASSIFIER, finished[0] / CLASSIFIER)
        for value, expected in zip(result.classifier.get_weights(), load_model(CLASSIFIER).get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
        metrics = read_json("metrics.json")
        assert metrics["history"] == result.history and metrics["test"] == result.assessment["test"]
        assert Path("curves.png").is_file() and Path("confusion_matrix.png").is_file()


@pytest.mark.slow
def test_a_fitted_head_is_not_resumed(here, arguments, monkeypatch, capsys):
    def interrupt(*plotted):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes.fine_tuning, "plot_confusion_matrix", interrupt)
    assert fine_tuning.main(arguments) == 130
    error = capsys.readouterr().err
    assert "run the same command again" in error and "Nothing of this run is saved" not in error
    assert (here / "training_curves.png").is_file() and not CHECKPOINT.exists()


@pytest.mark.slow
def test_few_texts_and_a_classifier_to_start_from(here, finished, capsys):
    options = [
        "--dataset",
        str(SAMPLE_REVIEWS),
        "--pretrained",
        str(finished[0] / CLASSIFIER),
        "--output",
        "second.keras",
    ]
    assert fine_tuning.main(options) == 0
    printed = capsys.readouterr().out
    assert f"head: starts as that of {finished[0] / CLASSIFIER}, which has the same labels" in printed
    assert "Epoch" not in printed
    (fitted,) = (
        line for line in printed.splitlines() if line.startswith("Head fitted to 378 texts until it converged")
    )
    metrics = read_json("metrics.json")
    assert fitted.endswith(f"val_binary_accuracy: {metrics['history']['val_binary_accuracy'][0]:.4f}")
    with Image.open("training_curves.png") as plot:
        plot.verify()


@pytest.mark.slow
def test_the_loss_of_whole_texts(tmp_path, tiny_pretrained):
    options = ["--dataset", "sample", "--pretrained", str(tiny_pretrained), "--unfreeze", "1", "--document-loss"]
    options += ["--epochs", "1", "--no-xla", "--window", "8", "--spread-windows", "2"]
    process = call(fine_tuning.main, options, tmp_path)
    assert process.returncode == 0, process.stderr
    assert re.search(r"^training: .* texts truncated, [\d.]+% of the tokens not read$", process.stdout, re.M)
    windows = load_model(tmp_path / CLASSIFIER).metadata["windows"]
    assert (windows["spread_windows"], windows["max_windows"]) == (2, None)
    application = run("application.py", ["--model", CLASSIFIER, "--text", "房间很干净，下次再来。" * 5], tmp_path)
    assert application.stdout.rstrip().endswith("spread from its beginning to its end)")


@pytest.fixture(scope="module")
def domains(tmp_path_factory, tiny_pretrained):
    """The folder and the printed lines of a run on reviews of two domains that trains one encoder with the head."""
    folder = tmp_path_factory.mktemp("domains")
    with open(folder / "reviews.csv", "w", encoding="utf-8", newline="") as file:
        rows = [(*row, "film" if number % 3 else "shop") for number, row in enumerate(sample_rows())]
        csv.writer(file).writerows([("text", "label", "domain"), *rows])
    options = ["--dataset", "reviews.csv", "--pretrained", str(tiny_pretrained), "--group-column", "domain"]
    options += ["--unfreeze", "1", "--no-xla", "--epochs", "1", "--learning-rate", "1e-3", "--max-windows", "1"]
    options += ["--test-size", "0.2", "--save-splits", "splits", "--backbone-output", "backbone.keras"]
    process = call(fine_tuning.main, options, folder)
    assert process.returncode == 0, process.stderr
    return folder, process.stdout


@pytest.mark.slow
class TestDomainsAndUnfrozenEncoders:
    def test_each_domain_has_its_metrics(self, domains):
        folder, printed = domains
        metrics = read_json(folder / "metrics.json")
        groups = metrics["groups"]
        assert list(groups) == ["film", "shop"]
        counts = {name: group["test"]["thresholds"]["0.5"]["count"] for name, group in groups.items()}
        assert sum(counts.values()) == metrics["test"]["thresholds"]["0.5"]["count"]
        assert counts["film"] == pytest.approx(2 * counts["shop"], abs=2)
        for name, group in groups.items():
            shown = re.search(rf"^{name} +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", printed, re.M).groups()
            model, baseline = group["test"]["thresholds"]["0.5"], group["baseline"]
            expected = (model["accuracy"], baseline["accuracy"], model["macro_f1"], baseline["macro_f1"])
            assert shown == (str(counts[name]), *(f"{value:.3f}" for value in expected))
        assert f"{sum(counts.values())} rows saved to {Path('splits/test.csv')}" in printed

    def test_the_model_keeps_the_window_settings(self, domains):
        assert load_model(domains[0] / CLASSIFIER).metadata["windows"]["max_windows"] == 1

    def test_the_backbone_can_be_fine_tuned_further(self, domains, tiny_pretrained):
        pretrained, classifier = load_model(tiny_pretrained), load_model(domains[0] / CLASSIFIER)
        backbone = load_model(domains[0] / "backbone.keras", BertMaskedLM)
        assert_same_layers(backbone_layers(backbone), backbone_layers(classifier))
        assert_same_layers([backbone.get_layer("masked_lm_head")], [pretrained.get_layer("masked_lm_head")])
        assert backbone.metadata == {"fine_tuned_on": classifier.metadata["data"]}

    def test_only_the_top_encoder_is_trained(self, domains, tiny_pretrained):
        assert_fine_tuning_is_printed(domains[1].splitlines(), epochs=1)
        changed = changed_layers(load_model(domains[0] / CLASSIFIER), load_model(tiny_pretrained))
        assert changed == ["transformer_encoder_1"]


@pytest.mark.slow
def test_all_layers_are_trained(here, arguments, tiny_pretrained, capsys):
    options = ["--unfreeze", "all", "--epochs", "1", "--learning-rate", "0.001", "--max-windows", "1"]
    assert fine_tuning.main([*arguments, *options]) == 0
    assert_fine_tuning_is_printed(capsys.readouterr().out.splitlines(), epochs=1)
    everything = ["bert_embedding", "transformer_encoder", "transformer_encoder_1"]
    assert changed_layers(load_model(CLASSIFIER), load_model(tiny_pretrained)) == everything


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_is_resumed_as_if_nothing_had_happened(finished, here, arguments, capsys):
    run_until_killed("fine_tuning", 2, 3, [*arguments, "--head-fit", "epochs"], here)
    assert progress_of(CHECKPOINT) == (2, 0)  # the last epoch that was finished
    assert not Path(CLASSIFIER).exists()

    assert fine_tuning.main(["--resume"]) == 0
    assert epochs_printed(capsys.readouterr().out) == ["Epoch 3/5", "Epoch 4/5", "Epoch 5/5"]
    assert_same_weights(CLASSIFIER, finished[0] / CLASSIFIER)
    assert read_json("metrics.json")["history"] == read_json(finished[0] / "report/metrics.json")["history"]
    assert not CHECKPOINT.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_an_interrupted_run_of_an_encoder_is_resumed_as_if_nothing_had_happened(here, monkeypatch, capsys):
    write_reviews("reviews.csv", sample_rows()[::12])
    save_model(masked_lm(max_seq_len=8, num_layers=1), "pretrained.keras")
    options = ["--dataset", "reviews.csv", "--pretrained", "pretrained.keras", "--epochs", "2", "--max-windows", "1"]
    options += ["--unfreeze", "1", "--no-xla", "--learning-rate", "1e-3"]
    whole = ["--output", "whole.keras", "--run-folder", "whole", "--report-folder", "whole"]
    assert fine_tuning.main([*options, *whole]) == 0

    with monkeypatch.context() as patch:
        patch.setattr(training.engine.loop, "print_epoch", InterruptAfter(epochs=2))
        assert fine_tuning.main(options) == 130
    assert progress_of(CHECKPOINT) == (1, 0)
    assert not Path(CLASSIFIER).exists()
    capsys.readouterr()
    assert fine_tuning.main(options) == 1
    assert_one_error(capsys.readouterr().err, "--resume")

    assert fine_tuning.main(["--resume"]) == 0
    assert epochs_printed(capsys.readouterr().out) == ["Epoch 2/2"]
    assert_same_weights(CLASSIFIER, "whole.keras")
    assert read_json("metrics.json")["history"] == read_json("whole/metrics.json")["history"]
    assert not CHECKPOINT.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
def test_an_interrupted_run_with_many_choices_is_resumed_as_if_nothing_had_happened(here, monkeypatch, capsys):
    write_reviews("reviews.csv", sample_rows()[::12])
    save_model(masked_lm(max_seq_len=8, num_layers=1), "pretrained.keras")
    options = ["--dataset", "reviews.csv", "--pretrained", "pretrained.keras", "--epochs", "4", "--max-windows", "1"]
    options += ["--unfreeze", "all", "--no-xla", "--learning-rate", "1e-3", "--batch-size", "8", "--accumulate", "2"]
    options += ["--loss", "focal", "--label-smoothing", "0.1", "--balanced-sampling"]
    options += ["--layer-decay", "0.8", "--weight-decay", "0.01", "--schedule", "linear", "--warmup", "0.2"]
    options += ["--ema", "0.5", "--monitor", "macro_f1", "--patience", "3"]
    whole = ["--output", "whole.keras", "--run-folder", "whole", "--report-folder", "whole"]
    assert fine_tuning.main([*options, *whole]) == 0
    printed = capsys.readouterr().out
    history = read_json("whole/metrics.json")["history"]
    assert list(history) == [*FINE_TUNING_METRICS, "val_macro_f1"]
    values = history["val_macro_f1"]
    kept = f"kept epoch {values.index(max(values)) + 1} of {len(values)}: val_macro_f1 {max(values):.4f}"
    assert kept in printed.splitlines()
    assert all(f" - val_macro_f1: {value:.4f}" in printed for value in values)

    with monkeypatch.context() as patch:
        patch.setattr(training.engine.loop, "print_epoch", InterruptAfter(epochs=2))
        assert fine_tuning.main(options) == 130
    assert progress_of(CHECKPOINT) == (1, 0)
    capsys.readouterr()
    assert fine_tuning.main(["--resume"]) == 0
    printed = capsys.readouterr().out
    assert epochs_printed(printed) == [f"Epoch {epoch}/4" for epoch in range(2, len(values) + 1)]
    assert kept in printed.splitlines()
    assert_same_weights(CLASSIFIER, "whole.keras")
    assert read_json("metrics.json")["history"] == history


class TestArguments:
    @pytest.mark.parametrize(
        "wrong",
        [
            ["--unfreeze", "x"],
            ["--unfreeze", "-1"],
            ["--epochs", "0"],
            ["--test-size", "1"],
            ["--threshold", "1.1"],
            ["--head-learning-rate", "fast"],
            ["--seed", "-1"],
            ["--teachers", "a.keras"],
            ["--backbone-output", "b.keras"],
            ["--backbone-output", "a.keras", "--output", "./a.keras", "--unfreeze", "all"],
        ],
    )
    def test_wrong_arguments(self, here, capsys, wrong):
        with pytest.raises(SystemExit, match="2"):
            fine_tuning.main(wrong)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert wrong[0] in captured.err.splitlines()[-1]
        assert list(here.iterdir()) == []

    def test_what_unfreeze_accepts(self, capsys):
        with pytest.raises(SystemExit):
            fine_tuning.main(["--unfreeze", "x"])
        assert "'x' is neither a non-negative whole number nor all" in capsys.readouterr().err

    def test_the_head_alone_is_the_default(self):
        parser, plan = fine_tuning.build_parser(), fine_tuning.PLAN
        assert parse_plan(parser, plan, ["--unfreeze", "0"])[0] == parse_plan(parser, plan, [])[0] == plan

    def test_more_encoders_than_there_are(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--unfreeze", "9"]) == 1
        assert_one_error(capsys.readouterr().err, "9 encoders", "has 2")

    @pytest.mark.parametrize("option", [[], ["--no-xla"]])
    def test_the_options_reach_the_training(self, here, arguments, option, monkeypatch):
        plans = []

        def record(classifier, splits, plan, *rest, **options):
            plans.append(plan)
            raise InputError("seen")

        monkeypatch.setattr(recipes.fine_tuning, "train_classifier", record)
        options = ["--epochs", "3", "--batch-size", "7", "--learning-rate", "1e-4", "--head-learning-rate", "0.5"]
        assert fine_tuning.main([*arguments, *options, "--seed", "8", *option]) == 1
        (plan,) = plans
        assert (plan.epochs, plan.batch_size, plan.seed, plan.jit_compile) == (3, 7, 8, not option)
        assert (plan.learning_rate, plan.head_learning_rate) == (1e-4, 0.5)

    def test_a_dry_run_says_what_would_be_trained(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--dry-run"]) == 0
        printed = capsys.readouterr().out
        assert "504 rows" in printed and "Trainable params: 17" in printed
        assert "Epoch" not in printed
        total = int(re.search(r"Total params: ([\d,]+)", printed)[1].replace(",", ""))
        training, results = printed.splitlines()[-2:]
        assert training == (
            f"dry run: nothing was trained. The run would train 17 of {total:,} parameters until they converge on 378 "
            "texts, validate on 42 and test on 84."
        )
        files = "training_curves.png, confusion_matrix.png and metrics.json"
        assert results == f"The model would be saved to {CLASSIFIER} and {ONNX_CLASSIFIER}; {files} in {here}."
        assert list(here.iterdir()) == []

    def test_a_dry_run_names_the_batches_of_the_document_loss(self, here, arguments, capsys):
        options = ["--document-loss", "--unfreeze", "all", "--batch-size", "16", "--max-windows", "2", "--dry-run"]
        assert fine_tuning.main([*arguments, *options]) == 0
        size, largest = re.search(
            r" (\d+) whole texts \(up to (\d+) windows\), validate", capsys.readouterr().out
        ).groups()
        assert int(size) == 16 < int(largest) <= 32

    def test_the_document_loss_says_that_it_changes_nothing_for_the_head_alone(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--document-loss", "--dry-run"]) == 0
        printed = capsys.readouterr().out
        assert "--document-loss changes nothing without --unfreeze" in printed
        assert "until they converge on 378 texts, validate" in printed

    def test_two_ways_to_choose_windows(self, here, arguments, capsys):
        with pytest.raises(SystemExit, match="2"):
            fine_tuning.main([*arguments, "--max-windows", "2", "--spread-windows", "2"])
        assert "leave out one of the two" in capsys.readouterr().err

    def test_a_dry_run_is_a_function_without_a_result(self, here, tiny_pretrained):
        plan = dataclasses.replace(fine_tuning.PLAN, dataset="sample", pretrained=str(tiny_pretrained), dry_run=True)
        assert recipes.fine_tuning.fine_tune(plan) is None

    def test_a_model_that_is_not_there(self, here, capsys):
        assert fine_tuning.main(["--dataset", "sample"]) == 1
        assert_one_error(capsys.readouterr().err, "mini_bert_zh_hk.keras", "no such model file")

    def test_nothing_to_resume(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--resume"]) == 1
        assert_one_error(capsys.readouterr().err, "no interrupted run")


class TestSavedSplits:
    @pytest.mark.parametrize("group_column", [None, "domain"])
    def test_are_those_of_the_training(self, here, arguments, capsys, group_column):
        rows = [f'"{"差好"[n % 2]}，{n}\n""{n}""",{n % 2},{"shop" if n % 3 else "film"}' for n in range(90)]
        Path("reviews.csv").write_text("\n".join(["text,label,domain", *rows, ",1,shop"]), encoding="utf-8")
        options = ["--dataset", "reviews.csv", "--test-size", "0.2", "--save-splits", "new/splits", "--dry-run"]
        options += ["--group-column", group_column] if group_column else []
        assert fine_tuning.main([*arguments, *options]) == 0
        printed = capsys.readouterr().out
        assert re.search(rf"^1[78] rows saved to {re.escape(str(Path('new/splits/test.csv')))}$", printed, re.M)
        assert "Epoch" not in printed
        names = sorted(path.name for path in here.rglob("*"))
        assert names == ["new", "reviews.csv", "splits", "test.csv", "train.csv"]

        labelled = read_labelled("reviews.csv", group_column=group_column)
        for split, name in zip(split_rows(labelled, 0.2), ("train", "test"), strict=True):
            write_rows(labelled, split, "expected.csv")
            assert Path("new/splits", f"{name}.csv").read_bytes() == Path("expected.csv").read_bytes()
        tokenizer = wordpiece_tokenizer([*SPECIAL_TOKENS, "好", "差"])
        splits = load_splits(DataOptions(dataset="reviews.csv", test_size=0.2, group_column=group_column), tokenizer, 8)
        saved_column = "group" if group_column else None
        train, test = (read_labelled(f"new/splits/{name}.csv", group_column=saved_column) for name in ("train", "test"))
        assert test.texts == splits.test.texts
        assert test.labels.tolist() == splits.test.labels.tolist()
        assert sorted(train.texts) == sorted(splits.train.texts + splits.validation.texts)
        assert test.groups == (splits.test.groups.tolist() if group_column else None)

    def test_the_data_set_is_not_overwritten(self, here, arguments, capsys):
        write_reviews("train.csv", sample_rows())
        before = Path("train.csv").read_bytes()
        assert fine_tuning.main([*arguments, "--dataset", "train.csv", "--save-splits", ".", "--dry-run"]) == 1
        assert_one_error(capsys.readouterr().err, "--save-splits", "--dataset")
        assert Path("train.csv").read_bytes() == before
        assert list(here.iterdir()) == [here / "train.csv"]


class TestData:
    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            ([("text", "stars"), *[("好", 1)] * 20], ("no label column", "'stars'", "--label-column")),
            ([("text", "label"), *[(f"很好{number}", 1) for number in range(40)]], ("lacks one of the two labels",)),
            ([("text", "label"), ("好", 1), ("坏", 0)], ("1 rows are too few",)),
            ([("text", "label"), ("好", 1)], ("leaves none of 1 rows to train on",)),
            ([("text", "label"), ("好", "?"), ("", 0)], ("no usable rows", "row 2", "row 3")),
            ([], ("empty",)),
        ],
    )
    def test_data_that_cannot_be_used(self, here, arguments, rows, words, capsys):
        with open("reviews.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        assert fine_tuning.main([*arguments, "--dataset", "reviews.csv"]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert_one_error(captured.err, *words)
        assert not Path(CLASSIFIER).exists()

    def test_a_file_that_is_not_there(self, here, arguments, capsys):
        assert fine_tuning.main([*arguments, "--dataset", "reviews.csv"]) == 1
        assert_one_error(capsys.readouterr().err, "reviews.csv", "--dataset", "sample")

    def test_rows_that_cannot_be_used_are_named(self, here, arguments, capsys):
        rows = sample_rows()
        rows[3:3] = [("", 1), ("很好", "maybe"), ("不好", "")]
        write_reviews("reviews.csv", rows)
        assert fine_tuning.main([*arguments, "--dataset", "reviews.csv", "--dry-run"]) == 0
        line = capsys.readouterr().out.splitlines()[0]
        assert line.startswith("reviews.csv: 507 rows, 3 unusable: row 5: the text is empty; row 6: ")
        assert "'maybe'" in line and line.endswith("row 7: no label")

    def test_without_a_network(self, tmp_path, tiny_pretrained):
        process = run("fine_tuning.py", ["--pretrained", str(tiny_pretrained)], tmp_path)
        assert process.returncode == 1
        assert process.stdout == ""
        words = (fine_tuning.DATASET, "--dataset sample", "--dataset FILE", "HF_ENDPOINT")
        assert_one_error(process.stderr, *words)
