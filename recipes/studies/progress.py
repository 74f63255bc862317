"""The results of a study so far, in a file from which the study is resumed."""

import json
from pathlib import Path
from typing import Any

from system.errors import InputError
from system.files import write_atomically

PROGRESS_VERSION = 3  # of the file; the first version had none


class Progress:
    """The results so far, in a file that exists until the study ends.

    Args:
        path: the file.
        sha256: the hash of the data and of the models that the study starts from.
        resume: whether to continue the study that the file is of.

    Attributes:
        results: the results of each run, by its key; None for a run that is trained but not yet measured.

    Raises:
        InputError: the resumed study began with other data, another model or another version of this project.
    """

    def __init__(self, path: Path, sha256: str, *, resume: bool) -> None:
        self._path, self._sha256 = path, sha256
        self.results: dict[str, dict[str, Any] | None] = self._recorded_results() if resume else {}
        self._write()

    def _recorded_results(self) -> dict[str, dict[str, Any] | None]:
        try:
            recorded = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError:
            recorded = None
        if not isinstance(recorded, dict) or recorded.get("version") != PROGRESS_VERSION:
            problem = "the record of the study is damaged, or of another version of this project"
        elif recorded["data_sha256"] != self._sha256:
            problem = "the data or a model that it starts from has changed since the study began"
        else:
            return recorded["results"]
        raise InputError(
            f"{self._path.parent}: {problem}; choose another --run-folder, or delete {self._path} and leave out "
            "--resume"
        )

    def record(self, key: str, result: dict[str, Any] | None) -> None:
        """Add the results of a run, and write the file."""
        self.results[key] = result
        self._write()

    def _write(self) -> None:
        content = {"version": PROGRESS_VERSION, "data_sha256": self._sha256, "results": self.results}
        with write_atomically(self._path) as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.write("\n")

    def forget(self) -> None:
        """Remove the file, so that the study can be started anew with other options."""
        self._path.unlink(missing_ok=True)
