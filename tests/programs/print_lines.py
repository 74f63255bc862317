"""Prints a line several times, as a script of the project does. Arguments: the line, how many times."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.command_line import exits_with_status


@exits_with_status
def main(argv=None):
    line, count = sys.argv[1:]
    for _ in range(int(count)):
        print(line)


sys.exit(main())
