"""The script pretrain.py as a person runs it: in a folder of its own, killed and resumed."""

import dataclasses
import errno
import json
import os
import re
import signal
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from interrupted_runs import epochs_printed, progress_of, run_until_killed
from PIL import Image
from scripts import assert_same_weights, run
from tiny import sample_tokenizer

import pretrain
from network.backbone import BertConfig
from network.bert import BertMaskedLM
from network.model_file import load_model
from recipes.pretraining import SENTENCES
from recipes.runs.run_folder import CHECKPOINT_NAME, RECORD_NAME
from system.command_line import option_name
from text.corpus import iter_texts

# One encoder: XLA compiles it in half the time.
SIZES = ["--num-layers", "1", "--d-model", "16", "--dff", "32", "--max-seq-len", "32"]
EPOCHS = 2
METRICS = ["loss", "masked_accuracy", "val_loss", "val_masked_accuracy", "val_perplexity"]
# Most tests wait for the compilation of the first step, which is faster without XLA.
QUICK = ["--no-xla", "--max-steps", "2"]
PROGRESS = re.compile(r"(packing|epoch \d+): .*it/s.*|(packing|epoch \d+): .*(documents|tokens)(/s)?.*|\s*")


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(sample_tokenizer().to_str(), encoding="utf-8", newline="\n")
    return path


@pytest.fixture
def arguments(tokenizer_file):
    return ["--corpus", "sample", "--tokenizer", str(tokenizer_file), *SIZES]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to run `pretrain.main` in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights_of(path):
    return load_model(path, BertMaskedLM).get_weights()


def metrics_of(folder):
    return json.loads((folder / "runs/pretraining/metrics.json").read_text(encoding="utf-8"))


def assert_one_error(standard_error, *words):
    """Check that standard error ends in one sentence, with nothing but progress before it."""
    *before, error = standard_error.splitlines()
    assert error.startswith("error: ")
    assert all(PROGRESS.fullmatch(piece) for line in before for piece in line.split("\r"))
    for word in words:
        assert word in error


class TestArguments:
    def test_help_shows_every_default(self, monkeypatch, capsys):
        monkeypatch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit, match="0"):
            pretrain.main(["--help"])
        shown = " ".join(capsys.readouterr().out.split())
        defaults = dataclasses.asdict(pretrain.PLAN)
        described = {"corpus": pretrain.CORPUS, "dropout_rate": "0", "checkpoint_seconds": "60"}
        described |= {name: r"from --preset, \d+ for mini, \d+ for small" for name in pretrain.PLAN.sizes}
        for name, default in defaults.items():
            words = described.get(name, r"[\w ]+" if default in (None, []) else re.escape(str(default)))
            ending = "" if default is False else rf"(?:(?! --).)*\(default: {words}\)"  # a switch is off by default
            assert re.search(rf"{option_name(name)}\b {ending}", shown), name

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--epochs", "0"],
            ["--batch-size", "many"],
            ["--learning-rate", "-1"],
            ["--learning-rate", "nan"],
            ["--mask-rate", "1"],
            ["--held-out-fraction", "0"],
            ["--dropout-rate", "1.5"],
            ["--max-minutes", "0"],
            ["--precision", "float8"],
            ["--seed", "-1"],
            ["--pretrained", "model.keras", "--d-model", "32"],
            ["--seed", "4294967296"],
            ["--corpus"],
            ["stray"],
        ],
    )
    def test_wrong_arguments(self, here, capsys, wrong):
        with pytest.raises(SystemExit, match="2"):
            pretrain.main(wrong)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert wrong[0] in captured.err.splitlines()[-1]
        assert list(here.iterdir()) == []

    @pytest.mark.parametrize(
        ("sizes", "word"), [(["--num-heads", "3"], "--num-heads 3"), (["--max-seq-len", "2"], "--max-seq-len 2")]
    )
    def test_sizes_that_do_not_fit(self, here, capsys, arguments, sizes, word):
        assert pretrain.main([*arguments, *sizes]) == 1
        assert_one_error(capsys.readouterr().err, word)

    @pytest.mark.parametrize("content", [None, "", "\n\n", "一行而已\n"])
    def test_a_corpus_without_text(self, here, capsys, arguments, content):
        if content is not None:
            Path("corpus.txt").write_text(content, encoding="utf-8")
        assert pretrain.main([*arguments, "--corpus", "corpus.txt"]) == 1
        captured = capsys.readouterr()
        assert "model:" not in captured.out
        assert_one_error(captured.err, "corpus.txt", "sample" if content is None else "too little text")
        assert not Path("mini_bert_zh_hk.keras").exists()

    def test_a_file_that_is_not_a_tokenizer(self, here, capsys, arguments):
        Path("tokenizer.json").write_text("{}", encoding="utf-8")
        assert pretrain.main([*arguments, "--tokenizer", "tokenizer.json"]) == 1
        assert_one_error(capsys.readouterr().err, "tokenizer.json")

    def test_an_output_that_cannot_be_written(self, here, capsys, arguments):
        assert pretrain.main([*arguments, "--output", str(here)]) == 1
        assert_one_error(capsys.readouterr().err, "folder")

    def test_without_a_network(self, tmp_path):
        process = run("pretrain.py", [], tmp_path)
        assert process.returncode == 1
        assert process.stdout == ""
        assert_one_error(process.stderr, pretrain.CORPUS, "--corpus sample", "HF_ENDPOINT")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tokenizer_file):
    """The folder and the process of an undisturbed run, compiled with XLA, with dropout."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run("pretrain.py", disturbable(tokenizer_file), folder)


def disturbable(tokenizer_file):
    """The arguments of a run with many short batches, which writes its checkpoint after each of them."""
    sizes = ["--batch-size", "8", "--dropout-rate", "0.1", "--epochs", str(EPOCHS), "--checkpoint-seconds", "0.0001"]
    return ["--corpus", "sample", "--tokenizer", str(tokenizer_file), *SIZES, *sizes]


@pytest.mark.slow
class TestWholeRun:
    def test_what_is_printed(self, finished):
        _, process = finished
        assert process.returncode == 0, process.stderr
        lines = process.stdout.splitlines()
        assert re.fullmatch(r"training: \d+ documents, [\d,]+ characters, [\d,]+ tokens \(.*\), \d+ rows", lines[0])
        assert re.fullmatch(r"held out: \d+ documents, .* rows", lines[1])
        assert "parameters" in lines[2]
        epochs, last = lines[3:-1], lines[-1]
        assert len(epochs) == EPOCHS * (1 + len(SENTENCES))
        for number in range(EPOCHS):
            metrics, *blanks = epochs[number * (1 + len(SENTENCES)) :][: 1 + len(SENTENCES)]
            head, _, *shown = metrics.split(" - ")
            assert head == f"Epoch {number + 1}/{EPOCHS}"
            assert [metric.split(": ")[0] for metric in shown] == METRICS
            for sentence, line in zip(SENTENCES, blanks, strict=True):
                assert re.fullmatch(rf"  {sentence}  →  (\S+ \d+%(  )?){{3}}", line)
        files = "pretraining_curves.png and metrics.json"
        assert last == f"Model saved to mini_bert_zh_hk.keras; {files} in {finished[0] / 'runs/pretraining'}"

    def test_nothing_but_progress_on_standard_error(self, finished):
        _, process = finished
        pieces = re.split(r"[\r\n]+", process.stderr)
        assert [piece for piece in pieces if not PROGRESS.fullmatch(piece)] == []
        assert any(piece.startswith(f"epoch {EPOCHS}:") for piece in pieces)

    def test_what_is_written(self, finished):
        folder, _ = finished
        names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        run_folder = ("metrics.json", "pretraining_curves.png", RECORD_NAME)
        assert {name for name in names if not name.startswith("runs/cache")} == {
            "mini_bert_zh_hk.keras",
            *(f"runs/pretraining/{name}" for name in run_folder),
        }
        with Image.open(folder / "runs/pretraining/pretraining_curves.png") as plot:
            plot.verify()
            assert plot.format == "PNG" and plot.width >= 1500
        record = json.loads((folder / "runs/pretraining" / RECORD_NAME).read_text(encoding="utf-8"))
        assert record["arguments"]["batch_size"] == 8
        assert record["arguments"]["learning_rate"] == pretrain.LEARNING_RATE

    def test_metrics(self, finished):
        folder, process = finished
        metrics = metrics_of(folder)
        assert list(metrics["history"]) == METRICS
        assert [len(values) for values in metrics["history"].values()] == [EPOCHS] * len(METRICS)
        losses = metrics["history"]["loss"]
        assert losses[0] < np.log(sample_tokenizer().get_vocab_size()) + 0.2
        assert losses[-1] < losses[0] - 0.3
        perplexity = metrics["history"]["val_perplexity"][-1]
        assert perplexity == pytest.approx(np.exp(metrics["history"]["val_loss"][-1]))
        assert metrics["held_out"] == {
            name: metrics["history"][f"val_{name}"][-1] for name in ("loss", "perplexity", "masked_accuracy")
        }
        assert f"val_perplexity: {perplexity:.4f}" in process.stdout
        assert metrics["epochs"] == EPOCHS
        assert metrics["corpus"]["sources"] == ["sample"]

    def test_the_model(self, finished, tokenizer_file):
        folder, _ = finished
        model = load_model(folder / "mini_bert_zh_hk.keras", BertMaskedLM)
        assert (model.config.vocab_size, model.config.d_model, model.config.max_seq_len) == (
            sample_tokenizer().get_vocab_size(),
            16,
            32,
        )
        assert model.tokenizer_json == tokenizer_file.read_text(encoding="utf-8")
        assert model.metadata["held_out"] == metrics_of(folder)["held_out"]
        assert model.metadata["corpus"]["sources"] == ["sample"]


@pytest.fixture(scope="module")
def killed(tmp_path_factory, tokenizer_file):
    """The folder of a run that was killed in its first epoch."""
    folder = tmp_path_factory.mktemp("killed")
    run_until_killed("pretrain", 0, 7, disturbable(tokenizer_file), folder)
    assert progress_of(folder / "runs/pretraining" / CHECKPOINT_NAME) == (0, 7)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
class TestKilledRun:
    def test_starting_over_is_refused(self, killed, arguments, monkeypatch, capsys):
        monkeypatch.chdir(killed)
        assert pretrain.main(arguments) == 1
        assert_one_error(capsys.readouterr().err, "--resume", "--run-folder")
        assert not Path("mini_bert_zh_hk.keras").exists()

    def test_another_batch_size_is_refused(self, killed, monkeypatch, capsys):
        monkeypatch.chdir(killed)
        assert pretrain.main(["--resume", "--batch-size", "5"]) == 1
        assert_one_error(capsys.readouterr().err, "--batch-size 8, not 5")

    def test_ends_as_if_it_had_never_been_killed(self, killed, finished, tokenizer_file, monkeypatch, capsys):
        monkeypatch.chdir(killed)
        assert pretrain.main(["--resume", *disturbable(tokenizer_file)]) == 0
        assert epochs_printed(capsys.readouterr().out) == [f"Epoch {number + 1}/{EPOCHS}" for number in range(EPOCHS)]
        assert metrics_of(killed)["history"] == metrics_of(finished[0])["history"]
        assert_same_weights("mini_bert_zh_hk.keras", finished[0] / "mini_bert_zh_hk.keras")
        assert not (killed / "runs/pretraining" / CHECKPOINT_NAME).exists()
        assert pretrain.main(["--resume"]) == 1
        assert_one_error(capsys.readouterr().err, "no interrupted run")


class TestDryRun:
    def test_it_trains_nothing(self, here, arguments, capsys):
        assert pretrain.main([*arguments, "--dry-run"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in lines] == ["training", "held out", "model", "dry run"]
        assert [path.name for path in here.rglob("*") if "cache" not in path.parts] == ["runs"]

    def test_excluded_texts_are_left_out(self, here, arguments, capsys):
        texts = list(iter_texts(["sample"]))
        Path("test.csv").write_text("\n".join(["text", *(f'"{text}！"' for text in texts[:100])]), encoding="utf-8")
        assert pretrain.main([*arguments, "--exclude", "test.csv", "--dry-run"]) == 0
        lines = capsys.readouterr().out.splitlines()
        documents = [int(re.search(r": ([\d,]+) documents", line)[1]) for line in lines[:2]]
        assert sum(documents) == len(texts) - 100

    def test_a_preset_and_another_width(self, here, tokenizer_file, capsys):
        arguments = ["--corpus", "sample", "--tokenizer", str(tokenizer_file), "--preset", "small", "--dry-run"]
        assert pretrain.main(arguments) == 0
        assert pretrain.main([*arguments, "--d-model", "32"]) == 0
        shown = re.findall(r"model: ([\d,]+) parameters", capsys.readouterr().out)
        vocab_size = sample_tokenizer().get_vocab_size()
        configs = [BertConfig(vocab_size, d_model=width, num_layers=4, dff=512) for width in (128, 32)]
        assert shown == [f"{BertMaskedLM(config).count_params():,}" for config in configs]


@pytest.mark.slow
@pytest.mark.usefixtures("quickly")
class TestOptions:
    def test_a_full_disk_at_the_end(self, here, arguments, monkeypatch, capsys):
        def fail(model, path, **options):
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        Path("model.keras").write_text("earlier", encoding="utf-8")
        with monkeypatch.context() as patch:
            patch.setattr(BertMaskedLM, "save", fail)
            assert pretrain.main([*arguments, *QUICK, "--output", "model.keras", "--run-folder", "one"]) == 1
        output = capsys.readouterr()
        assert "Epoch 1/1" in output.out
        for words in ("cannot write model.keras: No space left on device", "is kept in one", "--resume"):
            assert words in output.err.splitlines()[-1]
        assert Path("model.keras").read_text(encoding="utf-8") == "earlier"
        assert not Path("model.previous.keras").exists()

        assert pretrain.main(["--resume", "--run-folder", "one"]) == 0
        printed = capsys.readouterr().out
        assert "Epoch 1/1" not in printed, "the training is not repeated"
        assert printed.splitlines()[-1].endswith("; the previous model is kept as model.previous.keras")
        assert zipfile.is_zipfile("model.keras")
        assert Path("model.previous.keras").read_text(encoding="utf-8") == "earlier"

    def test_max_minutes(self, here, arguments, capsys):
        options = ["--no-xla", "--epochs", "100000", "--max-minutes", "0.02"]
        assert pretrain.main([*arguments, *options]) == 0
        assert len(metrics_of(here)["history"]["loss"]) < 100_000
        assert weights_of("mini_bert_zh_hk.keras")

    def test_whole_words_in_short_rows_for_more_steps_than_an_epoch_has(self, here, arguments, capsys):
        # All rows make one batch, so that each epoch has one step.
        options = ["--whole-words", "--max-seq-len", "6", "--no-xla", "--batch-size", "100000", "--max-steps", "3"]
        assert pretrain.main([*arguments, *options]) == 0
        assert list(Path("runs/cache").rglob("train_continues_word.npy"))
        printed = capsys.readouterr().out
        assert SENTENCES[0] in printed  # which is longer than a row
        assert epochs_printed(printed)[-1] == "Epoch 3/3"

    def test_training_continues_from_a_model(self, here, arguments, finished):
        pretrained = finished[0] / "mini_bert_zh_hk.keras"
        tiny_steps = ["--learning-rate", "1e-9", "--batch-size", "64"]
        assert pretrain.main(["--corpus", "sample", "--pretrained", str(pretrained), *QUICK, *tiny_steps]) == 0
        for value, other in zip(weights_of("mini_bert_zh_hk.keras"), weights_of(pretrained), strict=True):
            np.testing.assert_allclose(value, other, atol=1e-6)
        held_out, expected = (metrics_of(folder)["history"]["val_loss"][-1] for folder in (here, finished[0]))
        assert held_out == pytest.approx(expected, rel=0.02)

    def test_precision(self, here, arguments):
        assert pretrain.main([*arguments, *QUICK, "--precision", "mixed_float16"]) == 0
        assert keras.config.dtype_policy().name == "float32", "the precision is that of the run alone"
        model = load_model("mini_bert_zh_hk.keras", BertMaskedLM)
        assert model.get_layer("transformer_encoder").compute_dtype == "float32"
        assert all(np.isfinite(weights).all() for weights in model.get_weights())

    def test_a_learning_rate_that_breaks_the_run(self, here, arguments, capsys):
        broken = [*arguments, "--no-xla", "--max-steps", "4", "--learning-rate", "1e30"]
        assert pretrain.main(broken) == 1
        assert_one_error(capsys.readouterr().err, "learning rate")
        assert not Path("mini_bert_zh_hk.keras").exists()
        # The user can follow the advice at once.
        assert pretrain.main([*arguments, "--learning-rate", "0.001", "--dry-run"]) == 0

    def test_a_damaged_model_to_continue_from(self, here, capsys):
        Path("model.keras").write_bytes(b"no model")
        assert pretrain.main(["--corpus", "sample", "--pretrained", "model.keras"]) == 1
        assert_one_error(capsys.readouterr().err, "model.keras")
