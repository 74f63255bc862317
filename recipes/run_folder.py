"""The folder of a run: what it was asked for, with which versions, and what came of it."""

import datetime
import importlib.metadata
import json
import platform
import sys
from pathlib import Path

from system.errors import InputError
from system.files import write_atomically

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "tokenizers", "datasets", "transformers")
CHECKPOINT_NAME = "checkpoint.npz"
PROGRESS_NAME = "study_progress.json"
UNFINISHED_NAMES = (CHECKPOINT_NAME, PROGRESS_NAME)  # a folder with one of them holds an interrupted run or study
RECORD_NAME = "run.json"
# What may differ between an interrupted run and the one that takes it up.
FREE_ARGUMENTS = {"resume", "dry_run", "max_minutes", "run_folder"}


def start_run(arguments: dict, given: dict) -> dict:
    """Prepares the run folder, records arguments and versions in it, and returns the arguments of the run.

    With "resume" they are those of the interrupted run, which the command line may repeat but not change.

    Args:
        arguments: all arguments of the script by name; "run_folder", "resume" and "dry_run" among them.
        given: those that the command line names, which are no defaults.

    Raises:
        InputError: the folder holds an interrupted run that would be lost, or none to resume, or another one.
    """
    folder = Path(arguments["run_folder"])
    if arguments["resume"]:
        return _resumed_arguments(arguments, given, folder)
    if unfinished := _unfinished(folder):
        raise InputError(
            f"{folder} holds an interrupted run: go on with --resume, choose another --run-folder, "
            f"or delete {unfinished}"
        )
    if not arguments["dry_run"]:
        if (folder / RECORD_NAME).is_file():
            print(f"replacing the report of an earlier run in {folder}", file=sys.stderr)
        with write_atomically(folder / RECORD_NAME) as file:
            json.dump({"arguments": arguments} | environment(), file, indent=2, ensure_ascii=False)
            file.write("\n")
    return arguments


def finish_run(folder: str) -> None:
    """Removes the checkpoint of a run that has come to its end."""
    for name in UNFINISHED_NAMES:
        Path(folder, name).unlink(missing_ok=True)


def environment() -> dict:
    """Returns when, on what and with which versions this process runs."""
    import keras

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "backend": keras.backend.backend(),
        "versions": versions,
    }


def _unfinished(folder: Path) -> Path | None:
    """Return the file that an interrupted run has left in its folder, if there is one."""
    return next((folder / name for name in UNFINISHED_NAMES if (folder / name).is_file()), None)


def _resumed_arguments(arguments: dict, given: dict, folder: Path) -> dict:
    try:
        recorded = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))["arguments"]
        foreign = recorded.keys() != arguments.keys()
    except (OSError, ValueError, KeyError):
        raise InputError(f"{folder}: there is no interrupted run to resume") from None
    if not _unfinished(folder):
        raise InputError(f"{folder}: there is no interrupted run to resume; the one there has come to its end")
    if foreign:
        raise InputError(f"{folder} holds the run of another script, or of another version of this one")
    for name, value in given.items():
        if name not in FREE_ARGUMENTS and recorded[name] != value:
            option = "--" + name.replace("_", "-")
            raise InputError(f"the interrupted run in {folder} has {option} {recorded[name]}, not {value}")
    return recorded | {name: arguments[name] for name in FREE_ARGUMENTS & arguments.keys()}
