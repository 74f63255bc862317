"""Blocks of documents, tokenized and divided into pieces by as many processes as there are cores."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

from tokenizers import Encoding

from system.errors import InputError
from system.libraries import available_cores
from text.packing.pieces import Piece, PieceCutter, begins_inside_word, borders_of
from text.packing.row_packer import tokens_as_bytes
from text.tokens.checks.panics import UNREADABLE, panics_as_input_error
from text.tokens.tokenizer import CLASSIFY, SEPARATE, tokenizer_from_json

DOCUMENTS_PER_BLOCK = 4096
# Blocks of very long documents are smaller, so that the memory does not grow with the length of documents.
CHARACTERS_PER_BLOCK = 1 << 24
# The library needs a hundred bytes for each token that it returns.
DOCUMENTS_AT_ONCE, CHARACTERS_AT_ONCE = 256, 1 << 20
# A small corpus is tokenized before processes would have started.
BLOCKS_WITHOUT_PROCESSES = 4
MAX_PROCESSES = 16  # so many keep the process that fills the rows busy


class PackingOptions(NamedTuple):
    """The options on which the rows of a document depend.

    Attributes:
        tokenizer_json: the tokenizer.
        max_seq_len: tokens per row.
        held_out_fraction: fraction of the documents to hold out.
        whole_words: whether to mark the tokens that continue a word.
        next_sentence: whether to make pairs of consecutive texts.
    """

    tokenizer_json: str
    max_seq_len: int
    held_out_fraction: float
    whole_words: bool
    next_sentence: bool

    @property
    def array_names(self) -> list[str]:
        """The names of the arrays of the rows in `PackedRows`."""
        return ["input_ids", *["continues_word"] * self.whole_words, *["pairs"] * self.next_sentence]

    @property
    def needs_offsets(self) -> bool:
        """Whether words or sentences are looked for in a text."""
        return self.whole_words or self.next_sentence


class Document(NamedTuple):
    """A document in pieces.

    Attributes:
        is_held_out: whether it is held out.
        characters: number of its characters.
        tokens: number of its tokens.
        pieces: its tokens.
    """

    is_held_out: bool
    characters: int
    tokens: int
    pieces: list[Piece]


class BlockTokenizer:
    """A function from a block of texts to its documents, in the order in which they are packed."""

    def __init__(self, options: PackingOptions):
        self.options = options
        self.tokenizer = tokenizer_from_json(options.tokenizer_json)
        classify_id, separate_id = (self.tokenizer.token_to_id(token) for token in (CLASSIFY, SEPARATE))
        self.cutter = PieceCutter(options.max_seq_len, classify_id, separate_id)

    def __call__(self, texts: list[str]) -> list[Document]:
        # The fast method omits the offsets.
        encode = self.tokenizer.encode_batch if self.options.needs_offsets else self.tokenizer.encode_batch_fast
        documents = []
        for part in groups(texts, DOCUMENTS_AT_ONCE, CHARACTERS_AT_ONCE):
            with panics_as_input_error(UNREADABLE):
                encodings = encode(part, add_special_tokens=False)
            documents += map(self._document, part, encodings)
        # Best fit wastes less room if the long chunks come first (best fit decreasing).
        return sorted(documents, key=lambda document: document.tokens % (self.options.max_seq_len - 2), reverse=True)

    def _document(self, text: str, encoding: Encoding) -> Document:
        ids = encoding.ids
        offsets = encoding.offsets if self.options.needs_offsets else []
        tokens = tokens_as_bytes(ids, begins_inside_word(text, offsets) if self.options.whole_words else None)
        if self.options.next_sentence:
            pieces = list(self.cutter.pairs(tokens, borders_of(text, offsets)))
        else:
            pieces = self.cutter.chunks(tokens)
        return Document(_is_held_out(text, self.options.held_out_fraction), len(text), len(ids), pieces)


def _is_held_out(text: str, fraction: float) -> bool:
    return zlib.crc32(text.encode("utf-8", "surrogatepass")) % 10_000 < fraction * 10_000


def groups(texts: Iterable[str], most_texts: int, most_characters: int) -> Iterator[list[str]]:
    """Yield the texts in lists of at most so many texts, and so many characters unless a single text has more."""
    group, characters = [], 0
    for text in texts:
        if group and (len(group) == most_texts or characters + len(text) > most_characters):
            yield group
            group, characters = [], 0
        group.append(text)
        characters += len(text)
    if group:
        yield group


def tokenized_blocks(texts: Iterable[str], options: PackingOptions) -> Iterator[list[Document]]:
    """Yield the documents of each block of texts, in order.

    Only the blocks at work are in memory. The order of the documents does not depend on the number of processes.

    Raises:
        InputError: the tokenizer fails on a text, or a process ended before its work.
    """
    blocks = groups(texts, DOCUMENTS_PER_BLOCK, CHARACTERS_PER_BLOCK)
    num_processes = min(available_cores(), MAX_PROCESSES)
    without_processes = BLOCKS_WITHOUT_PROCESSES if num_processes > 1 else None
    yield from map(BlockTokenizer(options), itertools.islice(blocks, without_processes))
    first = next(blocks, None)
    if first is not None:
        yield from _in_processes(itertools.chain([first], blocks), options, num_processes)


def _in_processes(blocks: Iterable[list[str]], options: PackingOptions, num_processes: int) -> Iterator[list[Document]]:
    # Not by ProcessPoolExecutor, which in Python 3.11.2 waits forever if a process dies while a block is sent to it.
    working: deque[Connection] = deque()
    with contextlib.ExitStack() as processes:
        idle = [processes.enter_context(_started(options)) for _ in range(num_processes)]
        try:
            for block in blocks:
                if idle:
                    connection, documents = idle.pop(), None
                else:
                    connection = working.popleft()
                    documents = _received(connection)
                connection.send(block)
                working.append(connection)
                if documents is not None:
                    yield documents
            while working:
                yield _received(working.popleft())
        except (EOFError, ConnectionError):
            raise InputError(
                "a process that tokenized the corpus ended early, as when the memory is full; free memory and run the "
                "same command again, which continues the packing"
            ) from None


def _received(connection: Connection) -> list[Document]:
    """Return the documents of the next block from a process, or raise its error."""
    documents = connection.recv()
    if isinstance(documents, InputError):
        raise documents
    return documents


@contextlib.contextmanager
def _started(options: PackingOptions) -> Iterator[Connection]:
    """Run a process that tokenizes blocks for as long as the block lasts, and yield the connection to it."""
    # A new one, because a copy of this process would have the locks of Keras' threads, but not the threads.
    context = multiprocessing.get_context("spawn")
    connection, its_end = context.Pipe()
    process = context.Process(target=_tokenize, args=(its_end, options), daemon=True)
    process.start()
    its_end.close()
    try:
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.join()


def _tokenize(connection: Connection, options: PackingOptions) -> None:
    """Send back the documents of each block that comes, or its error, until the process that sends them ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # each process has a core
    tokenize = BlockTokenizer(options)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            block = connection.recv()
            try:
                connection.send(tokenize(block))
            except InputError as error:
                connection.send(error)
