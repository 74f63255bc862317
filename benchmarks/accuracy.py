"""Fine-tunes with several seeds, and prints the mean and the deviation of the test's figures beside the baseline.

    python -m benchmarks.accuracy --dataset reviews.csv -- --unfreeze all --learning-rate 3e-4

What stands behind `--` goes to fine_tuning.py. Each model is tested on the reviews as they are, on their first windows
alone and, by what the tokenizer makes of them, on the same reviews in Traditional characters.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from system.command_line import exits_with_status, seed, share
from system.errors import InputError
from system.libraries import quiet_imports
from text.dataset import TEST_SIZE, split_rows
from text.sources import read_labelled

ROOT = Path(__file__).resolve().parents[1]
SEEDS = [42, 43, 44, 45, 46]
OWN_OPTIONS = ("--dataset", "--seed", "--output", "--report-folder", "--run-folder", "--resume", "--dry-run")
FIGURES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "roc_auc": "ROC-AUC"}
VARIANTS = {"s2t": "in Traditional characters", "s2hk": "the same, of Hong Kong"}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--dataset", default="sample", metavar="SOURCE", help="as fine_tuning.py takes it")
    parser.add_argument("--seeds", type=seed, nargs="+", default=SEEDS, help="a run of fine_tuning.py for each")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the models and their figures there")
    parser.add_argument("options", nargs="*", metavar="-- OPTION", help="for fine_tuning.py")
    return parser


@exits_with_status
def main(argv=None) -> None:
    args = build_parser().parse_args(argv)
    if refused := [option for option in args.options if option in OWN_OPTIONS]:
        raise InputError(f"{', '.join(refused)}: this benchmark gives fine_tuning.py its own")
    texts, labels = _test_part(args.dataset, args.options)
    with tempfile.TemporaryDirectory() as temporary:
        results = [
            _fine_tune_and_test(args, number, Path(args.keep or temporary, f"seed-{number}"), texts, labels)
            for number in tqdm(args.seeds, desc="seeds", unit=" runs")
        ]
    print(f"{len(labels):,} test reviews; mean ± deviation of {len(results)} seeds; each accuracy\n")
    for name in results[0]:
        cells = [_mean_and_deviation([result[name][figure] for result in results]) for figure in FIGURES]
        accuracies = ", ".join(f"{result[name]['accuracy']:.4f}" for result in results)
        print(f"{name:30}" + "".join(f"  {title} {cell}" for title, cell in zip(FIGURES.values(), cells, strict=True)))
        print(f"{'':30}  {accuracies}")


def _mean_and_deviation(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values) if len(values) > 1 else 0:.3f}"


def _test_part(dataset: str, options: list[str]) -> tuple[list[str], list[int]]:
    """Returns the texts and the labels that fine_tuning.py tests on."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--test-size", type=share, default=TEST_SIZE)
    for name in ("--text-column", "--label-column", "--group-column"):
        parser.add_argument(name)
    chosen, _ = parser.parse_known_args(options)
    labelled = read_labelled(dataset, chosen.text_column, chosen.label_column, chosen.group_column)
    rows = split_rows(labelled, chosen.test_size)[1]
    return [labelled.texts[row] for row in rows], [int(labelled.labels[row]) for row in rows]


def _fine_tune_and_test(args, number: int, folder: Path, texts: list[str], labels: list[int]) -> dict[str, dict]:
    """Returns the figures of one seed, by the name of what was tested on what."""
    import opencc

    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "classifier.keras"
    script = [sys.executable, str(ROOT / "fine_tuning.py"), "--dataset", args.dataset, "--seed", str(number)]
    places = ["--output", str(model), "--report-folder", str(folder), "--run-folder", str(folder / "run")]
    process = subprocess.run([*script, *places, *args.options], capture_output=True, encoding="utf-8")
    if process.returncode:
        last_line = (process.stderr.strip() or f"exit status {process.returncode}").splitlines()[-1]
        raise InputError(f"fine_tuning.py failed: {last_line}")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    figures = {
        "TF-IDF + logistic regression": metrics["baseline"],
        "Mini-BERT": metrics["test"]["at_half"],
        "Mini-BERT at the threshold": metrics["test"]["at_threshold"],
    }
    with quiet_imports():
        from evaluation.metrics import binary_metrics
        from serving.predictor import Predictor

    def test(predictor, texts):
        # A text of which the model knows nothing has no probability.
        probabilities = [0.5 if one.probability is None else one.probability for one in predictor.predict(texts)]
        return binary_metrics(labels, probabilities, 0.5)

    figures["reading one window only"] = test(Predictor(model, windows={"max_windows": 1}), texts)
    predictor = Predictor(model)
    for table, description in VARIANTS.items():
        convert = opencc.OpenCC(table).convert
        figures[description] = test(predictor, [convert(text) for text in texts])
    return figures


if __name__ == "__main__":
    sys.exit(main())
