"""Reads from the hub, as a script of the project does. Arguments: dataset, corpus or tokenizer, and the hub id."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.command_line import exits_with_status
from text.corpus import iter_texts
from text.sources import read_labelled
from text.tokens.tokenizer import load_tokenizer


@exits_with_status
def main(argv=None):
    kind, hub_id = sys.argv[1:]
    if kind == "dataset":
        print(read_labelled(hub_id))
    elif kind == "corpus":
        print(next(iter_texts([hub_id])))
    else:
        print(load_tokenizer(hub_id))


sys.exit(main())
