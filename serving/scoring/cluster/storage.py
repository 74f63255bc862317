"""Files of local and remote storage, by pyarrow's file systems."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from serving.scoring.copies import copy_of
from system.errors import InputError, OutputError, first_line
from system.files import replace_folder_atomically

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

WILDCARDS = re.compile(r"[*\[]")  # not "?", which begins the options of a URI
PART_NAME = re.compile(r"part-\d{5,}\.[a-z]+")


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    Attributes:
        name: its name in messages.
        location: the absolute path of a local file, or the URI of a remote one.
    """

    name: str
    location: str

    @property
    def is_on_this_machine(self) -> bool:
        """Whether other machines may lack the file."""
        return not is_uri(self.location) or self.location.startswith("file:")

    @contextmanager
    def local_path(self) -> Iterator[Path]:
        """Yield a path of this machine: that of the file, or that of a copy, which ends with the block.

        Raises:
            InputError: the file cannot be copied. Errors of the block call it by its name.
        """
        with contextlib.ExitStack() as stack:
            path = Path(self.location)
            if is_uri(self.location):
                with _named_errors(f"cannot read {self.name}", InputError):
                    filesystem, remote = _file_system(self.location)
                    stream = stack.enter_context(filesystem.open_input_stream(remote))
                    path = stack.enter_context(copy_of(stream, Path(self.name).suffix))
            try:
                yield path
            except InputError as error:
                raise InputError(str(error).replace(str(path), self.name)) from None


@dataclass(frozen=True)
class Destination:
    """Where scored rows go: a file, or a folder of files `part-00000.KIND`, here or in remote storage.

    Args:
        output: a path or a URI. It is a folder if it ends with a slash, has no suffix or is an existing folder.
    """

    output: str

    @property
    def path(self) -> Path:
        """The path of a local output; of a remote one its name, for the folder of its parts beside it."""
        if is_uri(self.output):
            return Path(unquote(Path(urlsplit(self.output).path).name))
        return Path(os.path.realpath(self.output))

    @property
    def is_folder(self) -> bool:
        """Whether the output is a folder of files."""
        return self.output.endswith("/") or not self.path.suffix or (not is_uri(self.output) and self.path.is_dir())

    def check(self, files: list[InputFile]) -> None:
        """Raise an InputError if the output is one of the input files, or a folder with other files."""
        if not self.path.name:
            raise InputError(f"{self.output} names no file or folder; add one to it")
        if is_uri(self.output):
            with _named_errors(f"cannot write {self.output}", OutputError):
                foreign = [name for name in self._remote_names() if not PART_NAME.fullmatch(name)]
        else:
            foreign = [] if is_replaceable(self.path) else ["not of a scoring run"]
        if foreign:
            raise OutputError(f"{self.output}: the folder holds other files ({foreign[0]}); choose another folder")
        own = self.output.rstrip("/") if is_uri(self.output) else str(self.path)
        if any(own in (each.location, each.location.rpartition("/")[0]) for each in files):
            raise InputError(f"{self.output} is also the input; give --output another name")

    def publish(self, joined: Path) -> None:
        """Move a finished file or folder to the output.

        Raises:
            OutputError: the output cannot be written.
        """
        if is_uri(self.output):
            with _named_errors(f"cannot write {self.output}", OutputError):
                self._upload(joined)
        elif self.is_folder:
            with replace_folder_atomically(self.path, is_replaceable) as empty:
                os.rename(joined, empty)
        else:
            os.replace(joined, self.path)

    def _upload(self, joined: Path) -> None:
        from pyarrow.fs import FileType, LocalFileSystem, copy_files

        filesystem, path = _file_system(self.output)
        folder = path if self.is_folder else path.rpartition("/")[0]
        if filesystem.get_file_info(folder).type == FileType.NotFound:
            filesystem.create_dir(folder, recursive=True)
        before = set(self._remote_names())
        copy_files(str(joined), path, LocalFileSystem(), filesystem)
        if self.is_folder:  # those of an earlier run with more files
            for name in before - set(os.listdir(joined)):
                filesystem.delete_file(f"{path}/{name}")

    def _remote_names(self) -> list[str]:
        """Return the names in a remote output folder; none if there is no such folder."""
        from pyarrow.fs import FileSelector

        if not self.is_folder:
            return []
        filesystem, path = _file_system(self.output)
        return [info.base_name for info in filesystem.get_file_info(FileSelector(path, allow_not_found=True))]


def is_uri(path: str) -> bool:
    """Return whether a path is a URI, such as `s3://bucket/reviews.csv`."""
    return "://" in path


def is_replaceable(folder: Path) -> bool:
    """Return whether a folder holds nothing but the files of an earlier run; true for one that does not exist."""
    return not folder.is_dir() or all(PART_NAME.fullmatch(name) for name in os.listdir(folder))


def find_files(pattern: str) -> list[InputFile]:
    """Return the files that a path or a URI names, with wildcards or without, in the order of their names.

    Raises:
        InputError: there is none, or the storage cannot be read.
    """
    if is_uri(pattern):
        with _named_errors(f"cannot read {pattern}", InputError):
            found = _find_remote(pattern)
    else:
        paths = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        found = [InputFile(path, os.path.realpath(path)) for path in paths if os.path.isfile(path)]
        if os.path.isdir(pattern):
            raise InputError(f"{pattern}: this is a folder; name the files in it, such as '{Path(pattern, '*.csv')}'")
    if not found:
        raise InputError(f"{pattern}: no such file")
    return found


def _find_remote(pattern: str) -> list[InputFile]:
    """Return the files of a URI. Each part of a path may have wildcards, which do not match a slash."""
    from pyarrow.fs import FileSelector, FileType

    pattern, mark, options = pattern.partition("?")
    if not (wildcard := WILDCARDS.search(pattern)):
        filesystem, path = _file_system(pattern + mark + options)
        is_file = filesystem.get_file_info(path).type == FileType.File
        return [InputFile(pattern, pattern + mark + options)] if is_file else []
    base = pattern[: pattern.rindex("/", 0, wildcard.start())]
    wanted = pattern.removeprefix(f"{base}/").split("/")
    filesystem, folder = _file_system(base + mark + options)
    found = []
    for info in filesystem.get_file_info(FileSelector(folder, recursive=len(wanted) > 1)):
        names = info.path.removeprefix(folder).strip("/").split("/")
        if info.type == FileType.File and _matches(names, wanted):
            found.append(InputFile(f"{base}/{'/'.join(names)}", f"{base}/{quote('/'.join(names))}{mark}{options}"))
    return sorted(found, key=lambda file: file.name)


def _matches(names: list[str], wanted: list[str]) -> bool:
    if len(names) != len(wanted):
        return False
    # As in a shell, a wildcard does not match a hidden name.
    return all(
        fnmatchcase(name, each) and name.startswith(".") <= each.startswith(".")
        for name, each in zip(names, wanted, strict=True)
    )


def _file_system(uri: str) -> tuple[FileSystem, str]:
    from pyarrow.fs import FileSystem  # imported here because pyarrow loads slowly

    filesystem, path = FileSystem.from_uri(uri)
    return filesystem, path.rstrip("/")


@contextmanager
def _named_errors(what: str, kind: type[InputError]) -> Iterator[None]:
    """Raise errors of a file system as one of this project."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, NotImplementedError) as error:
        raise kind(f"{what}: {first_line(error)}") from error
