"""Packs the sample corpus under the operating system's limit on the size of files. Argument: the cache folder."""

import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.command_line import exits_with_status
from text.packing.packing import pack_corpus
from text.tokens.tokenizer import load_tokenizer


@exits_with_status
def main(argv=None):
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    pack_corpus(["sample"], load_tokenizer(), 64, Path(sys.argv[1]))


sys.exit(main())
