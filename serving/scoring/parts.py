"""Write scored rows: to a stream at once, or to a file through parts that survive a killed run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from system.errors import InputError, OutputError
from system.files import replace_atomically, write_atomically
from system.output.display import printable, say
from text.tables.rows import Format

RUN_FILE = "run.json"
STRICT = "--strict"
# The names in a folder of parts, and the temporary names that a killed run leaves there.
OWN_NAMES = re.compile(r"run\.json|\d{8,}\.(part|json)|joined(\..*)?|\.(run|\d{8,}|joined)\.[0-9a-f]{8}(\..*)?")


class PartSummary(NamedTuple):
    """The counts of a part, which a resumed run adds to its own.

    Attributes:
        labels: the number of rows by label; a row counts for each of its labels.
        num_problems: the number of rows without a prediction.
        num_truncated: the number of rows whose text the model did not read as a whole.
    """

    labels: dict[str, int]
    num_problems: int
    num_truncated: int


class Stream:
    """A destination that keeps no parts: standard output, a pipe or a device.

    Args:
        file: the opened stream.

    Attributes:
        done: empty, because a stream cannot be resumed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._is_terminal = file.isatty()
        self.done: dict[int, PartSummary] = {}

    def write(self, number: int, content: bytes, summary: PartSummary) -> None:
        """Write part `number`; the parts come in order. At a terminal no text can control it."""
        if self._is_terminal:
            content = printable(content.decode("utf-8"), keep="\t\n").encode("utf-8")
        self._file.write(content)
        self._file.flush()

    def finish(self) -> None:
        """Do nothing: everything is written."""


class Parts:
    """The parts of an unfinished file, in the folder `NAME.parts` beside it.

    Args:
        output: the file.
        output_format: joins the parts.
        description: what a run must have in common with the run that it resumes, as JSON values.
        strict: whether every row has a prediction. A strict run can only resume a strict run.

    Attributes:
        done: the summaries of the parts of the run that is resumed, by the number of the part.
        numbers: the numbers of all parts that are kept, which may have gaps.
    """

    def __init__(self, output: Path, output_format: Format, description: dict[str, object], strict: bool) -> None:
        self.output = output
        self.folder = output.with_name(output.name + ".parts")
        self.done: dict[int, PartSummary] = {}
        self.numbers: set[int] = set()
        self._format = output_format
        self._description = json.loads(json.dumps(description)) | {STRICT: strict}

    def open(self, resume: bool) -> None:
        """Make the folder, or take over the folder of the run to resume.

        Raises:
            InputError: that run has another file, model or setting, or the folder contains other files.
        """
        self._refuse_foreign_folder()
        earlier = self._earlier_run()
        if resume and earlier is None:
            say(f"note: no unfinished run of {self.output} to resume; starting from the first row")
        if resume and earlier is not None:
            self._refuse_other_run(earlier)
            for number in sorted(int(path.stem) for path in self.folder.glob("*.part") if path.stem.isdecimal()):
                if (summary := self._finished_part(number)) is not None:
                    self.done[number] = summary
            self.numbers = set(self.done)
            if not self.done:
                say(f"note: the unfinished run in {self.folder} has no complete part; starting from the first row")
        else:
            if earlier is not None:
                say(f"note: discarding the unfinished run in {self.folder}; --resume would have continued it")
            shutil.rmtree(self.folder, ignore_errors=True)
        with write_atomically(self.folder / RUN_FILE) as file:
            json.dump(self._description, file, ensure_ascii=False, indent=2)

    @contextmanager
    def opened(self, resume: bool) -> Iterator[Parts]:
        """Open the folder for the block; if it fails, keep the parts that are scored, and say how to continue."""
        self.open(resume)
        try:
            yield self
        except BaseException as error:
            if not self.numbers:
                self.discard()
            elif isinstance(error, KeyboardInterrupt | OutputError):
                say("the scored rows are kept; run the same command with --resume to continue")
            raise

    def write(self, number: int, content: bytes, summary: PartSummary) -> None:
        """Write part `number` and its summary, completely or not at all. Parts may come in any order."""
        # The summary comes first, so that a part never lacks its summary.
        with write_atomically(self._summary_path(number)) as file:
            json.dump(summary, file, ensure_ascii=False)
        with write_atomically(self._path(number), "wb") as file:
            file.write(content)
        self.numbers.add(number)

    def finish(self) -> None:
        """Join the parts into the file, in the order of their numbers."""
        # In the folder first, which a later run cleans up, so that a killed run leaves nothing else beside the file.
        joined = self.folder / f"joined{self.output.suffix}"
        self.join(sorted(self.numbers), joined)
        os.replace(joined, self.output)
        shutil.rmtree(self.folder)

    def join(self, numbers: Sequence[int], path: Path) -> None:
        """Write a file of some parts."""
        with replace_atomically(path) as temporary, open(temporary, "wb") as file:
            self._format.join([self._path(number) for number in numbers], file)

    def discard(self) -> None:
        """Remove the folder and its parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _finished_part(self, number: int) -> PartSummary | None:
        """Return the summary of part `number`, or None if the part is missing or its summary is damaged."""
        try:
            summary = PartSummary(*json.loads(self._summary_path(number).read_text(encoding="utf-8")))
            counts = [*summary.labels.values(), *summary[1:]]
        except (OSError, ValueError, TypeError, AttributeError):
            return None
        is_sound = self._path(number).is_file() and all(type(count) is int for count in counts)
        return summary if is_sound else None

    def _earlier_run(self) -> dict[str, object] | None:
        try:
            earlier = json.loads((self.folder / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return earlier if isinstance(earlier, dict) else None

    def _refuse_other_run(self, earlier: dict[str, object]) -> None:
        names = sorted((earlier.keys() | self._description.keys()) - {STRICT})
        different = [name for name in names if earlier.get(name) != self._description.get(name)]
        if self._description[STRICT] and not earlier.get(STRICT):
            different.append(STRICT)
        if different:
            raise InputError(
                f"{self.folder} holds a run with a different {', '.join(different)}; "
                "use the same settings, or start over without --resume"
            )

    def _refuse_foreign_folder(self) -> None:
        if self.folder.is_dir() and (foreign := [each for each in os.listdir(self.folder) if not _is_own(each)]):
            raise InputError(
                f"{self.folder} is needed for the scored rows, but contains other files ({foreign[0]}); "
                "give --output another name"
            )

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08}.part"

    def _summary_path(self, number: int) -> Path:
        return self.folder / f"{number:08}.json"


def _is_own(name: str) -> bool:
    return OWN_NAMES.fullmatch(name) is not None
