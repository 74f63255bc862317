"""The folder of a run: its arguments, the versions of the libraries, and whether it has finished."""

import contextlib
import datetime
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from system.errors import InputError, OutputError
from system.files import check_writable, write_atomically
from system.libraries import quiet_imports
from system.locks import owned

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "tokenizers", "datasets", "transformers")
CHECKPOINT_NAME = "checkpoint.npz"
PROGRESS_NAME = "study_progress.json"
UNFINISHED_NAMES = (CHECKPOINT_NAME, PROGRESS_NAME)  # a folder with one of them holds an interrupted run or study
RECORD_NAME = "run.json"
FINISHED = "finished"  # the entry of the record that says when the run came to its end
RESUME_ADVICE = "and the same command with --resume goes on with it"
# What may differ between an interrupted run and the one that takes it up.
CHANGEABLE_ON_RESUME = {"resume", "dry_run", "max_minutes", "run_folder"}


@contextlib.contextmanager
def run_in_folder(arguments: dict, given: dict) -> Iterator[dict]:
    """Own the folder and the model file of a run while the block runs, and give the arguments of the run.

    The arguments and the versions of the libraries are recorded in the folder. With "resume" the arguments are those
    of the interrupted run, which the command line may repeat but not change. A dry run owns and records nothing.

    Args:
        arguments: all arguments of the script by name; "run_folder", "resume" and "dry_run" among them.
        given: those that the command line names, which are no defaults.

    Raises:
        InputError: another run owns the folder or the model file, or the folder holds an interrupted run that would be
            lost, or none to resume, or another one.
        OutputError: the block could not write a file; the message says that the run can be resumed, if it can.
    """
    folder = Path(arguments["run_folder"])
    with contextlib.ExitStack() as owners:
        if not arguments["dry_run"]:
            remedy = "wait until it has ended, or choose another --run-folder"
            # By a file inside: the folder that it lies in may be somebody else's.
            owners.enter_context(owned(folder / RECORD_NAME, remedy, name=folder))
        is_resumed = arguments["resume"]
        if is_resumed:
            arguments = _resumed_arguments(arguments, given, folder)
        else:
            _refuse_unfinished(folder)
        if "output" in arguments and not arguments.get("seeds"):  # a study has no model of its own
            owners.enter_context(owned_output(arguments["output"], arguments["dry_run"]))
        if not (is_resumed or arguments["dry_run"]):
            _record_start(folder, arguments)
        try:
            yield arguments
        except (OutputError, OSError) as error:
            # A study and the run of a seed may both say how to go on; once is enough.
            if isinstance(error, BrokenPipeError) or not _unfinished(folder) or RESUME_ADVICE in str(error):
                raise
            raise OutputError(
                f"{error}. Nothing is lost: the state of the training is in {folder}, {RESUME_ADVICE}"
            ) from error


def owned_output(path: str, dry_run: bool = False) -> contextlib.AbstractContextManager:
    """Return what owns the file of a model while a block runs; a dry run owns nothing.

    Raises:
        InputError: another run owns the file.
        OutputError: it cannot be written.
    """
    check_writable(path)
    remedy = "wait until it has ended, or choose another --output"
    return contextlib.nullcontext() if dry_run else owned(path, remedy)


def _refuse_unfinished(folder: Path) -> None:
    if unfinished := _unfinished(folder):
        raise InputError(
            f"{folder} holds an interrupted run: go on with --resume, choose another --run-folder, "
            f"or delete {unfinished}"
        )


def _record_start(folder: Path, arguments: dict) -> None:
    if FINISHED in _record(folder):
        print(f"replacing the report of an earlier run in {folder}", file=sys.stderr)
    _write_record(folder, {"arguments": arguments} | environment())


def finish_run(folder: str) -> None:
    """Record that the run has come to its end, and remove what would resume it."""
    folder = Path(folder)
    _write_record(folder, _record(folder) | {FINISHED: _now()})
    for name in UNFINISHED_NAMES:
        (folder / name).unlink(missing_ok=True)


def environment() -> dict:
    """Return when, on what and with which versions this process runs."""
    with quiet_imports():
        import keras

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "time": _now(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "backend": keras.backend.backend(),
        "versions": versions,
    }


def _unfinished(folder: Path) -> Path | None:
    """Return the file that an interrupted run has left in its folder, if there is one."""
    return next((folder / name for name in UNFINISHED_NAMES if (folder / name).is_file()), None)


def _resumed_arguments(arguments: dict, given: dict, folder: Path) -> dict:
    recorded = _record(folder).get("arguments")
    if not isinstance(recorded, dict):
        raise InputError(f"{folder}: there is no interrupted run to resume")
    if not _unfinished(folder):
        reason = "has come to its end" if FINISHED in _record(folder) else "was ended before it had a checkpoint"
        raise InputError(f"{folder}: there is no interrupted run to resume; the one there {reason}")
    if recorded.keys() != arguments.keys():
        raise InputError(f"{folder} holds the run of another script, or of another version of this one")
    for name, value in given.items():
        if name not in CHANGEABLE_ON_RESUME and recorded[name] != value:
            option = "--" + name.replace("_", "-")
            raise InputError(f"the interrupted run in {folder} has {option} {recorded[name]}, not {value}")
    return recorded | {name: arguments[name] for name in CHANGEABLE_ON_RESUME & arguments.keys()}


def _record(folder: Path) -> dict:
    """Return what is recorded of the run in a folder; nothing where there is none, or a damaged record."""
    try:
        record = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write_record(folder: Path, record: dict) -> None:
    with write_atomically(folder / RECORD_NAME) as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
        file.write("\n")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
