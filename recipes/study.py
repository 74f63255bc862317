"""A study: one fine-tuning repeated with several seeds, and the mean and standard deviation of its metrics."""

import dataclasses
import json
import logging
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from evaluation.assessment import most_probable_metrics, threshold_key
from evaluation.metrics import classification_metrics
from recipes.fine_tuning import METRICS_NAME, PLOT_NAME, data_sha256, fine_tune
from recipes.run_folder import CHECKPOINT_NAME, PROGRESS_NAME, environment, finish_run, run_in_folder
from serving.predictor import Predictor
from system.errors import InputError
from system.files import write_atomically
from text.dataset.splits import read_rows, rows_of_splits
from text.labels import LabelSet
from training.plans.fine_tuning import FineTuningPlan

STUDY_NAME = "study.json"
MODEL_NAME = "classifier.keras"
PROGRESS_VERSION = 2  # of the file with the results so far; the first version had none
METRIC_TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "roc_auc": "ROC-AUC"}
# The rows of the table, which are the keys of the results in study.json.
BASELINE, MODEL, MODEL_AT_THRESHOLD = "TF-IDF + logistic regression", "Mini-BERT", "Mini-BERT at the threshold"
ONE_WINDOW = "Mini-BERT, first window only"
CONVERSIONS = {"s2t": "in Traditional characters", "s2hk": "in Hong Kong's characters"}  # by conversion of OpenCC

Results = dict[str, dict | None]  # by seed; None for a seed that is trained but not yet tested


def study(
    plan: FineTuningPlan, typed: Mapping[str, object] | None = None, plot_name: str = PLOT_NAME
) -> Results | None:
    """Fine-tune with `plan.seeds` seeds from `plan.seed` on, and print means and deviations of the test metrics.

    The run folder gets study.json with the metrics of all seeds, and for each seed a folder seed-SEED with
    classifier.keras, plots and metrics.json. `plan.output` is not written.

    Args:
        plan: the settings. A resumed study uses those in the run.json of the interrupted one, except for its folder,
            and does not repeat the seeds that are trained.
        typed: the fields that the user set, with their values; a resumed study refuses one that differs.
        plot_name: the file name of the learning curves in each folder.

    Returns:
        The metrics of each seed, by row of the table; None for a dry run.

    Raises:
        InputError: the data, the model or a folder cannot be used, or there is no study to resume.
    """
    with run_in_folder(dataclasses.asdict(plan), typed or {}) as arguments:
        return _study(FineTuningPlan(**arguments), plot_name)


def _study(plan: FineTuningPlan, plot_name: str) -> Results | None:
    folder = Path(plan.run_folder)
    if plan.dry_run:
        fine_tune(_plan_of(plan, plan.seed), plot_name=plot_name)
        print(f"The study would repeat this with {plan.seeds} seeds, from {plan.seed} on, each in a folder of its own.")
        return None
    labelled = read_rows(plan)
    rows = rows_of_splits(labelled, plan).test
    texts, labels = [labelled.texts[row] for row in rows], [int(labelled.labels[row]) for row in rows]
    progress = _Progress(folder / PROGRESS_NAME, data_sha256(labelled, plan.pretrained), plan.resume)
    results = progress.results
    for number, seed in enumerate(range(plan.seed, plan.seed + plan.seeds)):
        if str(seed) not in results:
            print(f"\nSeed {seed}, {number + 1} of {plan.seeds}", flush=True)
            _train(plan, seed, plot_name, is_first=not results)
            progress.record(seed, None)
        if results[str(seed)] is None:
            progress.record(seed, _test(_folder_of(plan, seed), labelled.label_set, texts, labels))
    _print_table(results, len(labels))
    _write(folder / STUDY_NAME, {"seeds": results} | environment())
    finish_run(plan.run_folder)
    print(f"\nModels saved to {folder}/seed-*/{MODEL_NAME}; {STUDY_NAME} in {folder.resolve()}")
    return results


def holds_study(folder: str) -> bool:
    """Return whether a run folder holds an interrupted study."""
    return Path(folder, PROGRESS_NAME).is_file()


class _Progress:
    """The results so far, in a file that exists until the study ends.

    Args:
        sha256: the hash of the data and the pre-trained model.

    Raises:
        InputError: the resumed study began with other data, another model or another version of this project.
    """

    def __init__(self, path: Path, sha256: str, resume: bool) -> None:
        self._path, self._sha256 = path, sha256
        self.results: Results = self._recorded_results() if resume else {}
        self._write()

    def _recorded_results(self) -> Results:
        try:
            recorded = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError:
            recorded = None
        if not isinstance(recorded, dict) or recorded.get("version") != PROGRESS_VERSION:
            problem = "the record of the study is damaged, or of another version of this project"
        elif recorded["data_sha256"] != self._sha256:
            problem = "the data or the pre-trained model has changed since the study began"
        else:
            return recorded["seeds"]
        raise InputError(
            f"{self._path.parent}: {problem}; choose another --run-folder, or delete {self._path} and leave out "
            "--resume"
        )

    def record(self, seed: int, result: dict | None) -> None:
        self.results[str(seed)] = result
        self._write()

    def _write(self) -> None:
        content = {"version": PROGRESS_VERSION, "data_sha256": self._sha256, "seeds": self.results}
        _write(self._path, content)


def _train(plan: FineTuningPlan, seed: int, plot_name: str, is_first: bool) -> None:
    keras.utils.clear_session()  # so that a seed gives what it gives in a process of its own
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of each new compilation
    try:
        run = _plan_of(plan, seed)
        # All fields count as typed, so that only a run of this study is resumed.
        fine_tune(run, dataclasses.asdict(run), plot_name=plot_name)
    except InputError:
        # Nothing is trained yet, so that the user may start again with other options.
        if is_first and not Path(_folder_of(plan, seed), CHECKPOINT_NAME).is_file():
            Path(plan.run_folder, PROGRESS_NAME).unlink(missing_ok=True)
        raise
    except KeyboardInterrupt:
        print(f"The study is saved in {plan.run_folder}; continue it with --resume.", file=sys.stderr)
        raise


def _folder_of(plan: FineTuningPlan, seed: int) -> Path:
    return Path(plan.run_folder, f"seed-{seed}")


def _plan_of(plan: FineTuningPlan, seed: int) -> FineTuningPlan:
    """Return the plan of one run, which resumes its own interrupted run if there is one."""
    folder = _folder_of(plan, seed)
    return dataclasses.replace(
        plan,
        seed=seed,
        seeds=None,
        save_splits=plan.save_splits if seed == plan.seed else None,
        output=str(folder / MODEL_NAME),
        report_folder=str(folder),
        run_folder=str(folder),
        resume=plan.resume and (folder / CHECKPOINT_NAME).is_file(),
    )


def _test(folder: Path, label_set: LabelSet, texts: list[str], labels: list[int]) -> dict[str, dict]:
    """Test the model of one run; return its metrics by row of the table."""
    import opencc  # imported here, because a single run does not need it

    metrics = json.loads((folder / METRICS_NAME).read_text(encoding="utf-8"))

    def measure(predictor: Predictor, texts: list[str]) -> dict:
        # A text without a known token has no probability.
        probabilities = np.nan_to_num(predictor.predict_proba(texts), nan=1 / len(label_set.names))
        return classification_metrics(label_set, labels, probabilities)

    results = {BASELINE: metrics["baseline"], MODEL: most_probable_metrics(metrics["test"])}
    if label_set.is_binary:
        results[MODEL_AT_THRESHOLD] = metrics["test"]["thresholds"][threshold_key(metrics["application_threshold"])]
    results[ONE_WINDOW] = measure(Predictor(folder / MODEL_NAME, windows={"max_windows": 1}), texts)
    predictor = Predictor(folder / MODEL_NAME)
    for conversion, description in CONVERSIONS.items():
        convert = opencc.OpenCC(conversion).convert
        results[description] = measure(predictor, [convert(text) for text in texts])
    return results


def _print_table(results: Results, num_texts: int) -> None:
    runs = list(results.values())
    count = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
    print(f"\n{num_texts:,} test texts; mean ± standard deviation of {count}, and the accuracy of each\n")
    for name in runs[0]:
        cells = (
            f"  {title} {_mean_and_deviation([run[name][metric] for run in runs])}"
            for metric, title in METRIC_TITLES.items()
            if metric in runs[0][name]
        )
        print(f"{name:30}" + "".join(cells))
        print(f"{'':30}  " + ", ".join(f"{run[name]['accuracy']:.4f}" for run in runs))


def _mean_and_deviation(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


def _write(path: Path, content: dict) -> None:
    with write_atomically(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
