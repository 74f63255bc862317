"""Writes to a file and to both standard streams, from Python and past it. Argument: the file.

The file then holds whether its descriptor is none of those of the standard streams.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.command_line import exits_with_status


@exits_with_status
def main(argv=None):
    with open(sys.argv[1], "w") as file:
        print("to standard error", file=sys.stderr)
        print("to standard output")
        os.write(1, b"from compiled code")
        os.write(2, b"from compiled code")
        file.write(f"{file.fileno() > 2}")


sys.exit(main())
