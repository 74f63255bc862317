"""Packs the sample corpus, and waits halfway for a line of standard input. Argument: the cache folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from text.corpus import iter_texts
from text.packing import packing
from text.tokens.tokenizer import load_tokenizer


def waiting_texts(*arguments, **options):
    texts = list(iter_texts(["sample"]))
    yield from texts[:100]
    print("packing", flush=True)
    sys.stdin.readline()
    yield from texts[100:]


packing.iter_texts = waiting_texts
packing.pack_corpus(["sample"], load_tokenizer(), 32, Path(sys.argv[1]))
