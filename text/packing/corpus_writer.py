"""The files of a packed corpus while they are written, with checkpoints from which an interrupted run continues."""

import base64
import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from system.errors import OutputError, first_line
from system.files import write_atomically
from text.packing.row_file import RowFile, ShortFile
from text.packing.row_packer import CONTINUES_WORD, ID_BITS, TOKEN, RowPacker
from text.packing.tokenizing import Document, PackingOptions
from text.tokens.tokenizer import CLASSIFY, tokenizer_from_json

SPLIT_NAMES = ("train", "held_out")
COUNTS_NAME, CHECKPOINT_NAME = "counts.json", "checkpoint.json"
CHARACTERS_PER_CHECKPOINT = 1 << 25  # 20 CPU seconds of work, while a checkpoint takes a tenth of a second


class _SplitWriter:
    """A writer of the rows of one split, which also counts them.

    Args:
        folder: the folder of the files.
        split: the name of the split.
        options: the options of the rows.
        checkpoint: what `checkpoint` returned in an interrupted run; None for the first one.
    """

    def __init__(self, folder: Path, split: str, options: PackingOptions, checkpoint: dict[str, Any] | None):
        checkpoint = checkpoint or {}
        tokenizer = tokenizer_from_json(options.tokenizer_json)
        forms = {
            "input_ids": (np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32, options.max_seq_len),
            "continues_word": (bool, options.max_seq_len),
            "pairs": (np.uint32, 2),
        }
        self.max_seq_len = options.max_seq_len
        self.counts = checkpoint.get("counts", {"documents": 0, "characters": 0, "tokens": 0})
        open_rows = map(base64.b64decode, checkpoint.get("open_rows", []))
        self.packer = RowPacker(options.max_seq_len, tokenizer.token_to_id(CLASSIFY), open_rows=open_rows)
        self.files = {
            name: RowFile(folder / f"{split}_{name}.npy", *forms[name], checkpoint.get("rows"))
            for name in options.array_names
        }
        self._rows: list[bytes] = []
        self._pairs: list[tuple[int, int]] = []

    def add(self, document: Document) -> None:
        """Put the pieces of a document into rows."""
        self.counts["documents"] += 1
        self.counts["characters"] += document.characters
        self.counts["tokens"] += document.tokens
        for tokens, second_start in document.pieces:
            row = tokens if second_start else self.packer.add(tokens)
            if row is not None:
                self._add_row(row, second_start)

    def write(self) -> None:
        """Write the rows that are closed."""
        row_bytes = self.max_seq_len * TOKEN.itemsize
        padded = b"".join(row.ljust(row_bytes, b"\0") for row in self._rows)
        tokens = np.frombuffer(padded, TOKEN).reshape(-1, self.max_seq_len)
        values = {
            "input_ids": lambda: tokens & ID_BITS,
            "continues_word": lambda: tokens >= CONTINUES_WORD,
            "pairs": lambda: np.array(self._pairs, np.uint32).reshape(-1, 2),
        }
        for name, file in self.files.items():
            file.append(values[name]())
        self._rows.clear()
        self._pairs.clear()

    def checkpoint(self) -> dict[str, Any]:
        """Return what a later run needs to continue after the rows that are written, as JSON values."""
        open_rows = [base64.b64encode(row).decode() for row in self.packer.open_rows]
        return {"counts": self.counts, "rows": self.files["input_ids"].num_rows, "open_rows": open_rows}

    def finish(self) -> None:
        """Write the rows that are still open, and complete the files."""
        for row in self.packer.finish():
            self._add_row(row, 0)
        self.write()
        for file in self.files.values():
            file.finish()

    def _add_row(self, row: bytes, second_start: int) -> None:
        self._rows.append(row)
        self._pairs.append((second_start, self.counts["documents"]))


class CorpusWriter:
    """A writer of the files of a packed corpus.

    Args:
        folder: the folder of the files, which the caller owns.
        options: the options of the rows.

    Attributes:
        num_documents: number of documents in the rows, those of interrupted runs included.
    """

    def __init__(self, folder: Path, options: PackingOptions):
        self.folder = folder
        self.options = options
        self.num_documents = 0
        self._characters = 0  # since the last checkpoint
        self._splits: dict[str, _SplitWriter] = {}

    def open(self) -> None:
        """Open the files: those of an interrupted run as they were at its last checkpoint, or new ones."""
        checkpoint = self._read_checkpoint()
        try:
            self._open(checkpoint)
        except ShortFile:  # not the files of the checkpoint
            self.close()
            self._open({})

    def add(self, block: list[Document]) -> None:
        """Put the documents of a block into rows, and write a checkpoint now and then."""
        for document in block:
            self._splits[SPLIT_NAMES[document.is_held_out]].add(document)
        self.num_documents += len(block)
        for split in self._splits.values():
            split.write()
        self._characters += sum(document.characters for document in block)
        if self._characters >= CHARACTERS_PER_CHECKPOINT:
            self._write_checkpoint()
            self._characters = 0

    def finish(self) -> None:
        """Complete the files. `counts.json` comes last."""
        for split in self._splits.values():
            split.finish()
        with write_atomically(self.folder / COUNTS_NAME) as file:
            json.dump({name: split.counts for name, split in self._splits.items()}, file)
        self._checkpoint_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def discard_unfinished(self) -> None:
        """Cut the files to what the checkpoint contains, or remove them if there is none."""
        self.close()
        if self.is_resumable:
            self.open()
            self.close()
            return
        for file in self._files:
            file.path.unlink(missing_ok=True)

    @property
    def is_resumable(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        return self._checkpoint_path.is_file()

    @property
    def remedy(self) -> str:
        """What to do if the disk is full."""
        kept = " and run the same command again, which continues the packing" * self.is_resumable
        return f"free space{kept}, or choose another --cache-folder for pretrain.py"

    @property
    def _checkpoint_path(self) -> Path:
        return self.folder / CHECKPOINT_NAME

    @property
    def _files(self) -> list[RowFile]:
        return [file for split in self._splits.values() for file in split.files.values()]

    def _open(self, checkpoint: dict[str, Any]) -> None:
        self.num_documents = checkpoint.get("documents", 0)
        splits = checkpoint.get("splits", {})
        for name in SPLIT_NAMES:
            self._splits[name] = _SplitWriter(self.folder, name, self.options, splits.get(name))

    def _read_checkpoint(self) -> dict[str, Any]:
        """Return the checkpoint of an interrupted run; an empty one if there is none, or if it is damaged."""
        if self.is_resumable:
            with contextlib.suppress(ValueError):
                return json.loads(self._checkpoint_path.read_text(encoding="utf-8"))
        return {}

    def _write_checkpoint(self) -> None:
        for file in self._files:
            file.sync()
        splits = {name: split.checkpoint() for name, split in self._splits.items()}
        with write_atomically(self._checkpoint_path) as file:
            json.dump({"documents": self.num_documents, "splits": splits}, file)


@contextlib.contextmanager
def corpus_writer(folder: Path, options: PackingOptions) -> Iterator[CorpusWriter]:
    """Open a writer of a packed corpus.

    If the block fails, what is written up to the last checkpoint remains, and the next writer in the same folder
    continues there. Without a checkpoint nothing remains.

    Args:
        folder: the folder of the files, which the caller owns.
        options: the options of the rows.

    Raises:
        OutputError: the files cannot be written.
    """
    for leftover in folder.glob(".*"):  # of a run that was killed
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    writer = CorpusWriter(folder, options)
    try:
        writer.open()
        yield writer
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error says what is wrong
            writer.discard_unfinished()
        if isinstance(error, KeyboardInterrupt) and writer.is_resumable:
            print("the packed rows are kept; run the same command again to continue", file=sys.stderr)
        is_own = isinstance(error, OSError) and (error.filename is None or Path(error.filename).parent == folder)
        if not is_own:  # such as one about a file that was being read
            raise
        raise OutputError(f"cannot write {folder}: {first_line(error)}; {writer.remedy}") from error
    finally:
        writer.close()
