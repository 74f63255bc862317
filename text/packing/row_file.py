"""A file of an array to which rows are appended, and which a later run can continue."""

import contextlib
import os
from pathlib import Path

import numpy as np


class ShortFile(Exception):
    """A file with fewer rows than it had."""


class RowFile:
    """A `.npy` file with an array of (rows, columns), which grows.

    Its header says that there are no rows until `finish`. NumPy leaves room in the header for a longer number.

    Args:
        path: the file.
        dtype: the type of the numbers.
        columns: numbers per row.
        num_rows: number of rows to keep of the file of an interrupted run; None begins a new file.

    Attributes:
        num_rows: number of rows.

    Raises:
        ShortFile: the file is missing, or has fewer rows than are to be kept.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, dtype: np.dtype, columns: int, num_rows: int | None = None):
        self.path = path
        self.dtype = np.dtype(dtype)
        self.columns = columns
        self.num_rows = num_rows or 0
        if num_rows is not None and not path.is_file():
            raise ShortFile
        self._file = open(path, "wb" if num_rows is None else "r+b")  # noqa: SIM115 (open until `close`)
        self._write_header(0)
        end = self._file.tell() + self.num_rows * self.columns * self.dtype.itemsize
        if os.path.getsize(path) < end:
            self.close()
            raise ShortFile
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, rows: np.ndarray) -> None:
        """Append rows, (count, columns)."""
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.num_rows += len(rows)

    def sync(self) -> None:
        """Let the operating system write all rows to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Write the number of rows into the header, and close the file."""
        self._file.seek(0)
        self._write_header(self.num_rows)
        self.sync()
        self._file.close()

    def close(self) -> None:
        """Close the file, also after a failure."""
        with contextlib.suppress(OSError):  # a full disk has no room for what is still buffered
            self._file.close()

    def _write_header(self, num_rows: int) -> None:
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (num_rows, self.columns)}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file.flush()
