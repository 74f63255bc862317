"""A corpus packed into rows once, and kept on disk for every later epoch and run.

A row is `[CLS] text [SEP] text [SEP] …`. Short texts share a row and long texts are split, so that a row has hardly any
padding. For the prediction of next sentences, a row is two consecutive texts of a document where there are two. The key
of the cache is a hash of tokenizer, texts and settings.
"""

import contextlib
import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from system.files import check_writable
from system.locks import owned
from text.corpus import fingerprints, iter_texts, num_lines
from text.packing.corpus_writer import COUNTS_NAME, SPLIT_NAMES, corpus_writer
from text.packing.packed_rows import PackedCorpus, PackedRows
from text.packing.tokenizing import PackingOptions, tokenized_blocks


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

    The memory that this takes does not depend on the size of the corpus, but on that of `exclude` and `unwanted`. The
    packing of an interrupted run continues from its last checkpoint, and the rows are those of a run of one go.

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
        next_sentence: whether a row is a pair of consecutive texts, see `text.packing.pieces`.
        max_documents: maximum number of documents to read; None reads all.

    Raises:
        InputError: a source cannot be read, or another run is packing the same corpus.
        OutputError: the rows cannot be written.
    """
    options = PackingOptions(tokenizer.to_str(), max_seq_len, held_out_fraction, whole_words, next_sentence)
    key = {
        "texts": fingerprints(sources),
        "exclude": fingerprints(exclude, "--exclude"),
        "text_column": text_column,
        "max_documents": max_documents,
    }
    if unwanted:  # else without this key, so that a corpus packed by an earlier version is found
        key["unwanted"] = _sha256("\n".join(unwanted))
    digest = _sha256(json.dumps(key | _key_of(options), sort_keys=True))
    folder = Path(cache_folder, digest[:16])
    if not (folder / COUNTS_NAME).is_file():
        texts = iter_texts(sources, text_column, exclude, unwanted=unwanted, or_usual=or_usual)
        total = min(filter(None, (num_lines(sources), max_documents)), default=None)
        _pack_once(itertools.islice(texts, max_documents), options, folder, total)
    counts = json.loads((folder / COUNTS_NAME).read_text())
    train, held_out = (_load_rows(folder, split, options.array_names, counts[split]) for split in SPLIT_NAMES)
    return PackedCorpus(train, held_out, digest)


def _key_of(options: PackingOptions) -> dict[str, object]:
    """Return the options as a part of the key of the cache, as JSON values."""
    key = {
        "format": 2,  # increase it when the same text is packed into other rows
        "tokenizer": _sha256(options.tokenizer_json),
    }
    return key | {name: value for name, value in options._asdict().items() if name != "tokenizer_json"}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _load_rows(folder: Path, split: str, names: Sequence[str], counts: dict[str, int]) -> PackedRows:
    arrays = {name: np.load(folder / f"{split}_{name}.npy", mmap_mode="r") for name in names}
    return PackedRows(**{"continues_word": None} | arrays | counts)


def _pack_once(texts: Iterable[str], options: PackingOptions, folder: Path, total: int | None) -> None:
    """Pack the texts into the files of `folder`, unless another run has done so in the meantime.

    Args:
        texts: the texts.
        options: how to pack them.
        folder: the folder of the corpus in the cache.
        total: about the number of texts, for the progress bar; None if nobody knows.
    """
    check_writable(folder / COUNTS_NAME)
    with owned(folder, "wait until it has packed the same corpus; this run will use the result"):
        if not (folder / COUNTS_NAME).is_file():
            _pack(texts, options, folder, total)


def _pack(texts: Iterable[str], options: PackingOptions, folder: Path, total: int | None) -> None:
    with corpus_writer(folder, options) as writer:
        if writer.num_documents:
            print(f"continuing an interrupted packing after {writer.num_documents:,} documents", file=sys.stderr)
        rest = itertools.islice(texts, writer.num_documents, None)
        packed = writer.num_documents
        with (
            tqdm(desc="packing", unit=" documents", unit_scale=True, total=total, initial=packed) as progress,
            contextlib.closing(tokenized_blocks(rest, options)) as blocks,
        ):
            for block in blocks:
                writer.add(block)
                progress.update(len(block))
        writer.finish()
