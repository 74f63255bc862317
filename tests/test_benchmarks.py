"""The benchmarks run and print what they promise; no test depends on a speed."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scripts import assert_one_error

from benchmarks import bert_training, formats, serving
from benchmarks.contenders.serving import repeat_to_file
from benchmarks.endurance import distributed_training, large_corpus, report_page
from benchmarks.measuring.processes import Run, measure
from benchmarks.pretraining import main
from system.errors import InputError
from text.corpus import iter_texts
from text.tokens.tokenizer import SPECIAL_TOKENS

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = ROOT / "tests" / "programs"
MISSING_FOR_SERVING = [package for package in serving.NEEDED if not importlib.util.find_spec(package)]
MISSING = [package for package in ("torch", "transformers", "keras_hub") if not importlib.util.find_spec(package)]


@pytest.fixture
def vocabulary(tmp_path) -> str:
    """A `vocab.txt` with the characters of the sample corpus, each at the beginning of a word and inside one."""
    characters = sorted({character for text in iter_texts(["sample"]) for character in text if not character.isspace()})
    path = tmp_path / "vocab.txt"
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters)]
    path.write_text("\n".join(pieces) + "\n", encoding="utf-8", newline="\n")
    return str(path)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"the other contenders need {', '.join(MISSING)}: requirements-dev.txt")
def test_pretraining_prints_the_speeds_of_three_contenders(vocabulary):
    sizes = ["--steps", "2", "--turns", "1", "--batch-size", "4"]
    tokenizers = ["--tokenizer", vocabulary, "--bert-vocabulary", vocabulary]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.pretraining", *sizes, *tokenizers],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    header, *rows, machine = result.stdout.splitlines()
    assert "real tokens/s" in header
    assert [row[:12].strip() for row in rows] == ["this project", "transformers", "keras_hub"]
    columns = [[float(cell.strip("x").replace(",", "")) for cell in row[12:].split()] for row in rows]
    assert all(tokens > 0 and characters > 0 for tokens, characters, *_ in columns)
    assert columns[0][2:] == [1, 1]
    assert "cores" in machine
    assert "tensorflow" in machine


def test_a_missing_corpus_is_one_error(capsys):
    assert main(["--corpus", "missing.txt"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "missing.txt" in err
    assert err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING_FOR_SERVING), reason=f"needs {', '.join(MISSING_FOR_SERVING)}: requirements-dev.txt")
def test_serving_prints_one_table(tmp_path):
    from tiny_models import classifier  # imported here because it loads Keras

    from network.model_file import save_model
    from serving.export.onnx_file import export_onnx
    from serving.predictor import Predictor

    model = tmp_path / "tiny.keras"
    # The text of the benchmark fits into one window. Equal probabilities mean that both divide by the temperature.
    save_model(classifier({"temperature": 0.5}, max_seq_len=32), model)
    export_onnx(model)
    (prediction,) = Predictor(model).predict([serving.TEXT])
    assert abs(prediction.probability - 0.5) > 10 * serving.TOLERANCE, "the temperature must make a difference"
    reviews = tmp_path / "reviews.csv"
    reviews.write_text(
        "text,label\n房间很干净,1\n隔音太差,0\n早餐真丰富,1\n,0\n前台冷淡，不会再来,0\n", encoding="utf-8"
    )
    sizes = ["--rows", "30", "90", "--file-rows", "20", "--repeats", "1", "--turns", "1"]
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", "--dataset", reviews, "--model", model, *sizes],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    machine, data, blank, header, *lines = result.stdout.splitlines()
    assert re.fullmatch(r".+, \d+ cores, [\d.]+ GiB RAM, Python [\d.]+, onnxruntime [\d.]+", machine)
    assert data == f"reviews.csv, 4 reviews of 5 characters (median); {model}" and not blank
    titles = [line for line in lines if not line.startswith("  ")]
    assert [title.partition(" (")[0] for title in titles] == [
        "One text, the whole process",
        "One text in a running process",
        "A CSV file, reading and writing included",
        "Memory over the length of the file",
    ]
    assert "median of 4, onnx runtime" in titles[1]
    measured = [line for line in lines if line.startswith("  ")]
    names = [re.split(r" {2,}", line.strip())[0] for line in measured]
    assert names == [
        "application.py --text",
        "Keras on TensorFlow, transformers' tokenizer (1)",
        "Predictor.predict([text])",
        "application.py --file, 20 rows",
        "transformers' pipeline on PyTorch, 20 rows",
        "TF-IDF + logistic regression, 20 rows",
        "SnowNLP, 20 rows",
        "application.py --file, 30 rows",
        "application.py --file, 90 rows",
    ]
    speeds = [re.search(r"  ([\d,.]+) (s|ms|reviews/s)(?=  |$)", line) for line in measured]
    assert [speed[2] for speed in speeds] == ["s", "s", "ms"] + ["reviews/s"] * 6
    assert all(float(speed[1].replace(",", "")) > 0 for speed in speeds)
    assert {speed.end() for speed in speeds} == {header.index("speed or time") + len("speed or time")}
    memory = {name: re.search(r"  ([\d.]+) MiB(?=  |$)", line) for name, line in zip(names, measured, strict=True)}
    ends = {found.end() for found in memory.values() if found}
    assert ends == {header.index("peak memory") + len("peak memory")}
    mebibytes = {name: float(found[1]) for name, found in memory.items() if found}
    assert 40 < mebibytes["application.py --text"] < mebibytes["Keras on TensorFlow, transformers' tokenizer (1)"]
    growth = float(re.search(r"([+-][\d.]+)% beside 30 rows", measured[-1])[1])
    expected = 100 * (mebibytes["application.py --file, 90 rows"] / mebibytes["application.py --file, 30 rows"] - 1)
    assert growth == pytest.approx(expected, abs=0.2)
    pipeline = float(re.search(r"ours ([\d.]+)x as fast", measured[4])[1])
    ours, theirs = (float(speeds[index][1].replace(",", "")) for index in (3, 4))
    assert pipeline == pytest.approx(ours / theirs, rel=0.2, abs=0.02)  # the speeds are rounded to whole reviews


def test_the_memory_of_a_process_is_its_own(tmp_path):
    held = b"x" * (300 << 20)  # the memory of this process must not count
    small, large = (measure([str(PROGRAMS / "hold_memory.py"), size], tmp_path) for size in ("0", "100"))
    assert len(held) > 0
    assert (small.output, large.output) == ("0", str(100 << 20))
    assert small.mebibytes < 60
    assert 95 < large.mebibytes - small.mebibytes < 115
    assert small.seconds > 0 and small.cpu_seconds > 0


@pytest.mark.parametrize("end", ["exit", "abort"])
def test_a_process_that_fails_is_not_measured(tmp_path, end):
    with pytest.raises(InputError, match="could not be measured"):
        measure([str(PROGRAMS / "fail.py"), end], tmp_path)


def test_serving_compares_only_equal_probabilities(tmp_path, monkeypatch):
    outputs = iter(['{"probability": 0.7}', '{"probability": 0.8}'])
    monkeypatch.setattr(serving, "measure", lambda arguments, folder: serving.Run(1.0, 1.0, next(outputs)))
    with pytest.raises(InputError, match=r"returns 0\.8000, where the application returns 0\.7000"):
        serving.one_shot_lines(serving.build_parser().parse_args([]), tmp_path)


SMALL_BERT = ["--layers", "1", "--width", "16", "--heads", "2", "--vocab-size", "100", "--length", "16"]


@pytest.mark.slow  # each contender is a process of its own, which compiles its step
@pytest.mark.skipif(bool(MISSING), reason=f"the other contenders need {', '.join(MISSING)}: requirements-dev.txt")
def test_bert_training_prints_the_time_of_a_step_of_each_contender(capfd):
    contenders = ["--contenders", "tensorflow", "transformers", "--steps", "1", "--turns", "1"]
    assert bert_training.main([*SMALL_BERT, *contenders]) == 0
    header, *rows, steps, machine = capfd.readouterr().out.splitlines()
    assert header.endswith("beside this project, tensorflow")
    assert [row[:28].strip() for row in rows] == ["this project, tensorflow", "transformers"]
    measured = [re.fullmatch(r" +([\d.]+) s +([\d.]+) s +([\d.]+)  ([\d.]+)x the time", row[28:]) for row in rows]
    assert all(float(found[3]) > 0 for found in measured)  # a step may be too short for three decimals
    assert measured[0][4] == "1.00"
    assert steps == "16 tokens per row, median of 1 x 1 steps"
    assert machine.startswith("1 encoders of width 16, 100 tokens, 8 rows per step; ")


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"the other contenders need {', '.join(MISSING)}: requirements-dev.txt")
def test_bert_training_prints_the_memory_of_a_step(capfd):
    # JAX, which starts in half the time that TensorFlow takes.
    sizes = ["--contenders", "jax", "transformers", "--steps", "1"]
    assert bert_training.main([*SMALL_BERT, *sizes, "--memory", "16"]) == 0
    _, row, _ = capfd.readouterr().out.splitlines()
    found = re.fullmatch(r"this project, jax +16 +([\d,]+) MiB +([\d,]+) MiB \([+-]\d+%\)", row)
    assert all(int(number.replace(",", "")) > 100 for number in found.groups())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(["--heads", "5"], "--heads 5 does not divide --width 768"), (["--contenders", "keras_hub"], "at least one of")],
)
def test_bert_training_with_wrong_options_is_one_error(capsys, wrong, message):
    assert bert_training.main(wrong) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_a_file_repeats_the_reviews(tmp_path):
    (tmp_path / "reviews.json").write_text(json.dumps({"texts": ["好，很好", '他说"行"'], "labels": [1, 1]}), "utf-8")
    repeat_to_file(tmp_path / "reviews.json", 5, tmp_path / "five.csv")
    assert list(iter_texts([tmp_path / "five.csv"])) == ["好，很好", '他说"行"'] * 2 + ["好，很好"]


def test_serving_without_a_model_is_one_error(capsys):
    assert serving.main(["--model", "missing.keras"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: missing.keras")
    assert err.count("\n") == 1


def test_a_large_corpus_is_made_of_the_sample_and_the_same_each_time(tmp_path):
    for name, size in (("a.txt", 100_000), ("b.txt", 2_000_000)):
        large_corpus.write_corpus(tmp_path / name, size)
        assert size <= (tmp_path / name).stat().st_size < size + 1_000_000
    content = (tmp_path / "b.txt").read_bytes()
    assert content.startswith((tmp_path / "a.txt").read_bytes())
    texts = content.decode().splitlines()
    assert all(texts) and 4 < len(re.findall("[。！？]+", content.decode())) / len(texts) < 8
    sample = "".join(iter_texts(["sample"]))
    assert all(sentence in sample for text in texts[:50] for sentence in large_corpus.SENTENCE.findall(text))


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("500K", 500_000), ("20M", 20_000_000), ("2G", 2_000_000_000)])
def test_sizes_of_corpora(text, size):
    assert large_corpus.parse_size(text) == size


@pytest.mark.parametrize("wrong", ["", "0", "2T", "1.5G", "-1"])
def test_a_size_that_is_none_is_one_error(tmp_path, capsys, wrong):
    assert large_corpus.main([f"--sizes={wrong}", "--folder", str(tmp_path)]) == 1
    assert_one_error(capsys.readouterr().err, "--sizes")


def test_large_corpora_print_a_line_each(tmp_path, monkeypatch, capsys):
    runs = []

    def measured(arguments, folder):
        steps = int(arguments[arguments.index("--max-steps") + 1]) if "--max-steps" in arguments else 0
        is_large = "5M.txt" in arguments[arguments.index("--corpus") + 1]
        runs.append((is_large, steps))
        # Start, compilation and evaluation, and a step that is slower on the large file.
        return Run(0.0, 900 + is_large, "", 20 + steps * (0.3 if is_large else 0.24))

    monkeypatch.setattr(large_corpus, "measure", measured)
    options = ["--sizes", "1M", "5M", "--steps", "10", "--turns", "2", "--folder", str(tmp_path)]
    assert large_corpus.main(options) == 0
    assert runs == [(False, 0), (True, 0), *[(False, 10), (False, 20), (True, 10), (True, 20)] * 2]
    _, *lines = capsys.readouterr().out.splitlines()
    assert [re.split(r" {2,}", line) for line in lines] == [
        ["1M", "20 s CPU", "900 MiB", "240.0 ms CPU", "900 MiB", "1.00x the speed"],
        ["5M", "20 s CPU", "901 MiB", "300.0 ms CPU", "901 MiB", "0.80x the speed"],
    ]


@pytest.mark.slow
def test_the_report_page_of_many_rows_is_measured(capfd):
    assert report_page.main(["--rows", "300"]) == 0
    (line,) = (line for line in capfd.readouterr().out.splitlines() if line.startswith("300 rows: "))
    assert re.fullmatch(
        r"300 rows: a page of 0\.\d\d MB in [\d.]+ s, -?[\d.]+ s more than the predictions; \d+ MiB", line
    )


MISSING_FORMATS = [package for package in formats.NEEDED.values() if not importlib.util.find_spec(package)]


def test_distributed_training_compares_each_number_of_processes_with_the_first(monkeypatch, capsys):
    def run_in_processes(command: list[str], count: int) -> str:
        if "--worker" in command:
            folder = Path(command[command.index("--worker") + 1])
            np.save(folder / distributed_training.GRADIENT_NAME, np.array([3.0, 4.0 + 5e-6 * (count - 1)]))
            return f'a line\n{{"step": 0.5, "all_reduce": {0.001 * count}}}\n'
        folder = Path(command[command.index("--run-folder") + 1])
        (folder / "metrics.json").write_text(json.dumps({"held_out": {"loss": 8 + 0.08 * (count - 1)}}))
        return ""

    monkeypatch.setattr(distributed_training, "run_in_processes", run_in_processes)
    assert distributed_training.main(["--processes", "1", "2", "--loss-steps", "7"]) == 0
    header, alone, two, _ = capsys.readouterr().out.splitlines()
    assert header.endswith("loss after 7 steps")
    assert alone.split() == ["1", "0.500", "s", "0.499", "s", "0.0010", "s", "0.0e+00", "8.000000", "(+0.0e+00)"]
    assert two.split() == ["2", "0.500", "s", "0.498", "s", "0.0020", "s", "1.0e-06", "8.080000", "(+1.0e-02)"]


def test_processes_that_fail_are_one_error(capfd):
    with pytest.raises(InputError, match="2 processes could not be measured"):
        distributed_training.run_in_processes(["no such program"], 2)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING_FORMATS), reason=f"needs {', '.join(MISSING_FORMATS)}: requirements-dev.txt")
def test_formats_print_a_line_each(tiny_emotions, tmp_path, capsys):
    (tmp_path / "texts.csv").write_text("text\n房间很干净\n隔音太差\n早餐真丰富\n", encoding="utf-8")
    sizes = ["--rows", "40", "--turns", "1", "--repeats", "2"]
    assert formats.main(["--texts", str(tmp_path / "texts.csv"), "--model", str(tiny_emotions), *sizes]) == 0
    _, data, blank, header, *lines = capsys.readouterr().out.splitlines()
    assert data == f"{tmp_path / 'texts.csv'}, 40 texts of 5 characters (median); {tiny_emotions}" and not blank
    assert re.split(r" {2,}", header.strip()) == [
        "size",
        "one text",
        "many texts",
        "largest difference",
        "same decisions",
    ]
    rows = {name: cells for name, *cells in (re.split(r" {2,}", line) for line in lines)}
    exact = ["onnx", "openvino", "saved-model", "litert"]
    assert list(rows)[1:] == ["onnx", "onnx int8", "onnx float16-embeddings", *exact[1:]]
    assert list(rows)[0].startswith("keras on ")
    assert rows["onnx"][2] == rows["onnx"][4] == "1.00x"
    for name in exact:
        assert float(rows[name][5]) < 1e-4 and rows[name][6] == "100.00%"
    assert 0 < float(rows["onnx float16-embeddings"][5]) < 0.01


def test_formats_leave_out_what_is_not_installed(tiny_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda package: None)
    _, contenders = formats.prepare(str(tiny_model), tmp_path)
    assert [each.name for each in contenders][1:] == ["onnx", "onnx int8", "onnx float16-embeddings"]
    assert "litert: left out, because ai_edge_litert is not installed" in capsys.readouterr().err


def test_formats_without_a_model_are_one_error(tmp_path, capsys):
    assert formats.main(["--model", str(tmp_path / "missing.keras")]) == 1
    assert_one_error(capsys.readouterr().err, "missing.keras")
