"""Loads a tokenizer as a script would, on a machine without torch. Argument: its name or path."""

import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.command_line import exits_with_status

find_spec = importlib.util.find_spec


def find_spec_without_torch(name, package=None):
    return None if name == "torch" else find_spec(name, package)


@exits_with_status
def main(argv=None):
    # requirements.txt does not install torch, and transformers may remark on that.
    importlib.util.find_spec = find_spec_without_torch
    from text.tokens.tokenizer import load_tokenizer

    load_tokenizer(sys.argv[1])


sys.exit(main())
