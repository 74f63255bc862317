"""Fixtures of several test modules, and the order of the tests."""

import io
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from system.libraries import disable_telemetry

# Before any test loads what would report home.
disable_telemetry()

# Signals that the shell lets its background jobs ignore, or nohup: the tests send them to their processes.
for name, handler in {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}.items():
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, name), handler)

# Small networks take longer to compile than to train, in the processes of the tests too: one thread, and code that is
# not optimized.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
)

# No test asserts a time: machines are busy now and then. Continuous integration tries the same examples each time, so
# that it fails for what a change has done; everybody else searches anew.
hypothesis.settings.register_profile("here", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("here")


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are cores, because tests often wait for another process."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that have slow tests, so that no core waits for one of them at the end."""
    num_slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -num_slow[item.path])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party data beside the repository, which not every machine has."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the third-party data beside the repository (../shared/data) is not here")
    return folder


@pytest.fixture
def quickly() -> Iterator[None]:
    """Run the training steps of a test without compiling them; see `small_runs.step_by_step`."""
    from small_runs import step_by_step

    with step_by_step():
        yield


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment of a script that a person starts, without what this process and its terminal have set."""
    unwanted = ("TF_CPP_MIN_LOG_LEVEL", "NO_COLOR")
    return {name: value for name, value in os.environ.items() if name not in unwanted} | {"TERM": "xterm-256color"}


@pytest.fixture(scope="session")
def written_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that returns the path of a file, which one worker writes for all, into a folder of its own."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder

    def written(name: str, write: Callable[[Path], object]) -> Path:
        path = folder / f"{name}-for-all" / name
        finished = path.with_name("finished")
        with FileLock(folder / f"{name}.lock"):
            if not finished.exists():
                path.parent.mkdir(exist_ok=True)
                write(path)
                finished.touch()
        return path

    return written


@pytest.fixture(scope="session")
def tiny_pretrained(written_once) -> Path:
    """The `.keras` file of a small model to fine-tune, which reads 32 tokens at once."""
    from tiny_models import masked_lm

    from network.model_file import save_model

    return written_once("mini_bert_zh_hk.keras", lambda path: save_model(masked_lm(max_seq_len=32), path))


@pytest.fixture(scope="session")
def tiny_model(written_once) -> Path:
    """A `.keras` file with its `.onnx` twin: an untrained classifier that reads 16 tokens at once."""
    from tiny_models import save_classifier

    return written_once("tiny.keras", lambda path: save_classifier(path, labels=["负面", "正面"], threshold=0.4))


@pytest.fixture(scope="session")
def tiny_emotions(written_once) -> Path:
    """A `.keras` file with its `.onnx` twin: an untrained classifier of six emotions that reads 16 tokens at once."""
    from tiny_models import EMOTIONS, save_classifier

    return written_once("emotions.keras", lambda path: save_classifier(path, labels=list(EMOTIONS), temperature=0.5))


@pytest.fixture(scope="session")
def tiny_aspects(written_once) -> Path:
    """A `.keras` file with its `.onnx` twin: an untrained classifier of several aspects a text that reads 16 tokens."""
    from tiny_models import ASPECT_THRESHOLDS, ASPECTS, save_classifier

    metadata = {"labels": list(ASPECTS), "multi_label": True, "threshold": list(ASPECT_THRESHOLDS), "temperature": 0.5}
    return written_once("aspects.keras", lambda path: save_classifier(path, **metadata))


@pytest.fixture
def count_bytes_read(monkeypatch) -> Counter:
    """How many bytes of each file are read from now on, through `open`."""
    counted, builtin_open = Counter(), open

    class CountedFile(io.FileIO):
        def readinto(self, buffer):
            number = super().readinto(buffer)
            counted[Path(self.name)] += number
            return number

    def counting_open(path, mode="r", encoding=None, errors=None, newline=None, **options):
        if mode not in ("r", "rb"):
            return builtin_open(path, mode, encoding=encoding, errors=errors, newline=newline, **options)
        file = io.BufferedReader(CountedFile(path))
        return file if mode == "rb" else io.TextIOWrapper(file, encoding, errors, newline)

    monkeypatch.setattr("builtins.open", counting_open)
    return counted
