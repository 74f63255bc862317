"""Documents packed into full rows of tokens once, and kept on disk for every later epoch.

A row is `[CLS] text [SEP] text [SEP] …`. Short texts share a row and long texts are split, so that a row has hardly any
padding. For the prediction of next sentences, a row is two consecutive texts of a document where there are two. The key
of the cache is a hash of tokenizer, texts and settings.
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

from system.errors import OutputError, first_line
from system.files import check_writable, write_atomically
from system.locks import owned
from text.corpus import fingerprints, iter_texts
from text.tokens.row_packer import Borders, PairPacker, RowPacker, TokenRow, begins_inside_word, borders_of
from text.tokens.tokenizer import CLASSIFY, SEPARATE

DOCUMENTS_PER_BLOCK = 4096
SPLIT_NAMES = ("train", "held_out")


@dataclasses.dataclass(frozen=True)
class PackedRows:
    """Rows of tokens.

    Attributes:
        input_ids: unsigned integers, (rows, max_seq_len), on disk; 0 is padding.
        continues_word: bool, (rows, max_seq_len), True where a token belongs to the same word as the one before it;
            None for rows that were packed without `whole_words`.
        documents: number of documents in the rows.
        characters: number of characters in the documents.
        tokens: number of tokens in the documents, without special tokens and padding.
        pairs: uint32, (rows, 2), the position of the first token of the second text of each row, 0 in a row without a
            pair, and the number of its document; None for rows that were packed without `next_sentence`.
    """

    input_ids: np.ndarray
    continues_word: np.ndarray | None
    documents: int
    characters: int
    tokens: int
    pairs: np.ndarray | None = None

    @property
    def num_pairs(self) -> int:
        """The number of rows that are a pair of texts."""
        return 0 if self.pairs is None else int(np.count_nonzero(self.pairs[:, 0]))

    @property
    def characters_per_token(self) -> float:
        """The mean number of characters per token."""
        return self.characters / max(self.tokens, 1)


@dataclasses.dataclass(frozen=True)
class PackedCorpus:
    """A corpus as packed rows.

    Attributes:
        train: the rows to train on; none of a corpus without text.
        held_out: the rows to evaluate on, which training never sees; few documents may leave none.
        sha256: a hash of texts and settings.
    """

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
    unwanted: Sequence[str] = (),
    text_column: str | None = None,
    or_usual: bool = False,
    held_out_fraction: float = 0.01,
    whole_words: bool = False,
    next_sentence: bool = False,
    max_documents: int | None = None,
) -> PackedCorpus:
    """Return the corpus as packed rows, from the cache if it has been packed before.

    Args:
        sources: sources of documents, see `text.sources.iter_texts`.
        max_seq_len: tokens per row.
        cache_folder: the folder of the cache.
        exclude: sources of texts to leave out.
        unwanted: further texts to leave out.
        text_column: the column of the text in tables.
        or_usual: whether a table without this column is read by the usual names.
        held_out_fraction: fraction of the documents to hold out. They are chosen by a hash of their text, so that all
            copies of a document are in the same split.
        whole_words: whether to record where words begin.
        next_sentence: whether a row is a pair of consecutive texts, see `PairPacker`.
        max_documents: maximum number of documents to read; None reads all.

    Raises:
        InputError: a source cannot be read, or another run is packing the same corpus.
        OutputError: the rows cannot be written.
    """
    settings = {
        "format": 2,  # increase it when the same text is packed into other rows
        "tokenizer": _sha256(tokenizer.to_str()),
        "texts": fingerprints(sources),
        "exclude": fingerprints(exclude, "--exclude"),
        "text_column": text_column,
        "max_seq_len": max_seq_len,
        "held_out_fraction": held_out_fraction,
        "whole_words": whole_words,
        "next_sentence": next_sentence,
        "max_documents": max_documents,
    }
    if unwanted:  # else without this key, so that a corpus packed by an earlier version is found
        settings["unwanted"] = _sha256("\n".join(unwanted))
    digest = _sha256(json.dumps(settings, sort_keys=True))
    folder = Path(cache_folder, digest[:16])
    names = ("input_ids", *["continues_word"] * whole_words, *["pairs"] * next_sentence)
    if not (folder / "counts.json").is_file():
        texts = iter_texts(sources, text_column, exclude, unwanted=unwanted, or_usual=or_usual)
        _pack_once(itertools.islice(texts, max_documents), tokenizer, max_seq_len, folder, held_out_fraction, names)
    counts = json.loads((folder / "counts.json").read_text())
    train, held_out = (_load_rows(folder, split, names, counts[split]) for split in SPLIT_NAMES)
    return PackedCorpus(train, held_out, digest)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _RowWriter:
    """A writer of the rows of one split, which also counts them.

    The rows lie in `raw_folder` until their number is known, because a file of an array begins with its shape.
    """

    def __init__(
        self,
        folder: Path,
        raw_folder: Path,
        split: str,
        packer: RowPacker | PairPacker,
        dtypes: dict[str, np.dtype],
    ):
        self.packer = packer
        self.dtypes = dtypes
        self.paths = {name: folder / f"{split}_{name}.npy" for name in dtypes}
        self.raw_files = {name: open(raw_folder / f"{split}_{name}", "wb") for name in dtypes}  # noqa: SIM115
        self.counts = {"documents": 0, "characters": 0, "tokens": 0}

    def add(self, text: str, ids: list[int], *details: list[bool] | Borders) -> None:
        """Add one document, with what the packer needs beside its tokens."""
        self.counts["documents"] += 1
        self.counts["characters"] += len(text)
        self.counts["tokens"] += len(ids)
        self._write(self.packer.add(ids, *details))

    def finish(self) -> None:
        """Write the files of the split."""
        self._write(self.packer.finish())
        for name, path in self.paths.items():
            raw_file = self.raw_files[name]
            raw_file.close()
            raw_path = Path(raw_file.name)
            dtype, columns = self.dtypes[name], 2 if name == "pairs" else self.packer.max_seq_len
            rows = raw_path.stat().st_size // (dtype.itemsize * columns)
            header = {"descr": dtype.str, "fortran_order": False, "shape": (rows, columns)}
            # Copied, not loaded: the rows of an encyclopaedia may not fit into memory.
            with write_atomically(path, "wb") as file, open(raw_path, "rb") as raw_rows:
                np.lib.format.write_array_header_1_0(file, header)
                shutil.copyfileobj(raw_rows, file)

    def close(self) -> None:
        """Close the open files, also after a failure."""
        for raw_file in self.raw_files.values():
            with contextlib.suppress(OSError):  # a full disk has no room for what is still buffered
                raw_file.close()

    def _write(self, rows: Iterable[TokenRow] | Iterable[tuple[TokenRow, int]]) -> None:
        for row in rows:
            tokens, second_start = row if "pairs" in self.raw_files else (row, 0)
            padded = tokens + [(0, False)] * (self.packer.max_seq_len - len(tokens))
            ids, continues = zip(*padded, strict=True)
            pair = (second_start, self.counts["documents"])
            values = {"input_ids": ids, "continues_word": continues, "pairs": pair}
            for name, file in self.raw_files.items():
                np.array(values[name], self.dtypes[name]).tofile(file)


def _load_rows(folder: Path, split: str, names: Sequence[str], counts: dict[str, int]) -> PackedRows:
    arrays = {name: np.load(folder / f"{split}_{name}.npy", mmap_mode="r") for name in names}
    return PackedRows(**{"continues_word": None} | arrays | counts)


def _pack_once(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    max_seq_len: int,
    folder: Path,
    held_out_fraction: float,
    names: Sequence[str],
) -> None:
    """Pack the texts into the files of `folder`, unless another run has done so in the meantime."""
    check_writable(folder / "counts.json")
    with owned(folder, "wait until it has packed the same corpus; this run will use the result"):
        if not (folder / "counts.json").is_file():
            _write_rows(texts, tokenizer, max_seq_len, folder, held_out_fraction, names)


def _write_rows(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    max_seq_len: int,
    folder: Path,
    held_out_fraction: float,
    names: Sequence[str],
) -> None:
    """Pack the texts into the files of `folder`, which the caller owns; `counts.json` comes last.

    `names` are the arrays to write, see `PackedRows`.
    """
    for leftover in folder.glob(".*"):  # of a run that was killed
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    token_dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    dtypes = {"input_ids": token_dtype, "continues_word": bool, "pairs": np.uint32}
    with tempfile.TemporaryDirectory(prefix=".raw.", dir=folder) as raw_folder, contextlib.ExitStack() as stack:
        writers = {}
        packer_class = PairPacker if "pairs" in names else RowPacker
        for split in SPLIT_NAMES:
            packer = packer_class(max_seq_len, tokenizer.token_to_id(CLASSIFY), tokenizer.token_to_id(SEPARATE))
            writers[split] = _RowWriter(
                folder, Path(raw_folder), split, packer, {name: np.dtype(dtypes[name]) for name in names}
            )
            stack.callback(writers[split].close)
        try:
            _fill_rows(texts, tokenizer, max_seq_len, writers, held_out_fraction, names)
            for writer in writers.values():
                writer.finish()
        except OSError as error:
            if error.filename is not None:  # the error of a file that was being read
                raise
            reason = f"{first_line(error)}; free space, or choose another --cache-folder for pretrain.py"
            raise OutputError(f"cannot write {folder}: {reason}") from error
    with write_atomically(folder / "counts.json") as file:
        json.dump({name: writer.counts for name, writer in writers.items()}, file)


def _fill_rows(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    max_seq_len: int,
    writers: dict[str, _RowWriter],
    held_out_fraction: float,
    names: Sequence[str],
) -> None:
    has_words, has_pairs = "continues_word" in names, "pairs" in names
    with tqdm(desc="packing", unit=" documents", unit_scale=True) as progress:
        for block in _blocks(texts, DOCUMENTS_PER_BLOCK):
            # The fast method omits the offsets, which only words and sentences need.
            encode = tokenizer.encode_batch if has_words or has_pairs else tokenizer.encode_batch_fast
            encodings = encode(block, add_special_tokens=False)
            # Best fit wastes less room if the long chunks come first (best fit decreasing).
            longest_first = sorted(range(len(block)), key=lambda n: len(encodings[n]) % (max_seq_len - 2), reverse=True)
            for text, encoding in ((block[number], encodings[number]) for number in longest_first):
                continues = begins_inside_word(text, encoding.offsets) if has_words else [False] * len(encoding.ids)
                borders = [borders_of(text, encoding.offsets)] if has_pairs else []
                split = "held_out" if _is_held_out(text, held_out_fraction) else "train"
                writers[split].add(text, encoding.ids, continues, *borders)
            progress.update(len(block))


def _is_held_out(text: str, fraction: float) -> bool:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % 10_000 < fraction * 10_000


def _blocks(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(texts)
    while block := list(itertools.islice(iterator, size)):
        yield block
