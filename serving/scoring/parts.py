"""Where scored rows go: to a stream as they come, or to a file by way of parts that outlive a killed run."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import BinaryIO

from system.errors import InputError
from system.files import replace_atomically, write_atomically
from text.tables.rows import Format

RUN_FILE = "run.json"
STRICT = "--strict"
# What stands in a folder of parts, with the temporary names that a killed run leaves.
OWN_NAMES = re.compile(r"run\.json|\d{8,}\.part|joined(\..*)?|\.(run|\d{8,}|joined)\.[0-9a-f]{8}(\..*)?")


class Stream:
    """Writes the scored rows as they come to what keeps none of them: standard output, a pipe or a device.

    Args:
        file: the opened stream.

    Attributes:
        num_done: 0, since no earlier run can be continued.
    """

    num_done = 0

    def __init__(self, file: BinaryIO):
        self._file = file

    def write(self, number: int, content: bytes) -> None:
        """Write part `number`; the parts come in their order."""
        self._file.write(content)
        self._file.flush()

    def finish(self) -> None:
        """Do nothing: all is written."""


class Parts:
    """The parts of a file that is not finished, in the folder `NAME.parts` beside it.

    Args:
        output: the file.
        output_format: what puts the parts together.
        description: what a run must have in common with the one that it goes on with.
        strict: whether none of its rows is without a verdict; only from such a run can a strict one go on.

    Attributes:
        num_done: how many parts an earlier run has left.
    """

    def __init__(self, output: Path, output_format: Format, description: dict, strict: bool):
        self.output = output
        self.folder = output.with_name(output.name + ".parts")
        self.num_done = 0
        self._num_parts = 0
        self._format = output_format
        self._description = json.loads(json.dumps(description)) | {STRICT: strict}

    def open(self, resume: bool) -> None:
        """Makes the folder, or takes it over from the run that left it.

        Raises:
            InputError: that run was of another file, model or setting, or the folder is somebody else's.
        """
        self._refuse_foreign_folder()
        earlier = self._earlier_run()
        if resume and earlier is None:
            print(f"note: there is no run of {self.output} to go on with: it begins anew", file=sys.stderr)
        if resume and earlier is not None:
            self._refuse_other_run(earlier)
            while self._path(self.num_done).is_file():
                self.num_done += 1
            self._num_parts = self.num_done
        else:
            if earlier is not None:
                print(
                    f"note: {self.folder}, of a run that was not finished, begins anew without --resume",
                    file=sys.stderr,
                )
            shutil.rmtree(self.folder, ignore_errors=True)
        with write_atomically(self.folder / RUN_FILE) as file:
            json.dump(self._description, file, ensure_ascii=False, indent=2)

    def write(self, number: int, content: bytes) -> None:
        """Writes part `number`, whole or not at all."""
        with write_atomically(self._path(number), "wb") as file:
            file.write(content)
        self._num_parts = max(self._num_parts, number + 1)

    def finish(self) -> None:
        """Puts the parts together."""
        # First in the folder, which a later run clears away, so that a killed one leaves nothing beside the file.
        joined = self.folder / f"joined{self.output.suffix}"
        with replace_atomically(joined) as temporary, open(temporary, "wb") as file:
            self._format.join([self._path(number) for number in range(self._num_parts)], file)
        os.replace(joined, self.output)
        shutil.rmtree(self.folder)

    def _earlier_run(self) -> dict | None:
        try:
            earlier = json.loads((self.folder / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return earlier if isinstance(earlier, dict) else None

    def _refuse_other_run(self, earlier: dict) -> None:
        names = sorted((earlier.keys() | self._description.keys()) - {STRICT})
        different = [name for name in names if earlier.get(name) != self._description.get(name)]
        if self._description[STRICT] and not earlier.get(STRICT):
            different.append(STRICT)
        if different:
            raise InputError(
                f"{self.folder} was left by a run with another {', '.join(different)}: "
                "go on with the same, or begin anew without --resume"
            )

    def _refuse_foreign_folder(self) -> None:
        if self.folder.is_dir() and (foreign := [each for each in os.listdir(self.folder) if not _is_own(each)]):
            raise InputError(
                f"{self.folder}, where the scored rows are kept until the end, holds something else ({foreign[0]}): "
                "give --output another name"
            )

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}.part"


def _is_own(name: str) -> bool:
    return OWN_NAMES.fullmatch(name) is not None
