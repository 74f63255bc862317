"""Owns a path until standard input ends. Argument: the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.locks import owned

with owned(sys.argv[1]):
    print("owned", flush=True)
    sys.stdin.read()
