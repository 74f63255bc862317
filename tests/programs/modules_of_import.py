"""Imports a module of the project; prints the modules that are loaded then, one a line. Argument: its dotted name."""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

importlib.import_module(sys.argv[1])
print(*sorted(sys.modules), sep="\n")
