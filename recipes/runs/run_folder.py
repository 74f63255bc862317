"""The folder of a run: its lock, its record in run.json, and what remains of an interrupted run."""

import contextlib
import datetime
import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

from system.command_line import option_name
from system.errors import InputError, OutputError
from system.files import check_writable, previous_path, remove_leftovers, write_atomically
from system.libraries import quiet_imports
from system.locks import owned
from system.output.display import say
from training.engine.distribution.processes import is_main, shared

PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "tokenizers", "datasets", "transformers")
CHECKPOINT_NAME = "checkpoint.npz"
PROGRESS_NAME = "study_progress.json"
PREVIOUS_CHECKPOINT_NAME = previous_path(Path(CHECKPOINT_NAME)).name
# One of these files marks an interrupted run or study.
UNFINISHED_NAMES = (CHECKPOINT_NAME, PREVIOUS_CHECKPOINT_NAME, PROGRESS_NAME)
RECORD_NAME = "run.json"
FINISHED = "finished"  # the key of the time at which the run finished
RESUME_ADVICE = "run the same command with --resume to continue"
# The arguments that a resumed run may change: those of the command, and those that let a training go on that diverged.
CHANGEABLE_ON_RESUME = {"resume", "dry_run", "max_minutes", "run_folder", "distributed"}
LEARNING_RATES = ("learning_rate", "head_learning_rate")


@contextlib.contextmanager
def run_in_folder(arguments: dict, typed: Mapping[str, object], *, has_model: bool = True) -> Iterator[dict]:
    """Lock the folder and the model file of a run while the block runs, and record the run in its folder.

    run.json records the arguments and the versions of the libraries. A dry run locks and records nothing. Of several
    processes the main one does all this; the others get its arguments.

    Args:
        arguments: all arguments of the script by name, with "run_folder", "resume" and "dry_run".
        typed: those that the user set. A resumed run refuses one that differs from the interrupted run.
        has_model: whether the run itself writes the model file "output"; a study leaves that to its runs.

    Yields:
        The arguments of the run; with "resume" those of the interrupted run.

    Raises:
        InputError: another run holds a lock, the folder holds an interrupted run that would be lost, or there is no
            interrupted run of this script, this version and these arguments to resume.
        OutputError: the block could not write a file; the message says so if the run can be resumed.
    """
    if not is_main():
        yield shared(None)
        return
    with _owned_run(arguments, typed, has_model=has_model) as arguments:
        yield shared(arguments)


@contextlib.contextmanager
def _owned_run(arguments: dict, typed: Mapping[str, object], *, has_model: bool) -> Iterator[dict]:
    folder = Path(arguments["run_folder"])
    with contextlib.ExitStack() as owners:
        if not arguments["dry_run"]:
            remedy = "wait until it has ended, or choose another --run-folder"
            # A lock lies beside the locked path. In the run folder this user may write; in its parent perhaps not.
            owners.enter_context(owned(folder / RECORD_NAME, remedy, name=folder))
            remove_leftovers(folder / CHECKPOINT_NAME)
        is_resumed = arguments["resume"]
        if is_resumed:
            arguments = _resumed_arguments(arguments, typed, folder)
        else:
            _refuse_unfinished(folder)
        if has_model and "output" in arguments:
            owners.enter_context(owned_output(arguments["output"], arguments["dry_run"]))
        if not arguments["dry_run"]:
            (_record_learning_rates if is_resumed else _record_start)(folder, arguments)
        try:
            yield arguments
        except (OutputError, OSError) as error:
            # A study runs in a folder and each of its runs in another one: the advice is given once.
            if isinstance(error, BrokenPipeError) or not _unfinished(folder) or RESUME_ADVICE in str(error):
                raise
            raise OutputError(f"{error}. The state of the training is kept in {folder}: {RESUME_ADVICE}") from error


def owned_output(path: str, dry_run: bool = False) -> contextlib.AbstractContextManager:
    """Lock the file of a model while a block runs; a dry run locks nothing.

    Raises:
        InputError: another run holds the lock.
        OutputError: the file cannot be written.
    """
    check_writable(path)
    remedy = "wait until it has ended, or choose another --output"
    return contextlib.nullcontext() if dry_run else owned(path, remedy)


def previous_model_remark(path: str) -> str:
    """Return a remark on the model that a new one at `path` will replace, for the closing line; empty without one."""
    target = Path(path).resolve() if Path(path).is_symlink() else Path(path)
    return f"; the previous model is kept as {previous_path(target)}" if target.is_file() else ""


def _refuse_unfinished(folder: Path) -> None:
    if unfinished := _unfinished(folder):
        raise InputError(
            f"{folder} holds an interrupted run; continue it with --resume, choose another --run-folder, "
            f"or delete {unfinished}"
        )


def _record_start(folder: Path, arguments: dict) -> None:
    if FINISHED in _record(folder):
        say(f"replacing the record of an earlier run in {folder}")
    _write_record(folder, {"arguments": arguments} | environment())


def _record_learning_rates(folder: Path, arguments: dict) -> None:
    record = _record(folder)
    rates = {name: arguments[name] for name in LEARNING_RATES if name in arguments}
    _write_record(folder, record | {"arguments": record["arguments"] | rates})


def finish_run(folder: str) -> None:
    """Record that the run has finished, and remove the files that would resume it."""
    folder = Path(folder)
    _write_record(folder, _record(folder) | {FINISHED: _now()})
    for name in UNFINISHED_NAMES:
        (folder / name).unlink(missing_ok=True)


def has_finished(arguments: dict) -> bool:
    """Return whether a run with these arguments has finished in its folder, by the record there."""
    record = _record(Path(arguments["run_folder"]))
    recorded = record.get("arguments")
    return (
        FINISHED in record
        and isinstance(recorded, dict)
        and recorded.keys() == arguments.keys()
        and all(recorded[name] == value for name, value in arguments.items() if name not in CHANGEABLE_ON_RESUME)
    )


def forget_finished(folder: str) -> None:
    """Remove the record of a finished run, so that it is not mistaken for that of a run to come."""
    if FINISHED in _record(Path(folder)):
        Path(folder, RECORD_NAME).unlink(missing_ok=True)


def environment() -> dict:
    """Return the time, the platform, the backend and the versions of the libraries."""
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
    """Return the file by which an interrupted run can be resumed, if there is one."""
    return next((folder / name for name in UNFINISHED_NAMES if (folder / name).is_file()), None)


def _resumed_arguments(arguments: dict, typed: Mapping[str, object], folder: Path) -> dict:
    recorded = _record(folder).get("arguments")
    if not isinstance(recorded, dict):
        raise InputError(f"{folder}: there is no interrupted run to resume; leave out --resume")
    unfinished = _unfinished(folder)
    if not unfinished:
        reason = "has finished" if FINISHED in _record(folder) else "was interrupted before its first checkpoint"
        raise InputError(f"{folder}: there is no interrupted run to resume: the run there {reason}; leave out --resume")
    if recorded.keys() != arguments.keys():
        raise InputError(
            f"{folder}: the interrupted run there is of another script or of another version of this project "
            f"({_difference(recorded, arguments)}); choose another --run-folder, or delete {unfinished} and leave out "
            "--resume"
        )
    changed = {name: typed[name] for name in LEARNING_RATES if name in typed}
    for name, value in typed.items():
        if name not in CHANGEABLE_ON_RESUME and name not in changed and recorded[name] != value:
            raise InputError(
                f"{folder}: the interrupted run there has {option_name(name)} {recorded[name]}, not {value}; leave the "
                "option out"
            )
    return recorded | changed | {name: arguments[name] for name in CHANGEABLE_ON_RESUME & arguments.keys()}


def _difference(recorded: dict, arguments: dict) -> str:
    """Return how the options of an interrupted run differ from those of this script."""
    differences = (("unknown", recorded.keys() - arguments.keys()), ("missing", arguments.keys() - recorded.keys()))
    return "; ".join(f"{kind}: {', '.join(map(option_name, sorted(names)))}" for kind, names in differences if names)


def _record(folder: Path) -> dict:
    """Return the record of the run in a folder; an empty one where it is missing or damaged."""
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
