"""Replaces a file by one that is larger than the operating system allows this process. Argument: the file."""

import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from system.command_line import exits_with_status
from system.files import write_atomically


@exits_with_status
def main(argv=None):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    with write_atomically(sys.argv[1], "wb", keep_previous=True) as file:
        file.write(bytes(1_000_000))


sys.exit(main())
