"""Runs of fine_tuning.py with further sets: one classifier for several domains, tested on each."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from interrupted_runs import InterruptAfter
from scripts import assert_one_error, call

import fine_tuning
import training.engine.loop
from network.bert import BertClassifier
from network.model_file import load_model
from recipes.runs.resumption import further_fingerprints
from text.dataset.duplicates import letters
from text.dataset.options import DataOptions
from text.dataset.splits import load_splits, read_further_sets, read_rows
from text.sources import read_labelled
from text.tokens.tokenizer import tokenizer_from_json

CLASSIFIER = "mini_bert_sentiment_classifier.keras"
DOMAINS = ("餐厅", "书店")


def write_rows(path, rows, columns=("text", "label")):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_sets(folder):
    """Write hotels.csv, and others.csv with domains, which has copies of texts of hotels.csv; return these."""
    labelled = read_labelled("sample")
    rows = list(zip(labelled.texts, labelled.labels.tolist(), strict=True))
    write_rows(folder / "hotels.csv", rows[:180])
    others = [(text, label, DOMAINS[number % 2]) for number, (text, label) in enumerate(rows[180:400])]
    copies = [(f"{text}！！", label, DOMAINS[0]) for text, label in rows[:60]]
    write_rows(folder / "others.csv", [*others, *copies], ("text", "label", "domain"))
    write_rows(folder / "unwanted.csv", rows[60:70])
    return [text for text, _ in rows[:70]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_pretrained):
    """The folders and the printed lines of two runs that differ in the weight of the further set."""
    runs = {}
    for weight in ("0.5", "8"):
        folder = tmp_path_factory.mktemp("finished")
        write_sets(folder)
        options = ["--dataset", "hotels.csv", "--also", f"others.csv={weight}", "--group-column", "domain"]
        options += ["--exclude", "unwanted.csv", "--pretrained", str(tiny_pretrained), "--epochs", "2"]
        process = call(fine_tuning.main, options, folder)
        assert process.returncode == 0, process.stderr
        runs[weight] = (folder, process.stdout.splitlines())
    return runs


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.slow
class TestWholeRun:
    @pytest.fixture
    def run(self, finished):
        return finished["0.5"]

    @pytest.fixture
    def alone(self, run):
        """The splits of the data set without its further set."""
        options = DataOptions(dataset=str(run[0] / "hotels.csv"), test_size=fine_tuning.TEST_SIZE)
        tokenizer = tokenizer_from_json(load_model(run[0] / CLASSIFIER).tokenizer_json)
        return load_splits(options, tokenizer, 32)

    def test_the_headline_is_that_of_the_data_set(self, run, alone):
        metrics, printed = metrics_of(run[0]), run[1]
        at_half = metrics["test"]["thresholds"]["0.5"]
        assert at_half["count"] == metrics["baseline"]["count"] == len(alone.test.texts) == 30
        assert at_half["positive_fraction"] == pytest.approx(alone.test.labels.mean())
        assert f"Test set accuracy: {at_half['accuracy']:.4f}" in printed
        assert any(line.startswith("Test on hotels.csv: 30 texts, ") for line in printed)

    def test_each_domain_of_each_set_has_a_line(self, run):
        metrics, printed = metrics_of(run[0]), run[1]
        counts = {name: group["baseline"]["count"] for name, group in metrics["groups"].items()}
        assert counts.keys() == {"hotels", *DOMAINS}
        assert counts["hotels"] == 30 and min(counts.values()) > 10
        assert metrics["groups"]["hotels"]["test"] == metrics["test"]
        assert metrics["all_sets"]["test"]["thresholds"]["0.7"]["count"] == sum(counts.values())
        start = next(number for number, line in enumerate(printed) if line.startswith("Group "))
        names = [line.split()[0] for line in printed[start + 1 : start + 5]]
        assert names == [*metrics["groups"], "All"]

    def test_no_text_is_both_learned_and_tested(self, run):
        _, printed = run
        lines = [line for line in printed if "left out of training" in line]
        assert [line.split(":")[0] for line in lines] == ["hotels.csv", "others.csv"]
        assert " in --exclude, " in lines[0] and " 0 in --exclude" not in lines[0]
        assert " (0 in a test split" not in lines[1]

    def test_the_model_names_all_sets(self, run):
        folder, _ = run
        data = load_model(folder / CLASSIFIER, BertClassifier).metadata["data"]
        others = read_labelled(folder / "others.csv", group_column="domain")
        assert (data["name"], data["rows"]) == ("hotels.csv", 180)
        assert data["sha256"] == read_labelled(folder / "hotels.csv").sha256
        assert data["also"] == [{"name": "others.csv", "rows": 280, "sha256": others.sha256, "weight": 0.5}]

    def test_the_weight_has_an_effect(self, finished):
        metrics = [metrics_of(folder) for folder, _ in finished.values()]
        for name in ("test", "baseline"):
            assert metrics[0][name] != metrics[1][name]
        counts = [run["groups"][DOMAINS[0]]["baseline"]["count"] for run in metrics]
        assert counts[0] == counts[1]


class TestDryRun:
    @pytest.fixture
    def arguments(self, tmp_path, monkeypatch, tiny_pretrained):
        monkeypatch.chdir(tmp_path)
        write_sets(tmp_path)
        return ["--dataset", "hotels.csv", "--pretrained", str(tiny_pretrained), "--dry-run"]

    def test_all_texts_are_counted(self, arguments, capsys):
        assert fine_tuning.main([*arguments, "--also", "others.csv"]) == 0
        printed = capsys.readouterr().out
        num_test = 30 + int(printed.split("test (others.csv): ")[1].split()[0])
        assert f" and test on {num_test}.\n" in printed

    def test_without_the_options_nothing_changes(self, arguments, capsys):
        assert fine_tuning.main(arguments) == 0
        names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:4]]
        assert names == ["hotels.csv", "training", "validation", "test"]

    def test_each_fold_and_each_seed_may_have_further_sets(self, arguments, capsys):
        for study in (["--folds", "3"], ["--seeds", "2"], ["--grid", "epochs=1,2"]):
            assert fine_tuning.main([*arguments, "--also", "others.csv=2", *study]) == 0
            assert "others.csv (weight 2): 280 rows" in capsys.readouterr().out

    def test_the_splits_of_several_sets_are_not_saved(self, arguments, capsys):
        with pytest.raises(SystemExit, match="2"):
            fine_tuning.main([*arguments, "--also", "others.csv", "--save-splits", "splits"])
        assert "--save-splits saves the splits of one set" in capsys.readouterr().err

    def test_excluded_texts_are_not_saved(self, arguments, tmp_path):
        assert fine_tuning.main([*arguments, "--exclude", "unwanted.csv", "--save-splits", "splits"]) == 0
        unwanted = set(map(letters, read_labelled("unwanted.csv").texts))
        assert unwanted.isdisjoint(map(letters, read_labelled("splits/train.csv").texts))


def test_the_fingerprints_are_those_of_sets_weights_groups_and_files_of_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sets(tmp_path)

    def fingerprints(*also, **options):
        plan = dataclasses.replace(fine_tuning.PLAN, dataset="hotels.csv", also=list(also), test_size=0.2, **options)
        return tuple(further_fingerprints(plan, read_further_sets(plan, read_rows(plan))))

    found = [fingerprints(), fingerprints("others.csv"), fingerprints("others.csv=2"), fingerprints("sample")]
    found += [fingerprints("others.csv", group_column="domain"), fingerprints(exclude=["unwanted.csv"])]
    write_rows("unwanted.csv", [("别的", 1)])
    found += [fingerprints(exclude=["unwanted.csv"]), fingerprints(prune_vocab=["sample"])]
    assert found[0] == () and len(set(found)) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["others.csv", "unwanted.csv"])
def test_a_run_is_not_resumed_on_other_data(tmp_path, monkeypatch, capsys, tiny_pretrained, changed):
    monkeypatch.chdir(tmp_path)
    write_sets(tmp_path)
    options = ["--dataset", "hotels.csv", "--also", "others.csv", "--exclude", "unwanted.csv"]
    options += ["--pretrained", str(tiny_pretrained), "--epochs", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(training.engine.loop, "print_epoch", InterruptAfter(epochs=2))
        assert fine_tuning.main(options) == 130
    lines = Path(changed).read_text(encoding="utf-8").splitlines(keepends=True)
    Path(changed).write_text("".join(lines[:-1]), encoding="utf-8")
    capsys.readouterr()
    assert fine_tuning.main(["--resume"]) == 1
    assert_one_error(capsys.readouterr().err, "the data has changed since the run was interrupted")
