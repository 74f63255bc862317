"""A study: the same fine-tuning with several seeds, and the means and deviations of its metrics."""

import dataclasses
import json
import logging
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from evaluation.metrics import binary_metrics
from recipes.fine_tuning import METRICS_NAME, PLOT_NAME, data_sha256, fine_tune
from recipes.run_folder import CHECKPOINT_NAME, PROGRESS_NAME, environment, finish_run, run_in_folder
from serving.predictor import Predictor
from system.errors import InputError
from system.files import write_atomically
from text.dataset import split_rows
from text.sources import read_labelled
from training.plans import FineTuningPlan

STUDY_NAME = "study.json"
MODEL_NAME = "classifier.keras"
METRICS = {"accuracy": "accuracy", "macro_f1": "macro-F1", "roc_auc": "ROC-AUC"}
BASELINE, AT_HALF, AT_THRESHOLD = "TF-IDF + logistic regression", "Mini-BERT", "Mini-BERT at the threshold"
ONE_WINDOW = "reading one window only"
CHARACTERS = {"s2t": "in Traditional characters", "s2hk": "the same, of Hong Kong"}  # by table of OpenCC

Results = dict[str, dict | None]  # by seed; a seed that is trained and not yet tested has None


def study(
    plan: FineTuningPlan, typed: Mapping[str, object] | None = None, plot_name: str = PLOT_NAME
) -> Results | None:
    """Fine-tune with the seeds from `plan.seed` on, and print and write means and deviations of the test's metrics.

    Each run has the folder seed-SEED in the run folder, which keeps its model as classifier.keras, its plots and its
    metrics.json. `plan.output` is not written. study.json in the run folder holds the metrics of all seeds.

    Args:
        plan: a resumed study takes all but the folder from the run.json of the interrupted one, and trains no seed
            that has been trained.
        typed: the values of the plan that a resumed study must share with the interrupted one, by field.
        plot_name: the file of the learning curves in each folder.

    Returns:
        The metrics of each seed, by what was tested; None for a dry run.

    Raises:
        InputError: a run cannot be made, or there is no study to resume.
    """
    with run_in_folder(dataclasses.asdict(plan), typed or {}) as arguments:
        return _study(FineTuningPlan(**arguments), plot_name)


def _study(plan: FineTuningPlan, plot_name: str) -> Results | None:
    folder = Path(plan.run_folder)
    if plan.dry_run:
        return fine_tune(_plan_of(plan, plan.seed), plot_name=plot_name)
    labelled = read_labelled(plan.dataset, plan.text_column, plan.label_column, plan.group_column)
    rows = split_rows(labelled, plan.test_size)[1]
    texts, labels = [labelled.texts[row] for row in rows], [int(labelled.labels[row]) for row in rows]
    progress = _Progress(folder / PROGRESS_NAME, data_sha256(labelled, plan.pretrained), plan.resume)
    results = progress.results
    for number, seed in enumerate(range(plan.seed, plan.seed + plan.seeds)):
        if str(seed) not in results:
            print(f"\nSeed {seed}, {number + 1} of {plan.seeds}", flush=True)
            _train(plan, seed, plot_name, is_first=not results)
            progress.keep(seed, None)
        if results[str(seed)] is None:
            progress.keep(seed, _test(_folder_of(plan, seed), texts, labels))
    _print_table(results, len(labels))
    _write(folder / STUDY_NAME, {"seeds": results} | environment())
    finish_run(plan.run_folder)
    print(f"\nModels saved to {folder}/seed-*/{MODEL_NAME}; {STUDY_NAME} in {folder.resolve()}")
    return results


def holds_study(folder: str) -> bool:
    """Return whether a run folder holds an interrupted study."""
    return Path(folder, PROGRESS_NAME).is_file()


class _Progress:
    """The results so far, in a file that is there until the study ends.

    Raises:
        InputError: the study began with other data or another model.
    """

    def __init__(self, path: Path, sha256: str, resume: bool):
        self._path, self._sha256 = path, sha256
        self.results: Results = {}
        if resume:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["data_sha256"] != sha256:
                raise InputError(f"{path.parent}: the data or the pre-trained model has changed since the study began")
            self.results = kept["seeds"]
        self._write()

    def keep(self, seed: int, result: dict | None) -> None:
        self.results[str(seed)] = result
        self._write()

    def _write(self) -> None:
        _write(self._path, {"data_sha256": self._sha256, "seeds": self.results})


def _train(plan: FineTuningPlan, seed: int, plot_name: str, is_first: bool) -> None:
    keras.utils.clear_session()  # a run in a process of its own would give the same
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns that each model is compiled anew
    try:
        run = _plan_of(plan, seed)
        # All of it is given: a run that is resumed must have been of this study.
        fine_tune(run, dataclasses.asdict(run), plot_name=plot_name)
    except InputError:
        # Nothing is lost: the study can be started again with other options.
        if is_first and not Path(_folder_of(plan, seed), CHECKPOINT_NAME).is_file():
            Path(plan.run_folder, PROGRESS_NAME).unlink(missing_ok=True)
        raise
    except KeyboardInterrupt:
        print(f"The study is kept in {plan.run_folder}: --resume goes on with it.", file=sys.stderr)
        raise


def _folder_of(plan: FineTuningPlan, seed: int) -> Path:
    return Path(plan.run_folder, f"seed-{seed}")


def _plan_of(plan: FineTuningPlan, seed: int) -> FineTuningPlan:
    """Return the plan of one run, which goes on where an interrupted one ended."""
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


def _test(folder: Path, texts: list[str], labels: list[int]) -> dict[str, dict]:
    """Return the metrics of one run, by what was tested on what."""
    import opencc  # only here: a single run does without

    metrics = json.loads((folder / METRICS_NAME).read_text(encoding="utf-8"))

    def measure(predictor: Predictor, texts: list[str]) -> dict:
        # A text of which the model knows nothing has no probability.
        return binary_metrics(labels, np.nan_to_num(predictor.predict_proba(texts), nan=0.5), 0.5)

    results = {
        BASELINE: metrics["baseline"],
        AT_HALF: metrics["test"]["at_half"],
        AT_THRESHOLD: metrics["test"]["at_threshold"],
        ONE_WINDOW: measure(Predictor(folder / MODEL_NAME, windows={"max_windows": 1}), texts),
    }
    predictor = Predictor(folder / MODEL_NAME)
    for table, description in CHARACTERS.items():
        convert = opencc.OpenCC(table).convert
        results[description] = measure(predictor, [convert(text) for text in texts])
    return results


def _print_table(results: Results, num_texts: int) -> None:
    runs = list(results.values())
    print(f"\n{num_texts:,} test reviews; mean ± deviation of {len(runs)} seeds; each accuracy\n")
    for name in runs[0]:
        cells = [_mean_and_deviation([run[name][metric] for run in runs]) for metric in METRICS]
        accuracies = ", ".join(f"{run[name]['accuracy']:.4f}" for run in runs)
        print(f"{name:30}" + "".join(f"  {title} {cell}" for title, cell in zip(METRICS.values(), cells, strict=True)))
        print(f"{'':30}  {accuracies}")


def _mean_and_deviation(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


def _write(path: Path, content: dict) -> None:
    with write_atomically(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
