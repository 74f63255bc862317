"""Packs documents into full rows of tokens, once, and keeps the rows on disk for every later epoch.

A row is `[CLS] text [SEP] text [SEP] …`. Short texts share a row, long ones are cut, so that next to nothing of a
row is padding. The rows are found again by a hash of tokenizer, texts and settings.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from system.errors import InputError, OutputError, first_line
from system.files import check_writable, sha256_of_file, write_atomically
from system.locks import owned
from text.sources import corpus_files, iter_texts
from text.tokens.tokenizer import CLASSIFY, SEPARATE

DOCUMENTS_PER_BLOCK = 4096
OPEN_ROWS = 4096


@dataclasses.dataclass(frozen=True)
class PackedRows:
    """Rows of tokens.

    Attributes:
        input_ids: unsigned integers, (rows, max_seq_len), on disk; 0 is padding.
        continues_word: bool, (rows, max_seq_len), True where a token goes on with the word of the one before it;
            None unless words were asked for.
        documents, characters, tokens: what the rows hold; special tokens and padding do not count.
    """

    input_ids: np.ndarray
    continues_word: np.ndarray | None
    documents: int
    characters: int
    tokens: int

    @property
    def characters_per_token(self) -> float:
        return self.characters / max(self.tokens, 1)


@dataclasses.dataclass(frozen=True)
class PackedCorpus:
    """A corpus as rows for training and rows that training never sees; `sha256` stands for texts and settings."""

    train: PackedRows
    held_out: PackedRows
    sha256: str


def pack_corpus(
    sources: list[str],
    tokenizer: Tokenizer,
    max_seq_len: int,
    cache_folder: Path,
    *,
    exclude: Sequence[str] = (),
    text_column: str | None = None,
    held_out_fraction: float = 0.01,
    whole_words: bool = False,
    max_documents: int | None = None,
) -> PackedCorpus:
    """Returns the corpus as packed rows, from the cache where it has been packed before.

    Args:
        sources: as `text.sources.iter_texts` takes them.
        max_seq_len: tokens a row.
        cache_folder: a folder for the rows.
        exclude: sources of texts to leave out.
        text_column: the column of the text in tables.
        held_out_fraction: share of the documents held out. Drawn by what they say, so that copies of one document never
            stand on both sides.
        whole_words: whether to note where words begin.
        max_documents: how many documents to read at most.

    Raises:
        InputError: a source cannot be read, there is too little text to hold anything out, or another run is packing
            the same corpus.
    """
    settings = {
        "format": 2,  # to be raised when other rows come of the same text
        "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
        "texts": _fingerprints(sources),
        "exclude": _fingerprints(exclude),
        "text_column": text_column,
        "max_seq_len": max_seq_len,
        "held_out_fraction": held_out_fraction,
        "whole_words": whole_words,
        "max_documents": max_documents,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    folder = Path(cache_folder, digest[:16])
    if not (folder / "counts.json").is_file():
        check_writable(folder / "counts.json")
        with owned(folder, "wait until it has packed the same corpus, which will serve this run too"):
            if not (folder / "counts.json").is_file():  # another run may have packed it in between
                texts = itertools.islice(iter_texts(sources, text_column, exclude), max_documents)
                _write_rows(texts, tokenizer, max_seq_len, folder, held_out_fraction, whole_words)
    counts = json.loads((folder / "counts.json").read_text())
    train, held_out = (_load_rows(folder, part, whole_words, counts[part]) for part in ("train", "held_out"))
    if not len(train.input_ids) or not len(held_out.input_ids):
        raise InputError(
            f"{', '.join(sources)}: too little text, {train.documents + held_out.documents} documents, "
            "to train on some and hold some out"
        )
    return PackedCorpus(train, held_out, digest)


class RowPacker:
    """Puts pieces of text into rows, each into the fullest open row that still has room for it (best fit).

    Args:
        max_seq_len: tokens a row.
        classify_id, separate_id: the tokens that begin a row and end a piece.
    """

    def __init__(self, max_seq_len: int, classify_id: int, separate_id: int):
        self.max_seq_len = max_seq_len
        self.classify_id = classify_id
        self.separate_id = separate_id
        # Open rows by the number of free places in them; each row is a list of (token, continues word).
        self._open_rows: list[list[list[tuple[int, bool]]]] = [[] for _ in range(max_seq_len)]
        self._num_open = 0

    def add(self, ids: list[int], continues_word: list[bool]) -> Iterator[list[tuple[int, bool]]]:
        """Takes one document, cut where it is longer than a row; yields the rows that it filled."""
        longest = self.max_seq_len - 2
        for start in range(0, len(ids), longest):
            piece = list(zip(ids[start : start + longest], continues_word[start : start + longest], strict=True))
            piece[0] = (piece[0][0], False)  # a cut inside a word leaves its first half in another row
            yield from self._place([*piece, (self.separate_id, False)])

    def finish(self) -> Iterator[list[tuple[int, bool]]]:
        """Yields the rows that are still open."""
        for rows in self._open_rows:
            yield from rows
            rows.clear()

    def _place(self, piece: list[tuple[int, bool]]) -> Iterator[list[tuple[int, bool]]]:
        fitting = (free for free in range(len(piece), self.max_seq_len) if self._open_rows[free])
        free = next(fitting, None)
        if free is None:
            row = [(self.classify_id, False)]
            self._num_open += 1
        else:
            row = self._open_rows[free].pop()
        row.extend(piece)
        # Room for a separator alone is no room.
        if self.max_seq_len - len(row) < 2:
            self._num_open -= 1
            yield row
            return
        self._open_rows[self.max_seq_len - len(row)].append(row)
        if self._num_open > OPEN_ROWS:
            self._num_open -= 1
            yield next(rows for rows in self._open_rows if rows).pop(0)


class _RowWriter:
    """Writes the rows of one part to disk as they fill up, and counts.

    They lie in `raw_folder` until their number is known, which an array's file begins with.
    """

    def __init__(self, folder: Path, raw_folder: Path, part: str, packer: RowPacker, dtype: type, whole_words: bool):
        self.packer = packer
        self.dtype = dtype
        names = ("input_ids", "continues_word") if whole_words else ("input_ids",)
        self.paths = {name: folder / f"{part}_{name}.npy" for name in names}
        self.raw_files = {name: open(raw_folder / f"{part}_{name}", "wb") for name in names}  # noqa: SIM115
        self.counts = {"documents": 0, "characters": 0, "tokens": 0}

    def add(self, text: str, ids: list[int], continues_word: list[bool]) -> None:
        self.counts["documents"] += 1
        self.counts["characters"] += len(text)
        self.counts["tokens"] += len(ids)
        self._write(self.packer.add(ids, continues_word))

    def finish(self) -> None:
        self._write(self.packer.finish())
        for name, path in self.paths.items():
            raw_file = self.raw_files[name]
            raw_file.close()
            raw_path = Path(raw_file.name)
            dtype = np.dtype(self.dtype if name == "input_ids" else bool)
            rows = raw_path.stat().st_size // (dtype.itemsize * self.packer.max_seq_len)
            header = {"descr": dtype.str, "fortran_order": False, "shape": (rows, self.packer.max_seq_len)}
            # Copied, not loaded: the rows of an encyclopaedia do not fit into every memory.
            with write_atomically(path, "wb") as file, open(raw_path, "rb") as raw_rows:
                np.lib.format.write_array_header_1_0(file, header)
                shutil.copyfileobj(raw_rows, file)

    def close(self) -> None:
        """Close what is open, also after a failure."""
        for raw_file in self.raw_files.values():
            with contextlib.suppress(OSError):  # on a full disk there is no room for the rest
                raw_file.close()

    def _write(self, rows: Iterable[list[tuple[int, bool]]]) -> None:
        for row in rows:
            padded = row + [(0, False)] * (self.packer.max_seq_len - len(row))
            ids, continues_word = zip(*padded, strict=True)
            np.array(ids, self.dtype).tofile(self.raw_files["input_ids"])
            if "continues_word" in self.raw_files:
                np.array(continues_word, bool).tofile(self.raw_files["continues_word"])


def _load_rows(folder: Path, part: str, whole_words: bool, counts: dict[str, int]) -> PackedRows:
    continues_word = np.load(folder / f"{part}_continues_word.npy", mmap_mode="r") if whole_words else None
    return PackedRows(np.load(folder / f"{part}_input_ids.npy", mmap_mode="r"), continues_word, **counts)


def _write_rows(texts, tokenizer, max_seq_len, folder, held_out_fraction, whole_words) -> None:
    """Pack the texts into the files of `folder`, which the caller owns; `counts.json` comes last."""
    for leftover in folder.glob(".*"):  # of a run that was killed
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    with tempfile.TemporaryDirectory(prefix=".raw.", dir=folder) as raw_folder, contextlib.ExitStack() as stack:
        writers = {}
        for part in ("train", "held_out"):
            packer = RowPacker(max_seq_len, tokenizer.token_to_id(CLASSIFY), tokenizer.token_to_id(SEPARATE))
            writers[part] = _RowWriter(folder, Path(raw_folder), part, packer, dtype, whole_words)
            stack.callback(writers[part].close)
        try:
            _fill_rows(texts, tokenizer, max_seq_len, writers, held_out_fraction, whole_words)
            for writer in writers.values():
                writer.finish()
        except OSError as error:
            if error.filename is not None:  # about a file that is read
                raise
            raise OutputError(f"cannot write {folder}: {first_line(error)}; choose another --cache-folder") from error
    with write_atomically(folder / "counts.json") as file:
        json.dump({part: writer.counts for part, writer in writers.items()}, file)


def _fill_rows(texts, tokenizer, max_seq_len, writers, held_out_fraction, whole_words) -> None:
    with tqdm(desc="packing", unit=" documents", unit_scale=True) as progress:
        for block in _blocks(texts, DOCUMENTS_PER_BLOCK):
            # The fast form leaves out the offsets, which only the search for words needs.
            encode = tokenizer.encode_batch if whole_words else tokenizer.encode_batch_fast
            encodings = encode(block, add_special_tokens=False)
            # Best fit wastes less where the long pieces come first (best fit decreasing).
            longest_first = sorted(range(len(block)), key=lambda n: len(encodings[n]) % (max_seq_len - 2), reverse=True)
            for text, encoding in ((block[number], encodings[number]) for number in longest_first):
                continues = _continues_word(text, encoding.offsets) if whole_words else [False] * len(encoding.ids)
                part = "held_out" if _is_held_out(text, held_out_fraction) else "train"
                writers[part].add(text, encoding.ids, continues)
            progress.update(len(block))


def _continues_word(text: str, offsets: list[tuple[int, int]]) -> list[bool]:
    """Returns for each token whether it begins inside a word, as jieba's dictionary cuts the text into words."""
    import rjieba

    word_starts = {0, *itertools.accumulate(len(word) for word in rjieba.cut(text))}
    return [start not in word_starts for start, _ in offsets]


def _is_held_out(text: str, share: float) -> bool:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % 10_000 < share * 10_000


def _blocks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(texts)
    while block := list(itertools.islice(iterator, size)):
        yield block


def _fingerprints(sources: Sequence[str]) -> list[str]:
    """Returns the hashes and kinds of the files behind the sources, and the names of those that are not files."""
    fingerprints = []
    for source in sources:
        files = corpus_files([source])
        # The kind, because the same bytes are other documents as a table than as lines.
        fingerprints.extend([sha256_of_file(file) + file.suffix.lower() for file in files] or [source])
    return fingerprints
