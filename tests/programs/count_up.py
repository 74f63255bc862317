"""Adds 1 to the number in a file several times, each time as its owner. Arguments: the file, how many times."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.errors import InputError
from system.locks import owned

path, left = Path(sys.argv[1]), int(sys.argv[2])
while left:
    try:
        with owned(path):
            path.write_text(str(int(path.read_text()) + 1))
            left -= 1
    except InputError:
        pass
